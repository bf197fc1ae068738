/* Kernels in plain C with the compiler's vector types, for every other processor: tiles of 6 x 16. */
#include "compute/four.h"
#include "compute/gemm_kernels.h"

#define TARGET
#define INLINE TARGET __attribute__((always_inline)) static inline
typedef clsp_four vec;
typedef int32_t ivec __attribute__((vector_size(16)));
enum { LANES = 4, MR = 6, NV = 4 };

static inline vec load(const float *from)
{
    vec v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}
static inline vec set(float value) { return (vec){value, value, value, value}; }
static inline vec choose(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }

#define LOAD(p) load(p)
#define STORE(p, v)                                                                                                    \
    do {                                                                                                               \
        vec stored_ = (v);                                                                                             \
        memcpy((p), &stored_, sizeof stored_);                                                                         \
    } while (0)
#define SET(f) set(f)
#define FMA(a, b, c) CLSP_FOUR_FMA(a, b, c)
#define LESSER(a, b) choose((a) < (b), a, b)
#define GREATER(a, b) choose((a) > (b), a, b)
#define ABSOLUTE(a) (vec)((ivec)(a) & 0x7fffffff)
#define STORE_HIGH(p, bits)                                                                                            \
    for (size_t i_ = 0; i_ < LANES; i_++) (p)[i_] = (uint16_t)((uint32_t)(bits)[i_] >> 16)
#define MORE_ROWS(name)
#include "compute/gemm_activations.h"
#include "compute/gemm_template.h"

#define FIRST(p) set(*(p))
#define MULTIPLY_ADD(sum, x, w) CLSP_FOUR_FMA(x, w, sum)

MULTIPLY(multiply_f32, TARGET, float, LOAD, vec, FIRST, MULTIPLY_ADD)
MULTIPLY(multiply_widened, TARGET, uint16_t, clsp_four_of_bf16, vec, FIRST, MULTIPLY_ADD)

static const clsp_gemm_kernel kernel_f32 = {"portable", CLSP_GEMM_F32, MR, NV * LANES, multiply_f32,
    multiply_plain, NULL, transpose_small, copy, finish};
static const clsp_gemm_kernel kernel_widened = {"portable_widened", CLSP_GEMM_WIDEN, MR, NV * LANES, multiply_widened,
    multiply_plain, NULL, transpose_small, copy, finish};

const clsp_gemm_kernel *clsp_gemm_portable(clsp_type type)
{
    return type == CLSP_TYPE_F32 ? &kernel_f32 : &kernel_widened;
}
