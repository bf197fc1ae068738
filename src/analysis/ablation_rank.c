/* Ranks by bounds: see the header. Numbers that are not numbers are on no side of a bound, so they are evaluated, and are
 * before nothing. */
#include "analysis/ablation_rank.h"

#include <math.h>
#include <string.h>

#include "analysis/bootstrap.h"
#include "compute/compute.h"

enum { CHUNK = 8 };

/* out: [count] = y . rows[which] of one term, its own columns segment by segment. */
static void own_products(float *out, const clsp_term *term, const int32_t *which, size_t count)
{
    float part[CHUNK];
    memset(out, 0, count * sizeof *out);
    for (size_t at = 0; at < term->n; at += term->segment) {
        clsp_dots(part, term->y + at, term->rows + at, term->stride, which, count, term->segment);
        for (size_t j = 0; j < count; j++) out[j] += part[j];
    }
}

void clsp_terms_values(float *out, const clsp_term *terms, size_t term_count, const int32_t *which, size_t count)
{
    float own[CHUNK], shared[CHUNK] = {0};
    for (size_t first = 0; first < count; first += CHUNK) {
        size_t n = clsp_min(CHUNK, count - first);
        memset(out + first, 0, n * sizeof *out);
        for (size_t t = 0; t < term_count; t++) {
            const clsp_term *term = &terms[t];
            own_products(own, term, which + first, n);
            if (term->n_shared > 0)
                clsp_dots(shared, term->y_shared, term->shared, term->stride, which + first, n, term->n_shared);
            else
                memset(shared, 0, sizeof shared);
            for (size_t j = 0; j < n; j++)
                out[first + j] += term->weight * term->mean[which[first + j]] - (own[j] + term->share * shared[j]);
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

/* A histogram says from which value on there are at most CLSP_TOP_MOST classes. */
void clsp_top_fill(clsp_top *top, const float *values, size_t classes)
{
    enum { BINS = 256 };
    uint32_t bins[BINS] = {0};
    float low, high;
    extremes(values, classes, &low, &high);
    *top = (clsp_top){.below = high, .largest = fmaxf(fabsf(low), fabsf(high))};
    float scale = BINS / (high - low);
    if (!(scale > 0) || !isfinite(scale)) return; /* all alike, or not finite: none is listed */
    for (size_t c = 0; c < classes; c++) {
        float bin = (values[c] - low) * scale;
        if (bin >= 0) bins[(size_t)fminf(bin, BINS - 1)]++;
    }
    size_t bin = BINS, listed = 0;
    while (bin > 0 && listed + bins[bin - 1] <= CLSP_TOP_MOST) listed += bins[--bin];
    top->below = -INFINITY;
    for (size_t c = 0; c < classes; c++) {
        float at = (values[c] - low) * scale;
        if (!(at >= 0)) continue;
        if ((size_t)fminf(at, BINS - 1) >= bin)
            insert(top, values[c], (int32_t)c);
        else
            top->below = fmaxf(top->below, values[c]);
    }
}

/* ---- ranks ------------------------------------------------------------------------------------------------------ */

/* Classes that bounds do not decide, CHUNK by CHUNK. */
typedef struct count {
    const clsp_rank_query *query;
    size_t before, evaluated, waiting;
    int32_t which[CHUNK];
} count;

static void compare(count *c, int32_t which, float moved)
{
    const clsp_rank_query *q = c->query;
    float value = q->base[which] + moved;
    c->before += (size_t)which < q->right ? value >= q->value : value > q->value;
}

static void evaluate(count *c)
{
    float values[CHUNK];
    clsp_terms_values(values, c->query->terms, c->query->term_count, c->which, c->waiting);
    for (size_t j = 0; j < c->waiting; j++) compare(c, c->which[j], values[j]);
    c->evaluated += c->waiting;
    c->waiting = 0;
}

/* true: nothing more need be known. */
static bool decide(count *c, int32_t which)
{
    const clsp_rank_query *q = c->query;
    for (size_t k = 0; k < q->known_count; k++)
        if (q->known[k] == which) {
            compare(c, which, q->known_values[k]);
            return c->before >= CLSP_RANK_MOST;
        }
    c->which[c->waiting++] = which;
    if (c->waiting == CHUNK || c->before + c->waiting >= CLSP_RANK_MOST) evaluate(c);
    return c->before >= CLSP_RANK_MOST || c->evaluated >= q->limit;
}

static size_t counted(count *c)
{
    if (c->before < CLSP_RANK_MOST && c->waiting > 0) evaluate(c);
    return clsp_min(c->before, CLSP_RANK_MOST);
}

size_t clsp_rank_by_top(const clsp_rank_query *query, const clsp_top *top)
{
    count c = {.query = query};
    float least = query->value - query->shift - query->radius, most = query->value - query->shift + query->radius;
    size_t j = 0;
    for (; j < top->count && !(top->value[j] < least) && c.before < CLSP_RANK_MOST; j++) {
        if ((size_t)top->which[j] == query->right) continue;
        if (top->value[j] > most) {
            c.before++;
        } else if (decide(&c, top->which[j])) {
            if (c.before < CLSP_RANK_MOST) return CLSP_RANK_UNKNOWN;
        }
    }
    size_t rank = counted(&c);
    bool all = j < top->count || top->below < least;
    return all || rank == CLSP_RANK_MOST ? rank : CLSP_RANK_UNKNOWN;
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

size_t clsp_rank_by_all(const clsp_rank_query *query, const float *near)
{
    count c = {.query = query};
    float least = query->value - query->shift - query->radius, most = query->value - query->shift + query->radius;
    uint32_t above[2];
    two_counts(near, query->classes, least, most, above);
    bool self = near[query->right] > most;
    c.before = above[0] - self;
    if (c.before >= CLSP_RANK_MOST) return CLSP_RANK_MOST;
    if (above[1] == above[0] + !self && !(near[query->right] < least)) return c.before;
    for (size_t j = 0; j < query->classes; j++) {
        if (j == query->right || near[j] < least || near[j] > most) continue;
        if (decide(&c, (int32_t)j)) break;
    }
    if (c.before < CLSP_RANK_MOST && c.evaluated >= query->limit) return CLSP_RANK_UNKNOWN;
    return counted(&c);
}
