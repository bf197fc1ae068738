/* clipspan/ablation.h - what is lost when terms are replaced by their means.
 *
 *     clipspan_means_open(&means, store, CLIPSPAN_PAPER, 0, NULL, &err);
 *     clipspan_ablation ablation = {.heads = chosen};
 *     clipspan_ablate(embeddings, store, &ablation, means, NULL, &err);
 *     clipspan_means_free(means);
 *
 *     clipspan_ablation_study_run(&study, store, classifier, classes, labels, NULL, NULL, &err);
 *     clipspan_ablation_study_direct(study, CLIPSPAN_ABLATED_MLPS, 0)->top1.value
 *     clipspan_ablation_study_free(study);
 *
 * Direct effects: terms of the class token's sum are replaced, the network is not run again (Gandelsman, Efros,
 * Steinhardt, ICLR 2024, section 3; ALGORITHMS 4). Total effects are two flows compared: clipspan_engine_intervene.
 * Letters: I images of the store, L layers, H heads, E joint dimension, C classes.
 */
#ifndef CLIPSPAN_ABLATION_H
#define CLIPSPAN_ABLATION_H

#include "clipspan/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Means over a store's images of every term, as vectors of the joint space. Immutable. */
typedef struct clipspan_means clipspan_means;
/* One pass over the store. Means of the MLP list and of the class-token parts are there if the store has those parts. */
/* The heads' means come from the store's moments, so a store of moments alone gives those. threads: 0: all. */
CLIPSPAN_API clipspan_status clipspan_means_open(clipspan_means **out, const clipspan_store *store,
                                                 clipspan_convention convention, int threads,
                                                 const clipspan_hooks *hooks, clipspan_error *err);
/* The heads' alone, to the bit the same: no image is read. */
CLIPSPAN_API clipspan_status clipspan_means_open_heads(clipspan_means **out, const clipspan_store *store,
                                                       clipspan_convention convention, clipspan_error *err);
CLIPSPAN_API void clipspan_means_free(clipspan_means *means);
CLIPSPAN_API uint64_t clipspan_means_images(const clipspan_means *means);
CLIPSPAN_API clipspan_convention clipspan_means_convention(const clipspan_means *means);
CLIPSPAN_API const float *clipspan_means_heads(const clipspan_means *means); /* [L, H, E] */
CLIPSPAN_API const float *clipspan_means_mlps(const clipspan_means *means);  /* [L + 1, E], x0 first; NULL: no part */
CLIPSPAN_API const float *clipspan_means_cls(const clipspan_means *means);   /* [L, E]; NULL: no part */

/* Which terms are replaced; every pointer may be NULL: none of that kind. */
typedef struct clipspan_ablation {
    const unsigned char *heads; /* [L * H] */
    const unsigned char *mlps;  /* [L + 1]: x0, then each layer's MLP */
    const unsigned char *cls;   /* [L]: attention from the class token to itself, where its heads are not replaced */
    int zero;                   /* 1: by zero instead of the mean; means may then be NULL */
    clipspan_convention convention; /* asked where means is NULL: a zero in the exact convention leaves the constants */
    int threads;                    /* 0: all */
} clipspan_ablation;
/* out: [I, E]: r / |r| (paper's convention) or r (exact) of every image with those terms replaced; not normalised again.
 * Rows in the store's order. Reads only the layers that it needs. */
CLIPSPAN_API clipspan_status clipspan_ablate(float *out, const clipspan_store *store, const clipspan_ablation *ablation,
                                             const clipspan_means *means, const clipspan_hooks *hooks,
                                             clipspan_error *err);

/* ---- the study: what every term is worth to zero-shot classification ------------------------------------- */

/* What is replaced. Counts and order of `index`: clipspan_ablation_study_count. */
typedef enum clipspan_ablated {
    CLIPSPAN_ABLATED_NOTHING,   /* the baseline */
    CLIPSPAN_ABLATED_MLPS,      /* x0 and every MLP, as the paper's first ablation */
    CLIPSPAN_ABLATED_CLS,       /* attention from the class token to itself, in every layer */
    CLIPSPAN_ABLATED_MLPS_CLS,  /* both */
    CLIPSPAN_ABLATED_UP_TO,     /* attention of the layers 0 .. index; MLPs kept */
    CLIPSPAN_ABLATED_UP_TO_MLPS, /* the same, and x0 and every MLP */
    CLIPSPAN_ABLATED_LAYER,     /* attention of layer `index` */
    CLIPSPAN_ABLATED_MLP,       /* x0 (0) or the MLP of layer index - 1 */
    CLIPSPAN_ABLATED_HEAD,      /* head index % H of layer index / H */
    CLIPSPAN_ABLATED_SET,       /* the named heads together */
    CLIPSPAN_ABLATED_KINDS
} clipspan_ablated;

/* A mean over the scored images with its 95 % bootstrap interval (percentiles of resampled images; Efron 1979). */
typedef struct clipspan_estimate {
    double value, low, high; /* low, high: NaN without resamples */
} clipspan_estimate;
typedef struct clipspan_ablation_score {
    clipspan_estimate top1, top5; /* share of the scored images, in [0, 1] */
    clipspan_estimate logit;      /* of the right class: logit scale x cosine with |r| as it was */
    /* Baseline less this, image by image: positive where the ablation hurts. Their intervals are of the differences. */
    clipspan_estimate top1_drop, top5_drop, logit_drop;
} clipspan_ablation_score;

typedef struct clipspan_ablation_study_options {
    clipspan_convention convention;
    int zero;                    /* 1: terms are replaced by zero */
    const clipspan_means *means; /* of another store of the model, or a half of this one; NULL: of all its images */
    const unsigned char *heads;  /* [L * H]: the named set; NULL: none */
    int resamples;               /* of the bootstrap; 0: no intervals */
    uint64_t seed;
    int threads;                 /* 0: all */
} clipspan_ablation_study_options;
#define CLIPSPAN_ABLATION_STUDY_OPTIONS_INIT { CLIPSPAN_PAPER, 0, NULL, NULL, 1000, 0, 0 }

typedef struct clipspan_ablation_study clipspan_ablation_study;
/* classifier: [C, E], unit length (clipspan_classifier_build); labels: [I] class or -1 (not scored). One pass over the
 * store for the means unless they are given or zero, one for the scores, in logit space: a head's k factors meet
 * U = M T' [k, C], so no vector of the joint space is made. Memory: 5 bytes an image and ablation, and some hundred MB.
 * options may be NULL. */
CLIPSPAN_API clipspan_status clipspan_ablation_study_run(clipspan_ablation_study **out, const clipspan_store *store,
                                                         const float *classifier, size_t classes, const int *labels,
                                                         const clipspan_ablation_study_options *options,
                                                         const clipspan_hooks *hooks, clipspan_error *err);
CLIPSPAN_API void clipspan_ablation_study_free(clipspan_ablation_study *study);

typedef struct clipspan_ablation_study_info {
    uint64_t images, scored; /* of the store; with a label */
    size_t classes;
    int layers, heads;
    clipspan_convention convention;
    int zero;
    uint64_t mean_images; /* behind the means; 0 where terms are replaced by zero */
    int resamples;
    uint64_t seed;
    float logit_scale;
    size_t named; /* heads in the named set */
    int totals;   /* 1: clipspan_ablation_study_add_total was called */
} clipspan_ablation_study_info;
CLIPSPAN_API clipspan_ablation_study_info clipspan_ablation_study_get_info(const clipspan_ablation_study *study);
/* How many ablations of a kind there are; 0 where the store lacks the part, or no heads are named. */
CLIPSPAN_API size_t clipspan_ablation_study_count(const clipspan_ablation_study *study, clipspan_ablated what);
CLIPSPAN_API int clipspan_ablation_study_named(const clipspan_ablation_study *study, int layer, int head); /* in the set */
/* Direct effect. Borrowed; NULL: there is no such ablation. */
CLIPSPAN_API const clipspan_ablation_score *clipspan_ablation_study_direct(const clipspan_ablation_study *study,
                                                                           clipspan_ablated what, size_t index);

/* Total effect, for comparison: embeddings [I, E] of the store's rows, unit length, as the model gives them with those
 * terms replaced inside (clipspan_engine_intervene). Scored and resampled as the direct effects are. The baseline comes
 * first (CLIPSPAN_ABLATED_NOTHING); without it the store's own is what drops are counted from. */
CLIPSPAN_API clipspan_status clipspan_ablation_study_add_total(clipspan_ablation_study *study, clipspan_ablated what,
                                                               size_t index, const float *embeddings,
                                                               clipspan_error *err);
/* NULL: none was added. */
CLIPSPAN_API const clipspan_ablation_score *clipspan_ablation_study_total(const clipspan_ablation_study *study,
                                                                          clipspan_ablated what, size_t index);

/* ---- reports ------------------------------------------------------------------------------------------------ */

/* A study with where it comes from. Borrowed. */
typedef struct clipspan_ablation_report {
    const clipspan_ablation_study *study;
    const clipspan_store *store;
    const char *means_from;     /* path of the store behind the means; NULL: the scored one */
    const char *at;             /* of total effects: "all" tokens or "class"; NULL: there are none */
    uint64_t total_mean_images; /* run for the means of total effects; 0: replaced by zero */
    int bare;                   /* 1: pictures without title and note, which a paper's caption says */
} clipspan_ablation_report;
/* CSV: one line an ablation and effect. docs/json.md. */
CLIPSPAN_API clipspan_status clipspan_report_ablation(const clipspan_ablation_report *given, clipspan_format format,
                                                      const char *path, clipspan_error *err);
/* Top-1 accuracy against how many attention layers are replaced, with intervals: the paper's figure. */
CLIPSPAN_API clipspan_status clipspan_picture_ablation_curve(const clipspan_ablation_report *given, const char *path,
                                                             clipspan_error *err);
/* What each head alone takes from the right class's mean logit, as a layer x head grid. */
CLIPSPAN_API clipspan_status clipspan_picture_ablation_heads(const clipspan_ablation_report *given, const char *path,
                                                             clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
