/* A tower's weights from the model's files, or from the cache of the run before, packed into one block. */
#include "engine/towers.h"

#include <stdio.h>
#include <string.h>

enum { PARTS = 3, ALIGNED = 64, PIECES_A_BLOCK = 16, OTHER_PIECES = 10 };

/* One thing in the block: packed weights, or a vector in fp32. Up to three of the model's weights, one below the other;
 * one without a tensor is zero. */
struct clsp_piece {
    clsp_packed *packed;  /* NULL: a vector */
    const float **vector;
    const clsp_weight *parts[PARTS];
    size_t part_count, count; /* count: fp32 values of all parts */
    size_t offset, bytes;     /* in the block */
};

/* ---- what lies where --------------------------------------------------------------------------------------- */

static void add_vector(clsp_packed_tower *t, const float **vector, size_t count, size_t parts, const clsp_weight *a,
                       const clsp_weight *b, const clsp_weight *c)
{
    t->pieces[t->piece_count++] = (clsp_piece){.vector = vector, .parts = {a, b, c}, .part_count = parts, .count = count,
                                               .bytes = count * sizeof(float)};
}

static clipspan_status add_matrix(clsp_packed_tower *t, clsp_packed *packed, clsp_type type, size_t in, size_t out,
                                  size_t parts, const clsp_weight *a, const clsp_weight *b, const clsp_weight *c,
                                  clipspan_error *err)
{
    clipspan_status status = clsp_packed_init(packed, type, in, out, err);
    if (status != CLIPSPAN_OK) return status;
    t->pieces[t->piece_count++] = (clsp_piece){.packed = packed, .parts = {a, b, c}, .part_count = parts,
                                               .count = in * out, .bytes = packed->bytes};
    return CLIPSPAN_OK;
}

/* A layer and its bias, which may be absent. */
static clipspan_status add_layer(clsp_packed_tower *t, clsp_packed *packed, clsp_type type, size_t in, size_t out,
                                 const clsp_weight *weight, const clsp_weight *bias, clipspan_error *err)
{
    clipspan_status status = add_matrix(t, packed, type, in, out, 1, weight, NULL, NULL, err);
    if (status == CLIPSPAN_OK && bias != NULL && bias->tensor != NULL)
        add_vector(t, &packed->bias, out, 1, bias, NULL, NULL);
    return status;
}

static clipspan_status add_attention(clsp_packed_tower *t, clsp_packed_block *b, const clsp_block_weights *w, size_t width,
                                     bool last, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (!last) {
        CLSP_TRY(add_matrix(t, &b->qkv, t->type, width, 3 * width, 3, &w->q, &w->k, &w->v, err));
        add_vector(t, &b->qkv.bias, 3 * width, 3, &w->q_bias, &w->k_bias, &w->v_bias);
    } else {
        CLSP_TRY(add_layer(t, &b->q, t->type, width, width, &w->q, &w->q_bias, err));
        CLSP_TRY(add_matrix(t, &b->kv, t->type, width, 2 * width, 2, &w->k, &w->v, NULL, err));
        add_vector(t, &b->kv.bias, 2 * width, 2, &w->k_bias, &w->v_bias, NULL);
    }
    CLSP_TRY(add_layer(t, &b->out, t->type, width, width, &w->out, &w->out_bias, err));
out:
    return status;
}

static clipspan_status add_block(clsp_packed_tower *t, size_t l, const clsp_tower_config *config,
                                 const clsp_block_weights *w, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_packed_block *b = &t->blocks[l];
    size_t width = (size_t)config->width, hidden = (size_t)config->mlp_width;
    add_vector(t, &b->ln1_gamma, width, 1, &w->ln1_gamma, NULL, NULL);
    add_vector(t, &b->ln1_beta, width, 1, &w->ln1_beta, NULL, NULL);
    add_vector(t, &b->ln2_gamma, width, 1, &w->ln2_gamma, NULL, NULL);
    add_vector(t, &b->ln2_beta, width, 1, &w->ln2_beta, NULL, NULL);
    CLSP_TRY(add_attention(t, b, w, width, l + 1 == (size_t)config->layers, err));
    CLSP_TRY(add_layer(t, &b->fc1, t->type, width, hidden, &w->fc1, &w->fc1_bias, err));
    CLSP_TRY(add_layer(t, &b->fc2, t->type, hidden, width, &w->fc2, &w->fc2_bias, err));
out:
    return status;
}

static clipspan_status add_image_ends(clsp_packed_tower *t, const clipspan_model *model, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_vision *v = &model->vision;
    size_t width = (size_t)v->config.width, side = (size_t)v->patch_size, tokens = (size_t)v->tokens;
    add_vector(t, &t->class_token, width, 1, &v->class_token, NULL, NULL);
    add_vector(t, &t->position, tokens * width, 1, &v->position, NULL, NULL);
    if (v->has_ln_pre) {
        add_vector(t, &t->pre_gamma, width, 1, &v->ln_pre_gamma, NULL, NULL);
        add_vector(t, &t->pre_beta, width, 1, &v->ln_pre_beta, NULL, NULL);
    }
    add_vector(t, &t->post_gamma, width, 1, &v->ln_post_gamma, NULL, NULL);
    add_vector(t, &t->post_beta, width, 1, &v->ln_post_beta, NULL, NULL);
    CLSP_TRY(add_layer(t, &t->patch, t->type, 3 * side * side, width, &v->patch, &v->patch_bias, err));
    CLSP_TRY(add_layer(t, &t->projection, CLSP_TYPE_F32, width, (size_t)model->embed_dim, &v->projection, NULL, err));
out:
    return status;
}

static clipspan_status add_text_ends(clsp_packed_tower *t, const clipspan_model *model, clipspan_error *err)
{
    const clsp_text *text = &model->text;
    size_t width = (size_t)text->config.width;
    add_vector(t, &t->position, (size_t)text->context_length * width, 1, &text->position, NULL, NULL);
    add_vector(t, &t->post_gamma, width, 1, &text->ln_final_gamma, NULL, NULL);
    add_vector(t, &t->post_beta, width, 1, &text->ln_final_beta, NULL, NULL);
    return add_layer(t, &t->projection, CLSP_TYPE_F32, width, (size_t)model->embed_dim, &text->projection,
                     text->has_projection_bias ? &text->projection_bias : NULL, err);
}

typedef struct making {
    clsp_tower_kind kind;
    clsp_type type;
} making;

static const clsp_tower_config *config_of(const clipspan_model *model, clsp_tower_kind kind)
{
    return kind == CLSP_IMAGES ? &model->vision.config : &model->text.config;
}

static clipspan_status list_pieces(clsp_packed_tower *t, const clipspan_model *model, const making *m, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_tower_config *config = config_of(model, m->kind);
    const clsp_block_weights *blocks = m->kind == CLSP_IMAGES ? model->vision.blocks : model->text.blocks;
    size_t layers = (size_t)config->layers;
    CLSP_ALLOC(t->blocks, clsp_alloc_zero(layers, sizeof *t->blocks));
    CLSP_ALLOC(t->pieces, clsp_alloc(layers * PIECES_A_BLOCK + OTHER_PIECES, sizeof *t->pieces));
    if (m->kind == CLSP_IMAGES)
        CLSP_TRY(add_image_ends(t, model, err));
    else
        CLSP_TRY(add_text_ends(t, model, err));
    for (size_t l = 0; l < layers; l++)
        CLSP_TRY(add_block(t, l, config, &blocks[l], err));
out:
    return status;
}

static clipspan_status lay_out(clsp_packed_tower *t, clipspan_error *err)
{
    for (size_t i = 0; i < t->piece_count; i++) {
        t->pieces[i].offset = t->bytes;
        if (!clsp_add(&t->bytes, t->bytes, t->pieces[i].bytes) || !clsp_add(&t->bytes, t->bytes, ALIGNED - 1))
            return clsp_fail_memory(err);
        t->bytes = t->bytes / ALIGNED * ALIGNED;
    }
    return CLIPSPAN_OK;
}

/* ---- filling the block ------------------------------------------------------------------------------------- */

/* The piece's values where they lie in the model's file, if they do so one behind the other, in fp32 and aligned. */
static const float *as_stored(const clsp_piece *p)
{
    const clsp_tensor *tensor = p->parts[0]->tensor;
    size_t at = p->parts[0]->first * p->parts[0]->columns, next = at;
    if (tensor == NULL || tensor->dtype != CLSP_F32 || (uintptr_t)tensor->data % sizeof(float) != 0) return NULL;
    for (size_t i = 0; i < p->part_count; i++) {
        const clsp_weight *part = p->parts[i];
        if (part->tensor != tensor || part->first * part->columns != next) return NULL;
        next += part->rows * part->columns;
    }
    return next - at == p->count && clsp_range_ok(at, p->count, tensor->count) ? (const float *)tensor->data + at : NULL;
}

static clipspan_status read_parts(float *out, const clsp_piece *p, clipspan_error *err)
{
    size_t count = p->count / p->part_count;
    for (size_t i = 0; i < p->part_count; i++) {
        clipspan_status status = clsp_weight_floats(p->parts[i], count, out + i * count, err);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

static clipspan_status fill(char *block, const clsp_piece *p, const clsp_safetensors *file, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    void *to = block + p->offset;
    float *staged = NULL;
    if (p->packed == NULL) return read_parts(to, p, err);
    const float *values = as_stored(p);
    if (values == NULL) {
        CLSP_ALLOC(staged, clsp_alloc_aligned(p->count, sizeof *staged));
        CLSP_TRY(read_parts(staged, p, err));
        values = staged;
    }
    clsp_packed_fill(p->packed, to, values, p->parts[0]->transposed);
    for (size_t i = 0; i < p->part_count && file != NULL; i++) /* what is packed is not read again */
        if (p->parts[i]->tensor != NULL) clsp_safetensors_drop_tensor(file, p->parts[i]->tensor);
out:
    clsp_free(staged);
    return status;
}

/* Threads take the next piece as they are free: each writes its own bytes, so it does not matter who. */
static clipspan_status fill_all(const clsp_packed_tower *t, const clsp_safetensors *file, clipspan_error *err)
{
    size_t failed = t->piece_count;
    clipspan_error why = {CLIPSPAN_OK, ""};
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < t->piece_count; i++) {
        clipspan_error problem;
        if (fill(t->block, &t->pieces[i], file, &problem) == CLIPSPAN_OK) continue;
#pragma omp critical(clsp_packing)
        if (i < failed) failed = i, why = problem;
    }
    return why.status == CLIPSPAN_OK ? CLIPSPAN_OK : clsp_fail(err, why.status, "%s", why.message);
}

static void point(const clsp_packed_tower *t, const char *block)
{
    for (size_t i = 0; i < t->piece_count; i++) {
        const clsp_piece *p = &t->pieces[i];
        const void *at = block + p->offset;
        if (p->packed)
            p->packed->weight = at;
        else
            *p->vector = at;
    }
}

/* ---- making and sharing ------------------------------------------------------------------------------------ */

/* name: [size] for the key. false: no memory, and then no cache. */
static bool make_key(clsp_weights_key *key, char *name, size_t size, const clsp_packed_tower *t,
                     const clipspan_model *model, clsp_tower_kind kind)
{
    clsp_hasher *hasher = clsp_hasher_new();
    if (hasher == NULL) return false;
    for (size_t i = 0; i < t->piece_count; i++) {
        const clsp_piece *p = &t->pieces[i];
        const uint64_t sizes[] = {p->packed != NULL, p->count, p->offset, p->bytes};
        clsp_hasher_add(hasher, sizes, sizeof sizes);
        if (p->packed) clsp_hasher_add(hasher, p->packed->layout, strlen(p->packed->layout) + 1);
    }
    clsp_hasher_add(hasher, clipspan_version(), strlen(clipspan_version()));
    clsp_hasher_hex(hasher, key->plan);
    clsp_hasher_free(hasher);
    snprintf(name, size, "%s-%s-%s", kind == CLSP_IMAGES ? "images" : "texts",
             t->type == CLSP_TYPE_BF16 ? "bf16" : "f32", t->blocks[0].fc1.layout);
    key->model = model;
    key->name = name;
    key->bytes = t->bytes;
    return true;
}

static void tower_release(void *object)
{
    clsp_packed_tower *t = object;
    if (t == NULL) return;
    clsp_free(t->block);
    clsp_map_close(&t->map);
    clsp_free(t->pieces);
    clsp_free(t->blocks);
    clsp_free(t);
}

static clipspan_status tower_make(void **out, const clipspan_model *model, void *user, clipspan_error *err)
{
    const making *m = user;
    clipspan_status status = CLIPSPAN_OK;
    clsp_packed_tower *t = NULL;
    clsp_weights_key key;
    char name[64];
    CLSP_ALLOC(t, clsp_alloc_zero(1, sizeof *t));
    t->type = m->type;
    CLSP_TRY(list_pieces(t, model, m, err));
    CLSP_TRY(lay_out(t, err));
    bool kept = model->cache != NULL && make_key(&key, name, sizeof name, t, model, m->kind);
    const void *block = kept ? clsp_weights_cache_find(&t->map, &key) : NULL;
    if (block == NULL) {
        CLSP_ALLOC(t->block, clsp_alloc_aligned(t->bytes, 1));
        CLSP_TRY(fill_all(t, model->weights, err));
        if (kept) clsp_weights_cache_keep(t->block, &key);
        block = t->block;
    }
    point(t, block);
    *out = t;
    t = NULL;
out:
    tower_release(t);
    return status;
}

static size_t slot_of(clsp_tower_kind kind, clsp_type type) { return 2 * (size_t)kind + (size_t)type; }

clipspan_status clsp_packed_tower_take(const clsp_packed_tower **out, const clipspan_model *model, clsp_tower_kind kind,
                                       clsp_type type, clipspan_error *err)
{
    making m = {kind, type};
    const clsp_shared_making how = {tower_make, tower_release, &m};
    void *tower = NULL;
    clipspan_status status = clsp_shared_take(&tower, model, slot_of(kind, type), &how, err);
    *out = tower;
    return status;
}

void clsp_packed_tower_drop(const clipspan_model *model, clsp_tower_kind kind, clsp_type type)
{
    clsp_shared_drop(model, slot_of(kind, type));
}
