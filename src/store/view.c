/* A store's shards mapped, for rows in place. */
#include "store/view.h"

#include <stdio.h>
#include <string.h>

#include "store/store.h"

typedef struct mapped {
    clsp_safetensors *file;
    const clsp_tensor *embedding;
    uint64_t first;
    size_t number, rows; /* number: in the manifest */
    const clsp_tensor **z; /* [L] */
} mapped;

struct clsp_view {
    const clipspan_store *store;
    size_t count;
    mapped *shards;
    const clsp_tensor **tensors; /* [count, L] behind every shard's z */
    bool half;
};

/* clsp_store_map_shard looked at every tensor already. */
static void find_tensors(mapped *shard, int layers)
{
    char name[24];
    for (int l = 0; l < layers; l++) {
        snprintf(name, sizeof name, "z.%d", l);
        shard->z[l] = clsp_safetensors_find(shard->file, name);
    }
    shard->embedding = clsp_safetensors_find(shard->file, "embedding");
}

static clipspan_status map_shards(clsp_view *view, clipspan_error *err)
{
    const clsp_manifest *m = &view->store->manifest;
    clipspan_status status = CLIPSPAN_OK;
    size_t layers = (size_t)m->shape.layers;
    uint64_t row = 0;
    for (size_t s = 0; s < m->shard_count; s++) {
        if (m->shards[s].images == 0) continue;
        mapped *shard = &view->shards[view->count];
        *shard = (mapped){.first = row, .rows = (size_t)m->shards[s].images, .z = view->tensors + view->count * layers};
        CLSP_TRY(clsp_store_map_shard(view->store, s, view->count > 0 ? shard[-1].file : NULL, &shard->file, err));
        shard->number = s;
        view->count++;
        find_tensors(shard, (int)layers);
        row += m->shards[s].images;
    }
out:
    return status;
}

clipspan_status clsp_view_open(clsp_view **out, const clipspan_store *store, clipspan_error *err)
{
    const clsp_manifest *m = &store->manifest;
    clipspan_status status = CLIPSPAN_OK;
    clsp_view *view = NULL;
    size_t tensors;
    *out = NULL;
    if (m->moments_only)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s keeps moments alone: there are no images to read",
                         store->directory);
    CLSP_ALLOC(view, clsp_alloc_zero(1, sizeof *view));
    view->store = store;
    view->half = m->half;
    CLSP_ALLOC(view->shards, clsp_alloc_zero(m->shard_count, sizeof *view->shards));
    if (!clsp_mul(&tensors, m->shard_count, (size_t)m->shape.layers)) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(view->tensors, clsp_alloc(tensors, sizeof *view->tensors));
    CLSP_TRY(map_shards(view, err));
    *out = view;
    view = NULL;
out:
    clsp_view_free(view);
    return status;
}

void clsp_view_free(clsp_view *view)
{
    if (view == NULL) return;
    for (size_t s = 0; s < view->count; s++) clsp_safetensors_free(view->shards[s].file);
    clsp_free(view->shards);
    clsp_free(view->tensors);
    clsp_free(view);
}

size_t clsp_view_shards(const clsp_view *view)
{
    return view->count;
}

uint64_t clsp_view_first(const clsp_view *view, size_t shard)
{
    return view->shards[shard].first;
}

size_t clsp_view_rows(const clsp_view *view, size_t shard)
{
    return view->shards[shard].rows;
}

const char *clsp_view_path(const clsp_view *view, size_t shard)
{
    return clsp_safetensors_path(view->shards[shard].file);
}

bool clsp_view_half(const clsp_view *view)
{
    return view->half;
}

const void *clsp_view_z(const clsp_view *view, size_t shard, int layer, int head)
{
    const mapped *s = &view->shards[shard];
    const clsp_tensor *z = s->z[layer]; /* [H, rows, d] */
    size_t one = s->rows * (size_t)view->store->manifest.shape.head_dim * clsp_dtype_size(z->dtype);
    return (const char *)z->data + (size_t)head * one;
}

bool clsp_view_embedding_half(const clsp_view *view)
{
    return view->half && view->store->manifest.version > 1;
}

const void *clsp_view_embedding(const clsp_view *view, size_t shard)
{
    return view->shards[shard].embedding->data;
}

clipspan_status clsp_view_scalars(const clsp_view *view, float *mu, float *sigma, float *norm, clipspan_error *err)
{
    static const char *const names[] = {"mu", "sigma", "norm"};
    float *const out[] = {mu, sigma, norm};
    for (size_t s = 0; s < view->count; s++)
        for (size_t i = 0; i < 3; i++) {
            const mapped *shard = &view->shards[s];
            const clsp_tensor *tensor = clsp_safetensors_find(shard->file, names[i]);
            clipspan_status status = clsp_tensor_floats(tensor, 0, shard->rows, out[i] + shard->first, err);
            if (status != CLIPSPAN_OK) return status;
        }
    return CLIPSPAN_OK;
}

/* ---- checksums -------------------------------------------------------------------------------------------- */

uint64_t clsp_view_verify_bytes(const clsp_view *view, size_t count)
{
    const clsp_manifest *m = &view->store->manifest;
    const clipspan_basis *b = &m->shape;
    uint64_t whole = 0, row = count ? (uint64_t)count * (uint64_t)b->head_dim : (uint64_t)b->embed_dim;
    for (size_t s = 0; s < m->shard_count; s++) whole += m->shards[s].file.bytes;
    bool half = count ? view->half : clsp_view_embedding_half(view);
    return m->version == 1 ? whole : m->images * row * clsp_dtype_size(half ? CLSP_F16 : CLSP_F32);
}

static void want(const clsp_view *view, const int *heads, size_t count, unsigned char *wanted)
{
    const clipspan_store *store = view->store;
    size_t each = (size_t)store->manifest.shape.heads;
    for (size_t f = 0; f < store->field_count; f++) {
        const clsp_field *field = &store->fields[f];
        bool scalar = field->kind == CLSP_FIELD_MU || field->kind == CLSP_FIELD_SIGMA || field->kind == CLSP_FIELD_NORM;
        if (scalar || (field->kind == CLSP_FIELD_EMBEDDING && count == 0)) wanted[field->slice] = 1;
        for (size_t i = 0; i < count && field->kind == CLSP_FIELD_Z; i++)
            if ((size_t)heads[i] / each == (size_t)field->number) wanted[field->slice + (size_t)heads[i] % each] = 1;
    }
}

clipspan_status clsp_view_verify(const clsp_view *view, const int *heads, size_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    unsigned char *wanted = NULL;
    CLSP_ALLOC(wanted, clsp_alloc_zero(view->store->slices, 1));
    want(view, heads, count, wanted);
    for (size_t s = 0; s < view->count; s++)
        CLSP_TRY(clsp_store_verify_shard(view->store, view->shards[s].number, view->shards[s].file, wanted, err));
out:
    clsp_free(wanted);
    return status;
}

void clsp_view_identity(const clsp_view *view, char out[CLSP_HASH_HEX])
{
    const clsp_manifest *m = &view->store->manifest;
    clsp_buffer text;
    clsp_buffer_init(&text, SIZE_MAX / 2);
    bool good = clsp_buffer_format(&text, "%s", m->fingerprint);
    for (size_t s = 0; good && s < m->shard_count; s++)
        good = clsp_buffer_format(&text, " %s:%llu", m->shards[s].file.hash, (unsigned long long)m->shards[s].images);
    if (good)
        clsp_hash_hex(out, text.data, text.length);
    else
        out[0] = '\0';
    clsp_buffer_free(&text);
}
