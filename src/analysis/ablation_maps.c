/* Classes in the coordinates of heads, and how far a head can move them: see the header. */
#include "analysis/ablation_maps.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "compute/compute.h"
#include "decompose/decompose.h"

enum { PAD = 16, COLUMNS = 64 }; /* columns that a thread takes at once */

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

/* s of n columns of rows [C + 1, stride]; 1 where no class differs. spread: [n] of what they are multiplied with, or
 * NULL: all alike. */
static void find_sizes(float *size, const float *rows, size_t stride, size_t classes, size_t n, const float *spread)
{
    const float *mean = rows + classes * stride;
    for (size_t j = 0; j < n; j++) size[j] = 0;
    for (size_t c = 0; c < classes; c++)
        for (size_t j = 0; j < n; j++) {
            float x = rows[c * stride + j] - mean[j];
            size[j] += x * x;
        }
    for (size_t j = 0; j < n; j++) {
        float s = sqrtf(sqrtf(size[j] / (float)classes) / (spread != NULL ? spread[j] : 1));
        size[j] = s > 0 && isfinite(s) ? s : 1;
    }
}

/* Rounded up: the sums behind it are of floats. */
static float upwards(double value)
{
    return (float)(value * (1 + 1e-4));
}

/* mean: [C + 1], or NULL. reach: [C] of each class out, or NULL. */
static clsp_bound find_bound(const float *rows, size_t stride, size_t classes, size_t n, const float *centre,
                             const float *size, const float *mean, float *reach)
{
    const float *middle = rows + classes * stride;
    double most = 0, left = 0, norm = 0, e_middle = mean ? (double)mean[classes] : 0;
    for (size_t j = 0; j < n; j++) e_middle -= (double)centre[j] * (double)middle[j];
    for (size_t c = 0; c < classes; c++) {
        const float *row = rows + c * stride;
        double square = 0, whole = 0, e = mean ? (double)mean[c] : 0;
        for (size_t j = 0; j < n; j++) {
            double x = ((double)row[j] - (double)middle[j]) / (double)size[j];
            square += x * x;
            whole += (double)row[j] * (double)row[j];
            e -= (double)centre[j] * (double)row[j];
        }
        if (reach != NULL) reach[c] = upwards(sqrt(square));
        most = fmax(most, square);
        left = fmax(left, fabs(e - e_middle));
        norm = fmax(norm, whole);
    }
    return (clsp_bound){upwards(sqrt(most)), upwards(left), upwards(sqrt(norm))};
}

/* A head's own mean is not split into its own and the shared columns' part: what is left over is asked of the head as a
 * whole, so `common` has none. */
static void bound_head(clsp_ablation_maps *m, size_t layer, size_t head, const float *rows, clsp_bound *bound)
{
    size_t d = m->head_dim, c = m->classes, w = m->width, at = m->heads * d;
    const float *mean = m->mean_heads + (layer * m->heads + head) * (c + 1), *centre = m->centre + layer * w;
    const float *own = rows + head * d, *shared = rows + at;
    *bound = find_bound(own, w, c, d, centre + head * d, m->size + layer * w + head * d, NULL,
                        m->reach + (layer * m->heads + head) * c);
    double left = 0, middle = 0;
    for (size_t i = c + 1; i-- > 0;) {
        double e = (double)mean[i];
        for (size_t j = 0; j < d; j++) e -= (double)centre[head * d + j] * (double)own[i * w + j];
        for (size_t j = 0; j < m->shared; j++)
            e -= (double)centre[at + j] * (double)shared[i * w + j] / (double)m->heads;
        if (i == c) middle = e;
        left = fmax(left, fabs(e - middle));
    }
    bound->left = upwards(left);
}

static void bound_layer(clsp_ablation_maps *m, size_t layer, const float *rows)
{
    size_t w = m->width, c = m->classes, at = m->heads * m->head_dim;
    const float *centre = m->centre + layer * w, *size = m->size + layer * w;
    m->common[layer] = find_bound(rows + at, w, c, m->shared, centre + at, size + at, NULL, NULL);
    m->layer[layer] = find_bound(rows, w, c, w, centre, size, m->mean_layers + layer * (c + 1), NULL);
}

const float *clsp_ablation_maps_rows(const clsp_ablation_maps *m, size_t layer)
{
    return m->rows + (m->all ? layer * (m->classes + 1) * m->width : 0);
}

/* ---- products ------------------------------------------------------------------------------------------------------ */

/* v = (middle - row) / size */
static void exact_row(float *v, const float *row, const float *middle, const float *size, size_t n)
{
    for (size_t j = 0; j < n; j++) v[j] = (middle[j] - row[j]) / size[j];
}

/* Of rows [C + 1, n], the last of them their middle. exact: [C, n] and rounded: [C, rounded row] scratch; packed, factor: what
 * the product keeps. */
static void make_product(clsp_ablation_product *product, const clsp_ablation_maps *m, const float *rows, const float *size, size_t n,
                         float *exact, unsigned char *rounded, unsigned char *packed, float *factor)
{
    clsp_whole_type type = product->whole.type;
    size_t c = m->classes, stride = clsp_whole_stride(type, n);
    double most = 0, lost = 0;
#pragma omp parallel for schedule(static) num_threads(m->threads) reduction(max : most, lost)
    for (size_t i = 0; i < c; i++) {
        float *v = exact + i * n;
        exact_row(v, rows + i * n, rows + c * n, size, n);
        clsp_whole_row row = clsp_whole_round(rounded + i * stride, type, v, n);
        factor[i] = row.factor;
        most = fmax(most, (double)row.length + (double)row.lost);
        lost = fmax(lost, (double)row.lost);
    }
    product->most = upwards(most);
    product->lost = upwards(lost);
    clsp_whole_pack(packed, type, rounded, n, c);
    product->whole = (clsp_whole){.type = type, .in = n, .out = c, .weight = packed, .factor = factor};
}

static int by_reach(const void *a, const void *b)
{
    const clsp_ablation_product *x = *(const clsp_ablation_product *const *)a, *y = *(const clsp_ablation_product *const *)b;
    return x->reach != y->reach ? (x->reach < y->reach ? -1 : 1) : (x > y) - (x < y);
}

/* Layers that move classes least are multiplied in 8 bits, in half of the time: as many as add, by reckoning, no more than
 * EIGHT_MORE times what rounding all layers to 16 bits takes from what is known. */
static void choose_types(clsp_ablation_maps *m, clsp_ablation_product **order)
{
    static const double LOST_16 = 5.8e-4, LOST_8 = 1.9e-2, EIGHT_MORE = 6; /* of both factors, as measured */
    double left = 0;
    for (size_t l = 0; l < m->layers; l++) {
        double square = 0;
        for (size_t j = 0; j < m->width; j++) {
            double x = (double)m->size[l * m->width + j] * (double)m->spread[l * m->width + j];
            square += x * x;
        }
        m->products[l].reach = sqrt(square) * (double)m->layer[l].most;
        left += EIGHT_MORE * LOST_16 * m->products[l].reach;
        order[l] = &m->products[l];
    }
    if (!clsp_whole_8_is_fast() || m->width > CLSP_WHOLE_8_MOST) return;
    qsort(order, m->layers, sizeof *order, by_reach);
    for (size_t l = 0; l < m->layers && LOST_8 * order[l]->reach <= left; l++) {
        left -= LOST_8 * order[l]->reach;
        order[l]->whole.type = CLSP_WHOLE_8;
    }
}

static clipspan_status make_products(clsp_ablation_maps *m, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t total = 0;
    clsp_ablation_product **order = NULL;
    CLSP_ALLOC(order, clsp_alloc(m->layers, sizeof *order));
    choose_types(m, order);
    for (size_t l = 0; l < m->layers; l++) {
        size_t bytes = clsp_whole_bytes(m->products[l].whole.type, m->width, m->classes);
        m->products[l].at = total;
        if (bytes == 0 || !clsp_add(&total, total, (bytes + 63) / 64 * 64)) CLSP_TRY(clsp_fail_memory(err));
    }
    CLSP_ALLOC(m->packed, clsp_alloc_large(total));
    for (size_t l = 0; l < m->layers; l++)
        make_product(&m->products[l], m, clsp_ablation_maps_rows(m, l), m->size + l * m->width, m->width, m->exact, m->rounded,
                     m->packed + m->products[l].at, m->factors + l * m->classes);
out:
    clsp_free(order);
    return status;
}

clipspan_status clsp_ablation_maps_texts(clsp_ablation_maps *m, clsp_bound *bound, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t e = m->embed_dim, c = m->classes;
    float *exact = NULL;
    unsigned char *rounded = NULL;
    m->texts_product.whole.type = CLSP_WHOLE_16;
    CLSP_ALLOC(m->texts_size, clsp_alloc(e, sizeof *m->texts_size));
    CLSP_ALLOC(m->texts_factors, clsp_alloc(c, sizeof *m->texts_factors));
    CLSP_ALLOC(m->texts_packed, clsp_alloc_aligned(clsp_whole_bytes(CLSP_WHOLE_16, e, c), 1));
    CLSP_ALLOC(exact, clsp_alloc_aligned(c * e, sizeof *exact));
    CLSP_ALLOC(rounded, clsp_alloc_aligned(c, clsp_whole_stride(CLSP_WHOLE_16, e)));
    find_sizes(m->texts_size, m->texts, e, c, e, NULL);
    *bound = find_bound(m->texts, e, c, e, m->texts, m->texts_size, NULL, NULL);
    bound->left = 0; /* such vectors are centred by their own mean */
    make_product(&m->texts_product, m, m->texts, m->texts_size, e, exact, rounded, m->texts_packed, m->texts_factors);
out:
    clsp_free(exact);
    clsp_free(rounded);
    return status;
}

/* Where there are rows of one layer alone. */
static void make_exact(clsp_ablation_maps *m, size_t layer)
{
    size_t w = m->width, c = m->classes;
#pragma omp parallel for schedule(static) num_threads(m->threads)
    for (size_t i = 0; i < c; i++)
        exact_row(m->exact + i * w, m->rows + i * w, m->rows + c * w, m->size + layer * w, w);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static clipspan_status head_columns(const clsp_ablation_maps *m, size_t layer, size_t head, float *rows)
{
    size_t d = m->head_dim, e = m->embed_dim, w = m->width, k = clsp_head_width(m->basis, m->convention);
    float *map = m->map + (size_t)omp_get_thread_num() * k * e;
    clsp_head_map(m->basis, m->convention, (int)layer, (int)head, map);
    clipspan_status status = clsp_sgemm(rows + head * d, w, m->texts, e, false, map, e, true, m->classes + 1, d, e, 1.0F,
                                        0.0F, NULL);
    for (size_t i = 0; head == 0 && i <= m->classes; i++)
        memset(rows + i * w + m->heads * d, 0, (w - m->heads * d) * sizeof *rows);
    if (status != CLIPSPAN_OK || head > 0 || m->shared == 0) return status;
    return clsp_sgemm(rows + m->heads * d, w, m->texts, e, false, map + d * e, e, true, m->classes + 1, m->shared, e,
                      (float)m->heads, 0.0F, NULL);
}

clipspan_status clsp_ablation_maps_layer(clsp_ablation_maps *m, size_t layer, clipspan_error *err)
{
    size_t w = m->width;
    float *rows = m->rows + (m->all ? layer * (m->classes + 1) * w : 0);
    clipspan_status worst = CLIPSPAN_OK;
#pragma omp parallel for schedule(static) num_threads(m->threads)
    for (size_t h = 0; h < m->heads; h++) {
        clipspan_status one = head_columns(m, layer, h, rows);
#pragma omp critical(clsp_ablation_maps)
        if (one != CLIPSPAN_OK) worst = one;
    }
    if (worst != CLIPSPAN_OK) return clsp_fail(err, worst, "the heads' maps could not be made");
#pragma omp parallel for schedule(static) num_threads(m->threads)
    for (size_t j = 0; j < w; j += COLUMNS)
        find_sizes(m->size + layer * w + j, rows + j, w, m->classes, clsp_min(COLUMNS, w - j), m->spread + layer * w + j);
#pragma omp parallel for schedule(dynamic) num_threads(m->threads)
    for (size_t h = 0; h <= m->heads; h++) { /* the layer, which takes as long as all heads, first */
        if (h > 0)
            bound_head(m, layer, h - 1, rows, &m->head[layer * m->heads + h - 1]);
        else
            bound_layer(m, layer, rows);
    }
    if (!m->all) make_exact(m, layer);
    return CLIPSPAN_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

clipspan_status clsp_ablation_maps_cosines(const clsp_ablation_maps *m, float **out, const float *vectors, size_t count,
                                           clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t e = m->embed_dim, c = m->classes + 1, cells;
    if (!clsp_mul(&cells, count, c)) return clsp_fail_memory(err);
    CLSP_ALLOC(*out, clsp_alloc_zero(cells, sizeof **out));
    if (vectors == NULL) goto out;
    CLSP_TRY(clsp_sgemm(*out, c, vectors, e, false, m->texts, e, true, count, c, e, 1.0F, 0.0F, err));
out:
    return status;
}

/* A column that hardly varies has a little of what the others do, so that s stays within bounds. */
static void copy_spread(clsp_ablation_maps *m, const clipspan_means *means, size_t layer)
{
    size_t d = m->head_dim, own = m->heads * d, k = clsp_head_width(m->basis, m->convention);
    const float *from = means->spread + layer * m->heads * k;
    float *spread = m->spread + layer * m->width, sum = 0;
    for (size_t h = 0; h < m->heads; h++) memcpy(spread + h * d, from + h * k, d * sizeof *spread);
    memcpy(spread + own, from + d, m->shared * sizeof *spread);
    for (size_t j = 0; j < own; j++) sum += spread[j];
    for (size_t j = 0; j < m->width; j++) spread[j] = sum > 0 ? spread[j] + 1e-3F * sum / (float)own : 1;
}

static clipspan_status means_open(clsp_ablation_maps *m, const clipspan_means *means, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t k = clsp_head_width(m->basis, m->convention), d = m->head_dim, c = m->classes + 1;
    CLSP_TRY(clsp_ablation_maps_cosines(m, &m->mean_heads, means ? means->heads : NULL, m->layers * m->heads, err));
    CLSP_ALLOC(m->mean_layers, clsp_alloc_zero(m->layers * c, sizeof *m->mean_layers));
    for (size_t l = 0; l < m->layers; l++)
        for (size_t i = 0; i < c; i++) {
            double sum = 0;
            for (size_t h = 0; h < m->heads; h++) sum += (double)m->mean_heads[(l * m->heads + h) * c + i];
            m->mean_layers[l * c + i] = (float)sum;
        }
    for (size_t l = 0; means != NULL && l < m->layers; l++) {
        float *centre = m->centre + l * m->width;
        for (size_t h = 0; h < m->heads; h++)
            memcpy(centre + h * d, means->factors + (l * m->heads + h) * k, d * sizeof *centre);
        memcpy(centre + m->heads * d, means->factors + l * m->heads * k + d, m->shared * sizeof *centre);
        copy_spread(m, means, l);
    }
out:
    return status;
}

static void copy_texts(clsp_ablation_maps *m, const float *classifier)
{
    size_t e = m->embed_dim, c = m->classes;
    memcpy(m->texts, classifier, c * e * sizeof *m->texts);
    for (size_t j = 0; j < e; j++) {
        double sum = 0;
        for (size_t i = 0; i < c; i++) sum += (double)classifier[i * e + j];
        m->texts[c * e + j] = (float)(sum / (double)c);
    }
}

static clipspan_status products_open(clsp_ablation_maps *m, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(m->products, clsp_alloc_zero(m->layers, sizeof *m->products));
    CLSP_ALLOC(m->factors, clsp_alloc(m->layers * m->classes, sizeof *m->factors));
    CLSP_ALLOC(m->exact, clsp_alloc_aligned(m->classes * m->width, sizeof *m->exact));
    CLSP_ALLOC(m->rounded, clsp_alloc_aligned(m->classes, clsp_whole_stride(CLSP_WHOLE_16, m->width)));
out:
    return status;
}

static clipspan_status rooms_open(clsp_ablation_maps *m, size_t most, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t layer, all, bytes, k = clsp_head_width(m->basis, m->convention), cells = m->layers * m->width;
    if (!clsp_mul(&layer, m->classes + 1, m->width) || !clsp_mul(&all, layer, m->layers) ||
        !clsp_mul(&bytes, all, sizeof *m->rows))
        return clsp_fail_memory(err);
    m->all = bytes <= most;
    CLSP_ALLOC(m->texts, clsp_alloc_aligned((m->classes + 1) * m->embed_dim, sizeof *m->texts));
    CLSP_ALLOC(m->rows, clsp_alloc_large((m->all ? all : layer) * sizeof *m->rows));
    CLSP_ALLOC(m->centre, clsp_alloc_zero(cells, sizeof *m->centre));
    CLSP_ALLOC(m->size, clsp_alloc_zero(cells, sizeof *m->size));
    CLSP_ALLOC(m->spread, clsp_alloc(cells, sizeof *m->spread));
    for (size_t i = 0; i < cells; i++) m->spread[i] = 1;
    CLSP_ALLOC(m->head, clsp_alloc_zero(m->layers * m->heads, sizeof *m->head));
    CLSP_ALLOC(m->reach, clsp_alloc_zero(m->layers * m->heads, m->classes * sizeof *m->reach));
    CLSP_ALLOC(m->common, clsp_alloc_zero(m->layers, sizeof *m->common));
    CLSP_ALLOC(m->layer, clsp_alloc_zero(m->layers, sizeof *m->layer));
    CLSP_ALLOC(m->map, clsp_alloc_aligned((size_t)m->threads * k * m->embed_dim, sizeof *m->map));
    CLSP_TRY(products_open(m, err));
out:
    return status;
}

clipspan_status clsp_ablation_maps_open(clsp_ablation_maps *m, const clipspan_basis *basis,
                                        clipspan_convention convention, const float *classifier, size_t classes,
                                        const clipspan_means *means, size_t most, int threads, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t d = (size_t)basis->head_dim;
    *m = (clsp_ablation_maps){.basis = basis, .convention = convention, .layers = (size_t)basis->layers,
                              .heads = (size_t)basis->heads, .head_dim = d, .embed_dim = (size_t)basis->embed_dim,
                              .classes = classes, .threads = threads,
                              .shared = convention == CLIPSPAN_PAPER ? clsp_head_width(basis, convention) - d : 0};
    m->width = (m->heads * d + m->shared + PAD - 1) / PAD * PAD;
    CLSP_TRY(rooms_open(m, most, err));
    copy_texts(m, classifier);
    CLSP_TRY(means_open(m, means, err));
    for (size_t l = 0; m->all && l < m->layers; l++) CLSP_TRY(clsp_ablation_maps_layer(m, l, err));
    if (m->all) CLSP_TRY(make_products(m, err));
out:
    return status;
}

void clsp_ablation_maps_close(clsp_ablation_maps *m)
{
    void *const blocks[] = {m->texts, m->rows, m->mean_heads, m->mean_layers, m->centre, m->size, m->spread, m->head, m->reach,
                            m->common, m->layer, m->products, m->packed, m->rounded, m->factors, m->exact, m->map, m->texts_packed,
                            m->texts_factors, m->texts_size};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
}
