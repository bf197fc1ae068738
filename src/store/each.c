/* A store played back: shard after shard, only the tensors that were asked for, as float32. */
#include "store/store.h"

#include <string.h>

enum { BATCH_FLOATS = 1 << 22, MOST_FLOATS = 1 << 24, BLOCKS_MOST = 2 }; /* 16 MB, 64 MB */

typedef struct player {
    const clipspan_store *store;
    clipspan_store_selection select;
    float *values[CLSP_FIELD_KINDS]; /* [fields of the kind][outer, n, inner], one after another */
    uint64_t *index;
    int *token_layers;               /* those selected */
    unsigned char *wanted;           /* [slices of a shard] 1: read */
    clsp_slice *slices;              /* [slices of a shard] of a batch: slice_count are filled */
    size_t slice_count;
    clsp_safetensors *next;          /* mapped ahead: shard next_number; NULL: none */
    size_t next_number;
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

/* What is read is also checked, and the index, by which rows are told apart. */
static void want_slices(const player *p)
{
    memset(p->wanted, 0, p->store->slices);
    for (size_t f = 0; f < p->store->field_count; f++) {
        const clsp_field *field = &p->store->fields[f];
        bool wanted = field->kind == CLSP_FIELD_INDEX || (has_room(p, field) && layer_selected(p, field->layer));
        if (wanted) memset(p->wanted + field->slice, 1, field->outer);
    }
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
    CLSP_ALLOC(p->wanted, clsp_alloc(store->slices, 1));
    CLSP_ALLOC(p->slices, clsp_alloc(store->slices, sizeof *p->slices));
    want_slices(p);
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

/* A shard that is being played. */
typedef struct playing {
    const clsp_safetensors *file;
    size_t number, rows;       /* in the manifest; of the shard */
    const unsigned char *sums; /* compared while it is read; NULL: no need */
} playing;

/* Adds the slices of a field's rows [at, at + n), which go to `to` [outer, n, inner]; NULL: they are only compared. */
static void add_slices(player *p, const playing *s, const clsp_field *field, size_t at, size_t n, float *to)
{
    const clsp_tensor *tensor = clsp_safetensors_find(s->file, field->name);
    size_t row = field->inner * clsp_dtype_size(field->dtype), blocks = clsp_blocks(s->rows);
    for (size_t o = 0; o < field->outer; o++) {
        clsp_slice *slice = &p->slices[p->slice_count++];
        *slice = (clsp_slice){.from = (const unsigned char *)tensor->data + (o * s->rows + at) * row, .bytes = n * row,
                              .half = field->dtype == CLSP_F16, .to = to ? to + o * n * field->inner : NULL,
                              .block = CLSP_BLOCK * row};
        if (s->sums != NULL && !clsp_store_verified(p->store, s->number, field->slice + o))
            slice->sum = s->sums + ((field->slice + o) * blocks + at / CLSP_BLOCK) * CLSP_HASH_BYTES;
    }
}

/* Rows [at, at + n) of a shard whose first row is row `row` of the store. */
static clipspan_status read_batch(player *p, const playing *s, size_t at, size_t n, uint64_t row, clipspan_error *err)
{
    float *to[CLSP_FIELD_KINDS];
    memcpy(to, p->values, sizeof to);
    p->slice_count = 0;
    for (size_t f = 0; f < p->store->field_count; f++) {
        const clsp_field *field = &p->store->fields[f];
        if (field->kind == CLSP_FIELD_INDEX && s->sums != NULL) add_slices(p, s, field, at, n, NULL);
        if (!has_room(p, field)) continue;
        if (layer_selected(p, field->layer)) add_slices(p, s, field, at, n, to[field->kind]);
        to[field->kind] += field->outer * n * field->inner;
    }
    for (size_t i = 0; i < n; i++) p->index[i] = row + at + i;
    p->batch.images = n;
    return clsp_slices_take(p->store, s->number, p->slices, p->slice_count, err);
}

/* Batches of whole blocks over the whole shard are compared while they are read; others need a pass before them. */
static clipspan_status begin(player *p, playing *s, size_t from, size_t to, clipspan_error *err)
{
    if (from == 0 && to == s->rows && p->select.batch % CLSP_BLOCK == 0)
        return clsp_store_begin_shard(p->store, s->number, s->file, &s->sums, err);
    return clsp_store_verify_shard(p->store, s->number, s->file, p->wanted, err);
}

static void end(const player *p, const playing *s)
{
    for (size_t i = 0; i < p->store->slices && s->sums != NULL; i++)
        if (p->wanted[i]) clsp_store_set_verified(p->store, s->number, i);
}

/* Maps shard s, the next after `file`, so that the system may begin to read what of it is wanted. What is wrong with it is
 * said when its turn comes. */
static clipspan_status look_ahead(player *p, size_t s, const clsp_safetensors *file, clipspan_error *err)
{
    const clsp_manifest *m = &p->store->manifest;
    if (s >= m->shard_count || m->shards[s].images == 0) return CLIPSPAN_OK;
    clipspan_status status = clsp_store_map_shard(p->store, s, file, &p->next, NULL);
    if (status != CLIPSPAN_OK) return status == CLIPSPAN_ERROR_MEMORY ? clsp_fail_memory(err) : CLIPSPAN_OK;
    p->next_number = s;
    for (size_t f = 0; f < p->store->field_count; f++) {
        const clsp_field *field = &p->store->fields[f];
        const clsp_tensor *tensor = clsp_safetensors_find(p->next, field->name);
        if (p->wanted[field->slice])
            clsp_map_ahead(tensor->data, tensor->count * clsp_dtype_size(tensor->dtype));
    }
    return CLIPSPAN_OK;
}

/* Shard s mapped, by look_ahead or now. */
static clipspan_status map_shard(player *p, size_t s, clsp_safetensors **file, clipspan_error *err)
{
    *file = p->next;
    p->next = NULL;
    if (*file != NULL && p->next_number == s) return CLIPSPAN_OK;
    clsp_safetensors_free(*file);
    return clsp_store_map_shard(p->store, s, NULL, file, err);
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
    playing shard = {.number = s, .rows = (size_t)p->store->manifest.shards[s].images};
    CLSP_TRY(map_shard(p, s, &file, err));
    shard.file = file;
    CLSP_TRY(begin(p, &shard, from, to, err));
    CLSP_TRY(look_ahead(p, s + 1, file, err));
    for (size_t at = from; at < to; at += p->select.batch) {
        size_t n = clsp_min(p->select.batch, to - at);
        CLSP_TRY(read_batch(p, &shard, at, n, row, err));
        CLSP_TRY(fn(user, &p->batch, err));
        CLSP_TRY(report(p, hooks, row + at + n - p->select.first, err));
    }
    end(p, &shard);
out:
    clsp_safetensors_free(file);
    return status;
}

/* Images a batch where none are asked for: one or two whole blocks, whose float32 stay in a processor's cache and in few pages;
 * fewer images only where one block is very large (tokens). */
static size_t fitting_batch(const player *p)
{
    size_t floats = 1;
    for (size_t f = 0; f < p->store->field_count; f++) {
        const clsp_field *field = &p->store->fields[f];
        if (has_room(p, field) && layer_selected(p, field->layer)) floats += field->outer * field->inner;
    }
    size_t blocks = clsp_min(BATCH_FLOATS / floats / CLSP_BLOCK, BLOCKS_MOST);
    return blocks > 0 ? blocks * CLSP_BLOCK : clsp_max(1, clsp_min(CLSP_BLOCK, MOST_FLOATS / floats));
}

/* The rows that are asked for, put into the selection; most: those of one batch. */
static clipspan_status choose_rows(player *p, size_t *most, clipspan_error *err)
{
    const clsp_manifest *m = &p->store->manifest;
    uint64_t images = p->store->info.images, first = p->select.first;
    if (first > images || p->select.count > images - first)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s has %llu images, not %llu from row %llu on", p->store->directory,
                         (unsigned long long)images, (unsigned long long)p->select.count, (unsigned long long)first);
    if (p->select.count == 0) p->select.count = images - first;
    if (p->select.batch == 0) p->select.batch = fitting_batch(p);
    *most = 0;
    for (size_t s = 0; s < m->shard_count; s++) *most = clsp_max(*most, (size_t)m->shards[s].images);
    *most = clsp_min(*most, p->select.batch);
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
    clsp_free(p.wanted);
    clsp_free(p.slices);
    clsp_safetensors_free(p.next);
    return status;
}
