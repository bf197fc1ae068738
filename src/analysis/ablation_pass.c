/* The pass: its flow and its memory (ablation_pass.h). */
#include "analysis/ablation_pass.h"

#include <math.h>
#include <omp.h>

#include "decompose/decompose.h"

enum { BATCH = 512, ROUND = 512 }; /* images read at a time; images that are kept */
static const size_t STATE_MOST = (size_t)128 << 20; /* bytes */

/* ---- what becomes of an image ------------------------------------------------------------------------------- */

CLSP_CLONES static size_t above(const float *a, size_t n, float right, bool ties)
{
    uint32_t count = 0;
    for (size_t c = 0; c < n; c++) count += ties ? a[c] >= right : a[c] > right;
    return count;
}

void clsp_ablation_judge(const clipspan_ablation_study *study, clsp_outcomes *outcomes, size_t image, size_t at,
                         const float *cosines)
{
    size_t right = (size_t)study->labels[image], after = right + 1, rest = study->info.classes - after;
    float value = cosines[right];
    /* The lower class comes first on a tie. */
    size_t rank = above(cosines, right, value, true) + above(cosines + after, rest, value, false);
    size_t cell = study->place[image] * outcomes->count + at;
    outcomes->rank[cell] = (unsigned char)clsp_min(rank, CLSP_RANK_MOST);
    outcomes->logit[cell] = study->info.logit_scale * value;
}

/* ---- what comes of a batch ------------------------------------------------------------------------------------ */

CLSP_CLONES static void scale(float *restrict y, const float *restrict z, double factor, size_t n)
{
    for (size_t c = 0; c < n; c++) y[c] = (float)((double)z[c] * factor);
}

static double factor_of(const clipspan_batch *batch, size_t i)
{
    return 1.0 / ((double)batch->sigma[i] * (double)batch->norm[i]);
}

/* The factors of a layer's heads side by side, and those that they share. */
static void make_factors(const clsp_pass_rows *r, size_t layer)
{
    const clsp_pass *p = r->p;
    const clipspan_batch *batch = r->batch;
    size_t d = p->maps.head_dim, w = p->width, at = p->heads * d;
    float *y = p->y + (layer * p->most + r->first) * w;
    for (size_t h = 0; h < p->heads; h++) {
        const float *z = batch->z + ((layer * p->heads + h) * batch->images + r->from) * d;
        for (size_t i = 0; i < r->n; i++) scale(y + i * w + h * d, z + i * d, factor_of(batch, r->from + i), d);
    }
    for (size_t i = 0; i < r->n; i++) {
        double factor = factor_of(batch, r->from + i);
        memset(y + i * w + at, 0, (w - at) * sizeof *y);
        if (p->maps.convention != CLIPSPAN_PAPER) continue;
        y[i * w + at] = (float)factor;
        y[i * w + at + 1] = (float)((double)batch->mu[r->from + i] * factor);
        y[i * w + at + 2] = (float)((double)batch->sigma[r->from + i] * factor);
    }
}

static clipspan_status heads_of_layer(const clsp_pass_rows *r, size_t layer)
{
    clsp_pass_heads(r, layer);
    return r->p->set != NULL ? clsp_pass_set(r, layer) : CLIPSPAN_OK;
}

/* Heads at once, where their maps are there: their factors are in the cache. */
static clipspan_status add_rows(const clsp_pass_rows *r)
{
    memcpy(r->p->index + r->first, r->batch->index + r->from, r->n * sizeof *r->p->index);
    memcpy(r->p->norm + r->first, r->batch->norm + r->from, r->n * sizeof *r->p->norm);
    clipspan_status status = clsp_pass_vectors(r);
    for (size_t l = 0; l < r->p->layers && status == CLIPSPAN_OK; l++) {
        make_factors(r, l);
        if (r->p->maps.all) status = heads_of_layer(r, l);
    }
    return status;
}

/* ---- a round -------------------------------------------------------------------------------------------------- */

static void judge_set(const clsp_pass_rows *r)
{
    size_t c = r->p->classes;
    for (size_t i = 0; r->p->set != NULL && i < r->n; i++) {
        float *set = r->p->set + (r->first + i) * c;
        clsp_pass_add(set, clsp_pass_base(r, i, false), c);
        clsp_pass_judge(r, i, CLIPSPAN_ABLATED_SET, 0, set);
    }
}

/* Layers [first, end): products, which are asked of what heads left open; heads too, where maps are made layer by layer. */
static clipspan_status take_layers(const clsp_pass_rows *r, size_t first, size_t end)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t l = first; l < end && status == CLIPSPAN_OK; l++) {
        if (!r->p->maps.all) status = heads_of_layer(r, l);
        if (status == CLIPSPAN_OK) status = clsp_pass_layers(r, l);
    }
    if (status == CLIPSPAN_OK) status = clsp_pass_answer(r);
    if (end == r->p->layers) judge_set(r);
    return status;
}

/* `count` images from `first` on, shared among threads: those of a batch are added, or, batch NULL, taken through layers
 * [layer, end). */
static clipspan_status all_rows(clsp_pass *p, const clipspan_batch *batch, size_t first, size_t count, size_t layer, size_t end,
                                clipspan_error *err)
{
    clipspan_status worst = CLIPSPAN_OK;
    size_t each = clsp_min((count + (size_t)p->threads - 1) / (size_t)p->threads, p->rows);
#pragma omp parallel for schedule(dynamic) num_threads(p->threads)
    for (size_t from = 0; from < count; from += each) {
        const clsp_pass_rows r = {.p = p, .batch = batch, .from = from, .first = first + from,
                                  .n = clsp_min(each, count - from), .s = &p->scratch[omp_get_thread_num()]};
        clipspan_status one = batch != NULL ? add_rows(&r) : take_layers(&r, layer, end);
#pragma omp critical(clsp_ablation_rows)
        if (one != CLIPSPAN_OK) worst = one;
    }
    return worst ? clsp_fail(err, worst, "the images' logits could not be made") : CLIPSPAN_OK;
}

static clipspan_status finish_round(clsp_pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (p->maps.all) CLSP_TRY(all_rows(p, NULL, 0, p->filled, 0, p->layers, err));
    for (size_t l = 0; !p->maps.all && l < p->layers; l++) {
        CLSP_TRY(clsp_ablation_maps_layer(&p->maps, l, err));
        CLSP_TRY(all_rows(p, NULL, 0, p->filled, l, l + 1, err));
    }
    p->filled = 0;
out:
    return status;
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    clsp_pass *p = user;
    clipspan_status status = clsp_batch_check(batch, p->most, err);
    if (status == CLIPSPAN_OK && p->filled + batch->images > p->most) status = finish_round(p, err);
    if (status == CLIPSPAN_OK) status = all_rows(p, batch, p->filled, batch->images, 0, 0, err);
    p->filled += batch->images;
    return status;
}

/* ---- the pass ----------------------------------------------------------------------------------------------- */

/* out: [E] = sum of vectors [count, E]. */
static void sum_of(float *out, const float *vectors, size_t count, size_t e)
{
    for (size_t d = 0; d < e; d++) {
        double value = 0;
        for (size_t t = 0; t < count; t++) value += (double)vectors[t * e + d];
        out[d] = (float)value;
    }
}

static float length_of(const float *x, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++) square += (double)x[i] * (double)x[i];
    return (float)sqrt(square);
}

static clipspan_status mlps_open(clsp_pass *p, const clipspan_means *means, float *sum, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t e = p->embed_dim, terms = p->layers + 1;
    const float *vectors = means ? means->mlps : NULL;
    CLSP_ALLOC(p->mean_vectors, clsp_alloc_zero(terms * e, sizeof *p->mean_vectors));
    CLSP_ALLOC(p->mean_lengths, clsp_alloc_zero(terms, sizeof *p->mean_lengths));
    CLSP_TRY(clsp_ablation_maps_texts(&p->maps, &p->texts, err));
    if (vectors != NULL) memcpy(p->mean_vectors, vectors, terms * e * sizeof *vectors);
    for (size_t t = 0; t < terms; t++) p->mean_lengths[t] = length_of(p->mean_vectors + t * e, e);
    sum_of(sum, p->mean_vectors, terms, e);
    CLSP_TRY(clsp_ablation_maps_cosines(&p->maps, &p->mean_mlps, vectors, terms, err));
    CLSP_TRY(clsp_ablation_maps_cosines(&p->maps, &p->mean_all_mlps, vectors ? sum : NULL, 1, err));
out:
    return status;
}

/* [L, C + 1]: of the named heads of each layer, added up. */
static clipspan_status set_open(clsp_pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t c = p->classes + 1;
    CLSP_ALLOC(p->mean_set, clsp_alloc_zero(p->layers * c, sizeof *p->mean_set));
    for (size_t h = 0; h < p->layers * p->heads; h++)
        if (p->study->heads[h]) clsp_pass_add(p->mean_set + h / p->heads * c, p->maps.mean_heads + h * c, c);
out:
    return status;
}

static clipspan_status means_open(clsp_pass *p, const clipspan_means *means, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    float *sum = NULL;
    CLSP_ALLOC(sum, clsp_alloc_zero(p->embed_dim, sizeof *sum));
    CLSP_ALLOC(p->centre_lengths, clsp_alloc(p->layers, sizeof *p->centre_lengths));
    for (size_t l = 0; l < p->layers; l++)
        p->centre_lengths[l] = length_of(p->maps.centre + l * p->width, p->width);
    if (p->mlps) CLSP_TRY(mlps_open(p, means, sum, err));
    if (p->cls) {
        if (means != NULL) sum_of(sum, means->cls, p->layers, p->embed_dim);
        CLSP_TRY(clsp_ablation_maps_cosines(&p->maps, &p->mean_cls, means ? sum : NULL, 1, err));
    }
    if (p->study->info.named > 0) CLSP_TRY(set_open(p, err));
out:
    clsp_free(sum);
    return status;
}

static clipspan_status scratch_open(clsp_pass_scratch *s, const clsp_pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t c = p->classes, e = p->embed_dim, w = p->width;
    CLSP_ALLOC(s->product, clsp_alloc_aligned(p->rows * c, sizeof *s->product));
    CLSP_ALLOC(s->one, clsp_alloc_aligned(clsp_max(c, clsp_max(w, e)), sizeof *s->one));
    CLSP_ALLOC(s->vectors, clsp_alloc_aligned(p->rows * e, sizeof *s->vectors));
    CLSP_ALLOC(s->vector_sum, clsp_alloc_aligned(p->rows * e, sizeof *s->vector_sum));
    CLSP_ALLOC(s->gathered, clsp_alloc_aligned(p->rows * w, sizeof *s->gathered));
    CLSP_ALLOC(s->heads, clsp_alloc(p->rows * p->heads, 3 * sizeof *s->heads));
    CLSP_ALLOC(s->open_heads, clsp_alloc_zero(p->rows, p->heads));
    CLSP_ALLOC(s->classes, clsp_alloc(c, sizeof *s->classes));
    CLSP_ALLOC(s->terms, clsp_alloc(p->layers, sizeof *s->terms));
    CLSP_ALLOC(s->open, clsp_alloc(CLSP_PASS_OPEN, sizeof *s->open));
    CLSP_TRY(clsp_workspace_new(&s->workspace, err));
    int before = clsp_threads(1); /* memory for the one thread that it will run on */
    status = clsp_linear_new(&s->classify, s->workspace, &p->classifier, CLSP_TYPE_F32, CLSP_EPILOGUE_NONE, err);
    clsp_threads(before);
    if (status != CLIPSPAN_OK) goto out;
    CLSP_ALLOC(s->rounded, clsp_alloc_aligned(p->rows, clsp_whole_stride(CLSP_WHOLE_16, clsp_max(w, e))));
    CLSP_ALLOC(s->rounded_rows, clsp_alloc(p->rows, sizeof *s->rounded_rows));
out:
    return status;
}

static void scratch_close(clsp_pass_scratch *s)
{
    void *const blocks[] = {s->product, s->one, s->vectors, s->vector_sum, s->gathered, s->heads, s->open_heads, s->classes, s->terms, s->open,
                            s->rounded, s->rounded_rows};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
    clsp_linear_free(s->classify);
    clsp_workspace_free(s->workspace);
}

static clipspan_status buffers_open(clsp_pass *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t c = p->classes, state, images = (size_t)p->study->info.images;
    size_t most = clsp_max(STATE_MOST / (4 * sizeof(float) * c), CLSP_PASS_ROWS / 8);
    p->most = clsp_min(clsp_min(most, ROUND), images);
    p->rows = clsp_min(clsp_max((p->most + (size_t)p->threads - 1) / (size_t)p->threads, 1), CLSP_PASS_ROWS);
    if (!clsp_mul(&state, p->most, c)) return clsp_fail_memory(err);
    CLSP_ALLOC(p->base, clsp_alloc_aligned(state, sizeof *p->base));
    CLSP_ALLOC(p->known, clsp_alloc_aligned(state, sizeof *p->known));
    CLSP_ALLOC(p->top, clsp_alloc(p->most, sizeof *p->top));
    CLSP_ALLOC(p->standing, clsp_alloc(p->most, sizeof *p->standing));
    if (p->mlps) {
        CLSP_ALLOC(p->with_mlps, clsp_alloc_aligned(state, sizeof *p->with_mlps));
        CLSP_ALLOC(p->top_mlps, clsp_alloc(p->most, sizeof *p->top_mlps));
        CLSP_ALLOC(p->standing_mlps, clsp_alloc(p->most, sizeof *p->standing_mlps));
    }
    if (p->study->info.named > 0) CLSP_ALLOC(p->set, clsp_alloc_aligned(state, sizeof *p->set));
    CLSP_ALLOC(p->state, clsp_alloc(p->most * p->layers, sizeof *p->state));
    CLSP_ALLOC(p->up_to, clsp_alloc(p->most, sizeof *p->up_to));
    CLSP_ALLOC(p->whole, clsp_alloc(p->most, 1));
    CLSP_ALLOC(p->y, clsp_alloc_large(p->layers * p->most * p->width * sizeof *p->y));
    CLSP_ALLOC(p->index, clsp_alloc(p->most, sizeof *p->index));
    CLSP_ALLOC(p->norm, clsp_alloc(p->most, sizeof *p->norm));
    CLSP_TRY(clsp_packed_init(&p->classifier, CLSP_TYPE_F32, p->embed_dim, c, err));
    CLSP_ALLOC(p->packed, clsp_alloc_aligned(p->classifier.bytes, 1));
    clsp_packed_fill(&p->classifier, p->packed, p->maps.texts, false);
    CLSP_ALLOC(p->scratch, clsp_alloc_zero((size_t)p->threads, sizeof *p->scratch));
    for (int t = 0; t < p->threads; t++) CLSP_TRY(scratch_open(&p->scratch[t], p, err));
out:
    return status;
}

static void pass_close(clsp_pass *p)
{
    void *const blocks[] = {p->mean_mlps, p->mean_all_mlps, p->mean_cls, p->mean_set, p->mean_vectors, p->mean_lengths,
                            p->centre_lengths, p->packed, p->index, p->norm, p->y, p->base, p->with_mlps, p->known, p->set, p->top, p->top_mlps,
                            p->standing, p->standing_mlps, p->state, p->up_to, p->whole, p->scratch};
    for (int t = 0; p->scratch != NULL && t < p->threads; t++) scratch_close(&p->scratch[t]);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
    clsp_ablation_maps_close(&p->maps);
}

/* A number that is not finite loses every comparison, and would count as right. */
static clipspan_status check_finite(const clipspan_ablation_study *study, const clsp_outcomes *o, clipspan_error *err)
{
    for (size_t i = 0; i < study->info.images; i++) {
        if (study->place[i] == SIZE_MAX) continue;
        for (size_t a = 0; a < o->count; a++)
            if (!isfinite(o->logit[study->place[i] * o->count + a]))
                return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "row %zu of the store: a logit of it is not finite", i);
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_ablation_pass(clipspan_ablation_study *study, clsp_outcomes *outcomes, const clipspan_store *store,
                                   const clipspan_means *means, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    clsp_pass p = {.study = study, .outcomes = outcomes, .layers = (size_t)basis->layers, .heads = (size_t)basis->heads,
              .classes = study->info.classes, .embed_dim = study->embed_dim, .threads = study->threads,
              .mlps = clipspan_ablation_study_count(study, CLIPSPAN_ABLATED_MLPS) > 0,
              .cls = clipspan_ablation_study_count(study, CLIPSPAN_ABLATED_CLS) > 0};
    const unsigned parts = (p.mlps ? CLIPSPAN_PART_MLP : 0) | (p.cls ? CLIPSPAN_PART_CLS : 0);
    CLSP_TRY(clsp_ablation_maps_open(&p.maps, basis, study->info.convention, study->classifier, p.classes, means,
                                     study->limits.maps, p.threads, err));
    p.width = p.maps.width;
    CLSP_TRY(means_open(&p, means, err));
    CLSP_TRY(buffers_open(&p, err));
    const clipspan_store_selection select = {.parts = parts, .batch = clsp_min(BATCH, p.most)};
    CLSP_TRY(clipspan_store_each(store, &select, take_batch, &p, hooks, err));
    CLSP_TRY(finish_round(&p, err));
    CLSP_TRY(check_finite(study, outcomes, err));
out:
    pass_close(&p);
    return status;
}
