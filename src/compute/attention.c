/* Attention, one (sequence, head) after another on every thread, its scores staying in that thread's cache.
 *
 * Letters: n tokens of a sequence, d head width, S sequences, H heads. The two products of a head run as oneDNN
 * products made for one thread; there is one pair for each length of the running pass, and for some seen before. */
#include "compute/clones.h"
#include "compute/onednn.h"
#include "compute/tiles.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { KEPT_LENGTHS = 96, PAD = 16 };

typedef struct shape {
    size_t n, q_stride, kv_stride;
    uint64_t run; /* the last one that wanted it */
    clsp_product scores, values;
} shape;

/* What one thread needs. */
typedef struct worker {
    dnnl_stream_t stream;
    float *scores;   /* [n, padded n], of the longest sequence */
    uint16_t *alpha; /* the same in bf16; NULL in fp32 */
    float *z;        /* [3, d]: z of one query; q and a row of k or v as fp32 */
    void *scratch;
    size_t scratch_bytes;
    shape *shapes; /* [count]: KEPT_LENGTHS, or as many as one run wanted */
    size_t count;
} worker;

struct clsp_attention {
    const clsp_workspace *workspace;
    clsp_attention_desc desc;
    float scale; /* 1/sqrt(d) */
    bool tiles;  /* every query's attention on matrix tiles */
    int threads;
    worker *workers; /* [threads] */
    uint64_t runs;
};

/* What one run hands to its threads. */
typedef struct run {
    clsp_attention *attention;
    const clsp_attention_input *input;
    const size_t *start;
    clsp_attention_capture capture;
    void *out;
    bool one_query;
} run;

static size_t padded(size_t n) { return (n + PAD - 1) / PAD * PAD; }

static size_t bytes_of(clsp_type type) { return type == CLSP_TYPE_BF16 ? sizeof(uint16_t) : sizeof(float); }

static const void *at(const void *base, size_t elements, clsp_type type)
{
    return (const char *)base + elements * bytes_of(type);
}

/* ---- making and freeing --------------------------------------------------------------------------------- */

static clipspan_status worker_init(worker *w, const clsp_attention *attention, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t longest = attention->desc.longest, cells;
    if (!clsp_mul(&cells, longest, padded(longest))) return clsp_fail_memory(err);
    CLSP_TRY(clsp_dnnl_check(dnnl_stream_create(&w->stream, attention->workspace->engine, dnnl_stream_default_flags),
                             "attention", err));
    CLSP_ALLOC(w->scores, clsp_alloc_aligned(cells, sizeof *w->scores));
    if (attention->tiles) {
        w->scratch_bytes = clsp_tiles_head_bytes(longest, attention->desc.head_dim);
        CLSP_ALLOC(w->scratch, w->scratch_bytes ? clsp_alloc_aligned(w->scratch_bytes, 1) : NULL);
    } else if (attention->desc.type == CLSP_TYPE_BF16)
        CLSP_ALLOC(w->alpha, clsp_alloc_aligned(cells, sizeof *w->alpha));
    CLSP_ALLOC(w->z, clsp_alloc_aligned(3 * attention->desc.head_dim, sizeof *w->z));
out:
    return status;
}

static void worker_clear(worker *w)
{
    for (size_t i = 0; i < w->count; i++) {
        clsp_product_clear(&w->shapes[i].scores);
        clsp_product_clear(&w->shapes[i].values);
    }
    clsp_free(w->shapes);
    if (w->stream) dnnl_stream_destroy(w->stream);
    clsp_free(w->scores);
    clsp_free(w->alpha);
    clsp_free(w->z);
    clsp_free(w->scratch);
}

clipspan_status clsp_attention_new(clsp_attention **out, const clsp_workspace *workspace,
                                   const clsp_attention_desc *desc, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_attention *attention = NULL;
    *out = NULL;
    CLSP_ALLOC(attention, clsp_alloc_zero(1, sizeof *attention));
    attention->workspace = workspace;
    attention->desc = *desc;
    attention->scale = 1.0f / sqrtf((float)desc->head_dim);
    attention->tiles = desc->type == CLSP_TYPE_BF16 && clsp_tiles_supported();
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

/* ---- products for a length ------------------------------------------------------------------------------ */

static shape *find(worker *w, size_t n, const clsp_attention_input *input)
{
    for (size_t i = 0; i < w->count; i++) {
        shape *s = &w->shapes[i];
        if (s->n == n && s->q_stride == input->q_stride && s->kv_stride == input->kv_stride) return s;
    }
    return NULL;
}

static clipspan_status reserve(worker *w, size_t bytes, clipspan_error *err)
{
    if (bytes <= w->scratch_bytes) return CLIPSPAN_OK;
    void *larger = clsp_alloc_aligned(bytes, 1);
    if (larger == NULL) return clsp_fail_memory(err);
    clsp_free(w->scratch);
    w->scratch = larger;
    w->scratch_bytes = bytes;
    return CLIPSPAN_OK;
}

static clipspan_status shape_new(shape *made, worker *w, const clsp_attention *attention, size_t n,
                                 const clsp_attention_input *input, clipspan_error *err)
{
    const clsp_attention_desc *d = &attention->desc;
    clipspan_status status = CLIPSPAN_OK;
    clsp_product_desc scores = {.m = n, .n = n, .k = d->head_dim, .a_stride = input->q_stride,
                                .b_stride = input->kv_stride, .b_transposed = true, .c_stride = padded(n),
                                .input = d->type, .output = CLSP_TYPE_F32, .threads = 1};
    clsp_product_desc values = {.m = n, .n = d->head_dim, .k = n, .a_stride = padded(n),
                                .b_stride = input->kv_stride, .c_stride = d->heads * d->head_dim, .input = d->type,
                                .output = d->type, .threads = 1};
    *made = (shape){.n = n, .q_stride = input->q_stride, .kv_stride = input->kv_stride};
    CLSP_TRY(clsp_product_new(&made->scores, attention->workspace, &scores, err));
    CLSP_TRY(clsp_product_new(&made->values, attention->workspace, &values, err));
    CLSP_TRY(reserve(w, clsp_max(made->scores.scratch_bytes, made->values.scratch_bytes), err));
out:
    if (status != CLIPSPAN_OK) {
        clsp_product_clear(&made->scores);
        clsp_product_clear(&made->values);
    }
    return status;
}

/* Room for one more shape: once enough are kept, that of the one that was not wanted for longest. What this run wants
 * stays, however much that is. NULL: no memory. */
static shape *vacate(worker *w, uint64_t this_run)
{
    shape *stalest = w->shapes;
    for (size_t i = 1; i < w->count; i++)
        if (w->shapes[i].run < stalest->run) stalest = &w->shapes[i];
    if (w->count >= KEPT_LENGTHS && stalest->run < this_run) {
        clsp_product_clear(&stalest->scores);
        clsp_product_clear(&stalest->values);
        *stalest = (shape){0}; /* of no length */
        return stalest;
    }
    shape *grown = clsp_grow(w->shapes, w->count + 1, sizeof *grown);
    if (grown == NULL) return NULL;
    w->shapes = grown;
    grown[w->count] = (shape){0};
    return &grown[w->count++];
}

static clipspan_status keep_shape(worker *w, const clsp_attention *attention, size_t n,
                                  const clsp_attention_input *input, clipspan_error *err)
{
    shape made, *kept = find(w, n, input);
    if (kept == NULL) {
        kept = vacate(w, attention->runs);
        if (kept == NULL) return clsp_fail_memory(err);
        clipspan_status status = shape_new(&made, w, attention, n, input, err);
        if (status != CLIPSPAN_OK) return status;
        *kept = made;
    }
    kept->run = attention->runs;
    return CLIPSPAN_OK;
}

/* Everything that may allocate or fail is done before the parallel region. */
static clipspan_status prepare(clsp_attention *attention, const clsp_attention_input *input, const size_t *start,
                               size_t sequences, bool one_query, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    attention->runs++;
    for (size_t s = 0; s < sequences; s++) {
        size_t n = start[s + 1] - start[s];
        if (n == 0 || n > attention->desc.longest)
            return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "attention over %zu tokens, made for 1 to %zu", n,
                             attention->desc.longest);
        for (int t = 0; !one_query && !attention->tiles && t < attention->threads; t++)
            CLSP_TRY(keep_shape(&attention->workers[t], attention, n, input, err));
    }
out:
    return status;
}

/* ---- one query in fp32: captures, and the last block ---------------------------------------------------- */

static const float *as_floats(float *room, const void *row, size_t d, clsp_type type)
{
    if (type == CLSP_TYPE_F32) return row;
    const uint16_t *half = row;
    for (size_t i = 0; i < d; i++) room[i] = clsp_bf16_to_f32(half[i]);
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

/* z += alpha v; term (may be NULL) = alpha v */
CLSP_CLONES static void add_scaled(float *restrict z, float *restrict term, const float *restrict v, float alpha,
                                   size_t d)
{
    for (size_t i = 0; i < d; i++) {
        float t = alpha * v[i];
        z[i] += t;
        if (term) term[i] = t;
    }
}

/* z [d] = sum over tokens of alpha v, with what is captured of it. alpha: [n]. */
static void gather(const run *j, worker *w, const float *alpha, size_t s, size_t h)
{
    const clsp_attention_desc *desc = &j->attention->desc;
    size_t d = desc->head_dim, width = desc->heads * d, n = j->start[s + 1] - j->start[s], stride = j->input->kv_stride;
    float *z = w->z;
    memset(z, 0, d * sizeof *z);
    for (size_t t = 0; t < n; t++) {
        const void *row = at(j->input->v, (j->start[s] + t) * stride + h * d, desc->type);
        float *term = j->capture.tokens ? j->capture.tokens + (s * n + t) * width + h * d : NULL;
        add_scaled(z, term, as_floats(w->z + d, row, d, desc->type), alpha[t], d);
        if (t == 0 && j->capture.cls) memcpy(j->capture.cls + s * width + h * d, z, d * sizeof *z);
    }
    if (j->capture.z) memcpy(j->capture.z + s * width + h * d, z, d * sizeof *z);
}

static void one_query(const run *j, worker *w, size_t s, size_t h)
{
    const clsp_attention_desc *desc = &j->attention->desc;
    size_t d = desc->head_dim, n = j->start[s + 1] - j->start[s], place = s * desc->heads * d + h * d;
    const void *q_row = at(j->input->q, s * j->input->q_stride + h * d, desc->type);
    const float *q = as_floats(w->z + 2 * d, q_row, d, desc->type);
    for (size_t t = 0; t < n; t++) {
        const void *row = at(j->input->k, (j->start[s] + t) * j->input->kv_stride + h * d, desc->type);
        w->scores[t] = dot(q, as_floats(w->z + d, row, d, desc->type), d);
    }
    clsp_softmax_row(w->scores, NULL, j->attention->scale, n, n);
    gather(j, w, w->scores, s, h);
    if (desc->type == CLSP_TYPE_BF16)
        clsp_to_bf16((uint16_t *)j->out + place, w->z, d);
    else
        memcpy((float *)j->out + place, w->z, d * sizeof *w->z);
}

/* ---- all queries ---------------------------------------------------------------------------------------- */

static void on_tiles(const run *j, worker *w, size_t s, size_t h)
{
    const clsp_attention_desc *desc = &j->attention->desc;
    size_t d = desc->head_dim, first = j->start[s], kv = first * j->input->kv_stride + h * d;
    bool captured = j->capture.z || j->capture.cls || j->capture.tokens;
    clsp_tiles_head head = {.out = (uint16_t *)j->out + (first * desc->heads + h) * d, .out_stride = desc->heads * d,
                            .q = (const uint16_t *)j->input->q + first * j->input->q_stride + h * d,
                            .k = (const uint16_t *)j->input->k + kv, .v = (const uint16_t *)j->input->v + kv,
                            .q_stride = j->input->q_stride, .kv_stride = j->input->kv_stride,
                            .n = j->start[s + 1] - first, .d = d, .scale = j->attention->scale,
                            .causal = desc->causal, .alpha = captured ? w->scores : NULL};
    clsp_tiles_attend(&head, w->scratch);
    if (captured) gather(j, w, w->scores, s, h);
}

static clipspan_status all_queries(const run *j, worker *w, size_t s, size_t h, clipspan_error *err)
{
    const clsp_attention *attention = j->attention;
    const clsp_attention_desc *desc = &attention->desc;
    size_t d = desc->head_dim, first = j->start[s], n = j->start[s + 1] - first, stride = padded(n);
    shape *kept = find(w, n, j->input);
    clsp_product_data scores = {.a = at(j->input->q, first * j->input->q_stride + h * d, desc->type),
                                .b = at(j->input->k, first * j->input->kv_stride + h * d, desc->type),
                                .c = w->scores};
    clsp_product_data values = {.a = w->alpha ? (const void *)w->alpha : w->scores,
                                .b = at(j->input->v, first * j->input->kv_stride + h * d, desc->type),
                                .c = (char *)j->out + (first * desc->heads + h) * d * bytes_of(desc->type)};
    clipspan_status status = clsp_product_run(&kept->scores, w->stream, w->scratch, &scores, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t i = 0; i < n; i++)
        clsp_softmax_row(w->scores + i * stride, w->alpha ? w->alpha + i * stride : NULL, attention->scale,
                         desc->causal ? i + 1 : n, n);
    if (j->capture.z || j->capture.cls || j->capture.tokens) gather(j, w, w->scores, s, h);
    return clsp_product_run(&kept->values, w->stream, w->scratch, &values, err);
}

clipspan_status clsp_attention_run(clsp_attention *attention, void *out, const clsp_attention_input *input,
                                   const size_t *start, size_t sequences, bool one,
                                   const clsp_attention_capture *capture, clipspan_error *err)
{
    clipspan_status status = prepare(attention, input, start, sequences, one, err);
    if (status != CLIPSPAN_OK) return status;
    run job = {.attention = attention, .input = input, .start = start, .out = out, .one_query = one};
    if (capture) job.capture = *capture;
    size_t heads = attention->desc.heads, failures = 0;
#pragma omp parallel num_threads(attention->threads) reduction(+ : failures)
    {
        worker *w = &attention->workers[omp_get_thread_num()];
        if (attention->tiles) clsp_tiles_begin();
#pragma omp for schedule(static)
        for (size_t item = 0; item < sequences * heads; item++) {
            if (job.one_query)
                one_query(&job, w, item / heads, item % heads);
            else if (attention->tiles)
                on_tiles(&job, w, item / heads, item % heads);
            else if (all_queries(&job, w, item / heads, item % heads, NULL) != CLIPSPAN_OK)
                failures++;
        }
        if (attention->tiles) clsp_tiles_end();
    }
    if (failures == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "attention: %zu of %zu products failed in %s", failures,
                     sequences * heads, clsp_compute_name());
}
