/* The one table of problems: first edge shapes, which are checked alone; then small ones whose instructions are counted;
 * then the sizes of ViT-B-16 (16 images) and ViT-L-14 (8 images), which are timed. Tolerances stand beside what was
 * observed. */
#include "kernels.h"

#define F32 CLSP_TYPE_F32
#define BF16 CLSP_TYPE_BF16
#define NONE CLSP_EPILOGUE_NONE
#define GELU CLSP_EPILOGUE_GELU
#define QUICK_GELU CLSP_EPILOGUE_QUICK_GELU
#define GELU_TANH CLSP_EPILOGUE_GELU_TANH
#define ADD CLSP_EPILOGUE_ADD

/* Of products: observed 5e-7 in fp32, 1e-6 from bf16 to fp32, 4e-3 where y is rounded to bf16. Of attention: 5e-7, 6e-3.
 * Of layer norm: 1.3e-6, 8e-3 rounded; of softmax 2.2e-7, relative. */
#define SUM 5e-6
#define ROUNDED 8e-3
#define SOFT 8e-7
#define NORM_ROUNDED 1.6e-2
#define KEEP_ALL (KEEP_Z | KEEP_CLS | KEEP_TOKENS)

#define LINEAR_(type, output, rows, in, out, epilogue, manner, purpose)                                                 \
    {LINEAR, type, output, {rows, in, out, 0}, epilogue, manner, (output) == BF16 ? ROUNDED : SUM, purpose}
#define SGEMM_(m, n, k, manner, purpose) {SGEMM, F32, F32, {m, n, k, 0}, NONE, manner, SUM, purpose}
#define ATTENTION_(type, sequences, tokens, heads, d, manner, purpose)                                                  \
    {ATTENTION, type, type, {sequences, tokens, heads, d}, NONE, manner, (type) == BF16 ? ROUNDED : SUM, purpose}
#define NORM_(output, rows, width, manner, purpose)                                                                     \
    {LAYER_NORM, F32, output, {rows, width, 0, 0}, NONE, manner, (output) == BF16 ? NORM_ROUNDED : SUM, purpose}
#define SOFTMAX_(n, padding, purpose) {SOFTMAX, F32, F32, {n, padding, 0, 0}, NONE, 0, SOFT, purpose}
#define DOT_(rows, d, manner, purpose) {ROWS_DOT, F32, F32, {rows, d, 0, 0}, NONE, manner, 1e-6, purpose}
#define WIDEN_(count, manner, purpose) {WIDEN, F32, F32, {count, 0, 0, 0}, NONE, manner, 1e-30, purpose}
#define ROUND_(count, purpose) {ROUND, F32, BF16, {count, 0, 0, 0}, NONE, 0, 1e-30, purpose}
#define WHOLE_(rows, in, out, manner, purpose) {WHOLE, F32, F32, {rows, in, out, 0}, NONE, manner, 4e-7, purpose}

/* Of a residual block: q, k and v; the out-projection; fc1; fc2. */
#define BLOCK(type, rows, width, act, purpose, quick)                                                                   \
    LINEAR_(type, type, rows, width, 3 * (width), NONE, BIAS, purpose),                                                 \
    LINEAR_(type, F32, rows, width, width, ADD, BIAS, purpose),                                                         \
    LINEAR_(type, type, rows, width, 4 * (width), act, BIAS, (purpose) | (quick)),                                      \
    LINEAR_(type, F32, rows, 4 * (width), width, ADD, BIAS, purpose)

const problem problems[] = {
    /* one row, one column, odd sizes, every epilogue, both layouts of the weights, rows with gaps between them */
    LINEAR_(F32, F32, 1, 1, 1, NONE, 0, 0),
    LINEAR_(F32, F32, 1, 1, 1, GELU, BIAS, 0),
    LINEAR_(F32, F32, 1, 768, 512, NONE, 0, 0),
    LINEAR_(F32, F32, 197, 64, 192, NONE, BIAS, 0),
    LINEAR_(F32, F32, 37, 33, 99, GELU, BIAS | GAPS, 0),
    LINEAR_(F32, F32, 64, 100, 48, QUICK_GELU, BIAS | TRANSPOSED | GAPS, 0),
    LINEAR_(F32, F32, 5, 7, 3, GELU_TANH, TRANSPOSED | GAPS, 0),
    LINEAR_(F32, F32, 50, 256, 64, ADD, BIAS | GAPS, 0),
    LINEAR_(F32, F32, 15, 31, 17, ADD, TRANSPOSED, 0),
    LINEAR_(F32, F32, 257, 513, 129, GELU_TANH, BIAS, 0),
    LINEAR_(F32, BF16, 19, 65, 47, NONE, BIAS, 0),
    LINEAR_(BF16, F32, 1, 1, 1, NONE, 0, 0),
    LINEAR_(BF16, BF16, 1, 1, 1, GELU, BIAS, 0),
    LINEAR_(BF16, F32, 1, 768, 512, NONE, 0, 0),
    LINEAR_(BF16, BF16, 197, 64, 192, NONE, BIAS, 0),
    LINEAR_(BF16, BF16, 37, 33, 99, GELU, BIAS, 0),
    LINEAR_(BF16, BF16, 37, 33, 99, GELU_TANH, BIAS | GAPS, 0),
    LINEAR_(BF16, F32, 50, 255, 63, ADD, BIAS | TRANSPOSED | GAPS, 0),
    LINEAR_(BF16, F32, 3, 8, 5, NONE, 0, 0),
    LINEAR_(BF16, F32, 15, 31, 17, QUICK_GELU, TRANSPOSED, 0),
    /* both sides multiples of 32: on matrix tiles where the processor has them */
    LINEAR_(BF16, F32, 1, 32, 32, NONE, BIAS, 0),
    LINEAR_(BF16, BF16, 33, 64, 96, GELU, BIAS, 0),
    LINEAR_(BF16, BF16, 95, 288, 64, QUICK_GELU, BIAS | TRANSPOSED, 0),
    LINEAR_(BF16, BF16, 257, 768, 1056, GELU_TANH, BIAS, 0),
    LINEAR_(BF16, F32, 300, 544, 160, ADD, BIAS | GAPS, 0),
    LINEAR_(BF16, F32, 70, 2080, 96, ADD, TRANSPOSED, 0),

    SGEMM_(1, 1, 1, 0, 0),
    SGEMM_(13, 21, 17, GAPS, 0),
    SGEMM_(13, 21, 17, GAPS | TRANSPOSED, 0),
    SGEMM_(13, 21, 17, GAPS | TRANSPOSED_B, 0),
    SGEMM_(13, 21, 17, TRANSPOSED | TRANSPOSED_B, 0),
    SGEMM_(1, 197, 64, TRANSPOSED_B, 0),
    SGEMM_(1, 33, 385, GAPS, 0),
    SGEMM_(8, 300, 63, GAPS | TRANSPOSED_B, 0),
    SGEMM_(9, 300, 63, GAPS | TRANSPOSED | TRANSPOSED_B, 0),
    SGEMM_(300, 20, 65, TRANSPOSED_B, 0),
    SGEMM_(300, 1, 400, GAPS, 0),
    SGEMM_(127, 16, 1160, 0, 0),

    /* one token, odd lengths, head widths of every family, with and without captures */
    ATTENTION_(F32, 1, 1, 1, 64, KEEP_ALL, 0),
    ATTENTION_(F32, 3, 2, 2, 24, CAUSAL, 0),
    ATTENTION_(F32, 2, 31, 2, 32, KEEP_Z | KEEP_CLS, 0),
    ATTENTION_(F32, 4, 33, 3, 40, CAUSAL | RAGGED | KEEP_Z, 0),
    ATTENTION_(F32, 2, 50, 2, 80, KEEP_ALL | GAPS, 0),
    ATTENTION_(F32, 2, 77, 2, 64, CAUSAL | GAPS, 0),
    ATTENTION_(F32, 1, 257, 2, 88, KEEP_ALL, 0),
    ATTENTION_(F32, 2, 65, 2, 104, CAUSAL, 0),
    ATTENTION_(F32, 2, 96, 1, 128, KEEP_Z, 0),
    ATTENTION_(F32, 2, 17, 3, 10, KEEP_ALL, 0),
    ATTENTION_(F32, 1, 577, 1, 64, KEEP_Z, 0),
    ATTENTION_(F32, 1, 1, 2, 24, ONE_QUERY | KEEP_ALL, 0),
    ATTENTION_(F32, 4, 30, 3, 10, ONE_QUERY | RAGGED | KEEP_Z | KEEP_CLS, 0),
    ATTENTION_(F32, 3, 197, 2, 64, ONE_QUERY | KEEP_ALL, 0),
    ATTENTION_(F32, 2, 50, 2, 128, ONE_QUERY | GAPS, 0),
    ATTENTION_(BF16, 1, 1, 1, 64, KEEP_ALL, 0),
    ATTENTION_(BF16, 3, 2, 2, 24, CAUSAL, 0),
    ATTENTION_(BF16, 2, 31, 2, 32, KEEP_Z | KEEP_CLS, 0),
    ATTENTION_(BF16, 4, 33, 3, 40, CAUSAL | RAGGED | KEEP_Z, 0),
    ATTENTION_(BF16, 2, 64, 2, 64, CAUSAL, 0),
    ATTENTION_(BF16, 2, 50, 2, 80, KEEP_ALL | GAPS, 0),
    ATTENTION_(BF16, 2, 77, 2, 64, CAUSAL | GAPS, 0),
    ATTENTION_(BF16, 1, 257, 2, 88, KEEP_ALL, 0),
    ATTENTION_(BF16, 2, 65, 2, 104, CAUSAL, 0),
    ATTENTION_(BF16, 2, 96, 1, 128, KEEP_Z, 0),
    ATTENTION_(BF16, 2, 17, 3, 10, KEEP_ALL, 0),
    ATTENTION_(BF16, 1, 577, 1, 64, KEEP_Z, 0),
    ATTENTION_(BF16, 1, 1, 2, 24, ONE_QUERY | KEEP_ALL, 0),
    ATTENTION_(BF16, 4, 30, 3, 10, ONE_QUERY | RAGGED | KEEP_Z | KEEP_CLS, 0),
    ATTENTION_(BF16, 3, 197, 2, 64, ONE_QUERY | KEEP_ALL, 0),

    NORM_(F32, 1, 1, 0, 0),
    NORM_(F32, 3, 2, GAPS, 0),
    NORM_(F32, 2, 15, IN_PLACE, 0),
    NORM_(F32, 2, 17, GAPS | IN_PLACE, 0),
    NORM_(F32, 197, 768, IN_PLACE, 0),
    NORM_(BF16, 1, 16, 0, 0),
    NORM_(BF16, 5, 33, GAPS, 0),
    NORM_(BF16, 197, 197, 0, 0),

    SOFTMAX_(1, 0, 0), SOFTMAX_(1, 3, 0), SOFTMAX_(2, 3, 0), SOFTMAX_(15, 1, 0), SOFTMAX_(16, 0, 0), SOFTMAX_(17, 15, 0),
    SOFTMAX_(33, 3, 0), SOFTMAX_(768, 3, 0),

    DOT_(1, 1, 0, 0), DOT_(3, 15, HALF, 0), DOT_(5, 16, HALF, 0), DOT_(7, 24, HALF, 0), DOT_(9, 80, HALF, 0),
    DOT_(9, 67, 0, 0), DOT_(101, 128, HALF, 0),
    WIDEN_(1, HALF, 0), WIDEN_(67, HALF, 0), WIDEN_(4099, HALF, 0), WIDEN_(33, 0, 0),
    ROUND_(11, 0), ROUND_(4099, 0),
    WHOLE_(1, 1, 1, 0, 0), WHOLE_(1, 1040, 1000, 0, 0), WHOLE_(15, 31, 33, 0, 0), WHOLE_(127, 67, 20, 0, 0),
    WHOLE_(1, 5, 3, EIGHT, 0), WHOLE_(29, 1040, 65, EIGHT, 0), WHOLE_(127, 67, 20, EIGHT, 0),

    /* counted under valgrind */
    LINEAR_(F32, F32, 64, 256, 192, NONE, BIAS, COUNTED),
    LINEAR_(F32, F32, 64, 192, 256, GELU, BIAS, COUNTED),
    LINEAR_(F32, F32, 64, 192, 256, QUICK_GELU, BIAS, COUNTED),
    LINEAR_(F32, F32, 64, 256, 192, ADD, BIAS, COUNTED),
    LINEAR_(F32, F32, 2, 256, 192, NONE, BIAS, COUNTED),
    LINEAR_(BF16, BF16, 64, 256, 192, NONE, BIAS, COUNTED),
    LINEAR_(BF16, BF16, 64, 192, 256, GELU, BIAS, COUNTED),
    LINEAR_(BF16, F32, 64, 256, 192, ADD, BIAS, COUNTED),
    SGEMM_(48, 96, 64, TRANSPOSED_B, COUNTED),
    ATTENTION_(F32, 1, 197, 2, 64, 0, COUNTED),
    ATTENTION_(F32, 1, 197, 2, 64, KEEP_Z, COUNTED),
    ATTENTION_(F32, 1, 77, 2, 64, CAUSAL, COUNTED),
    ATTENTION_(F32, 1, 197, 2, 64, ONE_QUERY | KEEP_Z, COUNTED),
    ATTENTION_(BF16, 1, 197, 2, 64, KEEP_Z, COUNTED),
    NORM_(F32, 32, 768, 0, COUNTED),
    NORM_(BF16, 32, 768, 0, COUNTED),
    SOFTMAX_(197, 11, COUNTED),
    DOT_(500, 64, HALF, COUNTED),
    DOT_(500, 64, 0, COUNTED),
    WIDEN_(20000, HALF, COUNTED),
    ROUND_(20000, COUNTED),
    WHOLE_(64, 256, 192, 0, COUNTED),

    /* the encoders' own sizes */
    BLOCK(F32, 3152, 768, GELU, TIMED, QUICK),
    BLOCK(BF16, 3152, 768, GELU, TIMED, QUICK),
    BLOCK(F32, 2056, 1024, QUICK_GELU, TIMED, 0),
    BLOCK(BF16, 2056, 1024, QUICK_GELU, TIMED, 0),
    LINEAR_(F32, F32, 16, 768, 3072, GELU, BIAS, TIMED), /* the last block's rows */
    LINEAR_(BF16, BF16, 16, 768, 3072, GELU, BIAS, TIMED),
    ATTENTION_(F32, 16, 197, 12, 64, 0, TIMED),
    ATTENTION_(F32, 16, 197, 12, 64, KEEP_Z, TIMED | QUICK),
    ATTENTION_(F32, 16, 197, 12, 64, KEEP_TOKENS, TIMED),
    ATTENTION_(BF16, 16, 197, 12, 64, 0, TIMED),
    ATTENTION_(BF16, 16, 197, 12, 64, KEEP_Z, TIMED | QUICK),
    ATTENTION_(F32, 8, 257, 16, 64, KEEP_Z, TIMED),
    ATTENTION_(BF16, 8, 257, 16, 64, KEEP_Z, TIMED),
    ATTENTION_(F32, 16, 197, 12, 64, ONE_QUERY | KEEP_Z, TIMED),
    NORM_(F32, 3152, 768, 0, TIMED),
    NORM_(BF16, 3152, 768, 0, TIMED | QUICK),
    SGEMM_(16, 512, 64, 0, TIMED),
    SGEMM_(1, 1000, 512, TRANSPOSED_B, TIMED),
    SGEMM_(50000, 20, 512, TRANSPOSED_B, TIMED),
    DOT_(200000, 64, HALF, TIMED | QUICK),
    WIDEN_(4000000, HALF, TIMED),
    ROUND_(4000000, TIMED),
    WHOLE_(126, 1040, 1000, 0, TIMED), /* a layer of ViT-L-14 against a thousand classes */
    WHOLE_(126, 1040, 1000, EIGHT, TIMED),
};
const size_t problem_count = sizeof problems / sizeof *problems;
