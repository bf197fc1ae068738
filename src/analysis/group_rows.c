/* Sets of heads, scored: accuracy by group with intervals. */
#include <math.h>
#include <string.h>

#include "analysis/bootstrap.h"
#include "analysis/worst_groups.h"

enum { RESAMPLES = 2000 };
static const double NORMAL_975 = 1.959963984540054;

size_t clsp_best_class(const double *logits, size_t classes, size_t except)
{
    size_t best = SIZE_MAX;
    for (size_t j = 0; j < classes; j++)
        if (j != except && (best == SIZE_MAX || logits[j] > logits[best])) best = j;
    return best;
}

uint64_t clsp_group_size(const clipspan_groups *g, size_t group, bool search)
{
    if (!g->halves) return g->groups[group].images;
    return search ? g->groups[group].searched : g->groups[group].images - g->groups[group].searched;
}

static bool counts_here(const clipspan_groups *g, size_t i, bool search)
{
    return !g->halves || (g->search[i] != 0) == search;
}

static bool is_right(const clipspan_groups *g, size_t i, const double *logits, const float *x, const double *mean)
{
    size_t c = g->classes, best = 0;
    double most = 0;
    for (size_t j = 0; j < c; j++) {
        double value = logits[i * c + j];
        if (x != NULL) value -= (double)x[i * c + j] - mean[j];
        if (j > 0 && !(value > most)) continue;
        best = j;
        most = value;
    }
    return best == (size_t)g->label[i];
}

void clsp_count_right(const clipspan_groups *g, const double *logits, const float *x, const double *mean, bool search,
                      uint64_t *right)
{
    memset(right, 0, g->count * sizeof *right);
    for (size_t i = 0; i < g->images; i++)
        if (counts_here(g, i, search)) right[g->group[i]] += is_right(g, i, logits, x, mean);
}

void clsp_worst(const clipspan_groups *g, const uint64_t *right, bool search, double *worst, double *balanced)
{
    *worst = 1;
    *balanced = 0;
    for (size_t group = 0; group < g->count; group++) {
        double share = (double)right[group] / (double)clsp_group_size(g, group, search);
        *worst = fmin(*worst, share);
        *balanced += share / (double)g->count;
    }
}

void clsp_take_out(const clipspan_groups *g, double *logits, size_t head)
{
    size_t c = g->classes, slot = g->slot[head];
    const float *x = g->x + slot * g->images * c;
    const double *mean = g->mean + slot * c;
    for (size_t i = 0; i < g->images * c; i++) logits[i] -= (double)x[i] - mean[i % c];
}

/* ---- intervals -------------------------------------------------------------------------------------------- */

/* Wilson's interval (1927) of a share of n. */
static clipspan_share wilson(uint64_t right, uint64_t n)
{
    double z = NORMAL_975, share = (double)right / (double)n, scale = 1 + z * z / (double)n;
    double middle = (share + z * z / (2 * (double)n)) / scale;
    double half = z / scale * sqrt(share * (1 - share) / (double)n + z * z / (4 * (double)n * (double)n));
    return (clipspan_share){share, right ? middle - half : 0, right < n ? middle + half : 1};
}

/* Of one group: images by right before (2) and right after (1). */
typedef struct outcomes {
    uint64_t cell[4], size;
} outcomes;

/* Draws as many images as the group has, with replacement. */
static void resample(const outcomes *from, uint64_t *state, double *before, double *after)
{
    uint64_t drawn[4] = {0}, bound[3] = {from->cell[0], from->cell[0] + from->cell[1],
                                         from->cell[0] + from->cell[1] + from->cell[2]};
    for (uint64_t i = 0; i < from->size; i++) {
        uint64_t at = clsp_random(state) % from->size; /* bias below 2^-40 */
        drawn[(at >= bound[0]) + (at >= bound[1]) + (at >= bound[2])]++;
    }
    *before = (double)(drawn[2] + drawn[3]) / (double)from->size;
    *after = (double)(drawn[1] + drawn[3]) / (double)from->size;
}

static void one_resample(const outcomes *groups, size_t count, uint64_t seed, double *worst, double *balanced,
                         double *change)
{
    double least_before = 1, least = 1, sum = 0;
    for (size_t group = 0; group < count; group++) {
        double before, after;
        resample(&groups[group], &seed, &before, &after);
        least_before = fmin(least_before, before);
        least = fmin(least, after);
        sum += after;
    }
    *worst = least;
    *balanced = sum / (double)count;
    *change = least - least_before;
}

static clipspan_status bootstrap(const clipspan_groups *g, const outcomes *groups, clipspan_groups_row *row,
                                 clipspan_error *err)
{
    double *values = clsp_alloc(3 * RESAMPLES, sizeof *values);
    if (values == NULL) return clsp_fail_memory(err);
    double *worst = values, *balanced = values + RESAMPLES, *change = values + 2 * RESAMPLES;
#pragma omp parallel for schedule(static) num_threads(g->threads)
    for (size_t b = 0; b < RESAMPLES; b++) {
        uint64_t seed = b;
        one_resample(groups, g->count, clsp_random(&seed), &worst[b], &balanced[b], &change[b]);
    }
    clsp_percentiles(worst, RESAMPLES, &row->worst.low, &row->worst.high);
    clsp_percentiles(balanced, RESAMPLES, &row->balanced.low, &row->balanced.high);
    clsp_percentiles(change, RESAMPLES, &row->change.low, &row->change.high);
    clsp_free(values);
    return CLIPSPAN_OK;
}

/* ---- a row ------------------------------------------------------------------------------------------------ */

static void count_outcomes(const clipspan_groups *g, const double *logits, outcomes *groups)
{
    for (size_t i = 0; i < g->images; i++) {
        if (!counts_here(g, i, false)) continue;
        outcomes *of = &groups[g->group[i]];
        of->size++;
        of->cell[2 * g->right[i] + is_right(g, i, logits, NULL, NULL)]++;
    }
}

static void score(const clipspan_groups *g, const outcomes *groups, clipspan_groups_row *row, clipspan_share *by_group)
{
    double before = 1, balanced = 0;
    uint64_t right = 0, images = 0;
    for (size_t k = 0; k < g->count; k++) {
        const outcomes *of = &groups[k];
        by_group[k] = wilson(of->cell[1] + of->cell[3], of->size);
        before = fmin(before, (double)(of->cell[2] + of->cell[3]) / (double)of->size);
        if (by_group[k].value < by_group[row->worst_group].value) row->worst_group = k;
        balanced += by_group[k].value / (double)g->count;
        right += of->cell[1] + of->cell[3];
        images += of->size;
    }
    row->average = wilson(right, images);
    row->balanced.value = balanced;
    row->worst.value = by_group[row->worst_group].value;
    row->change.value = row->worst.value - before;
}

static clipspan_status search_worst(const clipspan_groups *g, const double *logits, clipspan_groups_row *row,
                                    clipspan_error *err)
{
    double balanced;
    row->search_worst = (double)NAN;
    if (!g->halves) return CLIPSPAN_OK;
    uint64_t *right = clsp_alloc(g->count, sizeof *right);
    if (right == NULL) return clsp_fail_memory(err);
    clsp_count_right(g, logits, NULL, NULL, true, right);
    clsp_worst(g, right, true, &row->search_worst, &balanced);
    clsp_free(right);
    return CLIPSPAN_OK;
}

static clipspan_status fill(const clipspan_groups *g, clipspan_groups_row *row, clipspan_share *by_group,
                            clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t cells = g->images * g->classes;
    outcomes *groups = NULL;
    double *logits = NULL;
    CLSP_ALLOC(groups, clsp_alloc_zero(g->count, sizeof *groups));
    CLSP_ALLOC(logits, clsp_alloc(cells, sizeof *logits));
    memcpy(logits, g->row_count == 0 ? g->plain : g->base, cells * sizeof *logits);
    for (size_t i = 0; i < row->count; i++) clsp_take_out(g, logits, row->heads[i]);
    if (g->row_count == 0)
        for (size_t i = 0; i < g->images; i++) g->right[i] = is_right(g, i, logits, NULL, NULL);
    count_outcomes(g, logits, groups);
    score(g, groups, row, by_group);
    CLSP_TRY(bootstrap(g, groups, row, err));
    CLSP_TRY(search_worst(g, logits, row, err));
out:
    clsp_free(groups);
    clsp_free(logits);
    return status;
}

/* One block: the row, its groups, its heads, its name. */
clipspan_status clsp_row_add(clipspan_groups *g, const char *name, int searched, const size_t *heads, size_t count,
                             clipspan_error *err)
{
    size_t length = strlen(name) + 1;
    if (g->row_count == CLSP_ROWS_MOST)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a table of more than %d rows", (int)CLSP_ROWS_MOST);
    char *block = clsp_alloc(1, sizeof(clipspan_groups_row) + g->count * sizeof(clipspan_share) +
                                    count * sizeof(size_t) + length);
    if (block == NULL) return clsp_fail_memory(err);
    clipspan_groups_row *row = (clipspan_groups_row *)(void *)block;
    clipspan_share *by_group = (clipspan_share *)(void *)(row + 1);
    size_t *kept = (size_t *)(void *)(by_group + g->count);
    char *words = (char *)(kept + count);
    if (count > 0) memcpy(kept, heads, count * sizeof *kept);
    memcpy(words, name, length);
    *row = (clipspan_groups_row){.name = words, .searched = searched, .count = count, .heads = kept, .group = by_group};
    clipspan_status status = fill(g, row, by_group, err);
    if (status == CLIPSPAN_OK)
        g->rows[g->row_count++] = row;
    else
        clsp_free(row);
    return status;
}
