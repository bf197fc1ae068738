/* Files in the test's own folder (CLIPSPAN_TEST_TMP), for base's and formats' tests. Include behind cmocka.h. */
#ifndef CLSP_TESTS_SCRATCH_H
#define CLSP_TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* One of four rotating buffers, so that a test may hold a few paths at a time. */
static inline const char *scratch(const char *name)
{
    static char paths[4][4096];
    static unsigned turn;
    const char *folder = getenv("CLIPSPAN_TEST_TMP");
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder ? folder : "/tmp", name);
    return path;
}

static inline const char *scratch_write(const char *name, const void *bytes, size_t length)
{
    const char *path = scratch(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* A group's set-up: what a crashed run left must not be blamed on this one. */
static inline int scratch_begin(void **state)
{
    char command[4200];
    (void)state;
    snprintf(command, sizeof command, "rm -f '%s'*.part-*", scratch(""));
    return system(command);
}

/* No file beside `path` that begins with its name: nothing half-written was left. */
static inline void assert_nothing_left(const char *path)
{
    char command[8300];
    assert_false(clsp_file_exists(path));
    snprintf(command, sizeof command, "ls '%s'* 2>/dev/null | grep -q .", path);
    assert_int_not_equal(system(command), 0);
}

#define assert_message(err, text)                                                                            \
    do {                                                                                                     \
        if (strstr((err).message, (text)) == NULL) fail_msg("'%s' lacks '%s'", (err).message, (text));       \
    } while (0)

/* Every allocation of the job fails once: it must report that, and succeed when none does. */
static inline void walk_failed_allocations(clipspan_status (*job)(void))
{
    for (unsigned long n = 1;; n++) {
        clsp_alloc_fail_at(n);
        clipspan_status status = job();
        unsigned long seen = clsp_alloc_fail_at(0);
        assert_int_equal(status, seen < n ? CLIPSPAN_OK : CLIPSPAN_ERROR_MEMORY);
        if (seen < n) return;
    }
}

#endif
