/* compute/tiles.h - bf16 products on a processor's matrix tiles (Intel AMX), where there are any.
 *
 * A tile register holds 16 rows of 64 bytes; one instruction multiplies a 16 x 32 by a 32 x 16 tile of bf16 and adds to
 * a 16 x 16 tile of fp32. Weights are packed once in the order in which they are read. Every element of a product is
 * summed in one fixed order of its inputs, whatever the number of rows or threads, so a row's bits do not depend on its
 * company.
 *
 * Letters: R rows, K inputs, M outputs.
 */
#ifndef CLSP_COMPUTE_TILES_H
#define CLSP_COMPUTE_TILES_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/tiles.h is private to src/compute"
#endif

#include "compute/attention_head.h"

/* The processor has them, the system lets this process use them, and CLIPSPAN_MAX_ISA does not forbid them. Asked once. */
bool clsp_tiles_supported(void);

/* ---- linear layers ---------------------------------------------------------------------------------------- */

/* Both sides must be multiples of 32. */
static inline bool clsp_tiles_fit(size_t in, size_t out) { return in > 0 && out > 0 && in % 32 == 0 && out % 32 == 0; }
/* weight: [M, K] or, transposed, [K, M]. to: [M * K]. */
void clsp_tiles_pack(uint16_t *to, const float *weight, bool transposed, size_t in, size_t out);

typedef struct clsp_tiles_product {
    void *y;           /* [R, M] in `output` */
    const uint16_t *x; /* [R, K] bf16 */
    size_t y_stride, x_stride; /* elements */
    const uint16_t *weight;    /* packed */
    const float *bias;         /* [M] or NULL */
    size_t rows, in, out;
    clsp_type output;
    clsp_epilogue epilogue;
} clsp_tiles_product;
enum { CLSP_TILES_SCRATCH = 1 << 20 | 1 << 15 }; /* bytes a thread */
/* scratch: [threads, CLSP_TILES_SCRATCH], aligned to 64 bytes. */
void clsp_tiles_run(const clsp_tiles_product *product, void *scratch, int threads);

/* ---- attention --------------------------------------------------------------------------------------------- */

/* One head, in bf16. Scores of 32 queries at a time stay in L1. The weights are rounded to bf16 before their sum divides
 * them. To be run between _begin and _end on the same thread, which set up and let go the tiles. */
extern const clsp_head_kernel clsp_tiles_head;
void clsp_tiles_begin(void);
void clsp_tiles_end(void);

#endif
