/* kernels.h - the one table of problems, and what the driver (kernels.c) needs of each kernel.
 *
 * A problem is a kernel with a type, sizes and a manner of working. Every problem is checked against the plain formula in
 * double precision; some are timed, some are small enough to be counted instruction by instruction under valgrind.
 */
#ifndef BENCH_KERNELS_H
#define BENCH_KERNELS_H

#include "compute/compute.h"

typedef enum kernel {
    LINEAR,     /* sizes: rows, in, out */
    SGEMM,      /* m, n, k */
    ATTENTION,  /* sequences, tokens, heads, head width */
    LAYER_NORM, /* rows, width */
    SOFTMAX,    /* entries, padding behind them */
    ROWS_DOT,   /* rows, width */
    WIDEN,      /* count */
    ROUND,      /* count */
    WHOLE,      /* rows, in, out */
    KERNELS
} kernel;

/* Manners; what a kernel does not know it ignores. */
enum {
    BIAS = 1,
    TRANSPOSED = 2,   /* LINEAR: weights are [in, out]; SGEMM: a is transposed */
    TRANSPOSED_B = 4, /* SGEMM */
    GAPS = 8,         /* rows lie further apart than they are long */
    CAUSAL = 16,
    ONE_QUERY = 32,
    RAGGED = 64,      /* ATTENTION: sequence s is 3 s tokens shorter, but has one */
    KEEP_Z = 128,     /* ATTENTION: captures */
    KEEP_CLS = 256,
    KEEP_TOKENS = 512,
    IN_PLACE = 1024,
    HALF = 2048,      /* ROWS_DOT, WIDEN: of f16 */
    EIGHT = 4096      /* WHOLE: of 8 bits, else of 16 */
};

/* What a problem is for, beside being checked. */
enum { TIMED = 1, QUICK = 2 /* timed by `make bench-quick` too */, COUNTED = 4 };

typedef struct problem {
    kernel kernel;
    clsp_type type, output;
    size_t size[4];
    clsp_epilogue epilogue;
    unsigned manner;
    double tolerance; /* of the largest difference over the largest value */
    unsigned purpose;
} problem;

extern const problem problems[];
extern const size_t problem_count;

/* A problem made ready to run. */
enum { INSTANCE_BLOCKS = 12 };
typedef struct instance {
    const problem *problem;
    void *out, *before; /* [out_bytes]: all that a run writes; what it held before the first */
    size_t out_bytes;
    void *object;       /* of the kernel's own: a layer, an attention */
    clsp_packed packed; /* LINEAR: the layer's weights */
    clsp_workspace *workspace;
    void *blocks[INSTANCE_BLOCKS]; /* inputs, as each kernel numbers them */
    size_t block_count;
    const char *implementation;
} instance;

typedef struct kernel_ops {
    const char *name;
    const char *unit; /* of work a second / 1e9: "GFLOP/s", "Gop/s" of whole numbers, or "GB/s" */
    void (*make)(instance *it);
    void (*run)(instance *it);
    double (*error)(const instance *it); /* INFINITY where something was written that must stay */
    void (*free)(instance *it);          /* the object; NULL: there is none */
    double (*work)(const problem *p);    /* of a run: floating-point operations, or bytes */
    bool (*alone)(instance *it);         /* whether rows have the same bits alone as in company; NULL: not promised */
} kernel_ops;

extern const kernel_ops linear_ops, sgemm_ops, attention_ops, layer_norm_ops, softmax_ops, rows_dot_ops, widen_ops,
    round_ops, whole_ops;

/* ---- what the kernels' files share ------------------------------------------------------------------------ */

/* A failure of the library, or of memory, ends the program. */
void require(clipspan_status status, const clipspan_error *err);
/* Aligned to 64 bytes, zeroed, freed with the instance. */
void *instance_block(instance *it, size_t bytes);
float random_number(void); /* in [-1, 1), the same ones in every run of the program */
/* A block filled with numbers in [-scale, scale), kept as `type`. */
void *instance_random(instance *it, size_t count, float scale, clsp_type type);
/* Room for the output; all of it random, so that what must not be written can be told. */
void instance_output(instance *it, size_t count, clsp_type type);

size_t bytes_of(clsp_type type);
double value_at(const void *base, size_t i, clsp_type type);
/* The larger difference; what is no number is the worst. */
double worse(double a, double b);
/* Of `count` equal parts that cost `each`, every how many-th is checked, so that a check stays short. */
size_t check_step(size_t count, double each);

#endif
