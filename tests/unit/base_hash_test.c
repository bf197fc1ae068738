/* A hash does not depend on the pieces in which its bytes come, nor on what its hasher was used for before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

enum { MOST = 20000 };

static void fill(unsigned char *bytes)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < MOST; i++) bytes[i] = (unsigned char)((state = state * 1664525u + 1013904223u) >> 24);
}

static void pieces_change_nothing(void **state)
{
    static const size_t lengths[] = {1, 15, 16, 17, 240, 241, 512, 1000, 1024, 4096, 16384, MOST}, pieces[] = {7, 64, 256, 2048};
    static unsigned char bytes[MOST];
    unsigned char whole[CLSP_HASH_BYTES], joined[CLSP_HASH_BYTES], before[CLSP_HASH_BYTES] = {0};
    clsp_hasher *hasher = clsp_hasher_new();
    (void)state;
    assert_non_null(hasher);
    fill(bytes);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        clsp_hash_bytes(whole, bytes, lengths[l]);
        assert_memory_not_equal(whole, before, sizeof whole);
        memcpy(before, whole, sizeof whole);
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            for (size_t at = 0; at < lengths[l]; at += pieces[p])
                clsp_hasher_add(hasher, bytes + at, clsp_min(pieces[p], lengths[l] - at));
            clsp_hasher_take(hasher, joined);
            assert_memory_equal(joined, whole, sizeof whole);
        }
    }
    clsp_hasher_free(hasher);
}

static void bytes_are_the_digits(void **state)
{
    static const char text[] = "clipspan";
    char hex[CLSP_HASH_HEX], expected[CLSP_HASH_HEX];
    unsigned char hash[CLSP_HASH_BYTES];
    (void)state;
    clsp_hash_hex(expected, text, sizeof text);
    clsp_hash_bytes(hash, text, sizeof text);
    for (size_t i = 0; i < sizeof hash; i++) snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    assert_string_equal(hex, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pieces_change_nothing), cmocka_unit_test(bytes_are_the_digits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
