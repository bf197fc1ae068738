/* The tensors of a shard, in one table that the writer and the reader share.
 *
 *   index I64 [I]   mu, sigma, norm F32 [I]   embedding [I, E]
 *   z.<l> [H, I, d]   mlp.<t> [I, E]   mlp_mean F32 [L + 1, I]   cls.<l> [I, E]   cls_mean F32 [L, I]
 *   tokens.<l> [H, I, N, d]
 * embedding, z, mlp, cls and tokens in the store's own type (F32 or F16; in version 1 embedding is F32).
 */
#include "store/store.h"

#include <stdio.h>
#include <string.h>

typedef struct table {
    clsp_field *fields;
    size_t count;
} table;

/* shape: what surrounds the image axis, `before` entries in front of it. number -1: no number in the name. */
static void add(table *t, clsp_field_kind kind, const char *name, int number, int layer, clsp_dtype dtype, int before,
                const size_t *shape, int dims)
{
    clsp_field *f = &t->fields[t->count++];
    *f = (clsp_field){.kind = kind, .number = number < 0 ? 0 : number, .layer = layer, .dtype = dtype,
                      .dims = dims + 1, .image_axis = before, .outer = 1, .inner = 1};
    if (number < 0)
        snprintf(f->name, sizeof f->name, "%s", name);
    else
        snprintf(f->name, sizeof f->name, "%s.%d", name, kind == CLSP_FIELD_TOKENS ? layer : number);
    for (int i = 0; i < dims; i++) {
        f->shape[i < before ? i : i + 1] = shape[i];
        if (i < before)
            f->outer *= shape[i];
        else
            f->inner *= shape[i];
    }
    if (t->count > 1) f->slice = f[-1].slice + f[-1].outer;
}

static void add_all(table *t, const clsp_manifest *m)
{
    const clipspan_basis *b = &m->shape;
    size_t layers = (size_t)b->layers, heads = (size_t)b->heads, d = (size_t)b->head_dim, embed = (size_t)b->embed_dim;
    const size_t z[] = {heads, d}, tokens[] = {heads, (size_t)b->tokens, d}, terms = layers + 1;
    clsp_dtype dtype = m->half ? CLSP_F16 : CLSP_F32;
    add(t, CLSP_FIELD_INDEX, "index", -1, -1, CLSP_I64, 0, NULL, 0);
    add(t, CLSP_FIELD_MU, "mu", -1, -1, CLSP_F32, 0, NULL, 0);
    add(t, CLSP_FIELD_SIGMA, "sigma", -1, -1, CLSP_F32, 0, NULL, 0);
    add(t, CLSP_FIELD_NORM, "norm", -1, -1, CLSP_F32, 0, NULL, 0);
    add(t, CLSP_FIELD_EMBEDDING, "embedding", -1, -1, m->version > 1 ? dtype : CLSP_F32, 0, &embed, 1);
    for (int l = 0; l < b->layers; l++) add(t, CLSP_FIELD_Z, "z", l, l, dtype, 1, z, 2);
    if (m->parts & CLIPSPAN_PART_MLP) {
        for (int l = 0; l <= b->layers; l++) add(t, CLSP_FIELD_MLP, "mlp", l, l - 1, dtype, 0, &embed, 1);
        add(t, CLSP_FIELD_MLP_MEAN, "mlp_mean", -1, -1, CLSP_F32, 1, &terms, 1);
    }
    if (m->parts & CLIPSPAN_PART_CLS) {
        for (int l = 0; l < b->layers; l++) add(t, CLSP_FIELD_CLS, "cls", l, l, dtype, 0, &embed, 1);
        add(t, CLSP_FIELD_CLS_MEAN, "cls_mean", -1, -1, CLSP_F32, 1, &layers, 1);
    }
    for (int i = 0; i < m->token_layer_count; i++)
        add(t, CLSP_FIELD_TOKENS, "tokens", i, m->token_layers[i], dtype, 1, tokens, 3);
}

clipspan_status clsp_fields_new(clsp_field **out, size_t *count, const clsp_manifest *manifest, clipspan_error *err)
{
    table t = {0};
    size_t most = 5 + 3 * ((size_t)manifest->shape.layers + 2) + (size_t)manifest->token_layer_count;
    t.fields = *out = clsp_alloc(most, sizeof *t.fields);
    if (t.fields == NULL) return clsp_fail_memory(err);
    add_all(&t, manifest);
    *count = t.count;
    return CLIPSPAN_OK;
}

size_t clsp_fields_bytes(const clsp_field *fields, size_t count)
{
    size_t total = 0, bytes;
    for (size_t i = 0; i < count; i++)
        if (!clsp_mul(&bytes, fields[i].outer, fields[i].inner) ||
            !clsp_mul(&bytes, bytes, clsp_dtype_size(fields[i].dtype)) || !clsp_add(&total, total, bytes))
            return SIZE_MAX;
    return total;
}

size_t clsp_fields_slices(const clsp_field *fields, size_t count)
{
    return fields[count - 1].slice + fields[count - 1].outer;
}

void clsp_sums_shape(const clsp_field *fields, size_t count, size_t images, size_t shape[3])
{
    shape[0] = clsp_fields_slices(fields, count);
    shape[1] = clsp_blocks(images);
    shape[2] = CLSP_HASH_BYTES;
}

void clsp_field_shape(const clsp_field *field, size_t images, size_t shape[4])
{
    memcpy(shape, field->shape, sizeof field->shape);
    shape[field->image_axis] = images;
}

const float *clsp_field_of(const clsp_field *field, const clipspan_batch *batch)
{
    const float *base[CLSP_FIELD_KINDS] = {
        [CLSP_FIELD_MU] = batch->mu,
        [CLSP_FIELD_SIGMA] = batch->sigma,
        [CLSP_FIELD_NORM] = batch->norm,
        [CLSP_FIELD_EMBEDDING] = batch->embedding,
        [CLSP_FIELD_Z] = batch->z,
        [CLSP_FIELD_MLP] = batch->mlp,
        [CLSP_FIELD_MLP_MEAN] = batch->mlp_mean,
        [CLSP_FIELD_CLS] = batch->cls,
        [CLSP_FIELD_CLS_MEAN] = batch->cls_mean,
        [CLSP_FIELD_TOKENS] = batch->tokens,
    };
    const float *values = base[field->kind];
    return values ? values + (size_t)field->number * field->outer * batch->images * field->inner : NULL;
}
