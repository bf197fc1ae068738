/* Heads that carry a cue named in words: by what their TextSpan texts say, or by how they vary along the cue's texts; and
 * the heads that were published. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "analysis/worst_groups.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

enum { BATCH = 512 };

/* ---- the searched half of a batch --------------------------------------------------------------------------- */

typedef struct half {
    const clipspan_groups *g;
    clipspan_batch batch;
    uint64_t index[BATCH];
    float mu[BATCH], sigma[BATCH], norm[BATCH];
    float *z, *embedding; /* [L, H, n, d]; [n, E] */
    unsigned char *layers; /* [L] those that are read */
} half;

static clipspan_status half_open(half **out, const clipspan_groups *g, const clipspan_store *store, bool all,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    half *h = NULL;
    CLSP_ALLOC(h, clsp_alloc_zero(1, sizeof *h));
    h->g = g;
    CLSP_ALLOC(h->z, clsp_alloc_zero(g->layers * g->heads * BATCH * (size_t)basis->head_dim, sizeof *h->z));
    CLSP_ALLOC(h->embedding, clsp_alloc(BATCH * (size_t)basis->embed_dim, sizeof *h->embedding));
    CLSP_ALLOC(h->layers, clsp_alloc_zero(g->layers, 1));
    for (size_t head = 0; head < g->layers * g->heads; head++)
        if (all || g->slot[head] != SIZE_MAX) h->layers[head / g->heads] = 1;
    *out = h;
    return CLIPSPAN_OK;
out:
    clsp_free(h != NULL ? h->z : NULL);
    clsp_free(h != NULL ? h->embedding : NULL);
    clsp_free(h);
    return status;
}

static void half_close(half *h)
{
    if (h == NULL) return;
    clsp_free(h->z);
    clsp_free(h->embedding);
    clsp_free(h->layers);
    clsp_free(h);
}

/* Copies the images of the searched half; heads of layers that are not read stay zero. */
static void half_take(half *h, const clipspan_batch *from)
{
    const clipspan_groups *g = h->g;
    size_t d = (size_t)from->basis->head_dim, e = (size_t)from->basis->embed_dim, n = 0;
    size_t rows[BATCH];
    for (size_t i = 0; i < from->images; i++) {
        int32_t place = g->place[from->index[i]];
        if (place < 0 || !g->search[place]) continue;
        h->index[n] = from->index[i];
        h->mu[n] = from->mu[i];
        h->sigma[n] = from->sigma[i];
        h->norm[n] = from->norm[i];
        memcpy(h->embedding + n * e, from->embedding + i * e, e * sizeof(float));
        rows[n++] = i;
    }
    for (size_t head = 0; head < g->layers * g->heads; head++)
        for (size_t i = 0; i < n && h->layers[head / g->heads]; i++)
            memcpy(h->z + (head * n + i) * d, from->z + (head * from->images + rows[i]) * d, d * sizeof(float));
    h->batch = (clipspan_batch){.basis = from->basis, .images = n, .index = h->index, .z = h->z, .mu = h->mu,
                                .sigma = h->sigma, .norm = h->norm, .embedding = h->embedding};
}

/* ---- moments ------------------------------------------------------------------------------------------------ */

typedef struct gathering {
    half *half;
    clipspan_moments *moments;
} gathering;

static clipspan_status gather(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    gathering *to = user;
    half_take(to->half, batch);
    return to->half->batch.images ? clipspan_moments_add(to->moments, &to->half->batch, err) : CLIPSPAN_OK;
}

clipspan_status clipspan_groups_moments(const clipspan_groups *g, const clipspan_store *store, clipspan_moments **out,
                                        const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    gathering to = {0};
    *out = NULL;
    int before = clsp_threads(g->threads);
    CLSP_TRY(half_open(&to.half, g, store, true, err));
    CLSP_TRY(clipspan_moments_new(&to.moments, clipspan_store_basis(store), err));
    const clipspan_store_selection select = {.batch = BATCH};
    CLSP_TRY(clipspan_store_each(store, &select, gather, &to, hooks, err));
    *out = to.moments;
    to.moments = NULL;
out:
    clsp_threads(before);
    clipspan_moments_free(to.moments);
    half_close(to.half);
    return status;
}

/* ---- variation along the cue -------------------------------------------------------------------------------- */

typedef struct cue_pass {
    const clipspan_groups *g;
    const clipspan_basis *basis;
    half *half;
    size_t width, embed_dim, axes; /* k, E, q */
    double *span;    /* [q, E] orthonormal */
    double *maps;    /* [J, k, q] */
    double *grams;   /* [J, k, k]; NULL: span is not asked for */
    float *y;        /* [threads, BATCH, k] */
    double *whole;   /* [BATCH, q] of r */
    double *sum, *square, *cross; /* [J, q], [J], [J]: of p, |p|^2, p . whole */
    double *factors, *second;     /* [J, k], [J, k, k] lower triangle: of y, y y' */
    double *whole_sum, whole_square;
    double images;
} cue_pass;

/* Gram-Schmidt, twice for round-off; a text that earlier ones span adds nothing. */
static void orthonormal(cue_pass *p, const float *texts, size_t count)
{
    size_t e = p->embed_dim;
    for (size_t t = 0; t < count && p->axes < e; t++) {
        double *axis = p->span + p->axes * e, square = 0, first = 0;
        for (size_t d = 0; d < e; d++) {
            axis[d] = (double)texts[t * e + d];
            first += axis[d] * axis[d];
        }
        for (size_t i = 0; i < 2 * p->axes; i++) {
            const double *other = p->span + (i % p->axes) * e;
            double along = 0;
            for (size_t d = 0; d < e; d++) along += axis[d] * other[d];
            for (size_t d = 0; d < e; d++) axis[d] -= along * other[d];
        }
        for (size_t d = 0; d < e; d++) square += axis[d] * axis[d];
        if (!(square > 1e-10 * first)) continue;
        for (size_t d = 0; d < e; d++) axis[d] /= sqrt(square);
        p->axes++;
    }
}

/* out [n, m] = a [n, E] b [m, E]' */
static void products(double *out, const float *a, const double *b, size_t n, size_t m, size_t e)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            double sum = 0;
            for (size_t d = 0; d < e; d++) sum += (double)a[i * e + d] * b[j * e + d];
            out[i * m + j] = sum;
        }
}

static void gram(double *out, const float *map, size_t k, size_t e)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t d = 0; d < e; d++) sum += (double)map[i * e + d] * (double)map[j * e + d];
            out[i * k + j] = out[j * k + i] = sum;
        }
}

static clipspan_status make_maps(cue_pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_groups *g = p->g;
    size_t k = p->width, e = p->embed_dim;
    float *maps = NULL;
    CLSP_ALLOC(maps, clsp_alloc((size_t)g->threads * k * e, sizeof *maps));
#pragma omp parallel for schedule(dynamic) num_threads(g->threads)
    for (size_t h = 0; h < g->layers * g->heads; h++) {
        if (g->slot[h] == SIZE_MAX) continue;
        float *map = maps + (size_t)omp_get_thread_num() * k * e;
        clsp_head_map(p->basis, g->convention, (int)(h / g->heads), (int)(h % g->heads), map);
        products(p->maps + g->slot[h] * k * p->axes, map, p->span, k, p->axes, e);
        if (p->grams != NULL) gram(p->grams + g->slot[h] * k * k, map, k, e);
    }
out:
    clsp_free(maps);
    return status;
}

static clipspan_status cue_open(cue_pass *p, const clipspan_store *store, const float *texts, size_t count, bool span,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t k = p->width, e = p->embed_dim, j = p->g->kept, q = clsp_min(count, e);
    CLSP_TRY(half_open(&p->half, p->g, store, false, err));
    CLSP_ALLOC(p->span, clsp_alloc((q + 1) * e, sizeof *p->span));
    orthonormal(p, texts, count);
    q = p->axes;
    if (q == 0) CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the cue's texts have no length"));
    CLSP_ALLOC(p->maps, clsp_alloc(j * k * q, sizeof *p->maps));
    CLSP_ALLOC(p->y, clsp_alloc((size_t)p->g->threads * BATCH * k, sizeof *p->y));
    CLSP_ALLOC(p->whole, clsp_alloc(BATCH * q, sizeof *p->whole));
    CLSP_ALLOC(p->sum, clsp_alloc_zero(j * q, sizeof *p->sum));
    CLSP_ALLOC(p->square, clsp_alloc_zero(j, sizeof *p->square));
    CLSP_ALLOC(p->cross, clsp_alloc_zero(j, sizeof *p->cross));
    CLSP_ALLOC(p->whole_sum, clsp_alloc_zero(q, sizeof *p->whole_sum));
    if (span) {
        CLSP_ALLOC(p->grams, clsp_alloc(j * k * k, sizeof *p->grams));
        CLSP_ALLOC(p->factors, clsp_alloc_zero(j * k, sizeof *p->factors));
        CLSP_ALLOC(p->second, clsp_alloc_zero(j * k * k, sizeof *p->second));
    }
    CLSP_TRY(make_maps(p, err));
out:
    return status;
}

static void cue_close(cue_pass *p)
{
    void *const blocks[] = {p->span, p->maps, p->grams, p->y, p->whole, p->sum, p->square, p->cross, p->factors, p->second,
                            p->whole_sum};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
    half_close(p->half);
}

static void add_factors(cue_pass *p, size_t slot, const float *y)
{
    size_t k = p->width;
    double *sum = p->factors + slot * k, *second = p->second + slot * k * k;
    for (size_t a = 0; a < k; a++) {
        sum[a] += (double)y[a];
        for (size_t b = 0; b <= a; b++) second[a * k + b] += (double)y[a] * (double)y[b];
    }
}

static void add_head(cue_pass *p, const clipspan_batch *batch, size_t head, float *y)
{
    const clipspan_groups *g = p->g;
    size_t k = p->width, q = p->axes, slot = g->slot[head];
    const double *map = p->maps + slot * k * q;
    clsp_head_factors(batch, g->convention, (int)(head / g->heads), (int)(head % g->heads), y);
    for (size_t i = 0; i < batch->images; i++) {
        for (size_t a = 0; a < q; a++) {
            double along = 0;
            for (size_t r = 0; r < k; r++) along += (double)y[i * k + r] * map[r * q + a];
            p->sum[slot * q + a] += along;
            p->square[slot] += along * along;
            p->cross[slot] += along * p->whole[i * q + a];
        }
        if (p->second != NULL) add_factors(p, slot, y + i * k);
    }
}

static clipspan_status take_cue(void *user, const clipspan_batch *from, clipspan_error *err)
{
    cue_pass *p = user;
    const clipspan_groups *g = p->g;
    (void)err;
    half_take(p->half, from);
    const clipspan_batch *batch = &p->half->batch;
    products(p->whole, batch->embedding, p->span, batch->images, p->axes, p->embed_dim);
    for (size_t i = 0; i < batch->images; i++)
        for (size_t a = 0; a < p->axes; a++) {
            double *one = &p->whole[i * p->axes + a];
            if (g->convention == CLIPSPAN_PAPER) *one /= (double)batch->norm[i];
            p->whole_sum[a] += *one;
            p->whole_square += *one * *one;
        }
    p->images += (double)batch->images;
#pragma omp parallel for schedule(dynamic) num_threads(g->threads)
    for (size_t h = 0; h < g->layers * g->heads; h++)
        if (g->slot[h] != SIZE_MAX)
            add_head(p, batch, h, p->y + (size_t)omp_get_thread_num() * BATCH * p->width);
    return CLIPSPAN_OK;
}

static double total_variance(const cue_pass *p, size_t slot)
{
    size_t k = p->width;
    const double *second = p->second + slot * k * k, *sum = p->factors + slot * k, *g = p->grams + slot * k * k;
    double trace = 0;
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b <= a; b++)
            trace += (a == b ? 1 : 2) * g[a * k + b] *
                     (second[a * k + b] / p->images - sum[a] / p->images * (sum[b] / p->images));
    return trace;
}

static void cue_scores(const cue_pass *p, size_t slot, double *span, double *passing, double *correlation)
{
    size_t q = p->axes;
    double along = p->square[slot] / p->images, cross = p->cross[slot] / p->images, whole = p->whole_square / p->images;
    for (size_t a = 0; a < q; a++) {
        double mean = p->sum[slot * q + a] / p->images, whole_mean = p->whole_sum[a] / p->images;
        along -= mean * mean;
        cross -= mean * whole_mean;
        whole -= whole_mean * whole_mean;
    }
    bool varies = along > 1e-13 * p->square[slot] / p->images; /* else round-off */
    *passing = varies && whole > 0 ? cross / whole : 0;
    *correlation = varies && whole > 0 ? cross / sqrt(along * whole) : 0;
    *span = 0;
    if (p->second != NULL && varies) *span = along / total_variance(p, slot);
}

static void fill_scores(const cue_pass *p, double *span, double *passing, double *correlation)
{
    const clipspan_groups *g = p->g;
    for (size_t h = 0; h < g->layers * g->heads; h++) {
        double values[3] = {(double)NAN, (double)NAN, (double)NAN};
        if (g->slot[h] != SIZE_MAX) cue_scores(p, g->slot[h], &values[0], &values[1], &values[2]);
        if (span != NULL) span[h] = values[0];
        if (passing != NULL) passing[h] = values[1];
        if (correlation != NULL) correlation[h] = values[2];
    }
}

clipspan_status clipspan_groups_cue(const clipspan_groups *g, const clipspan_store *store, const float *texts,
                                    size_t count, double *span, double *passing, double *correlation,
                                    const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    cue_pass p = {.g = g, .basis = basis, .embed_dim = (size_t)basis->embed_dim};
    if (count == 0) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the cue has no texts");
    p.width = clsp_head_width(basis, g->convention);
    CLSP_TRY(cue_open(&p, store, texts, count, span != NULL, err));
    const clipspan_store_selection select = {.layers = p.half->layers, .batch = BATCH};
    CLSP_TRY(clipspan_store_each(store, &select, take_cue, &p, hooks, err));
    fill_scores(&p, span, passing, correlation);
out:
    cue_close(&p);
    return status;
}

/* ---- words -------------------------------------------------------------------------------------------------- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    if (length == 0) return false;
    for (const char *at = text; *at != '\0'; at++) {
        size_t same = 0;
        if (at > text && is_letter(at[-1])) continue;
        while (same < length && lower(at[same]) == lower(word[same])) same++;
        if (same == length && !is_letter(at[length])) return true;
    }
    return false;
}

static bool has_any(const char *text, const clipspan_texts *words)
{
    for (size_t w = 0; w < clipspan_texts_count(words); w++)
        if (has_word(text, clipspan_texts_get(words, w))) return true;
    return false;
}

clipspan_status clipspan_cue_words(const clipspan_textspan *span, const clipspan_texts *words, int layers, int heads,
                                   double *score, clipspan_error *err)
{
    bool any = false;
    for (size_t t = 0; clipspan_textspan_text_of(span, t) != NULL && !any; t++)
        any = has_any(clipspan_textspan_text_of(span, t), words);
    if (!any)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no text of the pool contains any of the cue's words, such as \"%s\"",
                         clipspan_texts_count(words) ? clipspan_texts_get(words, 0) : "");
    for (size_t h = 0; h < (size_t)layers * (size_t)heads; h++) score[h] = (double)NAN;
    for (size_t i = 0; i < clipspan_textspan_head_count(span); i++) {
        const clipspan_textspan_head *head = clipspan_textspan_get(span, i);
        double *sum = &score[(size_t)head->layer * (size_t)heads + (size_t)head->head];
        *sum = 0;
        for (int t = 0; t < head->count; t++)
            if (has_any(clipspan_textspan_text_of(span, head->texts[t].text), words)) *sum += head->texts[t].explained;
    }
    return CLIPSPAN_OK;
}

/* ---- published ---------------------------------------------------------------------------------------------- */

/* What the paper removed for Waterbirds: its spatial ("geolocation") and its texture and image-style heads together. */
typedef struct published {
    const char *name;
    int layers, heads, head_dim, embed_dim, patch;
    const char *chosen;
} published;

static const published PUBLISHED[] = {
    {"ViT-B-16", 12, 12, 64, 512, 16, "L11.H3,L10.H11,L10.H10,L9.H8,L9.H6,L11.H6,L11.H0"},
    {"ViT-L-14", 24, 16, 64, 768, 14,
     "L21.H3,L21.H6,L21.H8,L21.H13,L22.H2,L22.H12,L22.H15,L23.H1,L23.H3,L23.H5,L21.H1,L22.H13,L21.H11,L21.H14,L23.H6"},
    {"ViT-H-14", 32, 16, 80, 1024, 14, "L31.H12,L30.H11,L29.H4,L31.H8,L30.H15,L30.H12,L30.H6,L29.H14,L29.H8"},
};
enum { PUBLISHED_COUNT = sizeof PUBLISHED / sizeof PUBLISHED[0] };

static bool same_shape(const published *p, const clipspan_store_info *info)
{
    return p->layers == info->layers && p->heads == info->heads && p->head_dim == info->head_dim &&
           p->embed_dim == info->embed_dim && p->patch == info->patch_size;
}

clipspan_status clipspan_heads_published(const char **found, const clipspan_store *store, const char *name,
                                         unsigned char *chosen, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    const published *match = NULL;
    *found = NULL;
    for (size_t i = 0; i < PUBLISHED_COUNT && match == NULL; i++)
        if (name != NULL ? strcmp(PUBLISHED[i].name, name) == 0 : same_shape(&PUBLISHED[i], info)) match = &PUBLISHED[i];
    if (match == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "no heads are published for %s: there are sets for ViT-B-16, ViT-L-14 and ViT-H-14",
                         name != NULL ? name : "a model of this shape");
    if (!same_shape(match, info))
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                         "%s has %d layers of %d heads and patches of %d pixels, the store's model %s %d of %d and %d",
                         match->name, match->layers, match->heads, match->patch, info->model_name, info->layers, info->heads,
                         info->patch_size);
    *found = match->name;
    return clipspan_heads_parse(match->chosen, info->layers, info->heads, chosen, err);
}
