/* compute/dgemm_kernel.h - the inner loop of products in double precision for one set of instructions. Who includes this
 * has defined TARGET, the functions' attribute; KERNEL(name), which makes names its own; and LANES, doubles in a register.
 * A tile of ROWS x 2 LANES sums takes twelve registers of sixteen. Products and sums are not fused, so that all sets give
 * the same bits. */

/* c [rows, 2 LANES] += a [rows, steps] panel [steps, COLUMNS] */
TARGET __attribute__((always_inline)) static inline void KERNEL(tile)(double *c, size_t c_stride, const double *a,
                                                                      size_t a_stride, const double *panel, size_t steps,
                                                                      const size_t rows)
{
    typedef double vec __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double)), may_alias));
    vec low[ROWS], high[ROWS];
    CLSP_UNROLLED for (size_t r = 0; r < rows; r++) {
        low[r] = *(const vec *)(c + r * c_stride);
        high[r] = *(const vec *)(c + r * c_stride + LANES);
    }
    for (size_t k = 0; k < steps; k++) {
        const vec v = *(const vec *)(panel + k * COLUMNS), w = *(const vec *)(panel + k * COLUMNS + LANES);
        CLSP_UNROLLED for (size_t r = 0; r < rows; r++) {
            double x = a[r * a_stride + k];
            low[r] += x * v;
            high[r] += x * w;
        }
    }
    CLSP_UNROLLED for (size_t r = 0; r < rows; r++) {
        *(vec *)(c + r * c_stride) = low[r];
        *(vec *)(c + r * c_stride + LANES) = high[r];
    }
}

/* c [m, COLUMNS] += a [m, steps] panel */
TARGET static void KERNEL(run)(double *c, size_t c_stride, const double *a, size_t a_stride, const double *panel,
                               size_t steps, size_t m)
{
    for (size_t j = 0; j < COLUMNS; j += 2 * LANES) {
        size_t r = 0;
        for (; r + ROWS <= m; r += ROWS)
            KERNEL(tile)(c + r * c_stride + j, c_stride, a + r * a_stride, a_stride, panel + j, steps, ROWS);
        for (; r < m; r++)
            KERNEL(tile)(c + r * c_stride + j, c_stride, a + r * a_stride, a_stride, panel + j, steps, 1);
    }
}

#undef TARGET
#undef KERNEL
#undef LANES
