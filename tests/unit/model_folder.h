/* unit/model_folder.h - folders of models in the test's scratch space, and edits of their files. */
#ifndef MODEL_FOLDER_H
#define MODEL_FOLDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model.h"
#include "model_maker.h"

static const char *const folder_files[] = {
    "config.json", "model.safetensors", "preprocessor_config.json", "processor_config.json", "vocab.json", "merges.txt",
    "open_clip_config.json", "open_clip_model.safetensors", "model.safetensors.index.json",
    "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "open_clip_model.safetensors.index.json",
    "open_clip_model-00001-of-00002.safetensors", "open_clip_model-00002-of-00002.safetensors", "pytorch_model.bin",
    "open_clip_pytorch_model.bin"};

static inline const char *folder_path(const char *file)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    const char *scratch = getenv("CLIPSPAN_TEST_TMP");
    snprintf(path, sizeof paths[0], "%s/model%s%s", scratch ? scratch : "/tmp", *file ? "/" : "", file);
    return path;
}

static inline void folder_clear(void)
{
    for (size_t i = 0; i < sizeof folder_files / sizeof *folder_files; i++) unlink(folder_path(folder_files[i]));
}

static inline void folder_make(const model_recipe *recipe)
{
    clipspan_error err = {0};
    folder_clear();
    if (model_make(folder_path(""), recipe, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
}

static inline void folder_write(const char *file, const void *bytes, size_t length)
{
    FILE *out = fopen(folder_path(file), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    assert_int_equal(fclose(out), 0);
}

/* Replaces the first `from` after the first `after` in a file; both must be there. */
static inline void folder_edit(const char *file, const char *after, const char *from, const char *to)
{
    clipspan_error err = {0};
    char *text, *result;
    size_t size;
    if (clsp_file_read(&text, &size, folder_path(file), 1 << 20, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    char *place = strstr(text, after);
    place = place ? strstr(place, from) : NULL;
    if (place == NULL) fail_msg("%s: no '%s' after '%s'", file, from, after);
    result = clsp_format("%.*s%s%s", (int)(place - text), text, to, place + strlen(from));
    folder_write(file, result, strlen(result));
    clsp_free(result);
    clsp_free(text);
}

static inline clipspan_model *folder_open(const clipspan_model_options *options)
{
    clipspan_error err = {0};
    clipspan_model *model = NULL;
    if (clipspan_model_open(&model, folder_path(""), options, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return model;
}

/* Opening must fail with `status`, and the message must hold every text given (NULL ends them). */
static inline void folder_refused(const char *path, const clipspan_model_options *options, clipspan_status status,
                                  const char *const *texts)
{
    clipspan_error err = {CLIPSPAN_OK, ""};
    clipspan_model *model = (clipspan_model *)&err; /* anything but NULL */
    clipspan_status got = clipspan_model_open(&model, path, options, &err);
    assert_null(model);
    if (got != status || err.status != status)
        fail_msg("expected %s, got %s: %s", clipspan_status_name(status), clipspan_status_name(got), err.message);
    for (; *texts; texts++)
        if (strstr(err.message, *texts) == NULL) fail_msg("'%s' is not in: %s", *texts, err.message);
}

#endif
