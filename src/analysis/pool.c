/* A pool's embeddings, block after block, read where they lie: a file of gigabytes is mapped and never copied whole. */
#include <math.h>
#include <string.h>

#include "analysis/greedy.h"
#include "compute/compute.h"

static const void *row_at(const clipspan_vectors *v, size_t i)
{
    size_t row = v->rows ? v->rows[i] : i, size = v->half ? sizeof(uint16_t) : sizeof(float);
    return (const char *)v->values + row * v->embed_dim * size;
}

/* One row as it shall be. */
CLSP_CLONES static void scaled(float *row, size_t e, double scale)
{
    for (size_t d = 0; d < e; d++) row[d] = (float)((double)row[d] * scale);
}

const float *clsp_pool_rows(const clsp_pool *pool, size_t first, size_t n, float *scratch)
{
    const clipspan_vectors *v = &pool->vectors;
    const void *start = n > 0 ? row_at(v, first) : v->values;
    bool aligned = (uintptr_t)start % sizeof(float) == 0;
    if (!v->half && v->rows == NULL && v->scale == NULL && aligned) return start;
    for (size_t i = 0; i < n; i++) {
        float *row = scratch + i * v->embed_dim;
        clsp_widen(row, row_at(v, first + i), v->half, v->embed_dim);
        if (v->scale != NULL && v->scale[first + i] != 1) scaled(row, v->embed_dim, v->scale[first + i]);
    }
    return scratch;
}

void clsp_pool_passed(const clsp_pool *pool, size_t b)
{
    enum { PASSED = 200000000 };
    const clipspan_vectors *v = &pool->vectors;
    size_t block = CLSP_TEXT_BLOCK * v->embed_dim * (v->half ? sizeof(uint16_t) : sizeof(float));
    if (v->passed != NULL && (b + 1) % clsp_max(PASSED / clsp_max(block, 1), 1) == 0) v->passed(v->user);
}

/* Sum of squares in double: 16 running sums, added in a fixed order. */
CLSP_CLONES static double squares(const float *x, size_t n)
{
    enum { SUMS = 16 };
    double sum[SUMS] = {0}, total = 0;
    size_t d = 0;
    for (; d + SUMS <= n; d += SUMS)
        for (size_t s = 0; s < SUMS; s++) sum[s] += (double)x[d + s] * (double)x[d + s];
    for (; d < n; d++) sum[0] += (double)x[d] * (double)x[d];
    for (size_t s = 0; s < SUMS; s++) total += sum[s];
    return total;
}

clipspan_status clipspan_vectors_lengths(const clipspan_vectors *vectors, double *length, int threads,
                                         clipspan_error *err)
{
    const clsp_pool pool = {.vectors = *vectors};
    size_t e = vectors->embed_dim, failures = 0;
    if (threads < 1) threads = clsp_cpu_count();
#pragma omp parallel num_threads(threads) reduction(+ : failures)
    {
        float *scratch = clsp_alloc_aligned(e, sizeof *scratch);
        failures += scratch == NULL;
#pragma omp for schedule(static)
        for (size_t i = 0; i < vectors->count; i++) {
            if (scratch != NULL) length[i] = sqrt(squares(clsp_pool_rows(&pool, i, 1, scratch), e));
            if ((i + 1) % CLSP_TEXT_BLOCK == 0) clsp_pool_passed(&pool, i / CLSP_TEXT_BLOCK);
        }
        clsp_free(scratch);
    }
    return failures == 0 ? CLIPSPAN_OK : clsp_fail_memory(err);
}

clipspan_status clsp_pool_measure(clsp_pool *pool, int threads, size_t *bad, clipspan_error *err)
{
    size_t texts = pool->vectors.count;
    double *length = clsp_alloc(texts, sizeof *length);
    if (length == NULL) return clsp_fail_memory(err);
    clipspan_status status = clipspan_vectors_lengths(&pool->vectors, length, threads, err);
    pool->longest = 0;
    *bad = texts;
    for (size_t j = 0; status == CLIPSPAN_OK && j < texts; j++) {
        if (!isfinite(length[j]) && *bad == texts) *bad = j;
        pool->longest = fmax(pool->longest, length[j]);
    }
    clsp_free(length);
    return status;
}
