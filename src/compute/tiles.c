/* Linear layers on matrix tiles.
 *
 * Blocking, from what a core of such a processor can read a cycle (128 bytes from L1, about 50 from L2, about 9 from
 * L3): a block of 32 x 32 outputs costs four tile loads (4 KB) for 64 cycles of multiplying. So one of the two sides must
 * come from L1: 32 rows x 256 inputs of x (16 KB), while 512 columns of weights (256 KB) pass by from L2. The sums of
 * all blocks of a task (up to 1 MB) wait in L2 between slices of 256 inputs. */
#include "compute/isa.h"
#include "compute/tiles_x86.h"

#include <omp.h>
#include <string.h>

#if CLSP_TILES
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { SLICE = 256, PANEL = 16 };

/* ---- packing ----------------------------------------------------------------------------------------------- */

/* Slices of 256 inputs; in each, for 32 outputs after 32, steps of 32 inputs; in each, two tiles of 16 outputs; in a tile,
 * row r holds inputs 2r and 2r + 1 of every output, as the instruction wants it. */
void clsp_tiles_pack(uint16_t *to, const float *weight, bool transposed, size_t in, size_t out)
{
#pragma omp parallel for schedule(static)
    for (size_t j = 0; j < out / SIDE; j++)
        for (size_t step = 0; step < in / SIDE; step++) {
            size_t slice = step * SIDE / SLICE * SLICE, steps = clsp_min(in - slice, SLICE) / SIDE;
            uint16_t *tile = to + slice * out + (j * steps + (step - slice / SIDE)) * STEP;
            for (size_t i = 0; i < STEP; i++) {
                size_t output = j * SIDE + i / (STEP / 2) * 16 + i / 2 % 16;
                size_t input = step * SIDE + i % (STEP / 2) / 32 * 2 + i % 2;
                tile[i] = clsp_f32_to_bf16(transposed ? weight[input * out + output] : weight[output * in + input]);
            }
        }
}

#if CLSP_TILES

/* ---- may they be used -------------------------------------------------------------------------------------- */

enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* arch_prctl's ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */

static bool ask(void)
{
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & 1u << 22) || !(d & 1u << 24)) return false; /* AMX-BF16, TILE */
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & 1u << 5)) return false;                     /* AVX512_BF16 */
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 0x600e6u) != 0x600e6u) return false; /* the system keeps AVX-512's and the tiles' state */
    return clsp_isa_allows(CLSP_ISA_AMX) && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

bool clsp_tiles_supported(void)
{
    static int answer; /* 0: not asked yet; two threads that ask at once get the same answer */
    int known = __atomic_load_n(&answer, __ATOMIC_RELAXED);
    if (known == 0) {
        known = ask() ? 1 : -1;
        __atomic_store_n(&answer, known, __ATOMIC_RELAXED);
    }
    return known > 0;
}

/* ---- activations ------------------------------------------------------------------------------------------- */

VECTOR __m512 sigmoid_product(__m512 x, __m512 slope_x)
{
    __m512 e = exponential(_mm512_sub_ps(_mm512_setzero_ps(), slope_x));
    return _mm512_mul_ps(x, reciprocal(_mm512_add_ps(e, _mm512_set1_ps(1.0f))));
}

/* x Phi(x), with erf by Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7). */
VECTOR __m512 gelu(__m512 x)
{
    __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.707106781f));
    __m512 t = reciprocal(_mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911f), _mm512_set1_ps(1.0f)));
    __m512 p = _mm512_set1_ps(1.061405429f);
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592f));
    __m512 tail = _mm512_mul_ps(_mm512_mul_ps(p, t), exponential(_mm512_fnmsub_ps(z, z, _mm512_setzero_ps())));
    /* tail = 1 - erf(z) = 2 (1 - Phi(|x|)): x Phi(x) = max(x, 0) - |x| tail / 2 */
    __m512 half = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(0.5f));
    return _mm512_fnmadd_ps(half, tail, _mm512_max_ps(x, _mm512_setzero_ps()));
}

VECTOR __m512 activate(__m512 x, clsp_epilogue epilogue)
{
    switch (epilogue) {
    case CLSP_EPILOGUE_GELU: return gelu(x);
    case CLSP_EPILOGUE_QUICK_GELU: return sigmoid_product(x, _mm512_mul_ps(x, _mm512_set1_ps(1.702f)));
    case CLSP_EPILOGUE_GELU_TANH: { /* x (1 + tanh(u)) / 2 = x / (1 + e^-2u) */
        __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
        __m512 u = _mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), x);
        return sigmoid_product(x, _mm512_mul_ps(u, _mm512_set1_ps(1.595769122f)));
    }
    case CLSP_EPILOGUE_ADD:
    case CLSP_EPILOGUE_NONE: break;
    }
    return x;
}

/* ---- one task ---------------------------------------------------------------------------------------------- */

/* Which blocks of 32 x 32 outputs: strips of rows [first, end), columns likewise. */
typedef struct task {
    size_t strip, strip_end, column, column_end;
} task;

/* Sums of one block of outputs, as four tiles; the steps of one slice are added. */
MATRIX inline void multiply(float *sums, const uint16_t *x, size_t x_stride, const uint16_t *weight, size_t steps,
                            bool first, const uint16_t *next)
{
    if (first) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, sums, 64);
        _tile_loadd(1, sums + 256, 64);
        _tile_loadd(2, sums + 512, 64);
        _tile_loadd(3, sums + 768, 64);
    }
    for (size_t s = 0; s < steps; s++) {
        _tile_loadd(4, x + s * SIDE, 2 * x_stride);
        _tile_loadd(6, weight + s * STEP, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, weight + s * STEP + STEP / 2, 64);
        _tile_dpbf16ps(1, 4, 7);
        _mm_prefetch(next + s * SIDE, _MM_HINT_T0);
        _mm_prefetch(next + x_stride + s * SIDE, _MM_HINT_T0);
        _tile_loadd(5, x + 16 * x_stride + s * SIDE, 2 * x_stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + 256, 64);
    _tile_stored(2, sums + 512, 64);
    _tile_stored(3, sums + 768, 64);
}

VECTOR void finish_row(const clsp_tiles_product *p, const task *t, const float *sums, size_t row)
{
    for (size_t j = t->column; j < t->column_end; j++, sums += BLOCK) {
        __m512 low = _mm512_load_ps(sums), high = _mm512_load_ps(sums + 256);
        if (p->bias) {
            low = _mm512_add_ps(low, _mm512_loadu_ps(p->bias + j * SIDE));
            high = _mm512_add_ps(high, _mm512_loadu_ps(p->bias + j * SIDE + 16));
        }
        low = activate(low, p->epilogue);
        high = activate(high, p->epilogue);
        size_t at = row * p->y_stride + j * SIDE;
        if (p->output == CLSP_TYPE_BF16) {
            _mm512_storeu_si512((uint16_t *)p->y + at, (__m512i)_mm512_cvtne2ps_pbh(high, low));
            continue;
        }
        float *y = (float *)p->y + at;
        if (p->epilogue == CLSP_EPILOGUE_ADD) {
            low = _mm512_add_ps(_mm512_loadu_ps(y), low);
            high = _mm512_add_ps(_mm512_loadu_ps(y + 16), high);
        }
        _mm512_storeu_ps(y, low);
        _mm512_storeu_ps(y + 16, high);
    }
}

MATRIX void run_task(const clsp_tiles_product *p, const task *t, float *sums, uint16_t *padded)
{
    size_t columns = t->column_end - t->column;
    for (size_t slice = 0; slice < p->in; slice += SLICE) {
        size_t steps = clsp_min(p->in - slice, SLICE) / SIDE;
        const uint16_t *weight = p->weight + slice * p->out + t->column * steps * STEP;
        for (size_t s = t->strip; s < t->strip_end; s++) {
            const uint16_t *x = p->x + s * SIDE * p->x_stride + slice, *next;
            size_t stride = p->x_stride, rows = clsp_min(p->rows - s * SIDE, SIDE);
            next = s + 1 < t->strip_end && (s + 2) * SIDE <= p->rows ? x + SIDE * stride : x;
            if (rows < SIDE) { /* the last strip: rows of zeros below */
                memset(padded, 0, SIDE * SLICE * sizeof *padded);
                for (size_t r = 0; r < rows; r++) memcpy(padded + r * SLICE, x + r * stride, 2 * steps * SIDE);
                x = next = padded;
                stride = SLICE;
            }
            for (size_t j = 0; j < columns; j++)
                multiply(sums + ((s - t->strip) * columns + j) * BLOCK, x, stride, weight + j * steps * STEP, steps,
                         slice == 0, next + j % 16 * 2 * stride);
        }
    }
    for (size_t row = t->strip * SIDE; row < clsp_min(t->strip_end * SIDE, p->rows); row++) {
        size_t r = row % SIDE, place = r / 16 * 512 + r % 16 * 16;
        finish_row(p, t, sums + (row / SIDE - t->strip) * columns * BLOCK + place, row);
    }
}

/* ---- the whole product ------------------------------------------------------------------------------------- */

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_config;

/* The intrinsic tells the compiler of 8 of the 64 bytes alone: hence volatile. */
MATRIX void configure_tiles(void)
{
    volatile tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.bytes[i] = 64;
        config.rows[i] = 16;
    }
    _tile_loadconfig((const void *)&config);
}

MATRIX void release_tiles(void) { _tile_release(); }

void clsp_tiles_begin(void) { configure_tiles(); }

void clsp_tiles_end(void) { release_tiles(); }

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

void clsp_tiles_run(const clsp_tiles_product *p, void *scratch, int threads)
{
    size_t strips = divide_up(p->rows, SIDE), columns = p->out / SIDE;
    size_t blocks = divide_up(strips, p->in > 2048 ? 16 : 8);
    size_t panels = clsp_max(divide_up(columns, PANEL), clsp_min(columns, divide_up((size_t)threads, blocks)));
    size_t high = divide_up(strips, blocks), wide = divide_up(columns, panels);
#pragma omp parallel num_threads(threads)
    {
        float *sums = (float *)((char *)scratch + (size_t)omp_get_thread_num() * CLSP_TILES_SCRATCH);
        configure_tiles();
#pragma omp for schedule(static)
        for (size_t i = 0; i < blocks * panels; i++) {
            task t = {.strip = i % blocks * high, .column = i / blocks * wide};
            t.strip_end = clsp_min(t.strip + high, strips);
            t.column_end = clsp_min(t.column + wide, columns);
            if (t.strip < t.strip_end && t.column < t.column_end)
                run_task(p, &t, sums, (uint16_t *)(sums + (1 << 18)));
        }
        release_tiles();
    }
}

#else

bool clsp_tiles_supported(void) { return false; }
void clsp_tiles_begin(void) {}
void clsp_tiles_end(void) {}
void clsp_tiles_run(const clsp_tiles_product *product, void *scratch, int threads)
{
    (void)product;
    (void)scratch;
    (void)threads;
}

#endif
