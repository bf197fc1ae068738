/* clipspan/textspan_evaluation.h - what is left of the model when its late heads may say a few texts and no more.
 *
 *     clipspan_textspan_evaluation_options options = CLIPSPAN_TEXTSPAN_EVALUATION_OPTIONS_INIT;
 *     clipspan_textspan_evaluate(&result, store, pools, 2, &scoring, &options, NULL, &err);
 *     point = clipspan_textspan_evaluation_get(result, 0, 1);   (of the first pool, at the second size)
 *     clipspan_textspan_evaluation_free(result);
 *
 * Gandelsman, Efros, Steinhardt (ICLR 2024), section 4 and its figure on size and pool; ALGORITHMS 3. In the last layers
 * every head's contribution c is replaced by mean + N'N (c - mean), N its m chosen directions; the heads of earlier layers
 * are replaced by their means; MLPs stay. What that leaves of zero-shot accuracy, at m texts a head, is the point.
 * Letters: I images, L layers, E joint dimension, C classes, T texts of a pool.
 */
#ifndef CLIPSPAN_TEXTSPAN_EVALUATION_H
#define CLIPSPAN_TEXTSPAN_EVALUATION_H

#include "clipspan/analysis.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_textspan_pool {
    const char *name;            /* copied */
    const clipspan_texts *texts;
    const float *embeddings;     /* [T, E], unit length */
} clipspan_textspan_pool;

/* What accuracy is measured by, on the images of the measured store. */
typedef struct clipspan_textspan_scoring {
    const float *classifier; /* [C, E] */
    size_t classes;
    const int *labels;       /* [I] class or -1: not scored */
} clipspan_textspan_scoring;

enum { CLIPSPAN_EVALUATION_SIZES = 64 };
typedef struct clipspan_textspan_evaluation_options {
    clipspan_convention convention;
    int last;         /* layers whose heads are described; more than there are: all */
    int rank;         /* as textspan's */
    const int *sizes; /* [size_count] ascending; NULL: 5, 10, 20, 40, 60 */
    size_t size_count;
    /* Where the texts, the means and `explained` come from, and where accuracy and `held_out` are measured: the same
     * images; or one half of them and the other (by a hash of their names); or the store and another of the same model. */
    int halves;
    const clipspan_store *held_out; /* NULL: none; not together with halves */
    int resamples;    /* 0: no stability */
    int threads;      /* 0: all */
} clipspan_textspan_evaluation_options;
#define CLIPSPAN_TEXTSPAN_EVALUATION_OPTIONS_INIT { CLIPSPAN_PAPER, 8, 80, NULL, 0, 0, NULL, 0, 0 }

typedef struct clipspan_textspan_evaluation clipspan_textspan_evaluation;
/* Two passes over the store (one where moments need not be split), one more with stability. Warns (hooks->warn) of heads
 * that yield fewer texts than asked for. options may be NULL. */
CLIPSPAN_API clipspan_status clipspan_textspan_evaluate(clipspan_textspan_evaluation **out, const clipspan_store *store,
                                                        const clipspan_textspan_pool *pools, size_t pool_count,
                                                        const clipspan_textspan_scoring *scoring,
                                                        const clipspan_textspan_evaluation_options *options,
                                                        const clipspan_hooks *hooks, clipspan_error *err);
CLIPSPAN_API void clipspan_textspan_evaluation_free(clipspan_textspan_evaluation *result);

typedef struct clipspan_textspan_evaluation_info {
    clipspan_convention convention;
    int layers, last, heads; /* heads: described, of all late layers */
    int apart;               /* 1: measured on other images than the texts were found on */
    uint64_t found_on, measured_on, scored; /* images; scored: of the measured ones, with a label */
    double baseline;         /* top-1 of the whole representation */
    double late;             /* earlier heads at their means, late heads whole */
    double none;             /* all heads at their means: what MLPs alone give */
    size_t pools, sizes;
} clipspan_textspan_evaluation_info;
CLIPSPAN_API clipspan_textspan_evaluation_info
clipspan_textspan_evaluation_get_info(const clipspan_textspan_evaluation *result);

typedef struct clipspan_textspan_evaluation_point {
    int size;          /* texts a head, m */
    double accuracy;   /* top-1, share of the scored images */
    size_t distinct;   /* different texts among all heads' */
    double explained;  /* of the variance of all late heads together, on the images the texts were found on */
    double held_out;   /* the same on the measured images; NaN unless apart */
} clipspan_textspan_evaluation_point;
CLIPSPAN_API clipspan_textspan_evaluation_point
clipspan_textspan_evaluation_get(const clipspan_textspan_evaluation *result, size_t pool, size_t size);
CLIPSPAN_API const char *clipspan_textspan_evaluation_pool(const clipspan_textspan_evaluation *result, size_t pool);
/* The pool's texts for every late head, at the largest size, with their stability where it was asked for. Borrowed. */
CLIPSPAN_API const clipspan_textspan *clipspan_textspan_evaluation_spans(const clipspan_textspan_evaluation *result,
                                                                         size_t pool);
/* Share of head i's variance on the measured images along its text-th direction; NaN unless apart. */
CLIPSPAN_API double clipspan_textspan_evaluation_held_out(const clipspan_textspan_evaluation *result, size_t pool,
                                                          size_t i, int text);

#ifdef __cplusplus
}
#endif

#endif
