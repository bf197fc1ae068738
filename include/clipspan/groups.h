/* clipspan/groups.h - accuracy by group (label x attribute), and heads that carry a spurious cue.
 *
 *     clipspan_groups_options options = CLIPSPAN_GROUPS_OPTIONS_INIT;
 *     options.attribute = "place";
 *     clipspan_groups_open(&groups, store, labels, classes, classifier, &options, NULL, &err);
 *     clipspan_groups_add_greedy(groups, "greedy", 10, NULL, &err);
 *     printf("%.1f %%\n", 100 * clipspan_groups_row_get(groups, 1)->worst.value);
 *     clipspan_groups_free(groups);
 *
 * A model that leans on what usually stands beside a class (its background) is wrong where it does not: accuracy is
 * looked at by group, a class with a value of the attribute, and the worst group counts. Heads that carry the cue are
 * replaced by their mean contribution (ALGORITHMS 4 and 5; docs/groups.md has the formulas and their sources).
 *
 * Heads that were searched for are searched for on one half of the images and scored on the other. The halves are dealt
 * within each group by a hash of the images' names, so they do not depend on order, threads or a seed.
 * Each set of heads is a row of one table; row 0 is the model as it is. Not safe from several threads at once.
 * Letters: I images of the store, L layers, H heads, E joint dimension, C classes, G groups.
 */
#ifndef CLIPSPAN_GROUPS_H
#define CLIPSPAN_GROUPS_H

#include "clipspan/ablation.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_groups clipspan_groups;

typedef struct clipspan_groups_options {
    clipspan_convention convention;
    const char *attribute;     /* column of the store, or "label" for its classes */
    const char *const *where;  /* "COLUMN=VALUE": images that do not have all of these are left out; NULL: none */
    size_t where_count;
    const unsigned char *heads;     /* [L * H] of 0 and 1: heads that may be replaced (their logits are kept); NULL: all */
    const unsigned char *candidates; /* [L * H] of 0 and 1, among them: where is searched; NULL: those */
    int halves;      /* 1: rows are scored on one half, so that the other can be searched; 0: on all images */
    int paper;       /* 1: x0, every MLP and all attention but the last `last` layers are replaced by their means too */
    int last;        /* 4, as in the paper */
    int skip_empty;  /* 1: a class and value without images make no group; 0: that is an error */
    const clipspan_store *mean_from; /* means over another store's images; NULL: over those that are looked at */
    int threads;     /* 0: all */
} clipspan_groups_options;
#define CLIPSPAN_GROUPS_OPTIONS_INIT { CLIPSPAN_PAPER, NULL, NULL, 0, NULL, NULL, 1, 0, 4, 0, NULL, 0 }

/* Reads the store once and keeps I x heads x C logits, and 24 bytes an image and class (2 GiB together at most; more is
 * refused, with what to do).
 * labels: [I] class of each row or -1 (left out); classifier: [C, E] unit length. Progress: the store's. */
CLIPSPAN_API clipspan_status clipspan_groups_open(clipspan_groups **out, const clipspan_store *store,
                                                  const int *labels, const clipspan_texts *classes,
                                                  const float *classifier, const clipspan_groups_options *options,
                                                  const clipspan_hooks *hooks, clipspan_error *err);
CLIPSPAN_API void clipspan_groups_free(clipspan_groups *groups);

typedef struct clipspan_group {
    const char *label, *value; /* class, value of the attribute */
    uint64_t images, searched; /* all; of them those in the half that is searched */
} clipspan_group;
typedef struct clipspan_groups_info {
    clipspan_convention convention;
    const char *attribute;
    size_t groups, rows;
    uint64_t images, searched, mean_images; /* looked at; in the half that is searched; behind the means */
    int layers, heads, halves, paper, last, mean_from;
} clipspan_groups_info;
CLIPSPAN_API clipspan_groups_info clipspan_groups_get_info(const clipspan_groups *groups);
CLIPSPAN_API const clipspan_group *clipspan_groups_get(const clipspan_groups *groups, size_t g);

/* A share with its 95 % interval: Wilson's for one proportion; for the worst group, the mean of groups and changes the
 * percentiles of 2,000 bootstrap resamples of the images within their groups (seeded, the same every time). */
typedef struct clipspan_share {
    double value, low, high;
} clipspan_share;

/* One set of heads and what is left without it, on the images that are scored. */
typedef struct clipspan_groups_row {
    const char *name;              /* the rule */
    int searched;                  /* 1: found on the searched half */
    size_t count;                  /* heads replaced */
    const size_t *heads;           /* [count] layer * H + head, in the order they were chosen, or ascending */
    clipspan_share average;     /* right of all images */
    clipspan_share balanced;    /* mean of the groups' accuracies */
    clipspan_share worst;       /* least of the groups' accuracies */
    clipspan_share change;      /* worst, less row 0's; paired */
    const clipspan_share *group; /* [G] accuracy of each group */
    size_t worst_group;
    double search_worst;           /* worst group's accuracy on the searched half; NaN without halves */
} clipspan_groups_row;
CLIPSPAN_API const clipspan_groups_row *clipspan_groups_row_get(const clipspan_groups *groups, size_t row);

/* ---- rows --------------------------------------------------------------------------------------------- */

/* heads: [L * H] of 0 and 1. A head that is replaced already (paper) is left out; one whose logits are not kept is an error. */
CLIPSPAN_API clipspan_status clipspan_groups_add(clipspan_groups *groups, const char *name, const unsigned char *heads,
                                                 clipspan_error *err);
/* The first n of the candidates by falling score, those of 0 or less or NaN left out; n from 0 to `most` is the one of
 * the best worst group on the searched half (on a tie the fewer heads). score: [L * H]. */
CLIPSPAN_API clipspan_status clipspan_groups_add_ranked(clipspan_groups *groups, const char *name, const double *score,
                                                        size_t most, clipspan_error *err);
/* Candidate after candidate, each the one that leaves the best worst group on the searched half (on a tie the best mean
 * of groups, then the first head), up to `most`; then n as above. */
CLIPSPAN_API clipspan_status clipspan_groups_add_greedy(clipspan_groups *groups, const char *name, size_t most,
                                                        const clipspan_hooks *hooks, clipspan_error *err);

/* ---- scores that rank heads; all on the searched half (without halves: on all images) --------------------- */

/* A head's contribution to the margin (right class's logit less the best other one's) in the class's best group less
 * that in its worst group, mean over the classes. score: [L * H]; NaN: not kept. */
CLIPSPAN_API clipspan_status clipspan_groups_contrast(const clipspan_groups *groups, double *score,
                                                      clipspan_error *err);
/* The same, between images answered right and wrong, within groups below the mean of groups (in the manner of
 * Locate-then-Correct: Yeo, Mao, Abdar, Cambria, Satapathy 2025, arXiv 2505.17425). */
CLIPSPAN_API clipspan_status clipspan_groups_mistakes(const clipspan_groups *groups, double *score,
                                                      clipspan_error *err);
/* Moments of the searched half alone, for TextSpan and the next function; the caller frees them. */
CLIPSPAN_API clipspan_status clipspan_groups_moments(const clipspan_groups *groups, const clipspan_store *store,
                                                     clipspan_moments **out, const clipspan_hooks *hooks,
                                                     clipspan_error *err);
/* How the heads vary along a cue's texts' span. texts: [T, E]; outputs: [L * H], each may be NULL; with B an
 * orthonormal basis of the span, c a head's contribution and r the representation in the same convention:
 *     span        trace of cov(B c) / trace of cov(c): of the head's variance, what lies along the cue
 *     passing     trace of cov(B c, B r) / trace of cov(B r): of the representation's variance along the cue, what passes
 *                 through the head (summed over all terms: 1)
 *     correlation trace of cov(B c, B r) / sqrt(trace of cov(B c) * trace of cov(B r)) (in the manner of Balasubramanian,
 *                 Basu, Feizi, NeurIPS 2024, arXiv 2406.01583)
 * Heads that are not kept: NaN. Reads the store once. */
CLIPSPAN_API clipspan_status clipspan_groups_cue(const clipspan_groups *groups, const clipspan_store *store,
                                                 const float *texts, size_t count, double *span, double *passing,
                                                 double *correlation, const clipspan_hooks *hooks, clipspan_error *err);
/* Share of a head's variance along those of its TextSpan texts that contain one of the words (whole words, any case of
 * ASCII letters). score: [L * H]; heads that `span` has not: NaN. Fails where no text of the pool contains any. */
CLIPSPAN_API clipspan_status clipspan_cue_words(const clipspan_textspan *span, const clipspan_texts *words,
                                                int layers, int heads, double *score, clipspan_error *err);

/* The heads that the paper removed for Waterbirds, by model: ViT-B-16, ViT-L-14, ViT-H-14 (of open_clip's LAION-2B
 * weights). name: NULL: found from the model's shape. `chosen`: [L * H]; *found: the name, static. Fails for others. */
CLIPSPAN_API clipspan_status clipspan_heads_published(const char **found, const clipspan_store *store, const char *name,
                                                      unsigned char *chosen, clipspan_error *err);

/* ---- the table ---------------------------------------------------------------------------------------- */

/* One row a rule. CSV: one line a rule and measure. */
CLIPSPAN_API clipspan_status clipspan_report_groups(const clipspan_groups *groups, clipspan_format format,
                                                    const char *path, clipspan_error *err);
/* PNG: a line a rule, a dot a group, a bar for the worst group's interval. */
CLIPSPAN_API clipspan_status clipspan_picture_groups(const clipspan_groups *groups, const char *path,
                                                     clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
