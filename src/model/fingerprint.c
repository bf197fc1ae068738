/* The fingerprint: XXH3-128 over the configuration in a canonical form and, for every tensor in the order of names,
 * its name, type, shape and the hashes of its pieces. Pieces are hashed by several threads, and searched for NaN
 * and infinity in the same pass, while they are in the cache. */
#include "model/parts.h"

#include <stdio.h>
#include <string.h>

enum { PIECE = 1 << 20, MAX_THREADS = 8, AHEAD = 32 };

typedef struct piece {
    size_t tensor, offset, length; /* bytes */
} piece;

typedef struct outcome {
    char hash[CLSP_HASH_HEX];
    bool finite;
} outcome;

typedef struct job {
    const clsp_safetensors *file;
    const bool *used;
    piece *pieces;
    size_t count;
    outcome slots[AHEAD];
} job;

/* A value is NaN or infinite when every bit of its exponent is set: adding the exponent's lowest bit to the masked
 * exponent then carries into the sign bit. Branch-free, so that the compiler vectorises it. */
static bool finite_32(const unsigned char *bytes, size_t count)
{
    uint32_t carried = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t value;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        carried |= (value & 0x7f800000u) + 0x00800000u;
    }
    return (carried & 0x80000000u) == 0;
}

/* mask: the exponent's bits; lowest: the lowest of them. */
static bool finite_16(const unsigned char *bytes, size_t count, uint16_t mask, uint16_t lowest)
{
    uint16_t carried = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        carried = (uint16_t)(carried | ((value & mask) + lowest));
    }
    return (carried & 0x8000u) == 0;
}

static bool all_finite(clsp_dtype dtype, const unsigned char *bytes, size_t length)
{
    switch (dtype) {
    case CLSP_F32: return finite_32(bytes, length / 4);
    case CLSP_F16: return finite_16(bytes, length / 2, 0x7c00, 0x0400);
    case CLSP_BF16: return finite_16(bytes, length / 2, 0x7f80, 0x0080);
    default: return true;
    }
}

static void work(void *user, size_t index, size_t slot)
{
    job *j = user;
    const piece *p = &j->pieces[index];
    const clsp_tensor *tensor = clsp_safetensors_at(j->file, p->tensor);
    const unsigned char *bytes = tensor->data;
    outcome *out = &j->slots[slot];
    out->finite = !j->used[p->tensor] || all_finite(tensor->dtype, bytes + p->offset, p->length);
    clsp_hash_hex(out->hash, bytes + p->offset, p->length);
}

static size_t tensor_bytes(const clsp_tensor *tensor)
{
    return tensor->count * clsp_dtype_size(tensor->dtype);
}

static clipspan_status cut(job *j, clipspan_error *err)
{
    size_t tensors = clsp_safetensors_count(j->file);
    for (size_t t = 0; t < tensors; t++) j->count += tensor_bytes(clsp_safetensors_at(j->file, t)) / PIECE + 1;
    j->pieces = clsp_alloc(j->count, sizeof *j->pieces);
    if (j->pieces == NULL) return clsp_fail_memory(err);
    piece *next = j->pieces;
    for (size_t t = 0; t < tensors; t++) {
        size_t bytes = tensor_bytes(clsp_safetensors_at(j->file, t));
        for (size_t offset = 0; offset <= bytes; offset += PIECE)
            *next++ = (piece){t, offset, clsp_min(PIECE, bytes - offset)};
    }
    return CLIPSPAN_OK;
}

static clipspan_status fail_not_finite(const clsp_tensor *tensor, const piece *p, clipspan_error *err)
{
    size_t size = clsp_dtype_size(tensor->dtype), i = p->offset / size;
    const unsigned char *bytes = tensor->data;
    while (all_finite(tensor->dtype, bytes + i * size, size)) i++;
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: tensor %s: element %zu is NaN or infinite", tensor->file,
                     tensor->name, i);
}

static void add_text(clsp_hasher *hasher, const char *text)
{
    clsp_hasher_add(hasher, text, strlen(text) + 1);
}

static void add_tensor(clsp_hasher *hasher, const clsp_tensor *tensor)
{
    add_text(hasher, tensor->name);
    add_text(hasher, clsp_dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->dims; i++) {
        char text[32];
        snprintf(text, sizeof text, "%zu", tensor->shape[i]);
        add_text(hasher, text);
    }
}

static bool tower_text(clsp_buffer *text, const char *name, const clsp_tower_config *c)
{
    return clsp_buffer_format(text, "%s %d %d %d %d act %d eps %.9g\n", name, c->width, c->layers, c->heads,
                              c->mlp_width, (int)c->activation, (double)c->ln_eps);
}

static bool preprocess_text(clsp_buffer *text, const clsp_preprocess *p)
{
    bool ok = clsp_buffer_format(text, "preprocess %d %d %d %d %d %d%d%d%d %.17g %d", (int)p->manner, (int)p->mode,
                                 (int)p->interpolation, p->size, p->resize, p->do_resize, p->do_crop, p->do_rescale,
                                 p->do_normalize, p->rescale, p->fill);
    for (int i = 0; i < 3; i++) ok = ok && clsp_buffer_format(text, " %.17g %.17g", p->mean[i], p->std[i]);
    return ok;
}

/* Everything of the configuration that a result depends on; not the tokenizer, which images do not need. */
clipspan_status clsp_fingerprint_configuration(clsp_hasher *hasher, const clipspan_model *m, clipspan_error *err)
{
    clsp_buffer text;
    clsp_buffer_init(&text, 4096);
    bool ok = clsp_buffer_text(&text, "clipspan model 1\n") && tower_text(&text, "vision", &m->vision.config) &&
              clsp_buffer_format(&text, "%d %d %d\n", m->vision.image_size, m->vision.patch_size, m->vision.has_ln_pre) &&
              tower_text(&text, "text", &m->text.config) &&
              clsp_buffer_format(&text, "%d %d %d %d\n", m->text.context_length, m->text.vocab_size, m->text.eot_id,
                                 m->embed_dim) &&
              preprocess_text(&text, &m->preprocess);
    if (ok) add_text(hasher, text.data);
    clsp_buffer_free(&text);
    return ok ? CLIPSPAN_OK : clsp_fail_memory(err);
}

static clipspan_status add_weights(clsp_hasher *hasher, job *j, clsp_pipeline *pipeline, clipspan_error *err)
{
    size_t slot, i = 0, last = SIZE_MAX;
    while ((slot = clsp_pipeline_take(pipeline)) != SIZE_MAX) {
        const piece *p = &j->pieces[i++];
        const clsp_tensor *tensor = clsp_safetensors_at(j->file, p->tensor);
        if (!j->slots[slot].finite) return fail_not_finite(tensor, p, err);
        if (p->tensor != last) add_tensor(hasher, tensor);
        last = p->tensor;
        add_text(hasher, j->slots[slot].hash);
        clsp_pipeline_release(pipeline);
        if (p->offset + p->length == tensor_bytes(tensor))
            clsp_safetensors_drop_tensor(j->file, tensor); /* what was read counts as memory in use */
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_fingerprint_make(clipspan_model *model, const bool *used, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_pipeline *pipeline = NULL;
    clsp_hasher *hasher = NULL;
    job j = {.file = model->weights, .used = used};
    int threads = clsp_cpu_count() < MAX_THREADS ? clsp_cpu_count() : MAX_THREADS;
    CLSP_TRY(cut(&j, err));
    CLSP_ALLOC(hasher, clsp_hasher_new());
    CLSP_TRY(clsp_fingerprint_configuration(hasher, model, err));
    CLSP_TRY(clsp_pipeline_start(&pipeline, threads, AHEAD, j.count, work, &j, err));
    CLSP_TRY(add_weights(hasher, &j, pipeline, err));
    clsp_hasher_hex(hasher, model->fingerprint);
out:
    clsp_pipeline_free(pipeline);
    clsp_hasher_free(hasher);
    clsp_free(j.pieces);
    return status;
}
