/* How much of a head's variance lies between the groups of a known attribute (eta squared, multivariate):
 *
 *     share = sum over groups g of n_g |mean_g(c) - mean(c)|^2  /  sum over images of |c - mean(c)|^2
 *
 * in the joint space, from factors: |c|^2 = y' G y with G = M M', so one pass over the store sums y by group and
 * y' G y by column, and no vector of the joint space is made.
 *
 * Groups drawn at random have a share too: dealing g values to n images at random gives (g - 1) / (n - 1) on average,
 * whatever c is. Taking that out makes it epsilon squared (Kelley 1935):
 *
 *     excess = (share - chance) / (1 - chance) = 1 - (1 - share) (n - 1) / (n - g) */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "analysis/groups.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

enum { BATCH = 1024 };

struct clipspan_attributes {
    clipspan_convention convention;
    size_t count, layers, heads;
    clsp_groups *groups; /* [count] */
    double *share;       /* [count, L, H]; NaN: head not chosen */
};

typedef struct pass {
    clipspan_attributes *result;
    clipspan_convention convention;
    size_t width, all; /* factors of a head, k; heads of all layers */
    int threads;
    const unsigned char *chosen; /* [all]; NULL: every head */
    double *gram;      /* [all, k, k]: G */
    size_t *offset;    /* [count + 1]: first group of each attribute */
    double *sum;       /* [all, groups of all attributes, k] */
    double *square;    /* [all, count]: sum of y' G y */
    float *y;          /* [threads, BATCH, k] */
    double *scratch;   /* [threads, k] */
} pass;

static bool is_chosen(const pass *p, size_t head)
{
    return p->chosen == NULL || p->chosen[head];
}

/* G = M M', row by row; in double from the float32 map. */
static void gram_of(const float *map, size_t k, size_t e, double *gram)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum[4] = {0};
            size_t d = 0;
            for (; d + 4 <= e; d += 4)
                for (size_t lane = 0; lane < 4; lane++)
                    sum[lane] += (double)map[i * e + d + lane] * (double)map[j * e + d + lane];
            for (; d < e; d++) sum[0] += (double)map[i * e + d] * (double)map[j * e + d];
            gram[i * k + j] = gram[j * k + i] = (sum[0] + sum[2]) + (sum[1] + sum[3]);
        }
}

static clipspan_status make_grams(pass *p, const clipspan_basis *basis, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t k = p->width, e = (size_t)basis->embed_dim;
    float *maps = NULL;
    CLSP_ALLOC(maps, clsp_alloc((size_t)p->threads * k * e, sizeof *maps));
#pragma omp parallel for schedule(dynamic) num_threads(p->threads)
    for (size_t h = 0; h < p->all; h++) {
        if (!is_chosen(p, h)) continue;
        float *map = maps + (size_t)omp_get_thread_num() * k * e;
        clsp_head_map(basis, p->convention, (int)(h / p->result->heads), (int)(h % p->result->heads), map);
        gram_of(map, k, e, p->gram + h * k * k);
    }
out:
    clsp_free(maps);
    return status;
}

/* x' G x; scratch: [k]. */
static double square_of(const double *gram, const double *x, size_t k, double *restrict scratch)
{
    memset(scratch, 0, k * sizeof *scratch);
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) scratch[j] += x[i] * gram[i * k + j];
    double sum = 0;
    for (size_t j = 0; j < k; j++) sum += scratch[j] * x[j];
    return sum;
}

static void add_image(pass *p, size_t head, size_t row, const float *y, double *scratch)
{
    size_t k = p->width, count = p->result->count;
    double *x = scratch, *room = scratch + k;
    for (size_t i = 0; i < k; i++) x[i] = (double)y[i];
    double square = square_of(p->gram + head * k * k, x, k, room);
    for (size_t a = 0; a < count; a++) {
        int32_t group = p->result->groups[a].of[row];
        if (group < 0) continue;
        double *sum = p->sum + (head * p->offset[count] + p->offset[a] + (size_t)group) * k;
        for (size_t i = 0; i < k; i++) sum[i] += x[i];
        p->square[head * count + a] += square;
    }
}

static clipspan_status take_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    pass *p = user;
    clipspan_status status = clsp_batch_check(batch, BATCH, err);
    if (status != CLIPSPAN_OK) return status;
#pragma omp parallel for schedule(dynamic) num_threads(p->threads)
    for (size_t h = 0; h < p->all; h++) {
        if (!is_chosen(p, h)) continue;
        size_t thread = (size_t)omp_get_thread_num();
        float *y = p->y + thread * BATCH * p->width;
        clsp_head_factors(batch, p->convention, (int)(h / p->result->heads), (int)(h % p->result->heads), y);
        for (size_t i = 0; i < batch->images; i++)
            add_image(p, h, (size_t)batch->index[i], y + i * p->width, p->scratch + thread * 2 * p->width);
    }
    return CLIPSPAN_OK;
}

/* sums: [groups, k] of one head and attribute. */
static double share_of(const clsp_groups *g, const double *gram, const double *sums, double square, size_t k,
                       double *scratch)
{
    double *mean = scratch, *x = scratch + k, *room = scratch + 2 * k, n = (double)g->images, between = 0;
    memset(mean, 0, k * sizeof *mean);
    for (size_t group = 0; group < g->count; group++)
        for (size_t i = 0; i < k; i++) mean[i] += sums[group * k + i] / n;
    for (size_t group = 0; group < g->count; group++) {
        double size = (double)g->sizes[group];
        for (size_t i = 0; i < k; i++) x[i] = sums[group * k + i] / size - mean[i];
        between += size * square_of(gram, x, k, room);
    }
    double total = square - n * square_of(gram, mean, k, room);
    if (!(total > 1e-12 * square)) return 0; /* the same for every image, but for round-off */
    return fmin(fmax(between / total, 0), 1);
}

static void finish(pass *p, double *scratch)
{
    size_t k = p->width, count = p->result->count;
    for (size_t a = 0; a < count; a++)
        for (size_t h = 0; h < p->all; h++)
            p->result->share[a * p->all + h] =
                !is_chosen(p, h) ? (double)NAN
                                 : share_of(&p->result->groups[a], p->gram + h * k * k,
                                            p->sum + (h * p->offset[count] + p->offset[a]) * k,
                                            p->square[h * count + a], k, scratch);
}

static clipspan_status pass_open(pass *p, const clipspan_basis *basis, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t k = p->width, count = p->result->count, threads = (size_t)p->threads, cells;
    CLSP_ALLOC(p->offset, clsp_alloc_zero(count + 1, sizeof *p->offset));
    for (size_t a = 0; a < count; a++) p->offset[a + 1] = p->offset[a] + p->result->groups[a].count;
    CLSP_ALLOC(p->gram, clsp_alloc(p->all * k * k, sizeof *p->gram));
    if (!clsp_mul(&cells, p->all * k, p->offset[count])) CLSP_TRY(clsp_fail_memory(err));
    CLSP_ALLOC(p->sum, clsp_alloc_zero(cells, sizeof *p->sum));
    CLSP_ALLOC(p->square, clsp_alloc_zero(p->all * count, sizeof *p->square));
    CLSP_ALLOC(p->y, clsp_alloc(threads * BATCH * k, sizeof *p->y));
    CLSP_ALLOC(p->scratch, clsp_alloc((threads * 2 + 3) * k, sizeof *p->scratch));
    CLSP_TRY(make_grams(p, basis, err));
out:
    return status;
}

static void pass_close(pass *p)
{
    clsp_free(p->gram);
    clsp_free(p->offset);
    clsp_free(p->sum);
    clsp_free(p->square);
    clsp_free(p->y);
    clsp_free(p->scratch);
}

static clipspan_status check(const clipspan_store *store, const clipspan_attributes_options *options,
                             clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clipspan_convention convention = options->convention;
    size_t heads = (size_t)info->layers * (size_t)info->heads;
    if (options->threads < 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "threads is %d, expected 0 or more", options->threads);
    if (options->heads != NULL && memchr(options->heads, 1, heads) == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no head is chosen");
    if (convention != CLIPSPAN_PAPER && convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)convention);
    if (info->moments_only)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "the store holds moments alone: groups need each image's contributions");
    return CLIPSPAN_OK;
}

static clipspan_status result_open(clipspan_attributes **out, const clipspan_store *store,
                                   const clipspan_attributes_options *options, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    clipspan_attributes *result = NULL;
    CLSP_ALLOC(result, clsp_alloc_zero(1, sizeof *result));
    result->convention = options->convention;
    result->layers = (size_t)basis->layers;
    result->heads = (size_t)basis->heads;
    CLSP_TRY(clsp_groups_open(&result->groups, &result->count, store, options->columns, options->column_count, err));
    CLSP_ALLOC(result->share, clsp_alloc_zero(result->layers * result->heads * result->count, sizeof *result->share));
    *out = result;
    result = NULL;
out:
    clipspan_attributes_free(result);
    return status;
}

/* layers: [L] out, those that hold a chosen head. */
static void choose_layers(const pass *p, unsigned char *layers)
{
    for (size_t h = 0; h < p->all; h++)
        if (is_chosen(p, h)) layers[h / p->result->heads] = 1;
}

clipspan_status clipspan_attributes_run(clipspan_attributes **out, const clipspan_store *store,
                                        const clipspan_attributes_options *options, const clipspan_hooks *hooks,
                                        clipspan_error *err)
{
    static const clipspan_attributes_options standard = CLIPSPAN_ATTRIBUTES_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_store_basis(store);
    clipspan_attributes *result = NULL;
    unsigned char *layers = NULL;
    pass p = {0};
    if (options == NULL) options = &standard;
    int before = clsp_threads(options->threads);
    *out = NULL;
    CLSP_TRY(check(store, options, err));
    CLSP_TRY(result_open(&result, store, options, err));
    p = (pass){.result = result, .convention = options->convention, .chosen = options->heads,
               .all = result->layers * result->heads, .width = clsp_head_width(basis, options->convention),
               .threads = options->threads ? options->threads : clsp_cpu_count()};
    CLSP_ALLOC(layers, clsp_alloc_zero(result->layers, 1));
    choose_layers(&p, layers);
    CLSP_TRY(pass_open(&p, basis, err));
    const clipspan_store_selection select = {.layers = layers, .parts = 0, .batch = BATCH};
    CLSP_TRY(clipspan_store_each(store, &select, take_batch, &p, hooks, err));
    finish(&p, p.scratch);
    *out = result;
    result = NULL;
out:
    clsp_threads(before);
    pass_close(&p);
    clsp_free(layers);
    clipspan_attributes_free(result);
    return status;
}

void clipspan_attributes_free(clipspan_attributes *result)
{
    if (result == NULL) return;
    clsp_groups_free(result->groups, result->count);
    clsp_free(result->share);
    clsp_free(result);
}

size_t clipspan_attributes_count(const clipspan_attributes *result)
{
    return result->count;
}

clipspan_convention clipspan_attributes_convention(const clipspan_attributes *result)
{
    return result->convention;
}

uint64_t clipspan_attributes_images(const clipspan_attributes *result, size_t attribute)
{
    return attribute < result->count ? result->groups[attribute].images : 0;
}

size_t clipspan_attributes_groups(const clipspan_attributes *result, size_t attribute)
{
    return attribute < result->count ? result->groups[attribute].count : 0;
}

const char *clipspan_attributes_name(const clipspan_attributes *result, size_t attribute)
{
    return attribute < result->count ? result->groups[attribute].name : NULL;
}

double clipspan_attributes_share(const clipspan_attributes *result, size_t attribute, int layer, int head)
{
    bool known = attribute < result->count && layer >= 0 && (size_t)layer < result->layers && head >= 0 &&
                 (size_t)head < result->heads;
    size_t at = known ? (attribute * result->layers + (size_t)layer) * result->heads + (size_t)head : 0;
    return known ? result->share[at] : (double)NAN;
}

double clipspan_attributes_chance(const clipspan_attributes *result, size_t attribute)
{
    if (attribute >= result->count) return (double)NAN;
    const clsp_groups *g = &result->groups[attribute];
    return g->images > 1 ? ((double)g->count - 1) / ((double)g->images - 1) : 1;
}

double clipspan_attributes_excess(const clipspan_attributes *result, size_t attribute, int layer, int head)
{
    double share = clipspan_attributes_share(result, attribute, layer, head);
    double chance = clipspan_attributes_chance(result, attribute);
    if (isnan(share)) return share;
    return chance < 1 ? (share - chance) / (1 - chance) : 0;
}

size_t clipspan_attributes_strongest(const clipspan_attributes *result, int layer, int head)
{
    size_t best = SIZE_MAX;
    double most = 0;
    for (size_t a = 0; a < result->count; a++) {
        double excess = clipspan_attributes_excess(result, a, layer, head);
        if (!(excess > most)) continue;
        most = excess;
        best = a;
    }
    return best;
}
