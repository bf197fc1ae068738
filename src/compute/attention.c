/* Attention, one (sequence, head) after another on every thread, its scores staying in that thread's cache.
 *
 * Letters: n tokens of a sequence, d head width, S sequences, H heads. */
#include "compute/attention_head.h"
#include "compute/clones.h"
#include "compute/tiles.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* What one thread needs. */
typedef struct worker {
    float *alpha;  /* [longest]: one query's weights */
    float *z;      /* [3, d]: z of one query; q and a row of k or v as fp32 */
    void *scratch; /* of the head's kernel */
} worker;

struct clsp_attention {
    clsp_attention_desc desc;
    float scale; /* 1/sqrt(d) */
    bool tiles;  /* the kernel is that of matrix tiles */
    const clsp_head_kernel *kernel;
    int threads;
    worker *workers; /* [threads] */
};

/* What one run hands to its threads. */
typedef struct run {
    clsp_attention *attention;
    const clsp_attention_input *input;
    const size_t *start;
    size_t sequences;
    clsp_attention_capture capture;
    void *out;
    bool one_query;
} run;

static size_t bytes_of(clsp_type type) { return type == CLSP_TYPE_BF16 ? sizeof(uint16_t) : sizeof(float); }

static const void *at(const void *base, size_t elements, clsp_type type)
{
    return (const char *)base + elements * bytes_of(type);
}

/* ---- making and freeing --------------------------------------------------------------------------------- */

static clipspan_status worker_init(worker *w, const clsp_attention *attention, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t longest = attention->desc.longest, d = attention->desc.head_dim;
    size_t bytes = attention->kernel->bytes(longest, d);
    CLSP_ALLOC(w->scratch, bytes ? clsp_alloc_aligned(bytes, 1) : NULL);
    CLSP_ALLOC(w->alpha, clsp_alloc_aligned(longest, sizeof *w->alpha));
    CLSP_ALLOC(w->z, clsp_alloc_aligned(3 * d, sizeof *w->z));
out:
    return status;
}

static void worker_clear(worker *w)
{
    clsp_free(w->alpha);
    clsp_free(w->z);
    clsp_free(w->scratch);
}

clipspan_status clsp_attention_new(clsp_attention **out, const clsp_attention_desc *desc, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_attention *attention = NULL;
    *out = NULL;
    CLSP_ALLOC(attention, clsp_alloc_zero(1, sizeof *attention));
    attention->desc = *desc;
    attention->scale = 1.0f / sqrtf((float)desc->head_dim);
    attention->tiles = desc->type == CLSP_TYPE_BF16 && clsp_tiles_supported();
    attention->kernel = attention->tiles ? &clsp_tiles_head : clsp_head_kernel_for(clsp_isa(), desc->type);
    attention->threads = omp_get_max_threads();
    CLSP_ALLOC(attention->workers, clsp_alloc_zero((size_t)attention->threads, sizeof *attention->workers));
    for (int t = 0; t < attention->threads; t++) CLSP_TRY(worker_init(&attention->workers[t], attention, err));
    *out = attention;
    attention = NULL;
out:
    clsp_attention_free(attention);
    return status;
}

void clsp_attention_free(clsp_attention *attention)
{
    if (attention == NULL) return;
    for (int t = 0; attention->workers && t < attention->threads; t++) worker_clear(&attention->workers[t]);
    clsp_free(attention->workers);
    clsp_free(attention);
}

/* ---- one query in fp32: captures, and the last block ---------------------------------------------------- */

static const float *as_floats(float *room, const void *row, size_t d, clsp_type type)
{
    if (type == CLSP_TYPE_F32) return row;
    const uint16_t *half = row;
    for (size_t i = 0; i < d; i++) room[i] = clsp_widen_bf16(half[i]);
    return room;
}

CLSP_CLONES static float dot(const float *a, const float *b, size_t d)
{
    clsp_lanes sums = {0}, u, v;
    size_t i = 0;
    for (; i + CLSP_LANES <= d; i += CLSP_LANES) {
        CLSP_LOAD(u, a + i);
        CLSP_LOAD(v, b + i);
        sums += u * v;
    }
    for (size_t j = 0; i < d; i++, j++) sums[j] += a[i] * b[i];
    return clsp_lanes_sum(&sums);
}

/* z [d] += sum over rows of alpha v; terms [rows, d] (may be NULL) = alpha v. */
CLSP_CLONES static void add_rows(float *restrict z, float *restrict terms, const float *restrict alpha,
                                 const float *restrict v, size_t stride, size_t rows, size_t d)
{
    for (size_t t = 0; t < rows; t++)
        for (size_t i = 0; i < d; i++) {
            float term = alpha[t] * v[t * stride + i];
            z[i] += term;
            if (terms) terms[t * d + i] = term;
        }
}

CLSP_CLONES static void add_rows_bf16(float *restrict z, float *restrict terms, const float *restrict alpha,
                                      const uint16_t *restrict v, size_t stride, size_t rows, size_t d)
{
    for (size_t t = 0; t < rows; t++)
        for (size_t i = 0; i < d; i++) {
            float term = alpha[t] * clsp_widen_bf16(v[t * stride + i]);
            z[i] += term;
            if (terms) terms[t * d + i] = term;
        }
}

/* z [d] = sum over tokens of alpha v, with what is captured of it. alpha: [n]. */
static void gather(const run *j, worker *w, const float *alpha, size_t s, size_t h)
{
    const clsp_attention_desc *desc = &j->attention->desc;
    size_t d = desc->head_dim, place = (s * desc->heads + h) * d, stride = j->input->kv_stride;
    size_t n = j->start[s + 1] - j->start[s], done = 0, size = d * sizeof *w->z;
    float *z = w->z, *terms = j->capture.tokens ? j->capture.tokens + (h * j->capture.room + s) * n * d : NULL;
    memset(z, 0, size);
    for (size_t rows = 1; done < n; done += rows, rows = n - done) { /* the class token first */
        const void *v = at(j->input->v, (j->start[s] + done) * stride + h * d, desc->type);
        float *to = terms ? terms + done * d : NULL;
        if (desc->type == CLSP_TYPE_BF16)
            add_rows_bf16(z, to, alpha + done, v, stride, rows, d);
        else
            add_rows(z, to, alpha + done, v, stride, rows, d);
        if (done == 0 && j->capture.cls) memcpy(j->capture.cls + place, z, size);
    }
    if (j->capture.z) memcpy(j->capture.z + place, z, size);
}

static void one_query(const run *j, worker *w, size_t s, size_t h)
{
    const clsp_attention_desc *desc = &j->attention->desc;
    size_t d = desc->head_dim, n = j->start[s + 1] - j->start[s], place = s * desc->heads * d + h * d;
    const void *q_row = at(j->input->q, s * j->input->q_stride + h * d, desc->type);
    const float *q = as_floats(w->z + 2 * d, q_row, d, desc->type);
    for (size_t t = 0; t < n; t++) {
        const void *row = at(j->input->k, (j->start[s] + t) * j->input->kv_stride + h * d, desc->type);
        w->alpha[t] = dot(q, as_floats(w->z + d, row, d, desc->type), d);
    }
    clsp_softmax_row(w->alpha, NULL, j->attention->scale, n, n);
    gather(j, w, w->alpha, s, h);
    if (desc->type == CLSP_TYPE_BF16)
        clsp_to_bf16((uint16_t *)j->out + place, w->z, d);
    else
        memcpy((float *)j->out + place, w->z, d * sizeof *w->z);
}

/* ---- all queries ---------------------------------------------------------------------------------------- */

/* From a head's rows to those of the next item, where that sequence is as long. */
static size_t next_item(const run *j, size_t s, size_t h)
{
    const clsp_attention_desc *desc = &j->attention->desc;
    size_t n = j->start[s + 1] - j->start[s], stride = j->input->kv_stride;
    if (h + 1 < desc->heads) return desc->head_dim;
    if (s + 1 == j->sequences || j->start[s + 2] - j->start[s + 1] != n || j->input->q_stride != stride) return 0;
    return n * stride - h * desc->head_dim;
}

static void all_queries(const run *j, worker *w, size_t s, size_t h)
{
    const clsp_attention *attention = j->attention;
    const clsp_attention_desc *desc = &attention->desc;
    size_t d = desc->head_dim, first = j->start[s], n = j->start[s + 1] - first;
    size_t kv = first * j->input->kv_stride + h * d, out = (first * desc->heads + h) * d;
    float *alpha = j->capture.z || j->capture.cls || j->capture.tokens ? w->alpha : NULL;
    clsp_head head = {.out = (char *)j->out + out * bytes_of(desc->type), .out_stride = desc->heads * d,
                      .q = at(j->input->q, first * j->input->q_stride + h * d, desc->type),
                      .k = at(j->input->k, kv, desc->type), .v = at(j->input->v, kv, desc->type),
                      .q_stride = j->input->q_stride, .kv_stride = j->input->kv_stride, .n = n, .d = d,
                      .type = desc->type, .ahead = next_item(j, s, h), .scale = attention->scale,
                      .causal = desc->causal, .alpha = alpha};
    attention->kernel->attend(&head, w->scratch);
    if (alpha) gather(j, w, alpha, s, h);
}

/* Every length lies within what scratch was made for. */
static clipspan_status check_lengths(const clsp_attention *attention, const size_t *start, size_t sequences,
                                     clipspan_error *err)
{
    for (size_t s = 0; s < sequences; s++) {
        size_t n = start[s + 1] - start[s];
        if (n == 0 || n > attention->desc.longest)
            return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "attention over %zu tokens, made for 1 to %zu", n,
                             attention->desc.longest);
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_attention_run(clsp_attention *attention, void *out, const clsp_attention_input *input,
                                   const size_t *start, size_t sequences, bool one,
                                   const clsp_attention_capture *capture, clipspan_error *err)
{
    clipspan_status status = check_lengths(attention, start, sequences, err);
    if (status != CLIPSPAN_OK) return status;
    run job = {.attention = attention, .input = input, .start = start, .sequences = sequences, .out = out, .one_query = one};
    if (capture) job.capture = *capture;
    size_t heads = attention->desc.heads;
#pragma omp parallel num_threads(attention->threads)
    {
        worker *w = &attention->workers[omp_get_thread_num()];
        if (attention->tiles) clsp_tiles_begin();
#pragma omp for schedule(static)
        for (size_t item = 0; item < sequences * heads; item++) {
            if (job.one_query)
                one_query(&job, w, item / heads, item % heads);
            else
                all_queries(&job, w, item / heads, item % heads);
        }
        if (attention->tiles) clsp_tiles_end();
    }
    return CLIPSPAN_OK;
}
