/* One head's attention on matrix tiles: 32 queries at a time, their scores in L1 from the first product to the second.
 *
 * Letters: n tokens, d head width; N and D are both rounded up to 32, the room between filled with zeros. */
#include "compute/clones.h"
#include "compute/tiles_x86.h"

#if CLSP_TILES
#include "compute/transpose_x86.h"
#endif

#include <string.h>

static size_t rounded(size_t x) { return (x + SIDE - 1) / SIDE * SIDE; }

/* Where everything stands in the scratch area. */
typedef struct room {
    uint16_t *keys;    /* [N / 32, D / 32] steps: tokens are outputs, values inputs */
    uint16_t *values;  /* [D / 32, N / 32] steps: values are outputs, tokens inputs */
    uint16_t *queries; /* [32, D] */
    uint16_t *weights; /* [32, N] */
    float *scores;     /* [32, N] */
    float *sums;       /* [32, 32] */
} room;

static size_t lay_out(room *r, void *scratch, size_t n, size_t d)
{
    size_t tokens = rounded(n), width = rounded(d);
    size_t bytes[] = {2 * tokens * width, 2 * tokens * width, 2 * SIDE * width, 2 * SIDE * tokens, 4 * SIDE * tokens,
                      4 * BLOCK};
    void *places[6];
    char *at = scratch;
    for (int i = 0; i < 6; i++) {
        places[i] = at;
        if (scratch) at += bytes[i];
    }
    *r = (room){places[0], places[1], places[2], places[3], places[4], places[5]};
    return bytes[0] + bytes[1] + bytes[2] + bytes[3] + bytes[4] + bytes[5];
}

static size_t bytes(size_t n, size_t d)
{
    room r;
    if (n > 1 << 20 || d > 1 << 16) return 0;
    return lay_out(&r, NULL, n, d);
}

#if CLSP_TILES

/* ---- packing one head -------------------------------------------------------------------------------------- */

/* 32 values of one token; the first `count` are there, the others zero. */
VECTOR __m512i load_values(const uint16_t *row, size_t count)
{
    return _mm512_maskz_loadu_epi16(count >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << count) - 1, row);
}

VECTOR void pack_keys(uint16_t *keys, const clsp_head *h)
{
    size_t steps = rounded(h->d) / SIDE;
    for (size_t token = 0; token < rounded(h->n); token += 16)
        for (size_t s = 0; s < steps; s++) {
            __m512i rows[16], columns[16];
            for (size_t i = 0; i < 16; i++)
                rows[i] = token + i < h->n
                              ? load_values((const uint16_t *)h->k + (token + i) * h->kv_stride + s * SIDE, h->d - s * SIDE)
                              : _mm512_setzero_si512();
            clsp_transpose(columns, rows);
            uint16_t *tile = keys + (token / SIDE * steps + s) * STEP + token / 16 % 2 * (STEP / 2);
            for (size_t r = 0; r < 16; r++) _mm512_store_si512(tile + r * SIDE, columns[r]);
        }
}

VECTOR void pack_values(uint16_t *values, const clsp_head *h)
{
    static const uint16_t order[2][32] __attribute__((aligned(64))) = {
        {0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47},
        {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63}};
    size_t steps = rounded(h->n) / SIDE;
    __m512i low = _mm512_load_si512(order[0]), high = _mm512_load_si512(order[1]);
    for (size_t j = 0; j < rounded(h->d) / SIDE; j++)
        for (size_t token = 0; token < rounded(h->n); token += 2) {
            const uint16_t *row = (const uint16_t *)h->v + token * h->kv_stride + j * SIDE;
            __m512i even = _mm512_setzero_si512(), odd = even;
            if (token < h->n) even = load_values(row, h->d - j * SIDE);
            if (token + 1 < h->n) odd = load_values(row + h->kv_stride, h->d - j * SIDE);
            uint16_t *tile = values + (j * steps + token / SIDE) * STEP + token % SIDE / 2 * SIDE;
            _mm512_store_si512(tile, _mm512_permutex2var_epi16(even, low, odd));
            _mm512_store_si512(tile + STEP / 2, _mm512_permutex2var_epi16(even, high, odd));
        }
}

/* ---- 32 queries -------------------------------------------------------------------------------------------- */

/* out [32, 32] = a b over `steps` steps; a: rows of 32 values a step; b: packed steps. */
MATRIX inline void block_product(float *out, size_t out_stride, const uint16_t *a, size_t a_stride, const uint16_t *b,
                                 size_t steps)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t s = 0; s < steps; s++) {
        _tile_loadd(4, a + s * SIDE, 2 * a_stride);
        _tile_loadd(6, b + s * STEP, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + s * STEP + STEP / 2, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + 16 * a_stride + s * SIDE, 2 * a_stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out, 4 * out_stride);
    _tile_stored(1, out + 16, 4 * out_stride);
    _tile_stored(2, out + 16 * out_stride, 4 * out_stride);
    _tile_stored(3, out + 16 * out_stride + 16, 4 * out_stride);
}

VECTOR __mmask16 first_lanes(size_t count) { return count >= 16 ? 0xffff : (__mmask16)((1u << count) - 1); }

/* weights [end] = e^(scale (s - max s)) of the first n scores, zeros behind; returns 1 / their sum. */
VECTOR float exponentials(uint16_t *weights, const float *scores, float scale, size_t n, size_t end)
{
    __m512 most = _mm512_set1_ps(scores[0]), sum = _mm512_setzero_ps(), factor = _mm512_set1_ps(scale);
    for (size_t i = 0; i < n; i += 16)
        most = _mm512_mask_max_ps(most, first_lanes(n - i), most, _mm512_load_ps(scores + i));
    most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    for (size_t i = 0; i < end; i += 16) {
        __m512 e = _mm512_setzero_ps();
        if (i < n) {
            e = exponential(_mm512_mul_ps(_mm512_sub_ps(_mm512_load_ps(scores + i), most), factor));
            e = _mm512_maskz_mov_ps(first_lanes(n - i), e);
        }
        sum = _mm512_add_ps(sum, e);
        _mm256_store_si256((__m256i *)(weights + i), (__m256i)_mm512_cvtneps_pbh(e));
    }
    return 1.0f / _mm512_reduce_add_ps(sum);
}

VECTOR void store_rows(const clsp_head *h, const float *sums, const float *inverse, size_t first, size_t rows,
                       size_t column)
{
    size_t there = clsp_min(h->d - column, SIDE);
    __mmask32 mask = there == 32 ? ~(__mmask32)0 : ((__mmask32)1 << there) - 1;
    for (size_t r = 0; r < rows; r++) {
        __m512 factor = _mm512_set1_ps(inverse[r]);
        __m512 low = _mm512_mul_ps(_mm512_load_ps(sums + r * SIDE), factor);
        __m512 high = _mm512_mul_ps(_mm512_load_ps(sums + r * SIDE + 16), factor);
        _mm512_mask_storeu_epi16((uint16_t *)h->out + (first + r) * h->out_stride + column, mask,
                                 (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

MATRIX void strip(const clsp_head *h, const room *at, size_t first)
{
    size_t steps = rounded(h->d) / SIDE, all = rounded(h->n), rows = clsp_min(h->n - first, SIDE);
    size_t end = h->causal ? first + SIDE : all; /* tokens that these queries may see, rounded up */
    const uint16_t *q = (const uint16_t *)h->q + first * h->q_stride;
    size_t stride = h->q_stride;
    float inverse[SIDE];
    if (rows < SIDE || h->d % SIDE) {
        memset(at->queries, 0, 2 * SIDE * steps * SIDE);
        for (size_t r = 0; r < rows; r++) memcpy(at->queries + r * steps * SIDE, q + r * stride, 2 * h->d);
        q = at->queries;
        stride = steps * SIDE;
    }
    for (size_t token = 0; token < end; token += SIDE)
        block_product(at->scores + token, all, q, stride, at->keys + token * steps * SIDE, steps);
    if (first == 0 && h->alpha) {
        memcpy(h->alpha, at->scores, h->n * sizeof *h->alpha);
        clsp_softmax_row(h->alpha, NULL, h->scale, h->causal ? 1 : h->n, h->n);
    }
    for (size_t r = 0; r < rows; r++)
        inverse[r] = exponentials(at->weights + r * all, at->scores + r * all, h->scale,
                                  h->causal ? first + r + 1 : h->n, end);
    for (size_t column = 0; column < h->d; column += SIDE) {
        block_product(at->sums, SIDE, at->weights, all, at->values + column * all, end / SIDE);
        store_rows(h, at->sums, inverse, first, rows, column);
    }
}

static void attend(const clsp_head *head, void *scratch)
{
    room at;
    lay_out(&at, scratch, head->n, head->d);
    pack_keys(at.keys, head);
    pack_values(at.values, head);
    memset(at.weights, 0, 2 * SIDE * rounded(head->n)); /* rows behind the last query: finite */
    for (size_t first = 0; first < head->n; first += SIDE) strip(head, &at, first);
}

#else

static void attend(const clsp_head *head, void *scratch)
{
    (void)head;
    (void)scratch;
}

#endif

const clsp_head_kernel clsp_tiles_head = {bytes, attend};
