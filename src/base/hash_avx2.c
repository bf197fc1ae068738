/* xxhash compiled into this file for AVX2; its state is the library's own. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2")
#define HAS_X86 1
#define XXH_INLINE_ALL
#else
#define HAS_X86 0
#endif
#include "base/hash_avx2.h"

bool clsp_hash_has_avx2(void)
{
#if HAS_X86
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

void clsp_hash_update_avx2(void *state, const void *bytes, size_t length)
{
    XXH3_128bits_update(state, bytes, length);
}

XXH128_hash_t clsp_hash_avx2(const void *bytes, size_t length)
{
    return XXH3_128bits(bytes, length);
}
