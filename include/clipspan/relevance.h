/* clipspan/relevance.h - the other ways of asking a vision transformer where it looks: the maps that the
 * decomposition is compared with, each from one pass that keeps everything, and its derivatives.
 *
 *     clipspan_tracer_open(&tracer, model, 0, &err);
 *     clipspan_tracer_run(tracer, pixels, embedding, &err);
 *     clipspan_tracer_map(tracer, CLIPSPAN_GRADCAM, text, 1, map, &err);
 *     clipspan_tracer_free(tracer);
 *
 * docs/relevance.md gives each method's formula. A tracer borrows its model, runs one image at a time and is used by one
 * thread at a time. Letters: S pixels a side, N tokens, E joint dimension.
 */
#ifndef CLIPSPAN_RELEVANCE_H
#define CLIPSPAN_RELEVANCE_H

#include "clipspan/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clipspan_relevance {
    CLIPSPAN_RAW_ATTENTION,           /* last layer's attention of the class token, mean over heads */
    CLIPSPAN_ROLLOUT,                 /* Abnar, Zuidema, ACL 2020 */
    CLIPSPAN_GRADCAM,                 /* Selvaraju et al., ICCV 2017, on the last layer's attention */
    CLIPSPAN_PARTIAL_LRP,             /* Voita et al., ACL 2019: relevance of the last layer's attention */
    CLIPSPAN_LRP,                     /* Binder et al., ICANN 2016, down to the pixels */
    CLIPSPAN_TRANSFORMER_ATTRIBUTION, /* Chefer, Gur, Wolf, CVPR 2021: gradient times relevance, rolled out */
    CLIPSPAN_GENERIC_ATTENTION,       /* Chefer, Gur, Wolf, ICCV 2021: gradient times attention, rolled out */
    CLIPSPAN_MASKCLIP,                /* Zhou, Loy, Dai, ECCV 2022: the last layer's value path */
    CLIPSPAN_CLIP_SURGERY,            /* Li et al., 2023: value-value attention, a dual path, redundant features removed */
    CLIPSPAN_SCLIP,                   /* Wang, Mei, Yuille, ECCV 2024: query-query plus key-key attention */
    CLIPSPAN_NACLIP,                  /* Hajimiri et al., WACV 2025: key-key attention with a Gaussian neighbourhood */
    CLIPSPAN_RELEVANCES
} clipspan_relevance;

typedef struct clipspan_relevance_info {
    const char *name;     /* as on the command line: "gradcam" */
    const char *words;    /* "GradCAM on the last layer's attention" */
    const char *citation;
    int by_text;          /* 0: the map is the same for every text */
    int dense;            /* 1: a cosine for each patch and text, comparable between texts */
    int pixels;           /* 1: one value a pixel, [S, S]; 0: one a patch, [grid, grid] */
} clipspan_relevance_info;
CLIPSPAN_API const clipspan_relevance_info *clipspan_relevance_get_info(clipspan_relevance method);

typedef struct clipspan_tracer clipspan_tracer;
/* threads: 0: all. */
CLIPSPAN_API clipspan_status clipspan_tracer_open(clipspan_tracer **out, const clipspan_model *model, int threads,
                                                  clipspan_error *err);
CLIPSPAN_API void clipspan_tracer_free(clipspan_tracer *tracer);
/* One image: pixels [3, S, S] as clipspan_images_preprocess makes them. embedding: [E], not normalised; may be NULL, and
 * then nothing is computed before the first map. */
CLIPSPAN_API clipspan_status clipspan_tracer_run(clipspan_tracer *tracer, const float *pixels, float *embedding,
                                                 clipspan_error *err);
/* Maps of the image that was run last. texts: [count, E]: directions t; the score whose gradient or relevance is taken is
 * r . t / |r|. out: [count, side, side] with side = S where the method says pixels, else the patch grid. */
CLIPSPAN_API clipspan_status clipspan_tracer_map(clipspan_tracer *tracer, clipspan_relevance method, const float *texts,
                                                 size_t count, float *out, clipspan_error *err);
/* d (r . t / |r|) / d pixels for one direction t [E]; out: [3, S, S]. */
CLIPSPAN_API clipspan_status clipspan_tracer_gradient(clipspan_tracer *tracer, const float *text, float *out,
                                                      clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
