/* clipspan/heads.h - every head of a store at a glance: how much it varies, what it tells, what it says.
 *
 *     clipspan_head_spread *spread = calloc(layers * heads, sizeof *spread);
 *     clipspan_heads_spread(spread, moments, CLIPSPAN_PAPER, 0, NULL, &err);
 *     clipspan_heads_table table = {.store = store, .spread = spread};
 *     clipspan_report_heads(&table, NULL, CLIPSPAN_JSON, "heads.json", &err);
 */
#ifndef CLIPSPAN_HEADS_H
#define CLIPSPAN_HEADS_H

#include "clipspan/ablation.h"
#include "clipspan/activations.h"
#include "clipspan/terminal.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_head_spread {
    double variance; /* over images, of the head's contribution: trace of its covariance, squared units of the joint space */
    double share;    /* of the sum of all heads' variances, 0 to 1 */
    int rank;        /* numerical rank of its contributions */
} clipspan_head_spread;
/* out: [L * H]. Reads moments alone; the variance is TextSpan's to the bit. threads: 0: all. Stage "heads". */
CLIPSPAN_API clipspan_status clipspan_heads_spread(clipspan_head_spread *out, const clipspan_moments *moments,
                                                   clipspan_convention convention, int threads,
                                                   const clipspan_hooks *hooks, clipspan_error *err);

/* ---- report ------------------------------------------------------------------------------------------------- */

/* What was found of a store's heads; all borrowed. Results name their heads themselves, so each may be of some heads alone;
 * all are of one convention. */
typedef struct clipspan_heads_table {
    const clipspan_store *store;
    clipspan_convention convention;
    const clipspan_head_spread *spread;      /* [L * H] */
    const clipspan_attributes *attributes;   /* what each head tells best: its role; NULL: not known */
    const clipspan_ablation_study *effects;  /* what each head is worth to the right class's logit; NULL: not known */
    const clipspan_textspan *textspan;       /* NULL: no texts were asked for */
    const char *const *sources;              /* [source_count] the pool's files */
    size_t source_count;
    const clipspan_activations *activations; /* along each head's first text; NULL: none */
} clipspan_heads_table;

typedef enum clipspan_heads_by {
    CLIPSPAN_HEADS_BY_SHARE,    /* of the variance of all heads */
    CLIPSPAN_HEADS_BY_VARIANCE, /* the same in squared units of the joint space */
    CLIPSPAN_HEADS_BY_ROLE,     /* the attribute that it tells best; needs attributes */
    CLIPSPAN_HEADS_BY_EFFECT    /* what replacing it by its mean takes from the right class's logit; needs effects */
} clipspan_heads_by;
/* How text looks; JSON and CSV do not ask. */
typedef struct clipspan_heads_look {
    clipspan_heads_by by;
    clipspan_colours colours;
    int width;                      /* characters of a line */
    const unsigned char *described; /* [L * H] of 0 and 1: heads that are described below the grid; NULL: none */
} clipspan_heads_look;
#define CLIPSPAN_HEADS_LOOK_INIT { CLIPSPAN_HEADS_BY_SHARE, CLIPSPAN_COLOURS_NONE, 80, NULL }
/* docs/json.md, "heads --json". look: NULL: CLIPSPAN_HEADS_LOOK_INIT. */
CLIPSPAN_API clipspan_status clipspan_report_heads(const clipspan_heads_table *table, const clipspan_heads_look *look,
                                                   clipspan_format format, const char *path, clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
