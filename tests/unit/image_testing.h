/* What the image room's tests share: CLIP's settings, goldens read from disk, a hash. */
#ifndef IMAGE_TESTING_H
#define IMAGE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/preprocess.h"

static inline clsp_preprocess clip_settings(int size)
{
    return (clsp_preprocess){
        .manner = CLSP_PREPROCESS_OPEN_CLIP,
        .mode = CLSP_RESIZE_SHORTEST,
        .interpolation = CLSP_BICUBIC,
        .size = size,
        .resize = size,
        .do_resize = true,
        .do_crop = true,
        .do_rescale = true,
        .do_normalize = true,
        .rescale = 1.0 / 255,
        .mean = {0.48145466, 0.4578275, 0.40821073},
        .std = {0.26862954, 0.26130258, 0.27577711},
    };
}

/* A golden's bytes in a block of their exact size, so that a read past the end is seen. */
static inline unsigned char *golden_bytes(const char *name, size_t *size)
{
    char path[512];
    char *text = NULL;
    snprintf(path, sizeof path, "golden/image/%s", name);
    clipspan_error err = {0};
    if (clsp_file_read(&text, size, path, (size_t)1 << 24, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    unsigned char *exact = malloc(*size ? *size : 1);
    assert_non_null(exact);
    memcpy(exact, text, *size);
    clsp_free(text);
    return exact;
}

/* FNV-1a, 64 bits, as tests/golden/image/make.py. */
static inline unsigned long long fnv(const void *bytes, size_t size)
{
    unsigned long long total = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < size; i++) total = (total ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3ULL;
    return total;
}

static inline const char *scratch(char path[512], const char *name)
{
    const char *folder = getenv("CLIPSPAN_TEST_TMP");
    snprintf(path, 512, "%s/%s", folder != NULL ? folder : "/tmp", name);
    return path;
}

static inline void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

#endif
