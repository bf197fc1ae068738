/* The k best of a stream of scores. */
#include "analysis/space.h"

static bool is_better(const clipspan_retrieval_hit *a, const clipspan_retrieval_hit *b)
{
    return a->score > b->score || (a->score == b->score && a->row < b->row);
}

static void swap(clipspan_retrieval_hit *a, clipspan_retrieval_hit *b)
{
    clipspan_retrieval_hit kept = *a;
    *a = *b;
    *b = kept;
}

/* Lets the entry at `at` sink below those that are worse than it. */
static void sink(clipspan_retrieval_hit *hits, size_t count, size_t at)
{
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (is_better(&hits[worst], &hits[child])) worst = child;
        if (worst == at) return;
        swap(&hits[worst], &hits[at]);
        at = worst;
    }
}

void clsp_nearest_offer(clsp_nearest *n, uint64_t row, double score)
{
    const clipspan_retrieval_hit hit = {row, score};
    if (n->count == n->k) {
        if (n->k == 0 || !is_better(&hit, &n->hits[0])) return;
        n->hits[0] = hit;
        sink(n->hits, n->count, 0);
        return;
    }
    size_t at = n->count++;
    n->hits[at] = hit;
    for (size_t parent; at > 0 && is_better(&n->hits[parent = (at - 1) / 2], &n->hits[at]); at = parent)
        swap(&n->hits[parent], &n->hits[at]);
}

void clsp_nearest_sort(clsp_nearest *n)
{
    for (size_t left = n->count; left > 1;) {
        swap(&n->hits[0], &n->hits[--left]); /* the worst goes last */
        sink(n->hits, left, 0);
    }
}
