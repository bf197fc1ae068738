/* analysis/ablation_rank.h - how many classes stand before the right one, found without most of their logits.
 *
 * A logit is base[c] + the terms' values at c. All terms together are known to lie within `radius` of `shift` for every
 * class, so a class whose base + shift is further than the radius from the right class's logit is before or behind it
 * without being looked at; for the others the terms are evaluated. The answer is that of evaluating all of them.
 *
 * Letters: C classes.
 */
#ifndef CLSP_ANALYSIS_ABLATION_RANK_H
#define CLSP_ANALYSIS_ABLATION_RANK_H

#if !defined(CLSP_ROOM_ANALYSIS) && !defined(CLSP_TESTS)
#error "analysis/ablation_rank.h is private to the room analysis"
#endif

#include "base/base.h"

/* What replacing something changes: weight mean[c] - (y . rows[c] + share (y_shared . shared[c])). All borrowed. */
typedef struct clsp_term {
    const float *mean; /* [C] */
    float weight;
    const float *y, *rows; /* [n]; [C, n], `stride` apart */
    size_t n, segment;     /* the product is a sum of products of `segment` entries */
    const float *y_shared, *shared; /* [n_shared]; [C, n_shared]; n_shared 0: none */
    size_t n_shared;
    float share;
    size_t stride;
} clsp_term;
/* out: [count], the terms added up in their order, at the classes which[0 .. count). A value does not depend on what
 * else is asked for. */
void clsp_terms_values(float *out, const clsp_term *terms, size_t term_count, const int32_t *which, size_t count);

/* The classes of one image with the most, in descending order. */
enum { CLSP_TOP_MOST = 128 };
typedef struct clsp_top {
    size_t count;
    float below;   /* no class that is not listed has more; -INFINITY: all are listed */
    float largest; /* absolute value of all */
    float value[CLSP_TOP_MOST];
    int32_t which[CLSP_TOP_MOST];
} clsp_top;
void clsp_top_fill(clsp_top *top, const float *values, size_t classes);

enum { CLSP_RANK_UNKNOWN = 255 };
typedef struct clsp_rank_query {
    const float *base; /* [C] */
    size_t classes;
    size_t right;
    float value;          /* the right class's logit */
    float shift, radius;  /* rounding included */
    const float *reach;   /* [C]: a class's own radius is smaller by far (most - reach[c]); or NULL */
    float far, most;
    const clsp_term *terms;
    size_t term_count;
} clsp_rank_query;
/* Where the right class stands as it was: `rank` classes, CLSP_RANK_MOST for that many or more, have no less than `above`, the
 * others, as far as they count, no more than `below`. */
typedef struct clsp_standing {
    float above, below;
    unsigned char rank;
} clsp_standing;
/* value: the right class's, of the values that `top` is of. */
clsp_standing clsp_standing_of(const clsp_top *top, size_t right, float value);
/* The rank where no class can pass the right one; else CLSP_RANK_UNKNOWN. */
static inline size_t clsp_rank_by_standing(const clsp_rank_query *query, const clsp_standing *standing)
{
    float moved = query->value - query->shift;
    bool stays = moved + query->radius < standing->above && moved - query->radius > standing->below;
    return stays ? standing->rank : CLSP_RANK_UNKNOWN;
}
/* Classes before the right one, CLSP_RANK_MOST for that many or more. The lower class is first on a tie. top: of base. More
 * than `limit` classes that would have to be evaluated: CLSP_RANK_UNKNOWN. */
size_t clsp_rank_by_top(const clsp_rank_query *query, const clsp_top *top, size_t limit);
/* The same by a look at every class. near: [C] base, or base and terms as a product gave them; open: [C] scratch. */
size_t clsp_rank_by_all(const clsp_rank_query *query, const float *near, int32_t *open);
/* Its two steps. The classes that are before for certain; open: those that are to be evaluated, none where CLSP_RANK_MOST are
 * before already. */
size_t clsp_rank_sift(const clsp_rank_query *query, const float *near, int32_t *open, size_t *count);
/* `before` and how many of the classes open[0 .. count) are. */
size_t clsp_rank_evaluate(const clsp_rank_query *query, size_t before, const int32_t *open, size_t count);

/* Whether a class with the logit `value` is before the right one. */
static inline bool clsp_is_before(size_t which, float value, size_t right, float right_value)
{
    return which < right ? value >= right_value : value > right_value;
}

#endif
