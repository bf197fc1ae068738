/* Copying a model's folder. The copy is built in a folder beside its place, which is removed when anything fails. */
#include "clipspan/inputs.h"
#include "model/copy.h"
#include "model/parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

/* Endings of files that hold a network's weights, in forms that are not edited. */
static const char *const weight_endings[] = {".safetensors", ".index.json", ".bin", ".pt",   ".pth",  ".ckpt", ".h5",
                                             ".msgpack",     ".onnx",       ".onnx_data", ".ot", ".gguf", ".tflite", NULL};

/* ---- one file ------------------------------------------------------------------------------------------- */

/* Columns of a matrix become zero where they meet the block, which holds the file's bytes [at, at + n). */
static void zero_columns(unsigned char *block, size_t at, size_t n, const clsp_change *c)
{
    size_t begin = clsp_max(at, c->offset), end = clsp_min(at + n, c->offset + c->length), columns = c->row / c->piece;
    for (size_t p = (begin - c->offset) / c->piece; c->offset + p * c->piece < end; p++) {
        if (!c->zeros[p % columns]) continue;
        size_t low = clsp_max(begin, c->offset + p * c->piece), high = clsp_min(end, c->offset + (p + 1) * c->piece);
        memset(block + (low - at), 0, high - low);
    }
}

static void apply(unsigned char *block, size_t at, size_t n, const clsp_change *c)
{
    size_t begin = clsp_max(at, c->offset), end = clsp_min(at + n, c->offset + c->length);
    if (begin >= end) return;
    if (c->bytes != NULL)
        memcpy(block + (begin - at), c->bytes + (begin - c->offset), end - begin);
    else
        zero_columns(block, at, n, c);
}

static clipspan_status tell(clsp_copy *copy, size_t bytes, clipspan_error *err)
{
    copy->done += bytes;
    const clipspan_progress now = {"edit", copy->done >> 20, copy->total >> 20, 0};
    if (copy->hooks == NULL || copy->hooks->progress == NULL || copy->hooks->progress(copy->hooks->user, &now) == 0)
        return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped; nothing was written");
}

static clipspan_status copy_bytes(clsp_copy *copy, FILE *in, const char *from, const char *name, clsp_output *output,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    unsigned char *block = clsp_alloc(BLOCK, 1);
    size_t at = 0, n;
    if (block == NULL) return clsp_fail_memory(err);
    while ((n = fread(block, 1, BLOCK, in)) > 0) {
        for (size_t i = 0; i < copy->count; i++)
            if (strcmp(copy->changes[i].file, name) == 0) apply(block, at, n, &copy->changes[i]);
        CLSP_TRY(clsp_output_write(output, block, n, err));
        CLSP_TRY(tell(copy, n, err));
        at += n;
    }
    if (ferror(in)) status = clsp_fail_errno(err, "%s: cannot be read", from);
    for (size_t i = 0; status == CLIPSPAN_OK && i < copy->count; i++)
        if (strcmp(copy->changes[i].file, name) == 0 && copy->changes[i].offset + copy->changes[i].length > at)
            status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: shorter than it was when it was opened", from);
out:
    clsp_free(block);
    return status;
}

clipspan_status clsp_copy_file(clsp_copy *copy, const char *from, const char *name, const char *to,
                               clipspan_error *err)
{
    clsp_output output = {0};
    FILE *in = clsp_file_exists(from) ? fopen(from, "rbe") : NULL;
    if (in == NULL && clsp_file_exists(from)) return clsp_fail_errno(err, "%s", from);
    if (in == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: neither a file nor a folder: it cannot be copied", from);
    clipspan_status status = clipspan_inputs_add(from, err);
    if (status == CLIPSPAN_OK) status = clsp_output_open(&output, to, err);
    if (status == CLIPSPAN_OK) status = copy_bytes(copy, in, from, name, &output, err);
    if (status == CLIPSPAN_OK) status = clsp_output_commit(&output, err);
    clsp_output_discard(&output);
    fclose(in);
    return status;
}

/* ---- a folder ------------------------------------------------------------------------------------------- */

/* A folder that is being read and those it lies in, the copy's own outermost: a link into one of them would never end. */
typedef struct level {
    const struct level *above;
    dev_t device;
    ino_t number;
} level;

static bool is_kept(const clsp_copy *copy, bool top, const char *name)
{
    for (size_t i = 0; top && i < copy->kept_count; i++)
        if (strcmp(copy->kept[i], name) == 0) return true;
    return false;
}

static bool holds_weights(const char *name)
{
    for (const char *const *e = weight_endings; *e != NULL; e++)
        if (clsp_ends_with(name, *e)) return true;
    return false;
}

static void say_left_out(const clsp_copy *copy, const char *path)
{
    if (copy->hooks == NULL || copy->hooks->warn == NULL) return;
    char *message = clsp_format("%s holds weights in a form that is not edited: it is left out of the copy", path);
    if (message != NULL) copy->hooks->warn(copy->hooks->user, message);
    clsp_free(message);
}

static clipspan_status copy_level(clsp_copy *copy, const char *from, const char *to, const level *above,
                                  clipspan_error *err);

static clipspan_status copy_entry(clsp_copy *copy, const char *from, const char *to, const char *name,
                                  const level *at, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *source = NULL, *target = NULL;
    CLSP_ALLOC(source, clsp_path_join(from, name));
    CLSP_ALLOC(target, clsp_path_join(to, name));
    bool top = at->above->above == NULL, kept = is_kept(copy, top, name);
    if (copy->only_kept && !kept) goto out;
    if (clsp_directory_exists(source)) {
        if (name[0] != '.') status = copy_level(copy, source, target, at, err);
    } else if (!kept && holds_weights(name))
        say_left_out(copy, source);
    else
        status = clsp_copy_file(copy, source, top ? name : "", target, err);
out:
    clsp_free(source);
    clsp_free(target);
    return status;
}

static clipspan_status copy_entries(clsp_copy *copy, DIR *folder, const char *from, const char *to, const level *at,
                                    clipspan_error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        clipspan_status status = copy_entry(copy, from, to, entry->d_name, at, err);
        if (status != CLIPSPAN_OK) return status;
    }
    return errno == 0 ? CLIPSPAN_OK : clsp_fail_errno(err, "%s: the folder cannot be read", from);
}

static clipspan_status copy_level(clsp_copy *copy, const char *from, const char *to, const level *above,
                                  clipspan_error *err)
{
    struct stat about;
    if (stat(from, &about) != 0) return clsp_fail_errno(err, "%s", from);
    const level at = {above, about.st_dev, about.st_ino};
    for (const level *l = above; l != NULL; l = l->above)
        if (l->device == at.device && l->number == at.number) return CLIPSPAN_OK;
    if (above->above != NULL && mkdir(to, 0777) != 0) return clsp_fail_errno(err, "%s: cannot be made", to);
    DIR *folder = opendir(from);
    if (folder == NULL) return clsp_fail_errno(err, "%s: the folder cannot be read", from);
    clipspan_status status = copy_entries(copy, folder, from, to, &at, err);
    closedir(folder);
    return status;
}

clipspan_status clsp_copy_folder(clsp_copy *copy, const char *from, const char *to, clipspan_error *err)
{
    char *beside;
    struct stat about = {0};
    int held = clsp_beside_make(&beside, to, true);
    if (held < 0) return errno == ENOMEM ? clsp_fail_memory(err) : clsp_fail_errno(err, "%s: cannot be written", to);
    clipspan_status status = fstat(held, &about) == 0 ? CLIPSPAN_OK : clsp_fail_errno(err, "%s", beside);
    const level own = {NULL, about.st_dev, about.st_ino};
    if (status == CLIPSPAN_OK) status = copy_level(copy, from, beside, &own, err);
    if (status == CLIPSPAN_OK && rename(beside, to) != 0) status = clsp_fail_errno(err, "%s: cannot be written", to);
    if (status != CLIPSPAN_OK) clsp_remove_folder(beside);
    close(held);
    clsp_free(beside);
    return status;
}
