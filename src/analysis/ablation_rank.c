/* Ranks by bounds: see the header. Numbers that are not numbers are on no side of a bound, so they are evaluated, and are
 * before nothing. */
#include "analysis/ablation_rank.h"

#include <math.h>
#include <string.h>

#include "analysis/bootstrap.h"
#include "compute/compute.h"

enum { CHUNK = 8 };

void clsp_terms_values(float *out, const clsp_term *terms, size_t term_count, const int32_t *which, size_t count)
{
    float own[CHUNK], shared[CHUNK] = {0};
    for (size_t first = 0; first < count; first += CHUNK) {
        size_t n = clsp_min(CHUNK, count - first);
        const int32_t *at = which + first;
        memset(out + first, 0, n * sizeof *out);
        for (size_t t = 0; t < term_count; t++) {
            const clsp_term *term = &terms[t];
            clsp_dots(own, term->y, term->rows, term->stride, at, n, term->n, term->segment);
            if (term->n_shared > 0)
                clsp_dots(shared, term->y_shared, term->shared, term->stride, at, n, term->n_shared, term->n_shared);
            else
                memset(shared, 0, sizeof shared);
            for (size_t j = 0; j < n; j++)
                out[first + j] += term->weight * term->mean[at[j]] - (own[j] + term->share * shared[j]);
        }
    }
}

/* ---- the classes with the most -------------------------------------------------------------------------------- */

static void insert(clsp_top *top, float value, int32_t which)
{
    size_t at = top->count++;
    for (; at > 0 && top->value[at - 1] < value; at--) {
        top->value[at] = top->value[at - 1];
        top->which[at] = top->which[at - 1];
    }
    top->value[at] = value;
    top->which[at] = which;
}

CLSP_CLONES static void extremes(const float *values, size_t n, float *least, float *most)
{
    float low = INFINITY, high = -INFINITY;
    for (size_t c = 0; c < n; c++) {
        low = values[c] < low ? values[c] : low;
        high = values[c] > high ? values[c] : high;
    }
    *least = low;
    *most = high;
}

enum { BINS = 256, BLOCK = 512 };

/* bins: [n] of BINS equal ones; -1: no number. */
CLSP_CLONES static void find_bins(int16_t *restrict bins, const float *restrict values, float low, float scale, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        float at = (values[c] - low) * scale;
        int bin = at < BINS - 1 ? (int)at : BINS - 1;
        bins[c] = (int16_t)(at >= 0 ? bin : -1);
    }
}

/* The largest of the values whose bin is below `bin`. */
CLSP_CLONES static float most_below(const float *restrict values, const int16_t *restrict bins, int16_t bin, size_t n)
{
    float most = -INFINITY;
    for (size_t c = 0; c < n; c++) {
        float value = bins[c] >= 0 && bins[c] < bin ? values[c] : -INFINITY;
        most = value > most ? value : most;
    }
    return most;
}

/* A histogram says from which value on there are at most CLSP_TOP_MOST classes. */
void clsp_top_fill(clsp_top *top, const float *values, size_t classes)
{
    uint32_t counts[BINS + 1] = {0}; /* the first is of no numbers */
    int16_t bins[BLOCK];
    float low, high;
    extremes(values, classes, &low, &high);
    *top = (clsp_top){.below = high, .largest = fmaxf(fabsf(low), fabsf(high))};
    float scale = BINS / (high - low);
    if (!(scale > 0) || !isfinite(scale)) return; /* all alike, or not finite: none is listed */
    for (size_t first = 0; first < classes; first += BLOCK) {
        size_t n = clsp_min(BLOCK, classes - first);
        find_bins(bins, values + first, low, scale, n);
        for (size_t c = 0; c < n; c++) counts[1 + bins[c]]++;
    }
    size_t bin = BINS, listed = 0;
    while (bin > 0 && listed + counts[bin] <= CLSP_TOP_MOST) listed += counts[bin--];
    top->below = -INFINITY;
    for (size_t first = 0; first < classes; first += BLOCK) {
        size_t n = clsp_min(BLOCK, classes - first);
        find_bins(bins, values + first, low, scale, n);
        for (size_t c = 0; c < n; c++)
            if (bins[c] >= (int)bin) insert(top, values[first + c], (int32_t)(first + c));
        top->below = fmaxf(top->below, most_below(values + first, bins, (int16_t)bin, n));
    }
}

clsp_standing clsp_standing_of(const clsp_top *top, size_t right, float value)
{
    clsp_standing s = {.above = INFINITY, .below = -INFINITY};
    for (size_t j = 0; j < top->count && s.rank < CLSP_RANK_MOST; j++) {
        if ((size_t)top->which[j] == right) continue;
        if (top->value[j] > value) {
            s.above = top->value[j];
            s.rank++;
        } else {
            s.below = top->value[j];
            return s;
        }
    }
    if (s.rank == CLSP_RANK_MOST) return s;
    s.below = top->below;
    if (!(top->below < value)) s.above = -INFINITY; /* there are others above it: nothing is known */
    return s;
}

/* ---- ranks ------------------------------------------------------------------------------------------------------ */

size_t clsp_rank_evaluate(const clsp_rank_query *q, size_t before, const int32_t *open, size_t count)
{
    float moved[CHUNK];
    for (size_t at = 0, n; at < count && before < CLSP_RANK_MOST; at += n) {
        n = clsp_min(clsp_min(CHUNK, CLSP_RANK_MOST - before), count - at);
        clsp_terms_values(moved, q->terms, q->term_count, open + at, n);
        for (size_t j = 0; j < n; j++) {
            size_t which = (size_t)open[at + j];
            before += clsp_is_before(which, q->base[which] + moved[j], q->right, q->value);
        }
    }
    return clsp_min(before, CLSP_RANK_MOST);
}

size_t clsp_rank_by_top(const clsp_rank_query *q, const clsp_top *top, size_t limit)
{
    float least = q->value - q->shift - q->radius, most = q->value - q->shift + q->radius;
    size_t before = 0, count = 0, j = 0;
    int32_t open[CLSP_TOP_MOST];
    for (; j < top->count && !(top->value[j] < least) && before < CLSP_RANK_MOST; j++) {
        if ((size_t)top->which[j] == q->right) continue;
        float slack = q->reach != NULL ? q->far * (q->most - q->reach[top->which[j]]) : 0;
        if (top->value[j] > most - slack)
            before++;
        else if (!(top->value[j] < least + slack))
            open[count++] = top->which[j];
        if (count > limit && q->reach == NULL) break; /* those that are before for certain came before it */
    }
    bool all = j < top->count || top->below < least;
    if (before < CLSP_RANK_MOST && count > limit) return CLSP_RANK_UNKNOWN;
    before = clsp_rank_evaluate(q, before, open, count);
    return all || before == CLSP_RANK_MOST ? before : CLSP_RANK_UNKNOWN;
}

/* above[0]: how many exceed most; above[1]: how many are not below least. */
CLSP_CLONES static void two_counts(const float *near, size_t n, float least, float most, uint32_t above[2])
{
    uint32_t high = 0, low = 0;
    for (size_t c = 0; c < n; c++) {
        high += near[c] > most;
        low += !(near[c] < least);
    }
    above[0] = high;
    above[1] = low;
}

size_t clsp_rank_sift(const clsp_rank_query *q, const float *near, int32_t *open, size_t *count)
{
    float least = q->value - q->shift - q->radius, most = q->value - q->shift + q->radius;
    uint32_t above[2];
    two_counts(near, q->classes, least, most, above);
    bool self = near[q->right] > most, self_open = !self && !(near[q->right] < least);
    size_t before = clsp_min(above[0] - self, CLSP_RANK_MOST), n = 0;
    *count = before < CLSP_RANK_MOST ? above[1] - above[0] - self_open : 0;
    for (size_t j = 0; j < q->classes && n < *count; j++)
        if (j != q->right && !(near[j] < least || near[j] > most)) open[n++] = (int32_t)j;
    return before;
}

size_t clsp_rank_by_all(const clsp_rank_query *query, const float *near, int32_t *open)
{
    size_t count, before = clsp_rank_sift(query, near, open, &count);
    return clsp_rank_evaluate(query, before, open, count);
}
