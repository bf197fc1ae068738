/* compute/whole.h - kernels of products of whole numbers (whole.c), one for each instruction set and width of number.
 *
 * A step is four bytes of a row: two numbers of 16 bits or four of 8. A panel is nr rows of weights, step after step. A tile
 * is mr x nr sums.
 */
#ifndef CLSP_COMPUTE_WHOLE_H
#define CLSP_COMPUTE_WHOLE_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/whole.h is private to src/compute"
#endif

#include "compute/compute.h"
#include "compute/isa.h"

enum { CLSP_WHOLE_MR = 14, CLSP_WHOLE_NR = 32 }; /* the largest */

typedef struct clsp_whole_kernel {
    const char *name;
    clsp_whole_type type;
    size_t mr, nr;
    /* tile [rows, nr] = x [rows, steps], x_stride bytes apart, by a panel. Meanwhile 16 bytes a step are brought into L2 from
     * `next` on, which may lie anywhere. */
    void (*multiply)(int32_t *tile, const char *x, size_t x_stride, const char *panel, const char *next, size_t steps,
                     size_t rows);
    bool (*supported)(void);
} clsp_whole_kernel;

/* The best ones first; of each type the last is supported everywhere. */
extern const clsp_whole_kernel clsp_whole_kernels[];
extern const size_t clsp_whole_kernel_count;

/* What clsp_whole_pack and clsp_whole_run do, by a kernel. */
void clsp_whole_pack_by(const clsp_whole_kernel *kernel, void *to, const void *rows, size_t in, size_t out);
void clsp_whole_run_by(const clsp_whole_kernel *kernel, float *const *y, bool add, const clsp_whole *weights, const void *x,
                       const clsp_whole_row *rows, size_t count);

#endif
