/* Which vector instructions there are, and which may be used. */
#include "compute/isa.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};

const char *clsp_isa_name(clsp_isa_level level) { return names[level]; }

static int find(const char *word)
{
    for (int i = 0; i <= CLSP_ISA_AMX; i++)
        if (strcmp(word, names[i]) == 0) return i;
    return -1;
}

static clsp_isa_level limit(void)
{
    const char *word = getenv("CLIPSPAN_MAX_ISA");
    int found = word ? find(word) : -1;
    return found < 0 ? CLSP_ISA_AMX : (clsp_isa_level)found;
}

clipspan_status clsp_compute_check(clipspan_error *err)
{
    const char *word = getenv("CLIPSPAN_MAX_ISA");
    if (word == NULL || word[0] == '\0' || find(word) >= 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                     "the variable CLIPSPAN_MAX_ISA is %.40s: expected portable, avx2, avx512, avx512_bf16 or amx", word);
}

#if CLSP_X86
static clsp_isa_level processor(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return CLSP_ISA_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return CLSP_ISA_AVX2;
    return __builtin_cpu_supports("avx512bf16") ? CLSP_ISA_AVX512_BF16 : CLSP_ISA_AVX512;
}
#else
static clsp_isa_level processor(void) { return CLSP_ISA_PORTABLE; }
#endif

/* Two threads that ask at once get the same answer. */
static int once(int *answer, clsp_isa_level (*ask)(void))
{
    int known = __atomic_load_n(answer, __ATOMIC_RELAXED);
    if (known == 0) {
        known = 1 + (int)ask();
        __atomic_store_n(answer, known, __ATOMIC_RELAXED);
    }
    return known - 1;
}

bool clsp_isa_allows(clsp_isa_level level)
{
    static int answer;
    return (int)level <= once(&answer, limit);
}

clsp_isa_level clsp_isa(void)
{
    static int answer;
    int there = once(&answer, processor);
    while (!clsp_isa_allows((clsp_isa_level)there)) there--;
    return (clsp_isa_level)there;
}
