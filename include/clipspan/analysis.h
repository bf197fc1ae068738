/* clipspan/analysis.h - what the contributions say.
 *
 *     clipspan_textspan_options options = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
 *     clipspan_textspan *result = NULL;
 *     clipspan_textspan_run(&result, moments, pool, embeddings, &options, NULL, &err);
 *     clipspan_textspan_free(result);
 *
 * An analysis never runs the model. Results are immutable, and freed by their own function.
 */
#ifndef CLIPSPAN_ANALYSIS_H
#define CLIPSPAN_ANALYSIS_H

#include "clipspan/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- TextSpan (the paper's algorithm 1, in factored form) --------------------------------------------- */

typedef struct clipspan_textspan_options {
    clipspan_convention convention;
    int size;                   /* texts a head, m */
    int rank;                   /* at most this many right singular vectors span the texts' space (80) */
    const unsigned char *heads; /* [L * H] of 0 and 1; NULL: all */
    int top_images;             /* images kept for each direction and end; needs clipspan_textspan_rank_images */
    int threads;                /* 0: all */
} clipspan_textspan_options;
#define CLIPSPAN_TEXTSPAN_OPTIONS_INIT { CLIPSPAN_PAPER, 20, 80, NULL, 8, 0 }

typedef struct clipspan_textspan clipspan_textspan;

typedef struct clipspan_textspan_text {
    size_t text;      /* index in the pool */
    double explained; /* share of the head's variance along this text's deflated direction */
    double score;     /* standard deviation over images of c . t, as the reference code scores */
} clipspan_textspan_text;

typedef struct clipspan_textspan_head {
    int layer, head;
    int rank;           /* numerical rank of the head's contributions, k */
    int count;          /* texts found: size, or fewer where the head's rank is used up */
    double variance;    /* total variance over images of the contribution, squared units of the joint space */
    double explained;   /* sum over the texts */
    const clipspan_textspan_text *texts; /* [count] */
} clipspan_textspan_head;

/* pool_embeddings: [T, E], unit length. Reads moments alone; no image is touched. */
CLIPSPAN_API clipspan_status clipspan_textspan_run(clipspan_textspan **out, const clipspan_moments *moments,
                                                   const clipspan_texts *pool, const float *pool_embeddings,
                                                   const clipspan_textspan_options *options,
                                                   const clipspan_hooks *hooks, clipspan_error *err);
/* Vectors of unit length, read where they lie (in a mapped file, say): nothing of them is copied but a block at a time. */
typedef struct clipspan_vectors {
    const void *values;   /* rows of E float32 or, with half, float16 */
    int half;
    const size_t *rows;   /* [count]: which row vector i is; NULL: row i */
    const double *scale;  /* [count]: by what vector i's numbers are multiplied; NULL: they stand as they are */
    size_t count, embed_dim; /* T, E */
    void (*passed)(void *user); /* NULL, or called now and then, on any thread, behind some 200 MB of rows in order: a */
    void *user;                 /* mapping may let its pages go */
} clipspan_vectors;
/* length: [count], in double, with `scale` applied; not finite where a number is not. threads: 0: all. */
CLIPSPAN_API clipspan_status clipspan_vectors_lengths(const clipspan_vectors *vectors, double *length, int threads,
                                                      clipspan_error *err);
/* The same as textspan_run for as many vectors as the pool has texts: heads are taken together while their
 * coordinates of the pool (2 bytes an axis and text: 134 MB a head of 64 for a million texts) fit into 512 MiB. */
CLIPSPAN_API clipspan_status clipspan_textspan_run_vectors(clipspan_textspan **out, const clipspan_moments *moments,
                                                           const clipspan_texts *pool, const clipspan_vectors *vectors,
                                                           const clipspan_textspan_options *options,
                                                           const clipspan_hooks *hooks, clipspan_error *err);
CLIPSPAN_API void clipspan_textspan_free(clipspan_textspan *result);

typedef struct clipspan_textspan_info {
    clipspan_convention convention;
    int size, rank;      /* as asked for */
    uint64_t images;     /* behind the moments */
    size_t pool_texts, embed_dim;
} clipspan_textspan_info;
CLIPSPAN_API clipspan_textspan_info clipspan_textspan_get_info(const clipspan_textspan *result);
CLIPSPAN_API size_t clipspan_textspan_head_count(const clipspan_textspan *result);
CLIPSPAN_API const clipspan_textspan_head *clipspan_textspan_get(const clipspan_textspan *result, size_t i);
/* The text's deflated direction, unit length: [E], borrowed. */
CLIPSPAN_API const float *clipspan_textspan_direction(const clipspan_textspan *result, size_t i, int text);
CLIPSPAN_API const char *clipspan_textspan_text_of(const clipspan_textspan *result, size_t text);

/* One pass over the store: for each direction the images whose (uncentred) contribution ranks highest. */
CLIPSPAN_API clipspan_status clipspan_textspan_rank_images(clipspan_textspan *result, const clipspan_store *store,
                                                           const clipspan_hooks *hooks, clipspan_error *err);
/* Rows of the store, best first, with their values (c . n); count is 0 before rank_images. */
CLIPSPAN_API size_t clipspan_textspan_images(const clipspan_textspan *result, size_t i, int text,
                                             const uint64_t **rows, const float **values);

/* How often each text is picked again when the images are drawn anew: one pass over the store for the moments of blocks
 * of images, from which each resample's are summed, so that no image is touched again (docs/textspan.md). Of up to 256
 * images each is a block of its own: Efron's bootstrap exactly; of more, images fall into 256 blocks by a hash of their
 * names. pool_embeddings: as given to textspan_run. Stage "stability". */
CLIPSPAN_API clipspan_status clipspan_textspan_measure_stability(clipspan_textspan *result, const clipspan_store *store,
                                                                 const float *pool_embeddings, int resamples,
                                                                 const clipspan_hooks *hooks, clipspan_error *err);
/* Share of the resamples in which the head's first `size` texts hold this one; NaN where it was not measured. */
CLIPSPAN_API double clipspan_textspan_stability(const clipspan_textspan *result, size_t i, int text);
CLIPSPAN_API int clipspan_textspan_resamples(const clipspan_textspan *result); /* 0: not measured */

/* ---- zero-shot classification ------------------------------------------------------------------------- */

/* classifier: [C, E] out, unit length: for each class the mean of its templates' embeddings, each normalised,
 * normalised again (ALGORITHMS 8). In a template "{}" stands for the class name. Progress: stage "classes". */
CLIPSPAN_API clipspan_status clipspan_classifier_build(clipspan_engine *engine, const clipspan_texts *classes,
                                                       const clipspan_texts *templates, float *classifier,
                                                       const clipspan_hooks *hooks, clipspan_error *err);

typedef struct clipspan_classification clipspan_classification;
typedef struct clipspan_classification_info {
    uint64_t images, labelled;
    double top1, top5;  /* share of the labelled images; NaN without labels */
    double calibration_error; /* expected calibration error (Guo et al. 2017), bins of equal width; NaN without labels */
    double confidence;        /* mean probability of the best class over the labelled images; NaN without labels */
} clipspan_classification_info;
/* embeddings: [I, E] unit length; labels: [I] class or -1 (NULL: none); logit_scale: the model's;
 * threads: 0: all. */
CLIPSPAN_API clipspan_status clipspan_classify_run(clipspan_classification **out, const float *embeddings,
                                                   size_t images, size_t embed_dim, const int *labels,
                                                   const float *classifier, const clipspan_texts *classes,
                                                   float logit_scale, int threads, clipspan_error *err);
CLIPSPAN_API void clipspan_classification_free(clipspan_classification *result);
CLIPSPAN_API const clipspan_classification_info *clipspan_classification_get_info(const clipspan_classification *r);
CLIPSPAN_API const char *clipspan_classification_class(const clipspan_classification *r, size_t c);
CLIPSPAN_API size_t clipspan_classification_class_count(const clipspan_classification *r);
/* Best class of image i and its probability (softmax of logit_scale x cosine). k-th best: k = 0 .. 4. */
CLIPSPAN_API int clipspan_classification_choice(const clipspan_classification *r, size_t i, int k, float *probability);
/* Image i's label as given to classify_run: a class, or -1. */
CLIPSPAN_API int clipspan_classification_label(const clipspan_classification *r, size_t i);
/* Per class: labelled images and those right at top 1. */
CLIPSPAN_API void clipspan_classification_of_class(const clipspan_classification *r, size_t c, uint64_t *images,
                                                   uint64_t *right);
/* Labelled images whose best class is c: precision is right / chosen, recall right / images. */
CLIPSPAN_API uint64_t clipspan_classification_chosen(const clipspan_classification *r, size_t c);
/* Wrong answers: images of class `label` whose best class is `choice`. Most images first, then by class. */
typedef struct clipspan_confusion {
    int label, choice;
    uint64_t images;
} clipspan_confusion;
CLIPSPAN_API size_t clipspan_classification_confusion_count(const clipspan_classification *r);
CLIPSPAN_API clipspan_confusion clipspan_classification_confusion(const clipspan_classification *r, size_t i);
/* The reliability table: labelled images whose best class has a probability in (low, high]. */
enum { CLIPSPAN_CALIBRATION_BINS = 15 };
typedef struct clipspan_calibration_bin {
    double low, high;
    uint64_t images;
    double accuracy, confidence; /* share that is right; mean probability; NaN without images */
} clipspan_calibration_bin;
CLIPSPAN_API clipspan_calibration_bin clipspan_classification_bin(const clipspan_classification *r, size_t b);

/* ---- attributes: how much of a head's variance a known attribute explains ----------------------------- */

typedef struct clipspan_attributes clipspan_attributes;
typedef struct clipspan_attributes_options {
    clipspan_convention convention;
    const char *const *columns; /* NULL: all that have 2 to 64 values and on average two images or more a value */
    size_t column_count;
    const unsigned char *heads; /* [L * H] of 0 and 1; NULL: all */
    int threads;                /* 0: all */
} clipspan_attributes_options;
#define CLIPSPAN_ATTRIBUTES_OPTIONS_INIT { CLIPSPAN_PAPER, NULL, 0, NULL, 0 }

/* For each head and each column of the store: the share of the variance of the head's contribution that lies between
 * the groups of equal value (eta squared, multivariate: trace of the between-groups covariance / trace of the
 * covariance), over the images whose cell is not empty; so two columns' shares may rest on different images.
 * options may be NULL. */
CLIPSPAN_API clipspan_status clipspan_attributes_run(clipspan_attributes **out, const clipspan_store *store,
                                                     const clipspan_attributes_options *options,
                                                     const clipspan_hooks *hooks, clipspan_error *err);
CLIPSPAN_API void clipspan_attributes_free(clipspan_attributes *result);
CLIPSPAN_API size_t clipspan_attributes_count(const clipspan_attributes *result);
CLIPSPAN_API clipspan_convention clipspan_attributes_convention(const clipspan_attributes *result);
/* Images with a value, and distinct values. */
CLIPSPAN_API uint64_t clipspan_attributes_images(const clipspan_attributes *result, size_t attribute);
CLIPSPAN_API size_t clipspan_attributes_groups(const clipspan_attributes *result, size_t attribute);
CLIPSPAN_API const char *clipspan_attributes_name(const clipspan_attributes *result, size_t attribute);
/* Share in [0, 1]; 0 for a head that never varies, NaN for one that was not chosen. */
CLIPSPAN_API double clipspan_attributes_share(const clipspan_attributes *result, size_t attribute, int layer, int head);
/* The share expected where values are dealt to the images at random: (groups - 1) / (images - 1), exactly. */
CLIPSPAN_API double clipspan_attributes_chance(const clipspan_attributes *result, size_t attribute);
/* The share corrected for chance: (share - chance) / (1 - chance), which is epsilon squared (Kelley 1935), also known
 * as the adjusted R squared, 1 - (1 - share) (images - 1) / (images - groups). 0: what chance gives; 1: all; below 0:
 * less than chance gives; 0 where every image has a value of its own. Attributes with different numbers of values
 * are compared by it. */
CLIPSPAN_API double clipspan_attributes_excess(const clipspan_attributes *result, size_t attribute, int layer,
                                               int head);
/* The attribute of the largest excess for a head, the earlier one on a tie; SIZE_MAX where none exceeds chance. */
CLIPSPAN_API size_t clipspan_attributes_strongest(const clipspan_attributes *result, int layer, int head);

#ifdef __cplusplus
}
#endif

#endif
