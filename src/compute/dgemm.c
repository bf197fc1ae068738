/* Products in double precision, for the one pass whose sums must keep their signs (src/trace/exact.c): panels of sixteen
 * columns, widened to double where they are used, which stay in L1 with a strip of rows. */
#include "compute/gemm_kernels.h"

#include <omp.h>

enum { ROWS = 6, COLUMNS = 16, STEPS = 256 };

#define TARGET
#define KERNEL(name) portable_##name
#define LANES 2
#include "compute/dgemm_kernel.h"

#if CLSP_X86
#define TARGET __attribute__((target("avx2")))
#define KERNEL(name) avx2_##name
#define LANES 4
#include "compute/dgemm_kernel.h"

#define TARGET __attribute__((target("avx512f")))
#define KERNEL(name) avx512_##name
#define LANES 8
#include "compute/dgemm_kernel.h"
#endif

typedef void (*run_fn)(double *c, size_t c_stride, const double *a, size_t a_stride, const double *panel, size_t steps,
                       size_t m);

static run_fn kernel_of(void)
{
#if CLSP_X86
    if (clsp_isa() >= CLSP_ISA_AVX512) return avx512_run;
    if (clsp_isa() >= CLSP_ISA_AVX2) return avx2_run;
#endif
    return portable_run;
}

/* panel [steps, COLUMNS] = b's rows from `step` and columns from `column` on */
static void gather(double *panel, const clsp_factor *b, size_t step, size_t steps, size_t column, size_t columns)
{
    size_t across = b->transposed ? b->stride : 1, down = b->transposed ? 1 : b->stride;
    size_t first = step * down + column * across;
    for (size_t k = 0; k < steps; k++)
        for (size_t j = 0; j < columns; j++) {
            size_t at = first + k * down + j * across;
            panel[k * COLUMNS + j] = b->singles ? (double)b->singles[at] : b->doubles[at];
        }
}

/* What is left of a panel's width, in the kernels' order. */
static void run_narrow(double *c, size_t c_stride, const double *a, size_t a_stride, const double *panel, size_t steps,
                       size_t m, size_t columns)
{
    for (size_t r = 0; r < m; r++)
        for (size_t k = 0; k < steps; k++)
            for (size_t j = 0; j < columns; j++)
                c[r * c_stride + j] += a[r * a_stride + k] * panel[k * COLUMNS + j];
}

void clsp_dgemm(double *c, size_t c_stride, const double *a, size_t a_stride, const clsp_factor *b, size_t m, size_t n,
                size_t k)
{
    run_fn run = kernel_of();
    size_t panels = (n + COLUMNS - 1) / COLUMNS;
    bool large = (double)m * (double)n * (double)k > 500000.0 && !omp_in_parallel();
#pragma omp parallel for schedule(static) if (large)
    for (size_t p = 0; p < panels; p++) {
        double panel[STEPS * COLUMNS];
        size_t column = p * COLUMNS, columns = clsp_min(n - column, COLUMNS);
        for (size_t step = 0; step < k; step += STEPS) {
            size_t steps = clsp_min(k - step, STEPS);
            gather(panel, b, step, steps, column, columns);
            if (columns == COLUMNS)
                run(c + column, c_stride, a + step, a_stride, panel, steps, m);
            else
                run_narrow(c + column, c_stride, a + step, a_stride, panel, steps, m, columns);
        }
    }
}
