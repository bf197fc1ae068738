/* Streamed moments: sums over images of y and y y' for every head, in both conventions, in double.
 *
 *   paper  y = (z, 1, mu, sigma) / (sigma |r|)      exact  y = (z, sigma) / sigma
 * Straight double sums cost about 4 k^2 operations an image and head (3.4 Mflop an image for 24 x 16 heads of 64, of
 * about 160 Gflop that the forward pass takes), so nothing faster is needed.
 */
#include "decompose/decompose.h"

#include <string.h>

static size_t head_count(const clipspan_basis *basis)
{
    return (size_t)basis->layers * (size_t)basis->heads;
}

size_t clsp_moments_packed(const clipspan_basis *basis, clipspan_convention convention)
{
    size_t k = clsp_head_width(basis, convention);
    return k * (k + 1) / 2;
}

static size_t sum_count(const clipspan_basis *basis, int convention)
{
    return head_count(basis) * clsp_head_width(basis, convention);
}

static size_t second_count(const clipspan_basis *basis, int convention)
{
    return head_count(basis) * clsp_moments_packed(basis, convention);
}

clipspan_status clsp_moments_borrow(clipspan_moments **out, const clipspan_basis *basis, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_moments *moments = NULL;
    *out = NULL;
    CLSP_ALLOC(moments, clsp_alloc_zero(1, sizeof *moments));
    moments->basis = *basis;
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        size_t sums, seconds;
        if (!clsp_mul(&sums, head_count(basis), clsp_head_width(basis, c)) ||
            !clsp_mul(&seconds, head_count(basis), clsp_moments_packed(basis, c)))
            CLSP_TRY(clsp_fail_memory(err));
        CLSP_ALLOC(moments->sum[c], clsp_alloc_zero(sums, sizeof *moments->sum[c]));
        CLSP_ALLOC(moments->second[c], clsp_alloc_zero(seconds, sizeof *moments->second[c]));
    }
    *out = moments;
    moments = NULL;
out:
    clipspan_moments_free(moments);
    return status;
}

clipspan_status clipspan_moments_new(clipspan_moments **out, const clipspan_basis *basis, clipspan_error *err)
{
    clipspan_status status = clsp_moments_borrow(out, basis, err);
    if (status == CLIPSPAN_OK) status = clsp_moments_own(*out, err);
    if (status == CLIPSPAN_OK) return status;
    clipspan_moments_free(*out);
    *out = NULL;
    return status;
}

clipspan_status clsp_moments_own(clipspan_moments *moments, clipspan_error *err)
{
    const clipspan_basis theirs = moments->basis;
    return clsp_basis_copy(&moments->basis, &moments->block, &theirs, err);
}

void clsp_moments_clear(clipspan_moments *moments)
{
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        memset(moments->sum[c], 0, sum_count(&moments->basis, c) * sizeof *moments->sum[c]);
        memset(moments->second[c], 0, second_count(&moments->basis, c) * sizeof *moments->second[c]);
    }
    moments->images = 0;
}

void clipspan_moments_free(clipspan_moments *moments)
{
    if (moments == NULL) return;
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        clsp_free(moments->sum[c]);
        clsp_free(moments->second[c]);
    }
    clsp_free(moments->block);
    clsp_free(moments);
}

/* y: [k] of image i, in double. */
static inline void factors(double *restrict y, const clipspan_batch *batch, clipspan_convention convention,
                           const float *restrict z, size_t i)
{
    size_t d = (size_t)batch->basis->head_dim;
    double sigma = (double)batch->sigma[i], norm = (double)batch->norm[i];
    double scale = convention == CLIPSPAN_PAPER ? 1.0 / (sigma * norm) : 1.0 / sigma;
    for (size_t c = 0; c < d; c++) y[c] = (double)z[c] * scale;
    y[d] = convention == CLIPSPAN_PAPER ? scale : 1.0;
    if (convention == CLIPSPAN_EXACT) return;
    y[d + 1] = (double)batch->mu[i] * scale;
    y[d + 2] = 1.0 / norm;
}

enum { ABREAST = 8 }; /* images that share each load and store of a sum */

/* sum += y, packed += lower triangle of y y', for ABREAST images y: [ABREAST, k], each added after the one before it. */
static inline void add_outer_abreast(double *restrict sum, double *restrict packed, const double *restrict y, size_t k)
{
    for (size_t r = 0; r < k; packed += ++r) {
        double at[ABREAST];
#pragma GCC unroll 8
        for (size_t i = 0; i < ABREAST; i++) sum[r] += at[i] = y[i * k + r];
        for (size_t m = 0; m <= r; m++) {
            double value = packed[m];
#pragma GCC unroll 8
            for (size_t i = 0; i < ABREAST; i++) value += at[i] * y[i * k + m];
            packed[m] = value;
        }
    }
}

/* The same of `count` images, one after another: the order of the additions is that of the images. */
CLSP_CLONES static void add_outer(double *restrict sum, double *restrict packed, const double *restrict y, size_t count,
                                  size_t k)
{
    size_t i = 0;
    for (; i + ABREAST <= count; i += ABREAST) add_outer_abreast(sum, packed, y + i * k, k);
    for (; i < count; i++) {
        const double *a = y + i * k;
        double *row = packed;
        for (size_t r = 0; r < k; row += ++r) {
            sum[r] += a[r];
            for (size_t m = 0; m <= r; m++) row[m] += a[r] * a[m];
        }
    }
}

enum { BLOCK = CLSP_MOMENTS_BLOCK }; /* images whose factors are made at once */

/* y: [BLOCK, k] scratch. */
static void add_head(clipspan_moments *moments, const clipspan_batch *batch, size_t head, double *y)
{
    size_t d = (size_t)batch->basis->head_dim;
    const float *z = batch->z + head * batch->images * d;
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        size_t k = clsp_head_width(&moments->basis, c);
        double *sum = moments->sum[c] + head * k;
        double *second = moments->second[c] + head * clsp_moments_packed(&moments->basis, c);
        for (size_t i = 0; i < batch->images; i += BLOCK) {
            size_t count = clsp_min(BLOCK, batch->images - i);
            for (size_t j = 0; j < count; j++) factors(y + j * k, batch, c, z + (i + j) * d, i + j);
            add_outer(sum, second, y, count, k);
        }
    }
}

CLSP_CLONES static void add_images(double *sum, double *packed, const clipspan_batch *batch, clipspan_convention convention,
                                   const float *z, const size_t *images, size_t count, double *y)
{
    size_t d = (size_t)batch->basis->head_dim, k = clsp_head_width(batch->basis, convention);
    for (size_t i = 0; i < count; i += BLOCK) {
        size_t n = clsp_min(BLOCK, count - i);
        for (size_t j = 0; j < n; j++) factors(y + j * k, batch, convention, z + images[i + j] * d, images[i + j]);
        add_outer(sum, packed, y, n, k);
    }
}

void clsp_head_moments_add(double *sum, double *packed, const clipspan_batch *batch, clipspan_convention convention,
                           int layer, int head, const size_t *images, size_t count, double *y)
{
    size_t number = (size_t)layer * (size_t)batch->basis->heads + (size_t)head;
    add_images(sum, packed, batch, convention, batch->z + number * batch->images * (size_t)batch->basis->head_dim, images, count, y);
}

static bool same_shape(const clipspan_basis *a, const clipspan_basis *b)
{
    return a->layers == b->layers && a->heads == b->heads && a->head_dim == b->head_dim && a->embed_dim == b->embed_dim;
}

static clipspan_status shape_error(const clipspan_basis *a, const clipspan_basis *b, clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                     "moments of %d layers x %d heads x %d (joint space %d) cannot take %d x %d x %d (%d)", a->layers,
                     a->heads, a->head_dim, a->embed_dim, b->layers, b->heads, b->head_dim, b->embed_dim);
}

/* A value that is not finite would spoil every later result, so it is refused where it can be named. */
static clipspan_status check_scalars(const clipspan_batch *batch, clipspan_error *err)
{
    for (size_t i = 0; i < batch->images; i++) {
        double sum = (double)batch->mu[i] + (double)batch->sigma[i] + (double)batch->norm[i];
        if (sum - sum == 0.0 && batch->sigma[i] > 0 && batch->norm[i] > 0) continue;
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL,
                         "image %llu of the list: mean %g, deviation %g, norm %g of its class token cannot be used",
                         (unsigned long long)batch->index[i], (double)batch->mu[i], (double)batch->sigma[i],
                         (double)batch->norm[i]);
    }
    return CLIPSPAN_OK;
}

clipspan_status clipspan_moments_add(clipspan_moments *moments, const clipspan_batch *batch, clipspan_error *err)
{
    if (!same_shape(&moments->basis, batch->basis)) return shape_error(&moments->basis, batch->basis, err);
    clipspan_status status = check_scalars(batch, err);
    if (status != CLIPSPAN_OK) return status;
    ptrdiff_t heads = (ptrdiff_t)head_count(batch->basis);
    size_t k = clsp_head_width(batch->basis, CLIPSPAN_PAPER);
    double *y = clsp_alloc((size_t)heads * BLOCK * k, sizeof *y);
    if (y == NULL) return clsp_fail_memory(err);
#pragma omp parallel for schedule(static)
    for (ptrdiff_t h = 0; h < heads; h++) add_head(moments, batch, (size_t)h, y + (size_t)h * BLOCK * k);
    moments->images += batch->images;
    clsp_free(y);
    return CLIPSPAN_OK;
}

clipspan_status clipspan_moments_merge(clipspan_moments *into, const clipspan_moments *from, clipspan_error *err)
{
    if (!same_shape(&into->basis, &from->basis)) return shape_error(&into->basis, &from->basis, err);
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        for (size_t i = 0; i < sum_count(&into->basis, c); i++) into->sum[c][i] += from->sum[c][i];
        for (size_t i = 0; i < second_count(&into->basis, c); i++) into->second[c][i] += from->second[c][i];
    }
    into->images += from->images;
    return CLIPSPAN_OK;
}

uint64_t clipspan_moments_images(const clipspan_moments *moments)
{
    return moments->images;
}

const clipspan_basis *clipspan_moments_basis(const clipspan_moments *moments)
{
    return &moments->basis;
}

void clsp_moments_head(const clipspan_moments *moments, clipspan_convention convention, int layer, int head,
                       double *mean, double *second)
{
    const clipspan_basis *basis = &moments->basis;
    size_t k = clsp_head_width(basis, convention);
    size_t number = (size_t)layer * (size_t)basis->heads + (size_t)head;
    double count = moments->images ? (double)moments->images : 1.0;
    const double *sum = moments->sum[convention] + number * k;
    const double *packed = moments->second[convention] + number * clsp_moments_packed(basis, convention);
    for (size_t r = 0; r < k && mean != NULL; r++) mean[r] = sum[r] / count;
    for (size_t r = 0; r < k && second != NULL; r++, packed += r)
        for (size_t c = 0; c <= r; c++) second[r * k + c] = second[c * k + r] = packed[c] / count;
}
