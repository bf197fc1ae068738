/* A store played back: shard after shard through a mapping, only the tensors that were asked for, as float32. */
#include "store/store.h"

#include <string.h>

typedef struct player {
    const clipspan_store *store;
    clipspan_store_selection select;
    float *values[CLSP_FIELD_KINDS]; /* [fields of the kind][outer, n, inner], one after another */
    uint64_t *index;
    int *token_layers;               /* those selected */
    clipspan_batch batch;
} player;

static bool part_selected(const player *p, clsp_field_kind kind)
{
    switch (kind) {
    case CLSP_FIELD_INDEX: return false; /* rows are counted, not read */
    case CLSP_FIELD_Z: return !p->select.no_heads;
    case CLSP_FIELD_MLP:
    case CLSP_FIELD_MLP_MEAN: return p->select.parts & CLIPSPAN_PART_MLP;
    case CLSP_FIELD_CLS:
    case CLSP_FIELD_CLS_MEAN: return p->select.parts & CLIPSPAN_PART_CLS;
    case CLSP_FIELD_TOKENS: return p->select.parts & CLIPSPAN_PART_TOKENS;
    default: return true;
    }
}

static bool layer_selected(const player *p, int layer)
{
    return layer < 0 || p->select.layers == NULL || p->select.layers[layer];
}

/* Whether the field has room in the batch. Tokens are packed: layers that are not selected take none. */
static bool has_room(const player *p, const clsp_field *field)
{
    return part_selected(p, field->kind) && (field->kind != CLSP_FIELD_TOKENS || layer_selected(p, field->layer));
}

static clipspan_status make_buffers(player *p, size_t images, clipspan_error *err)
{
    const clipspan_store *store = p->store;
    size_t counts[CLSP_FIELD_KINDS] = {0};
    clipspan_status status = CLIPSPAN_OK;
    for (size_t f = 0; f < store->field_count; f++) {
        const clsp_field *field = &store->fields[f];
        size_t count;
        if (!has_room(p, field)) continue;
        if (!clsp_mul(&count, field->outer * field->inner, images) ||
            !clsp_add(&counts[field->kind], counts[field->kind], count))
            CLSP_TRY(clsp_fail_memory(err));
        if (field->kind == CLSP_FIELD_TOKENS) p->token_layers[p->batch.token_layer_count++] = field->layer;
    }
    for (int k = 0; k < CLSP_FIELD_KINDS; k++)
        if (counts[k] > 0) CLSP_ALLOC(p->values[k], clsp_alloc_aligned(counts[k], sizeof(float)));
    CLSP_ALLOC(p->index, clsp_alloc(images, sizeof *p->index));
out:
    return status;
}

static void point_batch(player *p)
{
    clipspan_batch *b = &p->batch;
    b->basis = &p->store->basis;
    b->index = p->index;
    b->z = p->values[CLSP_FIELD_Z];
    b->mu = p->values[CLSP_FIELD_MU];
    b->sigma = p->values[CLSP_FIELD_SIGMA];
    b->norm = p->values[CLSP_FIELD_NORM];
    b->embedding = p->values[CLSP_FIELD_EMBEDDING];
    b->mlp = p->values[CLSP_FIELD_MLP];
    b->mlp_mean = p->values[CLSP_FIELD_MLP_MEAN];
    b->cls = p->values[CLSP_FIELD_CLS];
    b->cls_mean = p->values[CLSP_FIELD_CLS_MEAN];
    b->tokens = p->values[CLSP_FIELD_TOKENS];
    b->token_layers = p->token_layers;
}

/* Rows [at, at + n) of the shard's [outer, rows, inner] to [outer, n, inner]. */
static clipspan_status read_field(const clsp_field *field, const clsp_tensor *tensor, size_t rows, size_t at, size_t n,
                                  float *to, clipspan_error *err)
{
    if (n == rows) return clsp_tensor_floats(tensor, 0, tensor->count, to, err);
    clipspan_status status = CLIPSPAN_OK;
    for (size_t o = 0; o < field->outer && status == CLIPSPAN_OK; o++)
        status = clsp_tensor_floats(tensor, (o * rows + at) * field->inner, n * field->inner,
                                    to + o * n * field->inner, err);
    return status;
}

/* Rows [at, at + n) of an open shard, whose first row is row `row` of the store. */
static clipspan_status read_batch(player *p, const clsp_safetensors *file, size_t rows, size_t at, size_t n,
                                  uint64_t row, clipspan_error *err)
{
    float *to[CLSP_FIELD_KINDS];
    memcpy(to, p->values, sizeof to);
    for (size_t f = 0; f < p->store->field_count; f++) {
        const clsp_field *field = &p->store->fields[f];
        if (!has_room(p, field)) continue;
        if (layer_selected(p, field->layer)) {
            const clsp_tensor *tensor = clsp_safetensors_find(file, field->name);
            clipspan_status status = read_field(field, tensor, rows, at, n, to[field->kind], err);
            if (status != CLIPSPAN_OK) return status;
        }
        to[field->kind] += field->outer * n * field->inner;
    }
    for (size_t i = 0; i < n; i++) p->index[i] = row + at + i;
    p->batch.images = n;
    return CLIPSPAN_OK;
}

static clipspan_status report(const player *p, const clipspan_hooks *hooks, uint64_t done, clipspan_error *err)
{
    const clipspan_progress progress = {"read", done, p->select.count, 0};
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, &progress) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "%s: stopped after %llu of %llu images", p->store->directory,
                     (unsigned long long)done, (unsigned long long)p->select.count);
}

/* Rows [from, to) of shard s, whose first row is row `row` of the store. */
static clipspan_status play_shard(player *p, size_t s, uint64_t row, size_t from, size_t to, clipspan_batch_fn fn,
                                  void *user, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_safetensors *file = NULL;
    size_t rows = (size_t)p->store->manifest.shards[s].images;
    size_t step = p->select.batch ? p->select.batch : rows;
    CLSP_TRY(clsp_store_open_shard(p->store, s, &file, err));
    for (size_t at = from; at < to; at += step) {
        size_t n = clsp_min(step, to - at);
        CLSP_TRY(read_batch(p, file, rows, at, n, row, err));
        CLSP_TRY(fn(user, &p->batch, err));
        CLSP_TRY(report(p, hooks, row + at + n - p->select.first, err));
    }
out:
    clsp_safetensors_free(file);
    return status;
}

/* The rows that are asked for, put into the selection; most: those of one shard. */
static clipspan_status choose_rows(player *p, size_t *most, clipspan_error *err)
{
    const clsp_manifest *m = &p->store->manifest;
    uint64_t images = p->store->info.images, first = p->select.first;
    if (first > images || p->select.count > images - first)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s has %llu images, not %llu from row %llu on", p->store->directory,
                         (unsigned long long)images, (unsigned long long)p->select.count, (unsigned long long)first);
    if (p->select.count == 0) p->select.count = images - first;
    *most = 0;
    for (size_t s = 0; s < m->shard_count; s++) *most = clsp_max(*most, (size_t)m->shards[s].images);
    if (p->select.batch > 0) *most = clsp_min(*most, p->select.batch);
    if (p->select.count < *most) *most = (size_t)p->select.count;
    return CLIPSPAN_OK;
}

clipspan_status clipspan_store_each(const clipspan_store *store, const clipspan_store_selection *select,
                                    clipspan_batch_fn fn, void *user, const clipspan_hooks *hooks, clipspan_error *err)
{
    static const clipspan_store_selection standard = CLIPSPAN_STORE_SELECTION_INIT;
    const clsp_manifest *m = &store->manifest;
    clipspan_status status = CLIPSPAN_OK;
    player p = {.store = store, .select = select ? *select : standard};
    size_t most = 0;
    uint64_t row = 0;
    if (m->moments_only)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s keeps moments alone: there are no images to read",
                         store->directory);
    CLSP_TRY(choose_rows(&p, &most, err));
    CLSP_ALLOC(p.token_layers, clsp_alloc((size_t)m->token_layer_count, sizeof *p.token_layers));
    CLSP_TRY(make_buffers(&p, most, err));
    point_batch(&p);
    for (size_t s = 0; s < m->shard_count; s++) {
        uint64_t images = m->shards[s].images, end = p.select.first + p.select.count;
        uint64_t from = p.select.first > row ? p.select.first - row : 0, to = end > row ? end - row : 0;
        if (to > images) to = images;
        if (from < to) CLSP_TRY(play_shard(&p, s, row, (size_t)from, (size_t)to, fn, user, hooks, err));
        row += images;
    }
out:
    for (int k = 0; k < CLSP_FIELD_KINDS; k++) clsp_free(p.values[k]);
    clsp_free(p.index);
    clsp_free(p.token_layers);
    return status;
}
