/* Sums over images, added up in an order that neither batches, parts nor interruptions change: image after image within a
 * shard, and shards in a binary tree.
 *
 *   shards       0   1   2   3   4   5   6         Two halves of a node of the tree are added as soon as both are done,
 *                 \ /     \ /     \ /    |         wherever the work began; what is left at the end, here 0-3, 4-5 and 6,
 *                 0-1     2-3     4-5    |         is added from the right: 6 to 4-5, that to 0-3. An unfinished store
 *                    \   /                         keeps the sums of the nodes that it has, log2(shards) of them where
 *                     0-3                          the work went through the list.
 */
#include "store/names.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

void clsp_totals_free(clsp_totals *totals)
{
    clipspan_moments_free(totals->moments);
    clipspan_neurons_free(totals->neurons);
    clsp_free(totals->skipped);
    *totals = (clsp_totals){0};
}

void clsp_totals_clear(clsp_totals *totals)
{
    clsp_moments_clear(totals->moments);
    if (totals->neurons != NULL) clsp_neurons_clear(totals->neurons);
    totals->skipped_count = 0;
}

clipspan_status clsp_totals_read(clsp_totals *out, const clsp_manifest *manifest, const clsp_subtotal *subtotal,
                                 const clipspan_basis *basis, const char *directory, clipspan_error *err)
{
    *out = (clsp_totals){0};
    clipspan_status status = clsp_moments_read(&out->moments, basis, &subtotal->moments, subtotal->images, directory,
                                               &out->skipped, &out->skipped_count, err);
    out->skipped_capacity = out->skipped_count;
    if (status == CLIPSPAN_OK && manifest->top_images > 0)
        status = clsp_neurons_read(&out->neurons, manifest, subtotal, directory, err);
    if (status != CLIPSPAN_OK) clsp_totals_free(out);
    return status;
}

clipspan_status clsp_totals_write(const clsp_totals *totals, clsp_subtotal *subtotal, const char *directory,
                                  clipspan_error *err)
{
    clipspan_status status = clsp_moments_write(totals->moments, totals->skipped, totals->skipped_count, directory,
                                                &subtotal->moments, err);
    if (status == CLIPSPAN_OK && totals->neurons != NULL)
        status = clsp_neurons_write(totals->neurons, directory, &subtotal->neurons, err);
    return status;
}

/* The two lists are of ranges that do not overlap: the lower one comes first. */
static clipspan_status merge_skipped(clsp_totals *into, const clsp_totals *from, clipspan_error *err)
{
    size_t count = into->skipped_count + from->skipped_count;
    if (from->skipped_count == 0) return CLIPSPAN_OK;
    uint64_t *both = clsp_alloc(count, sizeof *both);
    if (both == NULL) return clsp_fail_memory(err);
    bool before = into->skipped_count > 0 && into->skipped[0] < from->skipped[0];
    const clsp_totals *low = before ? into : from, *high = before ? from : into;
    memcpy(both, low->skipped, low->skipped_count * sizeof *both);
    if (high->skipped_count > 0)
        memcpy(both + low->skipped_count, high->skipped, high->skipped_count * sizeof *both);
    clsp_free(into->skipped);
    into->skipped = both;
    into->skipped_count = into->skipped_capacity = count;
    return CLIPSPAN_OK;
}

static clipspan_status merge(clsp_totals *into, const clsp_totals *from, clipspan_error *err)
{
    clipspan_status status = merge_skipped(into, from, err);
    if (status == CLIPSPAN_OK) status = clipspan_moments_merge(into->moments, from->moments, err);
    if (status == CLIPSPAN_OK && into->neurons != NULL)
        status = clipspan_neurons_merge(into->neurons, from->neurons, err);
    return status;
}

void clsp_subtotal_name(const clsp_manifest *manifest, clsp_subtotal *subtotal)
{
    unsigned long long first = subtotal->shard, last = first + subtotal->shards - 1;
    subtotal->moments = subtotal->neurons = (clsp_store_file){0};
    clsp_name_sums(subtotal->moments.name, "moments", first, last);
    if (manifest->top_images > 0) clsp_name_sums(subtotal->neurons.name, "neurons", first, last);
}

/* a is the left half of a node and b its right one. */
static bool are_halves(const clsp_subtotal *a, const clsp_subtotal *b)
{
    return a->shards == b->shards && a->shard % (2 * a->shards) == 0 && b->shard == a->shard + a->shards;
}

clipspan_status clsp_subtotal_climb(clsp_totals *totals, clsp_subtotal *subtotal, clsp_manifest *manifest,
                                    const clipspan_basis *basis, const char *directory, clipspan_error *err)
{
    for (size_t s = 0; s < manifest->subtotal_count;) {
        const clsp_subtotal other = manifest->subtotals[s];
        if (!are_halves(subtotal, &other) && !are_halves(&other, subtotal)) {
            s++;
            continue;
        }
        clsp_totals half;
        clipspan_status status = clsp_totals_read(&half, manifest, &other, basis, directory, err);
        if (status != CLIPSPAN_OK) return status;
        status = merge(totals, &half, err);
        clsp_totals_free(&half);
        if (status != CLIPSPAN_OK) return status;
        if (other.shard < subtotal->shard) subtotal->shard = other.shard;
        subtotal->shards *= 2;
        subtotal->images += other.images;
        manifest->subtotal_count--;
        memmove(manifest->subtotals + s, manifest->subtotals + s + 1,
                (manifest->subtotal_count - s) * sizeof *manifest->subtotals);
        s = 0;
    }
    return CLIPSPAN_OK;
}

/* Sums of nodes from left to right that wait for their other halves: no more than the tree is high, where none is missing. */
typedef struct stack {
    clsp_subtotal *nodes; /* [count] */
    clsp_totals *totals;
    size_t count;
} stack;

/* The topmost is added to the one below it. */
static clipspan_status fold(stack *s, clipspan_error *err)
{
    clsp_totals *top = &s->totals[s->count - 1];
    clipspan_status status = merge(&s->totals[s->count - 2], top, err);
    clsp_totals_free(top);
    s->nodes[s->count - 2].shards *= 2; /* where they are halves; after that it is not looked at */
    s->count--;
    return status;
}

static clipspan_status push(stack *s, const clsp_manifest *manifest, const clsp_subtotal *node, clsp_totals *held,
                            const clipspan_basis *basis, const char *directory, clipspan_error *err)
{
    clsp_totals *top = &s->totals[s->count];
    if (node->moments.name[0] == '\0') {
        *top = *held;
        *held = (clsp_totals){0};
    } else {
        clipspan_status status = clsp_totals_read(top, manifest, node, basis, directory, err);
        if (status != CLIPSPAN_OK) return status;
    }
    s->nodes[s->count++] = *node;
    return CLIPSPAN_OK;
}

clipspan_status clsp_subtotals_sum(clsp_totals *out, const clsp_manifest *manifest, clsp_totals *held,
                                   const clipspan_basis *basis, const char *directory, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_subtotal whole = clsp_manifest_total(manifest);
    bool one = whole.moments.name[0] != '\0';
    size_t count = one ? 1 : manifest->subtotal_count;
    stack s = {0};
    *out = (clsp_totals){0};
    CLSP_ALLOC(s.nodes, clsp_alloc(count, sizeof *s.nodes));
    CLSP_ALLOC(s.totals, clsp_alloc_zero(count, sizeof *s.totals));
    for (size_t n = 0; n < count; n++) {
        CLSP_TRY(push(&s, manifest, one ? &whole : &manifest->subtotals[n], held, basis, directory, err));
        while (s.count > 1 && are_halves(&s.nodes[s.count - 2], &s.nodes[s.count - 1])) CLSP_TRY(fold(&s, err));
    }
    while (s.count > 1) CLSP_TRY(fold(&s, err));
    *out = s.totals[0];
    s.count = 0;
out:
    for (size_t n = 0; n < s.count; n++) clsp_totals_free(&s.totals[n]);
    clsp_free(s.nodes);
    clsp_free(s.totals);
    return status;
}
