/* compute/isa.h - which vector instructions the kernels of our own use. */
#ifndef CLSP_COMPUTE_ISA_H
#define CLSP_COMPUTE_ISA_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/isa.h is private to src/compute"
#endif

#include "compute/compute.h"

/* Kernels are written for GCC's and Clang's x86-64; elsewhere the portable ones run. On 64-bit Arm these multiply and add
 * in one step, which every such processor can. */
#if defined(__x86_64__) && defined(__GNUC__)
#define CLSP_X86 1
#else
#define CLSP_X86 0
#endif
#if defined(__aarch64__) && defined(__ARM_NEON) && defined(__GNUC__)
#define CLSP_ARM64 1
#else
#define CLSP_ARM64 0
#endif

/* Each level has those below it. AVX2 is with FMA; AVX512 is F, BW, DQ and VL. */
typedef enum clsp_isa_level {
    CLSP_ISA_PORTABLE, CLSP_ISA_AVX2, CLSP_ISA_AVX512, CLSP_ISA_AVX512_BF16, CLSP_ISA_AMX
} clsp_isa_level;

/* The variable CLIPSPAN_MAX_ISA (portable, avx2, avx512, avx512_bf16, amx) does not forbid the level; unset or another
 * word: nothing is forbidden. Asked once. */
bool clsp_isa_allows(clsp_isa_level level);
/* The highest level that the processor has, the system lets programs use and CLIPSPAN_MAX_ISA allows; at most
 * CLSP_ISA_AVX512_BF16: whether there are matrix tiles says clsp_tiles_supported. Asked once. */
clsp_isa_level clsp_isa(void);
/* The variable's word for a level. Borrowed. */
const char *clsp_isa_name(clsp_isa_level level);

#endif
