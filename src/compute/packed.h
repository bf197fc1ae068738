/* compute/packed.h - which product packed weights are laid out for. */
#ifndef CLSP_COMPUTE_PACKED_H
#define CLSP_COMPUTE_PACKED_H

#if !defined(CLSP_ROOM_COMPUTE) && !defined(CLSP_TESTS)
#error "compute/packed.h is private to src/compute"
#endif

#include "compute/gemm.h"
#include "compute/tiles.h"

/* For matrix tiles (tiles.h); else for vector registers (gemm.h). */
bool clsp_packed_for_tiles(const clsp_packed *packed);

#endif
