/* analysis/worst_groups.h - images by group with the logits of every head: what rows are scored from.
 *
 * Letters: n images that are looked at, C classes, G groups, J heads whose logits are kept.
 */
#ifndef CLSP_ANALYSIS_WORST_GROUPS_H
#define CLSP_ANALYSIS_WORST_GROUPS_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/worst_groups.h is private to the room analysis"
#endif

#include "base/base.h"
#include "clipspan/groups.h"

enum { CLSP_ROWS_MOST = 64 };

struct clipspan_groups {
    clipspan_convention convention;
    char *attribute;
    size_t layers, heads, classes, count, images, searched, rows_of_store; /* count: G, images: n */
    clipspan_group *groups; /* [G] by class, then by the bytes of the value */
    char **texts;           /* [2 G] their words */
    int32_t *place;         /* [rows of the store]: position among the n, or -1 */
    int32_t *group, *label; /* [n] */
    unsigned char *search;  /* [n] 1: in the half that is searched; all 1 without halves */
    int halves, paper, last, mean_from, threads;
    uint64_t mean_images;
    unsigned char *candidates; /* [L H] */
    size_t *slot;              /* [L H] position among the J, or SIZE_MAX */
    size_t kept;               /* J */
    float *x;      /* [J, n, C] a head's logits */
    double *mean;  /* [J, C] */
    double *plain; /* [n, C] logits of the model as it is */
    double *base;  /* [n, C] the same with what the paper's protocol replaces; plain itself without it */
    unsigned char *right; /* [n] row 0 */
    clipspan_groups_row *rows[CLSP_ROWS_MOST];
    size_t row_count;
};

/* group_members.c: fills groups, place, group, label, search. */
clipspan_status clsp_members_open(clipspan_groups *g, const clipspan_store *store, const int *labels,
                                  const clipspan_texts *classes, const clipspan_groups_options *options,
                                  clipspan_error *err);
/* group_logits.c: fills x, mean, plain, base. */
clipspan_status clsp_logits_read(clipspan_groups *g, const clipspan_store *store, const float *classifier,
                                 const clipspan_store *mean_from, const clipspan_hooks *hooks, clipspan_error *err);
/* Is the head replaced already by the paper's protocol? */
static inline bool clsp_replaced(const clipspan_groups *g, size_t head)
{
    return g->paper && head / g->heads + (size_t)g->last < g->layers;
}

/* group_rows.c. right: [G] out, images of the group (of the searched half if `search`, else of the scored one) that logits
 * [n, C] place right, less (where x is not NULL) x [n, C] less mean [C]. */
void clsp_count_right(const clipspan_groups *g, const double *logits, const float *x, const double *mean, bool search,
                      uint64_t *right);
uint64_t clsp_group_size(const clipspan_groups *g, size_t group, bool search);
/* The least and the mean of right / size. */
void clsp_worst(const clipspan_groups *g, const uint64_t *right, bool search, double *worst, double *balanced);
/* logits [n, C] -= x - mean of a kept head. */
void clsp_take_out(const clipspan_groups *g, double *logits, size_t head);
size_t clsp_best_class(const double *logits, size_t classes, size_t except); /* SIZE_MAX: none excepted */
/* heads: [count] all kept. */
clipspan_status clsp_row_add(clipspan_groups *g, const char *name, int searched, const size_t *heads, size_t count,
                             clipspan_error *err);

#endif
