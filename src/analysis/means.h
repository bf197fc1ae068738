/* analysis/means.h - means over a store's images, as vectors of the joint space. */
#ifndef CLSP_ANALYSIS_MEANS_H
#define CLSP_ANALYSIS_MEANS_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/means.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/ablation.h"

struct clipspan_means {
    clipspan_convention convention;
    uint64_t images;
    char *model, *fingerprint; /* of the store */
    float *factors;            /* [L, H, k]: of the heads' factors */
    float *spread;             /* [L, H, k]: standard deviations of them */
    float *heads;              /* [L, H, E]: the same by the heads' maps */
    float *mlps;               /* [L + 1, E]; NULL: the store has no such part */
    float *cls;                /* [L, E]; NULL likewise */
};
/* MISMATCH, naming both models, unless the means and the store are of one. */
clipspan_status clsp_means_check(const clipspan_means *means, const clipspan_store *store, clipspan_error *err);

#endif
