/* Slices of a shard, compared and widened: whatever their sizes, places and threads, nothing behind the file's last byte is
 * touched, every damaged byte is found, and its shard is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "compute/compute.h"
#include "scratch.h"
#include "store/store.h"

enum { SLICES = 23, MOST = 7000, MOST_BLOCKS = 8 };

/* Numbers a slice: fewer than a vector, pieces of 2048 bytes and some more, several blocks; f16 and f32 in turn. */
static const size_t numbers[] = {1, 15, 1024, 1025, 3, 4000, MOST};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

typedef struct shelf {
    unsigned char *pages, *bytes; /* the last of the bytes is the last that may be read */
    size_t mapped, length;
    clsp_slice slices[SLICES];
    unsigned char sums[SLICES][MOST_BLOCKS * CLSP_HASH_BYTES];
    float *found[SLICES];
    clsp_shard shard;
    clipspan_store store;
} shelf;

static size_t count_of(size_t i) { return numbers[i % NUMBERS]; }

static size_t size_of(size_t i) { return i % 2 ? sizeof(float) : sizeof(uint16_t); }

static void map_before_a_wall(shelf *s)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    s->length = 0;
    for (size_t i = 0; i < SLICES; i++) s->length += count_of(i) * size_of(i);
    s->mapped = (s->length / page + 2) * page;
    s->pages = mmap(NULL, s->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(s->pages != MAP_FAILED);
    s->bytes = s->pages + s->mapped - page - s->length;
    assert_int_equal(mprotect(s->pages + s->mapped - page, page, PROT_NONE), 0);
}

static void point(shelf *s, size_t i, const unsigned char *from)
{
    size_t bytes = count_of(i) * size_of(i), block = (bytes / size_of(i) + MOST_BLOCKS - 1) / MOST_BLOCKS * size_of(i);
    s->found[i] = malloc((count_of(i) + 1) * sizeof(float));
    s->slices[i] = (clsp_slice){.from = from, .bytes = bytes, .half = size_of(i) == sizeof(uint16_t), .to = s->found[i],
                                .sum = s->sums[i], .block = block};
    for (size_t at = 0; at < bytes; at += block)
        clsp_hash_bytes(s->sums[i] + at / block * CLSP_HASH_BYTES, from + at, clsp_min(block, bytes - at));
}

static void shelf_open(shelf *s)
{
    uint32_t random = 4711;
    map_before_a_wall(s);
    for (size_t i = 0; i < s->length; i++) s->bytes[i] = (unsigned char)((random = random * 1664525u + 1013904223u) >> 24);
    size_t at = 0;
    for (size_t i = 0; i < SLICES; at += s->slices[i].bytes, i++) point(s, i, s->bytes + at);
    scratch_write("shard-00007.safetensors", s->bytes, s->length);
    s->store = (clipspan_store){.directory = clsp_strdup(scratch(".")), .manifest = {.shards = &s->shard, .shard_count = 1}};
    s->shard = (clsp_shard){0};
    snprintf(s->shard.file.name, sizeof s->shard.file.name, "shard-00007.safetensors");
    clsp_hash_hex(s->shard.file.hash, s->bytes, s->length);
}

static void shelf_close(shelf *s)
{
    for (size_t i = 0; i < SLICES; i++) free(s->found[i]);
    clsp_free(s->store.directory);
    munmap(s->pages, s->mapped);
}

static void assert_widened(const shelf *s)
{
    for (size_t i = 0; i < SLICES; i++)
        for (size_t k = 0; k < count_of(i); k++) {
            uint16_t half;
            float expected;
            memcpy(&half, s->slices[i].from + k * size_of(i), sizeof half);
            if (s->slices[i].half)
                expected = clsp_f16_to_f32(half);
            else
                memcpy(&expected, s->slices[i].from + k * size_of(i), sizeof expected);
            if (memcmp(&s->found[i][k], &expected, sizeof expected) != 0) fail_msg("slice %zu, number %zu", i, k);
        }
}

static void equal_one_by_one(void **state)
{
    static shelf s;
    clipspan_error err;
    (void)state;
    shelf_open(&s);
    for (int threads = 1; threads <= 4; threads++)
        for (size_t count = 0; count <= SLICES; count += count < 3 ? 1 : SLICES - 3) {
            int before = clsp_threads(threads);
            const float none = -1;
            for (size_t i = 0; i < SLICES; i++)
                for (size_t k = 0; k <= count_of(i); k++) s.found[i][k] = none;
            assert_int_equal(clsp_slices_take(&s.store, 0, s.slices, count, &err), CLIPSPAN_OK);
            clsp_threads(before);
            for (size_t i = 0; i < SLICES; i++) assert_true(s.found[i][count_of(i)] == none); /* and no number more */
            for (size_t i = count; i < SLICES; i++) assert_true(s.found[i][0] == none);
            if (count == SLICES) assert_widened(&s);
        }
    shelf_close(&s);
}

/* The first and last byte of every piece and block, of slices that are widened and of slices that are only compared. */
static void every_piece_is_compared(void **state)
{
    static shelf s;
    size_t places = 0;
    (void)state;
    shelf_open(&s);
    for (size_t i = 0; i < SLICES; i++)
        for (size_t at = 0; at < s.slices[i].bytes; at++) {
            clipspan_error err;
            size_t off = at % s.slices[i].block;
            if (off % 2048 != 0 && off % 2048 != 2047 && off + 1 != s.slices[i].block && at + 1 != s.slices[i].bytes) continue;
            unsigned char *byte = s.bytes + (s.slices[i].from - s.bytes) + at;
            s.slices[i].to = places % 2 ? s.found[i] : NULL;
            *byte ^= 64;
            int before = clsp_threads(1 + (int)(places % 3));
            assert_int_equal(clsp_slices_take(&s.store, 0, s.slices, SLICES, &err), CLIPSPAN_ERROR_FORMAT);
            clsp_threads(before);
            assert_message(err, "shard-00007.safetensors does not fit its checksums");
            *byte ^= 64;
            places++;
        }
    printf("%zu places\n", places);
    assert_true(places > 250);
    clipspan_error err;
    s.slices[5].sum = NULL; /* what was compared before is not compared again */
    s.bytes[s.slices[5].from - s.bytes] ^= 1;
    assert_int_equal(clsp_slices_take(&s.store, 0, s.slices, SLICES, &err), CLIPSPAN_OK);
    shelf_close(&s);
}

/* Of a store that is spread over folders, the folder in which the shard lies. */
static void the_folder_is_named(void **state)
{
    static shelf s;
    clipspan_error err;
    (void)state;
    shelf_open(&s);
    s.shard.file.folder = s.store.directory;
    s.store.directory = clsp_strdup("elsewhere");
    s.bytes[0] ^= 1;
    assert_int_equal(clsp_slices_take(&s.store, 0, s.slices, SLICES, &err), CLIPSPAN_ERROR_FORMAT);
    assert_int_equal(strncmp(err.message, s.shard.file.folder, strlen(s.shard.file.folder)), 0);
    assert_message(err, "/shard-00007.safetensors does not fit its checksums");
    clsp_free((char *)(uintptr_t)s.shard.file.folder);
    shelf_close(&s);
}

/* A thread that finds no memory takes no slice: that is said, and nothing is called damaged. */
static void without_memory(void **state)
{
    static shelf s;
    (void)state;
    shelf_open(&s);
    for (int threads = 1; threads <= 3; threads++)
        for (unsigned long n = 1; n <= (unsigned long)threads; n++) {
            clipspan_error err;
            int before = clsp_threads(threads);
            clsp_alloc_fail_at(n);
            clipspan_status status = clsp_slices_take(&s.store, 0, s.slices, SLICES, &err);
            unsigned long seen = clsp_alloc_fail_at(0);
            clsp_threads(before);
            assert_int_equal(status, seen < n ? CLIPSPAN_OK : CLIPSPAN_ERROR_MEMORY);
            if (n == 1) assert_true(seen >= n);
        }
    shelf_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_one_by_one),
        cmocka_unit_test(every_piece_is_compared),
        cmocka_unit_test(the_folder_is_named),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
