/* Heads searched for on one half of the images: by a ranking, or greedily; and rankings that need labels. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "analysis/worst_groups.h"

static clipspan_status check(const clipspan_groups *g, clipspan_error *err)
{
    if (g->halves) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                     "heads cannot be searched for on the images they are scored on: halves are needed");
}

/* ---- rankings ----------------------------------------------------------------------------------------------- */

/* Candidates of a score above 0, best first; the first head on a tie. Returns how many, at most `most`. */
static size_t rank(const clipspan_groups *g, const double *score, size_t most, size_t *order)
{
    size_t count = 0;
    for (size_t h = 0; h < g->layers * g->heads; h++) {
        if (!g->candidates[h] || !(score[h] > 0)) continue;
        size_t to = count;
        while (to > 0 && score[h] > score[order[to - 1]]) to--;
        memmove(order + to + 1, order + to, (count - to) * sizeof *order);
        order[to] = h;
        count++;
    }
    return clsp_min(count, most);
}

/* How many of `order` leave the best worst group on the searched half. */
static clipspan_status best_length(const clipspan_groups *g, const size_t *order, size_t count, size_t *length,
                                   clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t cells = g->images * g->classes;
    double best = -1, worst, balanced, *logits = NULL;
    uint64_t *right = NULL;
    CLSP_ALLOC(logits, clsp_alloc(cells, sizeof *logits));
    CLSP_ALLOC(right, clsp_alloc(g->count, sizeof *right));
    memcpy(logits, g->base, cells * sizeof *logits);
    *length = 0;
    for (size_t n = 0; n <= count; n++) {
        if (n > 0) clsp_take_out(g, logits, order[n - 1]);
        clsp_count_right(g, logits, NULL, NULL, true, right);
        clsp_worst(g, right, true, &worst, &balanced);
        if (!(worst > best)) continue;
        best = worst;
        *length = n;
    }
out:
    clsp_free(logits);
    clsp_free(right);
    return status;
}

clipspan_status clipspan_groups_add_ranked(clipspan_groups *g, const char *name, const double *score, size_t most,
                                           clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t length, *order = NULL;
    CLSP_TRY(check(g, err));
    CLSP_ALLOC(order, clsp_alloc(g->layers * g->heads + 1, sizeof *order));
    CLSP_TRY(best_length(g, order, rank(g, score, most, order), &length, err));
    CLSP_TRY(clsp_row_add(g, name, 1, order, length, err));
out:
    clsp_free(order);
    return status;
}

/* ---- greedy ------------------------------------------------------------------------------------------------- */

typedef struct greedy {
    const clipspan_groups *g;
    double *logits;           /* [n, C] with the chosen heads out */
    unsigned char *left;      /* [L H] candidates not chosen yet */
    double *worst, *balanced; /* [L H] were this one out too */
    uint64_t *right;          /* [L H, G] */
} greedy;

static size_t next_head(const greedy *s)
{
    const clipspan_groups *g = s->g;
    size_t all = g->layers * g->heads, best = SIZE_MAX;
#pragma omp parallel for schedule(dynamic) num_threads(g->threads)
    for (size_t h = 0; h < all; h++) {
        if (!s->left[h]) continue;
        size_t slot = g->slot[h];
        uint64_t *right = s->right + h * g->count;
        clsp_count_right(g, s->logits, g->x + slot * g->images * g->classes, g->mean + slot * g->classes, true, right);
        clsp_worst(g, right, true, &s->worst[h], &s->balanced[h]);
    }
    for (size_t h = 0; h < all; h++)
        if (s->left[h] && (best == SIZE_MAX || s->worst[h] > s->worst[best] ||
                           (!(s->worst[h] < s->worst[best]) && s->balanced[h] > s->balanced[best])))
            best = h;
    return best;
}

static clipspan_status greedy_open(greedy *s, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_groups *g = s->g;
    size_t all = g->layers * g->heads, cells = g->images * g->classes;
    CLSP_ALLOC(s->logits, clsp_alloc(cells, sizeof *s->logits));
    CLSP_ALLOC(s->left, clsp_alloc(all, 1));
    CLSP_ALLOC(s->worst, clsp_alloc(all, sizeof *s->worst));
    CLSP_ALLOC(s->balanced, clsp_alloc(all, sizeof *s->balanced));
    CLSP_ALLOC(s->right, clsp_alloc(all * g->count, sizeof *s->right));
    memcpy(s->logits, g->base, cells * sizeof *s->logits);
    memcpy(s->left, g->candidates, all);
out:
    return status;
}

static clipspan_status tell(const clipspan_hooks *hooks, size_t done, size_t total, clipspan_error *err)
{
    clipspan_progress now = {.stage = "search", .done = done, .total = total};
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, &now) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after %zu of %zu heads", done, total);
}

clipspan_status clipspan_groups_add_greedy(clipspan_groups *g, const char *name, size_t most, const clipspan_hooks *hooks,
                                           clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    greedy s = {.g = g};
    size_t count = 0, length, *order = NULL;
    CLSP_TRY(check(g, err));
    CLSP_TRY(greedy_open(&s, err));
    CLSP_ALLOC(order, clsp_alloc(g->layers * g->heads, sizeof *order));
    for (size_t h = SIZE_MAX; count < most; count++) {
        CLSP_TRY(tell(hooks, count, most, err));
        h = next_head(&s);
        if (h == SIZE_MAX) break;
        order[count] = h;
        s.left[h] = 0;
        clsp_take_out(g, s.logits, h);
    }
    CLSP_TRY(best_length(g, order, count, &length, err));
    CLSP_TRY(clsp_row_add(g, name, 1, order, length, err));
out:
    clsp_free(order);
    clsp_free(s.logits);
    clsp_free(s.left);
    clsp_free(s.worst);
    clsp_free(s.balanced);
    clsp_free(s.right);
    return status;
}

/* ---- rankings by the margin ----------------------------------------------------------------------------------- */

/* Of one head: sums of its margin by group, of the images answered right and wrong. */
typedef struct margins {
    double sum[2];
    uint64_t images[2];
} margins;

typedef double (*margin_fn)(const clipspan_groups *g, const margins *by_group);

static margins both(const margins *m)
{
    return (margins){{m->sum[0] + m->sum[1], 0}, {m->images[0] + m->images[1], 0}};
}

static double accuracy(const margins *m)
{
    return (double)m->images[1] / (double)(m->images[0] + m->images[1]);
}

/* Means over classes of: mean margin in the best group less that in the worst. */
static double contrast(const clipspan_groups *g, const margins *by_group)
{
    double sum = 0;
    size_t classes = 0;
    for (size_t first = 0, end; first < g->count; first = end) {
        size_t best = first, worst = first;
        for (end = first; end < g->count && strcmp(g->groups[end].label, g->groups[first].label) == 0; end++) {
            if (accuracy(&by_group[end]) > accuracy(&by_group[best])) best = end;
            if (accuracy(&by_group[end]) < accuracy(&by_group[worst])) worst = end;
        }
        if (best == worst) continue;
        const margins high = both(&by_group[best]), low = both(&by_group[worst]);
        sum += high.sum[0] / (double)high.images[0] - low.sum[0] / (double)low.images[0];
        classes++;
    }
    return classes ? sum / (double)classes : 0;
}

/* Mean over groups below the mean of groups of: mean margin of what is right less that of what is wrong. */
static double mistakes(const clipspan_groups *g, const margins *by_group)
{
    double mean = 0, sum = 0;
    size_t groups = 0;
    for (size_t k = 0; k < g->count; k++) mean += accuracy(&by_group[k]) / (double)g->count;
    for (size_t k = 0; k < g->count; k++) {
        const margins *m = &by_group[k];
        if (!(accuracy(m) < mean) || m->images[0] == 0 || m->images[1] == 0) continue;
        sum += m->sum[1] / (double)m->images[1] - m->sum[0] / (double)m->images[0];
        groups++;
    }
    return groups ? sum / (double)groups : 0;
}

/* What is known of an image whatever the head. */
typedef struct answer {
    size_t rival; /* the class that rivals the right one most in the whole; SIZE_MAX: there is none */
    bool right;
} answer;

static void find_answers(const clipspan_groups *g, answer *answers)
{
    size_t c = g->classes;
#pragma omp parallel for schedule(static) num_threads(g->threads)
    for (size_t i = 0; i < g->images; i++) {
        size_t label = (size_t)g->label[i];
        answers[i] = (answer){.rival = SIZE_MAX};
        if (!g->search[i]) continue;
        answers[i].rival = clsp_best_class(g->base + i * c, c, label);
        answers[i].right = clsp_best_class(g->base + i * c, c, SIZE_MAX) == label;
    }
}

/* A head's margin: the right class's logit less its rival's. */
static double head_score(const clipspan_groups *g, size_t slot, margin_fn fn, const answer *answers, margins *by_group)
{
    size_t c = g->classes;
    const float *x = g->x + slot * g->images * c;
    memset(by_group, 0, g->count * sizeof *by_group);
    for (size_t i = 0; i < g->images; i++) {
        if (!g->search[i]) continue;
        const answer *a = &answers[i];
        margins *m = &by_group[g->group[i]];
        m->images[a->right]++;
        if (a->rival != SIZE_MAX)
            m->sum[a->right] += (double)x[i * c + (size_t)g->label[i]] - (double)x[i * c + a->rival];
    }
    return fn(g, by_group);
}

static clipspan_status score_heads(const clipspan_groups *g, margin_fn fn, double *score, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t all = g->layers * g->heads;
    margins *by_group = NULL;
    answer *answers = NULL;
    CLSP_ALLOC(by_group, clsp_alloc((size_t)g->threads * g->count, sizeof *by_group));
    CLSP_ALLOC(answers, clsp_alloc(g->images, sizeof *answers));
    find_answers(g, answers);
#pragma omp parallel for schedule(static) num_threads(g->threads)
    for (size_t h = 0; h < all; h++) {
        margins *own = by_group + (size_t)omp_get_thread_num() * g->count;
        score[h] = g->slot[h] != SIZE_MAX ? head_score(g, g->slot[h], fn, answers, own) : (double)NAN;
    }
out:
    clsp_free(by_group);
    clsp_free(answers);
    return status;
}

clipspan_status clipspan_groups_contrast(const clipspan_groups *g, double *score, clipspan_error *err)
{
    return score_heads(g, contrast, score, err);
}

clipspan_status clipspan_groups_mistakes(const clipspan_groups *g, double *score, clipspan_error *err)
{
    return score_heads(g, mistakes, score, err);
}
