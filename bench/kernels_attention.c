/* Attention: out = softmax(q k' / sqrt(d)) v of every head, with what is captured of the first query. */
#include "kernels.h"

#include <math.h>
#include <string.h>

enum { QUERIES, KEYS_VALUES, STARTS }; /* blocks */
enum { ALIGNED = 64, GAP = 7, SPARE = 1 /* sequences that captured tokens have room for, beyond those that there are */ };
static const double CAPTURE_TOLERANCE = 4e-6; /* captures are fp32 of the inputs whatever the type; observed 5e-7 */

/* The problem's shape, and where the parts of the output lie, in bytes. */
typedef struct shape {
    size_t sequences, tokens, heads, d, width, rows, q_rows;
    size_t q_stride, kv_stride; /* elements */
    size_t z, cls, token_terms, end;
} shape;

static size_t length_of(const problem *p, size_t s)
{
    size_t shorter = p->manner & RAGGED ? 3 * s : 0;
    return shorter < p->size[1] ? p->size[1] - shorter : 1;
}

static size_t after(size_t *at, size_t bytes)
{
    size_t here = *at;
    *at = (here + bytes + ALIGNED - 1) / ALIGNED * ALIGNED;
    return here;
}

static shape shape_of(const problem *p)
{
    shape s = {.sequences = p->size[0], .tokens = p->size[1], .heads = p->size[2], .d = p->size[3]};
    size_t gap = p->manner & GAPS ? GAP : 0;
    s.width = s.heads * s.d;
    for (size_t i = 0; i < s.sequences; i++) s.rows += length_of(p, i);
    s.q_rows = p->manner & ONE_QUERY ? s.sequences : s.rows;
    s.q_stride = (p->manner & ONE_QUERY ? s.width : 3 * s.width) + gap;
    s.kv_stride = 3 * s.width + gap;
    after(&s.end, s.q_rows * s.width * bytes_of(p->output));
    s.z = after(&s.end, p->manner & KEEP_Z ? s.sequences * s.width * sizeof(float) : 0);
    s.cls = after(&s.end, p->manner & KEEP_CLS ? s.sequences * s.width * sizeof(float) : 0);
    s.token_terms = after(&s.end, p->manner & KEEP_TOKENS ? (s.sequences + SPARE) * s.tokens * s.width * sizeof(float) : 0);
    return s;
}

static void attention_make(instance *it)
{
    const problem *p = it->problem;
    shape s = shape_of(p);
    instance_random(it, s.q_rows * s.q_stride, 2.0F, p->type);
    instance_random(it, s.rows * s.kv_stride, 2.0F, p->type);
    size_t *start = instance_block(it, (s.sequences + 1) * sizeof *start);
    for (size_t i = 0; i < s.sequences; i++) start[i + 1] = start[i] + length_of(p, i);
    instance_output(it, s.end / sizeof(float), CLSP_TYPE_F32);
    clsp_attention_desc desc = {.heads = s.heads, .head_dim = s.d, .longest = s.tokens, .type = p->type,
                                .causal = p->manner & CAUSAL};
    clsp_attention *attention = NULL;
    clipspan_error err;
    require(clsp_attention_new(&attention, &desc, &err), &err);
    it->object = attention;
}

static float *captured(const instance *it, unsigned what, size_t at)
{
    return it->problem->manner & what ? (float *)(void *)((char *)it->out + at) : NULL;
}

/* q stands in front of k and v in one row, as the engine has it, or in rows of its own for one query. */
static const void *queries(const instance *it)
{
    return it->problem->manner & ONE_QUERY ? it->blocks[QUERIES] : it->blocks[KEYS_VALUES];
}

static void attention_run(instance *it)
{
    const problem *p = it->problem;
    shape s = shape_of(p);
    const char *kv = it->blocks[KEYS_VALUES];
    size_t width = s.width * bytes_of(p->type);
    clsp_attention_input input = {queries(it), kv + width, kv + 2 * width, s.q_stride, s.kv_stride};
    clsp_attention_capture capture = {captured(it, KEEP_Z, s.z), captured(it, KEEP_CLS, s.cls),
                                      captured(it, KEEP_TOKENS, s.token_terms), s.sequences + SPARE};
    clipspan_error err;
    require(clsp_attention_run(it->object, it->out, &input, it->blocks[STARTS], s.sequences, p->manner & ONE_QUERY,
                               &capture, &err), &err);
}

/* ---- the formula ----------------------------------------------------------------------------------------------- */

/* One head of one sequence. */
typedef struct head {
    const instance *it;
    shape s;
    size_t sequence, number, first, n;
} head;

static double input_at(const head *h, int part, size_t row, size_t e)
{
    const problem *p = h->it->problem;
    bool query = part == 0;
    size_t stride = query ? h->s.q_stride : h->s.kv_stride;
    return value_at(query ? queries(h->it) : h->it->blocks[KEYS_VALUES],
                    row * stride + (size_t)part * h->s.width + h->number * h->s.d + e, p->type);
}

/* alpha [n] of query row q, which sees the sequence's first `seen` tokens. */
static void weights_of(double *alpha, const head *h, size_t q, size_t seen)
{
    double most = -INFINITY, sum = 0.0;
    for (size_t t = 0; t < seen; t++) {
        alpha[t] = 0.0;
        for (size_t e = 0; e < h->s.d; e++) alpha[t] += input_at(h, 0, q, e) * input_at(h, 1, h->first + t, e);
        alpha[t] /= sqrt((double)h->s.d);
        most = fmax(most, alpha[t]);
    }
    for (size_t t = 0; t < seen; t++) sum += alpha[t] = exp(alpha[t] - most);
    for (size_t t = 0; t < seen; t++) alpha[t] /= sum;
}

static double captures_error(const head *h, const double *alpha, size_t seen, size_t e, double z)
{
    size_t place = h->sequence * h->s.width + h->number * h->s.d + e;
    const float *kept_z = captured(h->it, KEEP_Z, h->s.z), *cls = captured(h->it, KEEP_CLS, h->s.cls);
    const float *tokens = captured(h->it, KEEP_TOKENS, h->s.token_terms);
    double worst = 0.0;
    if (kept_z) worst = worse(worst, fabs((double)kept_z[place] - z));
    if (cls) worst = worse(worst, fabs((double)cls[place] - alpha[0] * input_at(h, 2, h->first, e)));
    for (size_t t = 0; tokens && t < h->n; t++) {
        double term = t < seen ? alpha[t] * input_at(h, 2, h->first + t, e) : 0.0;
        size_t row = (h->number * (h->s.sequences + SPARE) + h->sequence) * h->s.tokens + t;
        worst = worse(worst, fabs((double)tokens[row * h->s.d + e] - term));
    }
    return worst;
}

/* worst[0]: of the output, worst[1]: of the captures, both of values up to 2. */
static void head_error(const head *h, double *alpha, double worst[2])
{
    const problem *p = h->it->problem;
    bool one = p->manner & ONE_QUERY;
    for (size_t i = 0; i < (one ? 1 : h->n); i++) {
        size_t row = one ? h->sequence : h->first + i, seen = p->manner & CAUSAL && !one ? i + 1 : h->n;
        weights_of(alpha, h, row, seen);
        for (size_t e = 0; e < h->s.d; e++) {
            double sum = 0.0;
            for (size_t t = 0; t < seen; t++) sum += alpha[t] * input_at(h, 2, h->first + t, e);
            double got = value_at(h->it->out, row * h->s.width + h->number * h->s.d + e, p->output);
            worst[0] = worse(worst[0], fabs(got - sum) / 2.0);
            if (i == 0) worst[1] = worse(worst[1], captures_error(h, alpha, seen, e, sum) / 2.0);
        }
    }
}

/* Room for sequences that are not there is nobody's to write. */
static bool room_kept(const instance *it, const shape *s)
{
    size_t block = s->tokens * s->d * sizeof(float), size = SPARE * block;
    for (size_t h = 0; it->problem->manner & KEEP_TOKENS && h < s->heads; h++) {
        size_t at = s->token_terms + h * (s->sequences + SPARE) * block + s->sequences * block;
        if (memcmp((const char *)it->out + at, (const char *)it->before + at, size) != 0) return false;
    }
    return true;
}

static double attention_error(const instance *it)
{
    const problem *p = it->problem;
    head h = {.it = it, .s = shape_of(p)};
    const size_t *start = it->blocks[STARTS];
    size_t all = h.s.sequences * h.s.heads;
    size_t step = check_step(all, 2.0 * (double)h.s.tokens * (double)h.s.tokens * (double)h.s.d);
    double *alpha = clsp_alloc(h.s.tokens, sizeof *alpha), worst[2] = {0};
    if (alpha == NULL) require(clsp_fail_memory(NULL), NULL);
    for (size_t k = 0; k < all; k += step) {
        size_t item = all - 1 - k;
        h.sequence = item / h.s.heads;
        h.number = item % h.s.heads;
        h.first = start[h.sequence];
        h.n = start[h.sequence + 1] - h.first;
        head_error(&h, alpha, worst);
    }
    clsp_free(alpha);
    return worst[1] < CAPTURE_TOLERANCE && room_kept(it, &h.s) ? worst[0] : INFINITY;
}

static void attention_free(instance *it) { clsp_attention_free(it->object); }

/* Two products a head; a causal one is counted whole too. */
static double attention_work(const problem *p)
{
    shape s = shape_of(p);
    double pairs = 0.0;
    for (size_t i = 0; i < s.sequences; i++) {
        double n = (double)length_of(p, i);
        pairs += p->manner & ONE_QUERY ? n : n * n;
    }
    return 4.0 * pairs * (double)s.width;
}

const kernel_ops attention_ops = {.name = "attention", .unit = "GFLOP/s", .make = attention_make, .run = attention_run,
                                  .error = attention_error, .free = attention_free, .work = attention_work};
