/* Writing safetensors: the header goes first, so every tensor is declared before its data come. */
#include <string.h>

#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/safetensors_bytes.h"

enum { LENGTH_BYTES = 8, ALIGNMENT = 64, BLOCK = 16384 };

typedef struct piece {
    char *name;
    clsp_dtype dtype;
    size_t bytes;
} piece;

struct clsp_safetensors_writer {
    clsp_output output;
    clsp_hasher *hasher;
    piece *pieces; /* [count], in the order of the file */
    size_t count;
    size_t current, written; /* the tensor that is being written, and how many of its bytes have come */
};

/* ---- the header --------------------------------------------------------------------------------------- */

static clipspan_status plan_bytes(size_t *bytes, const clsp_tensor_plan *plan, clipspan_error *err)
{
    *bytes = clsp_dtype_size(plan->dtype);
    bool good = *bytes != 0 && plan->dims >= 0 && plan->dims <= CLSP_TENSOR_DIMS;
    for (int d = 0; good && d < plan->dims; d++) good = clsp_mul(bytes, *bytes, plan->shape[d]);
    if (good && strcmp(plan->name, "__metadata__") != 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "tensor '%s': its name, type or shape cannot be written",
                     plan->name);
}

static clsp_json *describe(const clsp_tensor_plan *plan, size_t begin, size_t end)
{
    clsp_json *entry = clsp_json_new_object(), *shape = clsp_json_new_array(), *offsets = clsp_json_new_array();
    bool good = clsp_json_put(entry, "dtype", clsp_json_new_string(clsp_dtype_name(plan->dtype)));
    for (int d = 0; d < plan->dims; d++) good &= clsp_json_push(shape, clsp_json_new_int((int64_t)plan->shape[d]));
    good &= clsp_json_push(offsets, clsp_json_new_int((int64_t)begin));
    good &= clsp_json_push(offsets, clsp_json_new_int((int64_t)end));
    good &= clsp_json_put(entry, "shape", shape);
    good &= clsp_json_put(entry, "data_offsets", offsets);
    if (good) return entry;
    clsp_json_free(entry);
    return NULL;
}

static bool put_metadata(clsp_json *header, const char *const *pairs)
{
    clsp_json *object = clsp_json_new_object();
    bool good = true;
    for (; pairs[0] != NULL; pairs += 2) good &= clsp_json_put(object, pairs[0], clsp_json_new_string(pairs[1]));
    return clsp_json_put(header, "__metadata__", object) && good;
}

/* Fills the writer's pieces and the header object. */
static clipspan_status declare(clsp_safetensors_writer *w, clsp_json *header, const clsp_tensor_plan *plans,
                               size_t count, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t begin = 0, end, members = clsp_json_length(header);
    for (; w->count < count; begin = end) {
        const clsp_tensor_plan *plan = &plans[w->count];
        piece *p = &w->pieces[w->count];
        *p = (piece){.dtype = plan->dtype};
        CLSP_TRY(plan_bytes(&p->bytes, plan, err));
        CLSP_ALLOC(p->name, clsp_strdup(plan->name));
        w->count++;
        if (!clsp_add(&end, begin, p->bytes) || end > INT64_MAX) {
            status = clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: its tensors are too large together", path);
            goto out;
        }
        if (!clsp_json_put(header, plan->name, describe(plan, begin, end))) {
            status = clsp_fail_memory(err);
            goto out;
        }
    }
    if (clsp_json_length(header) != members + count)
        status = clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: a tensor name is declared twice", path);
out:
    return status;
}

static clipspan_status emit(clsp_safetensors_writer *w, const void *bytes, size_t length, clipspan_error *err)
{
    clsp_hasher_add(w->hasher, bytes, length);
    return clsp_output_write(&w->output, bytes, length, err);
}

/* The header is padded with spaces so that the data begin at a multiple of 64 bytes. */
static clipspan_status emit_header(clsp_safetensors_writer *w, const clsp_json *header, clipspan_error *err)
{
    static const char spaces[ALIGNMENT + 1] = "                                                                ";
    clipspan_status status = CLIPSPAN_OK;
    unsigned char prefix[LENGTH_BYTES];
    char *text;
    CLSP_ALLOC(text, clsp_json_text(header));
    size_t length = strlen(text), padding = (ALIGNMENT - (length + LENGTH_BYTES) % ALIGNMENT) % ALIGNMENT;
    for (int i = 0; i < LENGTH_BYTES; i++) prefix[i] = (unsigned char)((uint64_t)(length + padding) >> 8 * i);
    CLSP_TRY(emit(w, prefix, sizeof prefix, err));
    CLSP_TRY(emit(w, text, length, err));
    CLSP_TRY(emit(w, spaces, padding, err));
out:
    clsp_free(text);
    return status;
}

/* Steps over the tensors that are complete. */
static void advance(clsp_safetensors_writer *w)
{
    while (w->current < w->count && w->written == w->pieces[w->current].bytes) {
        w->current++;
        w->written = 0;
    }
}

clipspan_status clsp_safetensors_writer_open(clsp_safetensors_writer **out, const char *path,
                                             const clsp_tensor_plan *plans, size_t count,
                                             const char *const *metadata, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_safetensors_writer *w = NULL;
    clsp_json *header = NULL;
    *out = NULL;
    CLSP_ALLOC(w, clsp_alloc_zero(1, sizeof *w));
    CLSP_ALLOC(w->pieces, clsp_alloc_zero(count, sizeof *w->pieces));
    CLSP_ALLOC(w->hasher, clsp_hasher_new());
    CLSP_ALLOC(header, clsp_json_new_object());
    if (metadata != NULL && !put_metadata(header, metadata)) {
        status = clsp_fail_memory(err);
        goto out;
    }
    CLSP_TRY(declare(w, header, plans, count, path, err));
    CLSP_TRY(clsp_output_open_file(&w->output, path, err));
    CLSP_TRY(clsp_output_widen(&w->output, err));
    CLSP_TRY(emit_header(w, header, err));
    advance(w);
    *out = w;
    w = NULL;
out:
    clsp_json_free(header);
    clsp_safetensors_writer_discard(w);
    return status;
}

/* ---- the data ----------------------------------------------------------------------------------------- */

static clipspan_status too_much(const clsp_safetensors_writer *w, clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: more data than its tensors were declared to hold",
                     w->output.path);
}

clipspan_status clsp_safetensors_writer_add(clsp_safetensors_writer *w, const void *bytes, size_t length,
                                            clipspan_error *err)
{
    const unsigned char *in = bytes;
    while (length > 0) {
        if (w->current == w->count) return too_much(w, err);
        size_t n = clsp_min(length, w->pieces[w->current].bytes - w->written);
        clipspan_status status = emit(w, in, n, err);
        if (status != CLIPSPAN_OK) return status;
        in += n;
        length -= n;
        w->written += n;
        advance(w);
    }
    return CLIPSPAN_OK;
}

/* Converts and writes at most BLOCK values, all of the current tensor. */
static clipspan_status add_block(clsp_safetensors_writer *w, const float *values, size_t count, clipspan_error *err)
{
    const piece *p = &w->pieces[w->current];
    uint16_t halves[BLOCK];
    size_t where;
    if (p->dtype == CLSP_F32) return clsp_safetensors_writer_add(w, values, count * sizeof *values, err);
    if (p->dtype == CLSP_BF16)
        clsp_floats_to_bf16(halves, values, count);
    else if (!clsp_f16_narrow(halves, values, count, &where))
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                         "%s: tensor '%s': %g is beyond the range of f16 (65504); write it as f32", w->output.path,
                         p->name, (double)values[where]);
    return clsp_safetensors_writer_add(w, halves, count * sizeof *halves, err);
}

clipspan_status clsp_safetensors_writer_floats(clsp_safetensors_writer *w, const float *values, size_t count,
                                               clsp_dtype dtype, clipspan_error *err)
{
    bool known = dtype == CLSP_F32 || dtype == CLSP_F16 || dtype == CLSP_BF16;
    while (count > 0) {
        if (w->current == w->count) return too_much(w, err);
        const piece *p = &w->pieces[w->current];
        if (!known || dtype != p->dtype)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: tensor '%s' is declared as %s, floats came for %s",
                             w->output.path, p->name, clsp_dtype_name(p->dtype), clsp_dtype_name(dtype));
        size_t n = clsp_min(clsp_min(count, BLOCK), (p->bytes - w->written) / clsp_dtype_size(dtype));
        if (n == 0)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: tensor '%s': a value is cut in two", w->output.path,
                             p->name);
        clipspan_status status = add_block(w, values, n, err);
        if (status != CLIPSPAN_OK) return status;
        values += n;
        count -= n;
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_safetensors_writer_commit(clsp_safetensors_writer *w, char hash[CLSP_HASH_HEX],
                                               clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (w->current < w->count)
        status = clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: tensor '%s': %zu of %zu bytes were written",
                           w->output.path, w->pieces[w->current].name, w->written, w->pieces[w->current].bytes);
    else
        status = clsp_output_commit(&w->output, err);
    if (status == CLIPSPAN_OK && hash != NULL) clsp_hasher_hex(w->hasher, hash);
    clsp_safetensors_writer_discard(w);
    return status;
}

void clsp_safetensors_writer_discard(clsp_safetensors_writer *w)
{
    if (w == NULL) return;
    clsp_output_discard(&w->output);
    clsp_hasher_free(w->hasher);
    for (size_t i = 0; i < w->count; i++) clsp_free(w->pieces[i].name);
    clsp_free(w->pieces);
    clsp_free(w);
}
