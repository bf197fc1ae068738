/* base/hash_avx2.h - XXH3's loops over the bytes with AVX2: the same hash. Private to src/base. */
#ifndef CLSP_BASE_HASH_AVX2_H
#define CLSP_BASE_HASH_AVX2_H

#include <stdbool.h>
#include <xxhash.h>

bool clsp_hash_has_avx2(void); /* false: the two below must not be called */
void clsp_hash_update_avx2(void *state, const void *bytes, size_t length); /* an XXH3_state_t */
XXH128_hash_t clsp_hash_avx2(const void *bytes, size_t length);

#endif
