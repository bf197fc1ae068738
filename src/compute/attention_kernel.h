/* compute/attention_kernel.h - one head's attention, written once; the file that includes it says for what:
 *
 *   KERNEL, TARGET  the clsp_head_kernel to define; the attribute of its functions
 *   LANES, vec      floats in a vector, and its type, which may alias floats
 *   BLOCK           vectors of a row that one tile holds, at most 4
 *   PAIRS           1: a word is two bf16 neighbours of a sum; 0: one fp32, to which bf16 is widened
 *   SPLAT(x), BROADCAST(p)  a float, or the word at p, in every lane
 *   FMA(a, b, c)    a b + c
 *   DOT(sum, a, b)  sum + a b for words
 *   MAX(a, b)       the larger one; b where one of them is not a number
 *   SUM(v), LARGEST(v)  over the lanes
 *   TRANSPOSE(to, from, stride)  to [LANES, LANES] = from', words, rows of `from` `stride` apart
 *
 * Both products are c = a b with a read word by word and b in panels of LANES columns: [panels, steps, LANES]. Keys: a
 * panel is LANES tokens and a step a word of d; values: a panel is LANES of d and a step a word of tokens. Room between
 * n or d and the end of a panel or word holds zeros. */
#include "compute/clones.h"

enum { ROWS = 6, TILES = 4, QUERIES = ROWS * TILES }; /* rows of a tile; tiles and queries of a block */

#define INNER TARGET static inline __attribute__((always_inline))

static size_t panels_of(size_t columns) { return (columns + LANES - 1) / LANES; }
static size_t words_of(size_t values) { return PAIRS ? (values + 1) / 2 : values; }

/* Where everything stands in the scratch area; all but `sums` and `scores` in words. */
typedef struct places {
    float *keys;    /* [token panels, words of d, LANES] */
    float *values;  /* [d panels, words of n, LANES] */
    float *rows;    /* [QUERIES, words of d]: queries; before, LANES rows of k or one of v */
    float *scores;  /* [QUERIES, token panels LANES] */
    float *weights; /* the same, words; where they are fp32, the same place */
    float *sums;    /* [QUERIES, d panels LANES]; before, two rows of v */
} places;

static size_t lay_out(places *p, float *scratch, size_t n, size_t d)
{
    size_t tokens = panels_of(n) * LANES, width = panels_of(d) * LANES;
    size_t counts[] = {tokens * words_of(d), width * words_of(n), QUERIES * width, QUERIES * tokens,
                       PAIRS ? QUERIES * tokens / 2 : 0, QUERIES * width};
    float *at[6];
    size_t used = 0;
    for (int i = 0; i < 6; i++) {
        at[i] = scratch ? scratch + used : NULL;
        used += (counts[i] + 15) / 16 * 16;
    }
    *p = (places){at[0], at[1], at[2], at[3], PAIRS ? at[4] : at[3], at[5]};
    return used * sizeof(float);
}

static size_t bytes(size_t n, size_t d)
{
    places p;
    return lay_out(&p, NULL, n, d);
}

/* ---- packing ----------------------------------------------------------------------------------------------- */

/* Short rows: a call of the library costs more than the copy. */
INNER void copy(void *to, const void *from, size_t size)
{
    size_t i = 0;
    for (; i + sizeof(vec) <= size; i += sizeof(vec)) memcpy((char *)to + i, (const char *)from + i, sizeof(vec));
    if (i < size) memcpy((char *)to + i, (const char *)from + i, size - i);
}

/* Row `row` of q, k or v as words; zeros behind d, to the end of a word. */
INNER void read_row(float *to, const clsp_head *h, const void *from, size_t stride, size_t row)
{
    if (PAIRS) {
        to[words_of(h->d) - 1] = 0.0f;
        copy(to, (const uint16_t *)from + row * stride, h->d * sizeof(uint16_t));
    } else if (h->type == CLSP_TYPE_BF16) {
        const uint16_t *half = (const uint16_t *)from + row * stride;
        for (size_t i = 0; i < h->d; i++) to[i] = clsp_widen_bf16(half[i]);
    } else
        copy(to, (const float *)from + row * stride, h->d * sizeof *to);
}

INNER void read_rows(float *to, const clsp_head *h, const void *from, size_t stride, size_t first, size_t count,
                     size_t room)
{
    size_t words = words_of(h->d);
    for (size_t r = 0; r < count; r++) read_row(to + r * words, h, from, stride, first + r);
    memset(to + count * words, 0, (room - count) * words * sizeof *to);
}

TARGET static void pack_keys(const places *p, const clsp_head *h)
{
    size_t words = words_of(h->d);
    for (size_t j = 0; j < panels_of(h->n); j++) {
        float *panel = p->keys + j * words * LANES;
        read_rows(p->rows, h, h->k, h->kv_stride, j * LANES, clsp_min(h->n - j * LANES, LANES), LANES);
        size_t s = 0;
        for (; s + LANES <= words; s += LANES) TRANSPOSE(panel + s * LANES, p->rows + s, words);
        for (; s < words; s++)
            for (size_t t = 0; t < LANES; t++) panel[s * LANES + t] = p->rows[t * words + s];
    }
}

/* Words of two tokens from two rows. */
INNER void pair_rows(float *restrict to, const uint16_t *restrict even, const uint16_t *restrict odd, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t word = even[i] | (uint32_t)odd[i] << 16;
        memcpy(to + i, &word, sizeof word);
    }
}

TARGET static void pack_values(const places *p, const clsp_head *h)
{
    size_t steps = words_of(h->n), width = panels_of(h->d) * LANES;
    uint16_t *even = (uint16_t *)p->sums, *odd = even + width; /* free yet */
    memset(p->rows, 0, width * sizeof *p->rows);
    memset(even, 0, 2 * width * sizeof *even);
    for (size_t t = 0; t < steps; t++) {
        if (PAIRS) {
            const uint16_t *row = (const uint16_t *)h->v + 2 * t * h->kv_stride;
            copy(even, row, h->d * sizeof *even);
            if (2 * t + 1 < h->n) copy(odd, row + h->kv_stride, h->d * sizeof *odd);
            else memset(odd, 0, h->d * sizeof *odd);
            pair_rows(p->rows, even, odd, width);
        } else
            read_row(p->rows, h, h->v, h->kv_stride, t);
        for (size_t j = 0; j * LANES < width; j++)
            *(vec *)(p->values + (j * steps + t) * LANES) = *(const vec *)(p->rows + j * LANES);
    }
}

/* ---- products ---------------------------------------------------------------------------------------------- */

/* c [ROWS, vectors LANES] = a b over `steps` words; rows of a and c, and panels of b, as many words apart as is said. */
INNER void tile(float *c, size_t c_stride, const float *a, size_t a_stride, const float *b, size_t b_stride,
                size_t steps, const int vectors)
{
    vec sums[ROWS][BLOCK];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sums[r][v] = SPLAT(0.0f);
    for (size_t s = 0; s < steps; s++) {
        vec columns[BLOCK];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) columns[v] = *(const vec *)(b + (size_t)v * b_stride + s * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            vec x = BROADCAST(a + (size_t)r * a_stride + s);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sums[r][v] = DOT(sums[r][v], x, columns[v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) *(vec *)(c + (size_t)r * c_stride + v * LANES) = sums[r][v];
}

/* c [tiles ROWS, panels LANES] = a b. A group of panels stays in L1 for all rows; groups are of nearly equal size. */
TARGET static void multiply(float *c, size_t c_stride, const float *a, size_t a_stride, const float *b,
                            size_t b_stride, size_t panels, size_t steps, size_t tiles)
{
    size_t groups = (panels + BLOCK - 1) / BLOCK;
    for (size_t g = 0; g < groups; g++) {
        size_t from = panels * g / groups, to = panels * (g + 1) / groups;
        for (size_t r = 0; r < tiles; r++) {
            float *c_tile = c + r * ROWS * c_stride + from * LANES;
            const float *a_tile = a + r * ROWS * a_stride, *b_tile = b + from * b_stride;
            switch (to - from) {
            case 1: tile(c_tile, c_stride, a_tile, a_stride, b_tile, b_stride, steps, 1); break;
            case 2: tile(c_tile, c_stride, a_tile, a_stride, b_tile, b_stride, steps, 2); break;
#if BLOCK == 4
            case 3: tile(c_tile, c_stride, a_tile, a_stride, b_tile, b_stride, steps, 3); break;
            default: tile(c_tile, c_stride, a_tile, a_stride, b_tile, b_stride, steps, 4); break;
#endif
            }
        }
    }
}

/* ---- softmax ----------------------------------------------------------------------------------------------- */

/* Without a sign: lanes behind a row's end hold what they may, and are masked afterwards. */
typedef uint32_t lane_bits __attribute__((vector_size(LANES * 4)));

/* e^x for x <= 0, to about 1 unit in the last place; below -87 that of -87, 1.6e-38; the same steps as norm.c's. The
 * magic number rounds to the nearest integer and leaves it in the low bits, which become the exponent's. */
INNER vec exponential(vec x)
{
    const vec magic = SPLAT(12582912.0f);
    x = MAX(SPLAT(-87.0f), x);
    vec shifted = FMA(x, SPLAT(1.44269504f), magic), n = shifted - magic;
    vec r = FMA(n, SPLAT(2.12194440e-4f), FMA(n, SPLAT(-0.693359375f), x));
    vec p = FMA(SPLAT(1.98412698e-4f), r, SPLAT(1.38888889e-3f));
    p = FMA(p, r, SPLAT(8.33333333e-3f));
    p = FMA(p, r, SPLAT(4.16666667e-2f));
    p = FMA(p, r, SPLAT(1.66666667e-1f));
    p = FMA(p, r, SPLAT(0.5f));
    p = FMA(p, r, SPLAT(1.0f));
    p = FMA(p, r, SPLAT(1.0f));
    return (vec)((lane_bits)p + ((lane_bits)shifted << 23));
}

INNER void put_weights(float *weights, size_t i, vec e)
{
#if PAIRS
    _mm256_store_si256((__m256i *)(weights + i / 2), (__m256i)_mm512_cvtneps_pbh(e));
#else
    *(vec *)(weights + i) = e;
#endif
}

/* All bits in the first `count` < LANES lanes. */
INNER lane_bits first_lanes(size_t count)
{
    static const int32_t ones[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    lane_bits mask;
    memcpy(&mask, ones + 16 - count, sizeof mask);
    return mask;
}

/* v in the first `count` < LANES lanes, `other` behind. */
INNER vec keep_first(vec v, size_t count, vec other)
{
    lane_bits there = first_lanes(count);
    return (vec)(((lane_bits)v & there) | ((lane_bits)other & ~there));
}

INNER float largest(const float *scores, size_t n)
{
    const vec lowest = SPLAT(-INFINITY);
    vec most = lowest;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) most = MAX(most, *(const vec *)(scores + i));
    if (i < n) most = MAX(most, keep_first(*(const vec *)(scores + i), n - i, lowest));
    return LARGEST(most);
}

/* weights [end] = e^(scale (s - highest)) of the first n scores, zeros behind; 1 / their sum. */
INNER float exponentials(float *weights, const float *scores, float highest, float scale, size_t n, size_t end)
{
    const vec zero = SPLAT(0.0f), most = SPLAT(highest), factor = SPLAT(scale);
    vec sum = zero;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec e = exponential((*(const vec *)(scores + i) - most) * factor);
        sum += e;
        put_weights(weights, i, e);
    }
    if (i < n) {
        vec e = keep_first(exponential((*(const vec *)(scores + i) - most) * factor), n - i, zero);
        sum += e;
        put_weights(weights, i, e);
        i += LANES;
    }
    for (; i < end; i += LANES) put_weights(weights, i, zero);
    return 1.0f / SUM(sum);
}

/* ---- a head ------------------------------------------------------------------------------------------------ */

INNER void write_row(const clsp_head *h, const float *restrict sums, float factor, size_t row)
{
#if PAIRS
    uint16_t *out = (uint16_t *)h->out + row * h->out_stride;
    for (size_t i = 0; i < h->d; i += LANES) {
        __mmask16 there = h->d - i >= LANES ? 0xffff : (__mmask16)((1u << (h->d - i)) - 1);
        _mm256_mask_storeu_epi16(out + i, there,
                                 (__m256i)_mm512_cvtneps_pbh(*(const vec *)(sums + i) * SPLAT(factor)));
    }
#else
    if (h->type == CLSP_TYPE_BF16) {
        uint16_t *restrict out = (uint16_t *)h->out + row * h->out_stride;
        for (size_t i = 0; i < h->d; i++) out[i] = clsp_round_bf16(sums[i] * factor);
    } else {
        float *restrict out = (float *)h->out + row * h->out_stride;
        for (size_t i = 0; i < h->d; i++) out[i] = sums[i] * factor;
    }
#endif
}

/* Scores of `rows` queries become weights, and factors what makes their sums one. The rows' maxima first, all of them:
 * one row after another would wait for each. */
INNER void soften(const clsp_head *h, const places *p, float *factors, size_t first, size_t rows, size_t seen, size_t end)
{
    size_t stride = panels_of(h->n) * LANES, counts[QUERIES];
    float highest[QUERIES];
    for (size_t r = 0; r < rows; r++) {
        counts[r] = h->causal ? clsp_min(first + r + 1, seen) : h->n;
        highest[r] = largest(p->scores + r * stride, counts[r]);
    }
    for (size_t r = 0; r < rows; r++)
        factors[r] = exponentials(p->weights + r * words_of(stride), p->scores + r * stride, highest[r], h->scale,
                                  counts[r], end);
}

/* The same rows of the head that comes next, so that they wait in the cache when it is packed. */
INNER void fetch_next(const clsp_head *h, size_t first, size_t count)
{
    size_t size = h->type == CLSP_TYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
    for (size_t r = first; r < first + count; r++)
        for (size_t i = 0; i < h->d * size; i += 64) {
            __builtin_prefetch((const char *)h->q + (r * h->q_stride + h->ahead) * size + i, 0, 2);
            __builtin_prefetch((const char *)h->k + (r * h->kv_stride + h->ahead) * size + i, 0, 2);
            __builtin_prefetch((const char *)h->v + (r * h->kv_stride + h->ahead) * size + i, 0, 2);
        }
}

TARGET static void attend_queries(const clsp_head *h, const places *p, size_t first)
{
    size_t words = words_of(h->d), tokens = panels_of(h->n) * LANES, width = panels_of(h->d) * LANES;
    size_t count = clsp_min(h->n - first, QUERIES), tiles = (count + ROWS - 1) / ROWS;
    size_t seen = h->causal ? first + count : h->n, end = panels_of(seen) * LANES;
    float factors[QUERIES];
    if (h->ahead) fetch_next(h, first, count);
    read_rows(p->rows, h, h->q, h->q_stride, first, count, tiles * ROWS);
    multiply(p->scores, tokens, p->rows, words, p->keys, words * LANES, end / LANES, words, tiles);
    if (first == 0 && h->alpha) {
        memcpy(h->alpha, p->scores, h->n * sizeof *h->alpha);
        clsp_softmax_row(h->alpha, NULL, h->scale, h->causal ? 1 : h->n, h->n);
    }
    soften(h, p, factors, first, tiles * ROWS, seen, end);
    multiply(p->sums, width, p->weights, words_of(tokens), p->values, words_of(h->n) * LANES, width / LANES,
             words_of(seen), tiles);
    for (size_t r = 0; r < count; r++) write_row(h, p->sums + r * width, factors[r], first + r);
}

TARGET static void attend(const clsp_head *head, void *scratch)
{
    places p;
    lay_out(&p, scratch, head->n, head->d);
    pack_keys(&p, head);
    pack_values(&p, head);
    for (size_t first = 0; first < head->n; first += QUERIES) attend_queries(head, &p, first);
}

const clsp_head_kernel KERNEL = {bytes, attend};
