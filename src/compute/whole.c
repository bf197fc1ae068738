/* Products of whole numbers: rounding, packing, and the blocking, the same for every instruction set.
 *
 * A panel of weights passes by a block of up to 126 rows once, strip after strip of them; the rows, some 260 KB of a thousand
 * numbers each, stay in L2 for all panels, and an eighth of the next panel is fetched with each strip. */
#include <math.h>
#include <omp.h>

#include "compute/clones.h"
#include "compute/whole.h"

enum { LINE = 64, BLOCK_ROWS = 126, STEP = 4 };

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

/* As many steps as the numbers want; the last one may have some that are zero. */
static size_t steps_of(clsp_whole_type type, size_t in) { return divide_up(in, type == CLSP_WHOLE_16 ? 2 : 4); }

/* An odd number of cache lines: rows that lie a power of two apart would push each other out. */
size_t clsp_whole_stride(clsp_whole_type type, size_t in) { return (divide_up(steps_of(type, in) * STEP, LINE) | 1) * LINE; }

/* ---- rounding ------------------------------------------------------------------------------------------------ */

/* Added to a number below 2^22, it leaves the nearest whole number in the last bits. */
#define SHIFTER 12582912.0F
typedef int16_t lanes_16 __attribute__((vector_size(CLSP_LANES * 2)));
typedef int8_t lanes_8 __attribute__((vector_size(CLSP_LANES)));

static inline void load(clsp_lanes *lanes, const float *x, size_t at, size_t n)
{
    if (at + CLSP_LANES <= n)
        CLSP_LOAD(*lanes, x + at);
    else
        CLSP_LOAD_TAIL(*lanes, x + at, n - at);
}

CLSP_CLONES static float square_of(const float *x, size_t n)
{
    clsp_lanes sums = {0}, v;
    for (size_t c = 0; c < n; c += CLSP_LANES) {
        load(&v, x, c, n);
        sums += v * v;
    }
    return clsp_lanes_sum(&sums);
}

CLSP_CLONES static float largest_of(const float *x, size_t n)
{
    clsp_lane_mask most = {0}; /* of bits, which are in the order of what they stand for */
    clsp_lanes v;
    int32_t all = 0;
    for (size_t c = 0; c < n; c += CLSP_LANES) {
        load(&v, x, c, n);
        clsp_lane_mask size = (clsp_lane_mask)v & 0x7fffffff, more = size > most;
        most = (size & more) | (most & ~more);
    }
    for (size_t lane = 0; lane < CLSP_LANES; lane++) all = most[lane] > all ? most[lane] : all;
    return clsp_float_of((uint32_t)all);
}

/* to: whole numbers nearest to x / factor. Returns |x - factor to|^2. sum: of the numbers. */
#define ROUND(name, VEC)                                                                                               \
    CLSP_CLONES static float name(VEC *to, const float *x, size_t n, float factor, int32_t *sum)                       \
    {                                                                                                                  \
        clsp_lanes squares = {0}, v;                                                                                   \
        clsp_lane_mask numbers = {0};                                                                                  \
        float inverse = 1.0F / factor;                                                                                 \
        for (size_t c = 0; c < n; c += CLSP_LANES) {                                                                   \
            load(&v, x, c, n);                                                                                         \
            clsp_lanes shifted = v * inverse + SHIFTER;                                                                \
            v -= (shifted - SHIFTER) * factor;                                                                         \
            squares += v * v;                                                                                          \
            clsp_lane_mask whole = (clsp_lane_mask)shifted - 0x4B400000;                                               \
            VEC narrow = __builtin_convertvector(whole, VEC);                                                          \
            numbers += whole;                                                                                          \
            memcpy(to + c / CLSP_LANES, &narrow, sizeof narrow);                                                       \
        }                                                                                                              \
        *sum = 0;                                                                                                      \
        for (size_t lane = 0; lane < CLSP_LANES; lane++) *sum += numbers[lane];                                        \
        return clsp_lanes_sum(&squares);                                                                               \
    }
ROUND(round_16, lanes_16)
ROUND(round_8, lanes_8)

/* An orthogonal map of `blocks` times 16 numbers, a power of two of them: Hadamard's matrix, of blocks. */
CLSP_CLONES static void turn(float *x, size_t blocks)
{
    clsp_lanes a, b, sum;
    for (size_t half = blocks / 2; half > 0; half /= 2)
        for (size_t first = 0; first < blocks; first += 2 * half)
            for (size_t j = first * CLSP_LANES; j < (first + half) * CLSP_LANES; j += CLSP_LANES) {
                float *other = x + j + half * CLSP_LANES;
                CLSP_LOAD(a, x + j);
                CLSP_LOAD(b, other);
                sum = a + b;
                a -= b;
                memcpy(x + j, &sum, sizeof sum);
                memcpy(other, &a, sizeof a);
            }
    float scale = 1.0F / sqrtf((float)blocks);
    for (size_t j = 0; j < blocks * CLSP_LANES; j++) x[j] *= scale;
}

/* The same for all rows of n numbers, so that their products stay what they are; but no column stands out any more, so that less
 * is lost. Twice, from both ends, where the blocks are not a power of two. */
static void turn_row(float *x, size_t n)
{
    size_t blocks = n / CLSP_LANES, turned = 1;
    while (2 * turned <= blocks) turned *= 2;
    if (turned < 2) return;
    turn(x, turned);
    if (turned < blocks) turn(x + (blocks - turned) * CLSP_LANES, turned);
}

clsp_whole_row clsp_whole_round(void *to, clsp_whole_type type, float *x, size_t n)
{
    clsp_whole_row row = {.length = sqrtf(square_of(x, n))};
    if (!(row.length > 1e-15F && row.length < 1e15F)) { /* no squares below or above them */
        memset(to, 0, clsp_whole_stride(type, n));
        row.lost = row.length;
        row.factor = row.length < 1e15F ? 0.0F : NAN;
        return row;
    }
    float square, also = 4e-7F; /* the difference is itself rounded: 2^-22 of the length, and a bit */
    int32_t sum;
    if (type == CLSP_WHOLE_16) {
        row.factor = row.length / CLSP_WHOLE_LENGTH;
        square = round_16(to, x, n, row.factor, &sum);
    } else {
        turn_row(x, n);
        also = 4e-6F; /* and so is every turn: up to 34 times 2^-24 */
        row.factor = largest_of(x, n) / 127;
        square = round_8(to, x, n, row.factor, &sum);
        row.offset = 128 * sum;
    }
    row.lost = sqrtf(square) + also * row.length;
    return row;
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

static const clsp_whole_kernel *kernel_of(clsp_whole_type type)
{
    for (size_t k = 0;; k++) {
        const clsp_whole_kernel *kernel = &clsp_whole_kernels[k];
        if (kernel->type == type && kernel->supported()) return kernel;
    }
}

bool clsp_whole_8_is_fast(void) { return kernel_of(CLSP_WHOLE_8)->supported != clsp_whole_kernels[clsp_whole_kernel_count - 1].supported; }

size_t clsp_whole_bytes(clsp_whole_type type, size_t in, size_t out)
{
    size_t bytes;
    if (in > SIZE_MAX / 8 || out > SIZE_MAX / 2) return 0;
    return clsp_mul(&bytes, divide_up(out, CLSP_WHOLE_NR) * CLSP_WHOLE_NR, steps_of(type, in) * STEP) ? bytes : 0;
}

void clsp_whole_pack_by(const clsp_whole_kernel *kernel, void *to, const void *rows, size_t in, size_t out)
{
    size_t steps = steps_of(kernel->type, in), stride = clsp_whole_stride(kernel->type, in), nr = kernel->nr;
    uint32_t sign = kernel->type == CLSP_WHOLE_8 ? 0x80808080U : 0; /* 128 more of each number, which then has no sign */
#pragma omp parallel for schedule(static) if (in * out > 65536 && !omp_in_parallel())
    for (size_t first = 0; first < out; first += nr) {
        char *panel = (char *)to + first * steps * STEP;
        for (size_t s = 0; s < steps; s++)
            for (size_t j = 0; j < nr; j++) {
                uint32_t step = 0;
                if (first + j < out) memcpy(&step, (const char *)rows + (first + j) * stride + s * STEP, STEP);
                step ^= sign;
                memcpy(panel + (s * nr + j) * STEP, &step, STEP);
            }
    }
}

void clsp_whole_pack(void *to, clsp_whole_type type, const void *rows, size_t in, size_t out)
{
    clsp_whole_pack_by(kernel_of(type), to, rows, in, out);
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* A tile on its way out. */
CLSP_CLONES static void finish(float *const *y, size_t column, bool add, const int32_t *tile, size_t nr, const float *factor,
                               const clsp_whole_row *rows, size_t count, size_t columns)
{
    for (size_t r = 0; r < count; r++, tile += nr) {
        float *restrict to = y[r] + column;
        if (add)
            for (size_t j = 0; j < columns; j++) to[j] += (float)(tile[j] - rows[r].offset) * factor[j] * rows[r].factor;
        else
            for (size_t j = 0; j < columns; j++) to[j] = (float)(tile[j] - rows[r].offset) * factor[j] * rows[r].factor;
    }
}

/* The lines of y that a tile will be written to, fetched while it is computed. */
static void fetch_target(float *const *y, size_t column, size_t columns, size_t count)
{
    for (size_t r = 0; r < count; r++) {
        __builtin_prefetch(y[r] + column, 1, 3);
        __builtin_prefetch(y[r] + column + columns - 1, 1, 3);
    }
}

/* Strips of a block are of equal height, the last one perhaps lower. */
static void run_block(const clsp_whole_kernel *k, float *const *y, bool add, const clsp_whole *w, const char *x,
                      const clsp_whole_row *rows, size_t count)
{
    int32_t tile[CLSP_WHOLE_MR * CLSP_WHOLE_NR];
    size_t steps = steps_of(w->type, w->in), stride = clsp_whole_stride(w->type, w->in);
    size_t high = divide_up(count, divide_up(count, k->mr)), panel_bytes = steps * k->nr * STEP;
    for (size_t column = 0; column < w->out; column += k->nr) {
        const char *panel = (const char *)w->weight + column / k->nr * panel_bytes, *next = panel + panel_bytes;
        size_t columns = clsp_min(w->out - column, k->nr);
        for (size_t r = 0; r < count; r += high, next += 16 * steps) {
            size_t here = clsp_min(high, count - r);
            fetch_target(y + r, column, columns, here);
            k->multiply(tile, x + r * stride, stride, panel, next, steps, here);
            finish(y + r, column, add, tile, k->nr, w->factor + column, rows + r, here, columns);
        }
    }
}

void clsp_whole_run_by(const clsp_whole_kernel *kernel, float *const *y, bool add, const clsp_whole *weights, const void *x,
                       const clsp_whole_row *rows, size_t count)
{
    size_t stride = clsp_whole_stride(weights->type, weights->in);
    for (size_t r = 0; r < count; r += BLOCK_ROWS)
        run_block(kernel, y + r, add, weights, (const char *)x + r * stride, rows + r, clsp_min(BLOCK_ROWS, count - r));
}

void clsp_whole_run(float *const *y, bool add, const clsp_whole *weights, const void *x, const clsp_whole_row *rows, size_t count)
{
    clsp_whole_run_by(kernel_of(weights->type), y, add, weights, x, rows, count);
}
