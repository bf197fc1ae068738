/* Classes that products leave open, for all images of some rows. They are evaluated layer by layer and class after class, so
 * that a layer's map is read from memory once, and a class's row of it, and the images' factors, from the cache. */
#include <stdlib.h>

#include "analysis/ablation_pass.h"

/* An image and a class, and what is asked of it: open[next .. end), layers ascending. */
typedef struct pending {
    size_t next, end;
    int32_t which;
    uint16_t row;
    int last;  /* layer that is needed for the layers up to some one; -1: none */
    float sum; /* of the layers so far */
} pending;

bool clsp_pass_ask(const clsp_pass_rows *r, size_t i, size_t layer, unsigned char ask, const int32_t *classes, size_t count)
{
    clsp_pass_scratch *s = r->s;
    if (count > 0 && (!r->p->maps.all || count > CLSP_PASS_OPEN - s->open_count)) return false;
    for (size_t j = 0; j < count; j++)
        s->open[s->open_count++] = (clsp_open_class){classes[j], (uint16_t)i, ask, (uint32_t)layer};
    return true;
}

/* By class, of each class by row, of each row as they came. */
static int by_class(const void *a, const void *b)
{
    const clsp_open_class *x = a, *y = b;
    if (x->which != y->which) return x->which < y->which ? -1 : 1;
    if (x->row != y->row) return x->row < y->row ? -1 : 1;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return x->ask - y->ask;
}

static size_t collect(pending *list, const clsp_open_class *open, size_t count)
{
    size_t n = 0;
    for (size_t j = 0; j < count; j++) {
        if (j == 0 || open[j].which != open[j - 1].which || open[j].row != open[j - 1].row)
            list[n++] = (pending){.next = j, .which = open[j].which, .row = open[j].row, .last = -1};
        list[n - 1].end = j + 1;
        if (open[j].ask != CLSP_ASK_LAYER) list[n - 1].last = (int)open[j].layer;
    }
    return n;
}

/* out: [count], what replacing the layer adds to the class in those rows: the bits of clsp_terms_values. */
static void values_of_class(float *out, const clsp_pass_rows *r, size_t layer, int32_t which, const int32_t *rows, size_t count)
{
    float shared[CLSP_PASS_ROWS] = {0};
    clsp_term term = clsp_pass_layer_term(r, 0, layer);
    size_t at = (size_t)which * term.stride;
    clsp_dots(out, term.rows + at, term.y, term.stride, rows, count, term.n, term.segment);
    if (term.n_shared > 0)
        clsp_dots(shared, term.shared + at, term.y_shared, term.stride, rows, count, term.n_shared, term.n_shared);
    for (size_t j = 0; j < count; j++)
        out[j] = clsp_pass_weight(r, (size_t)rows[j]) * term.mean[which] - (out[j] + term.share * shared[j]);
}

static void compare(const clsp_pass_rows *r, const clsp_open_class *open, float moved, float right_moved)
{
    static const clipspan_ablated kinds[] = {[CLSP_ASK_LAYER] = CLIPSPAN_ABLATED_LAYER,
                                             [CLSP_ASK_UP_TO] = CLIPSPAN_ABLATED_UP_TO,
                                             [CLSP_ASK_UP_TO_MLPS] = CLIPSPAN_ABLATED_UP_TO_MLPS};
    size_t which = (size_t)open->which, right = clsp_pass_right(r, open->row);
    const float *base = clsp_pass_base(r, open->row, open->ask == CLSP_ASK_UP_TO_MLPS);
    unsigned char *rank = &r->p->outcomes->rank[clsp_pass_cell(r, open->row, kinds[open->ask], open->layer)];
    if (*rank < CLSP_RANK_MOST) *rank += clsp_is_before(which, base[which] + moved, right, base[right] + right_moved);
}

/* The layer of one class for those of list[0 .. count) that need it. right: [n], sums of the layers so far. */
static void answer_class(const clsp_pass_rows *r, size_t layer, pending *list, size_t count, const float *right)
{
    pending *needed[CLSP_PASS_ROWS];
    int32_t rows[CLSP_PASS_ROWS];
    float values[CLSP_PASS_ROWS];
    size_t n = 0;
    const clsp_open_class *open = r->s->open;
    for (size_t j = 0; j < count; j++) {
        pending *p = &list[j];
        if (p->last < (int)layer && !(p->next < p->end && open[p->next].layer == layer)) continue;
        rows[n] = p->row;
        needed[n++] = p;
    }
    if (n == 0) return;
    values_of_class(values, r, layer, list->which, rows, n);
    for (size_t j = 0; j < n; j++) {
        pending *p = needed[j];
        p->sum += values[j];
        for (; p->next < p->end && open[p->next].layer == layer; p->next++)
            if (open[p->next].ask == CLSP_ASK_LAYER)
                compare(r, &open[p->next], values[j], clsp_pass_state(r, p->row, layer)->change.right);
            else
                compare(r, &open[p->next], p->sum, right[p->row]);
    }
}

/* A class's lines in the layer's map, while the class before it is evaluated. */
static void fetch_class(const clsp_pass_rows *r, size_t layer, int32_t which)
{
    const float *row = clsp_ablation_maps_rows(&r->p->maps, layer) + (size_t)which * r->p->width;
    for (size_t j = 0; j < r->p->width; j += 16) __builtin_prefetch(row + j, 0, 2);
}

clipspan_status clsp_pass_answer(const clsp_pass_rows *r)
{
    clsp_pass_scratch *s = r->s;
    float right[CLSP_PASS_ROWS] = {0};
    if (s->open_count == 0) return CLIPSPAN_OK;
    pending *list = clsp_alloc(s->open_count, sizeof *list);
    if (list == NULL) return CLIPSPAN_ERROR_MEMORY;
    qsort(s->open, s->open_count, sizeof *s->open, by_class);
    size_t n = collect(list, s->open, s->open_count);
    for (size_t l = 0; l < r->p->layers; l++) {
        for (size_t i = 0; i < r->n; i++)
            if (clsp_pass_scored(r, i)) right[i] += clsp_pass_state(r, i, l)->change.right;
        for (size_t j = 0, end; j < n; j = end) {
            for (end = j + 1; end < n && list[end].which == list[j].which; end++) {}
            if (end < n) fetch_class(r, l, list[end].which);
            answer_class(r, l, list + j, end - j, right);
        }
    }
    s->open_count = 0;
    clsp_free(list);
    return CLIPSPAN_OK;
}
