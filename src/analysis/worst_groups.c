/* Groups opened, asked, and rows of heads added; docs/groups.md. */
#include "analysis/worst_groups.h"

#include <string.h>

#include "compute/compute.h"
#include "decompose/decompose.h"

static clipspan_status check(const clipspan_store *store, const clipspan_groups_options *options, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    const clipspan_store_info *means = options->mean_from ? clipspan_store_get_info(options->mean_from) : info;
    if (options->attribute == NULL) return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "no attribute is given to group by");
    if (options->convention != CLIPSPAN_PAPER && options->convention != CLIPSPAN_EXACT)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)options->convention);
    if (options->paper && (options->last < 1 || options->last > info->layers))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the last %d attention layers are to stay, the model has %d",
                         options->last, info->layers);
    if (info->moments_only || means->moments_only)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "the store %sholds moments alone: groups need each image's contributions",
                         info->moments_only ? "" : "of the means ");
    if (info->images == 0 || means->images == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store %sholds no image", info->images == 0 ? "" : "of the means ");
    if (strcmp(info->model_fingerprint, means->model_fingerprint) != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "the means are of model %s (%s), the store is of %s (%s)",
                         means->model_name, means->model_fingerprint, info->model_name, info->model_fingerprint);
    return CLIPSPAN_OK;
}

static clipspan_status choose_heads(clipspan_groups *g, const clipspan_groups_options *options, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t all = g->layers * g->heads;
    CLSP_ALLOC(g->slot, clsp_alloc(all, sizeof *g->slot));
    CLSP_ALLOC(g->candidates, clsp_alloc_zero(all, 1));
    for (size_t h = 0; h < all; h++) {
        bool kept = (options->heads == NULL || options->heads[h]) && !clsp_replaced(g, h);
        g->slot[h] = kept ? g->kept++ : SIZE_MAX;
        g->candidates[h] = kept && (options->candidates == NULL || options->candidates[h]);
    }
out:
    return status;
}

static clipspan_status open_all(clipspan_groups *g, const clipspan_store *store, const int *labels,
                                const clipspan_texts *classes, const float *classifier,
                                const clipspan_groups_options *options, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(choose_heads(g, options, err));
    CLSP_TRY(clsp_members_open(g, store, labels, classes, options, err));
    CLSP_TRY(clsp_logits_read(g, store, classifier, options->mean_from, hooks, err));
    CLSP_ALLOC(g->right, clsp_alloc_zero(g->images, 1));
    CLSP_TRY(clsp_row_add(g, "as it is", 0, NULL, 0, err));
    if (g->paper) CLSP_TRY(clsp_row_add(g, "paper's protocol", 0, NULL, 0, err));
out:
    return status;
}

clipspan_status clipspan_groups_open(clipspan_groups **out, const clipspan_store *store, const int *labels,
                                     const clipspan_texts *classes, const float *classifier,
                                     const clipspan_groups_options *options, const clipspan_hooks *hooks,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clipspan_groups *g = NULL;
    *out = NULL;
    CLSP_TRY(check(store, options, err));
    CLSP_ALLOC(g, clsp_alloc_zero(1, sizeof *g));
    g->convention = options->convention;
    g->layers = (size_t)info->layers;
    g->heads = (size_t)info->heads;
    g->classes = clipspan_texts_count(classes);
    g->halves = options->halves;
    g->paper = options->paper;
    g->last = options->last;
    g->mean_from = options->mean_from != NULL;
    g->threads = options->threads > 0 ? options->threads : clsp_cpu_count();
    CLSP_TRY(open_all(g, store, labels, classes, classifier, options, hooks, err));
    *out = g;
    g = NULL;
out:
    clipspan_groups_free(g);
    return status;
}

void clipspan_groups_free(clipspan_groups *g)
{
    if (g == NULL) return;
    for (size_t i = 0; g->texts != NULL && i < 2 * g->count; i++) clsp_free(g->texts[i]);
    for (size_t i = 0; i < g->row_count; i++) clsp_free(g->rows[i]);
    void *const blocks[] = {g->attribute, g->groups, g->texts, g->place, g->group, g->label, g->search, g->candidates,
                            g->slot, g->x, g->mean, g->plain, g->base, g->right, g};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) clsp_free(blocks[i]);
}

clipspan_groups_info clipspan_groups_get_info(const clipspan_groups *g)
{
    return (clipspan_groups_info){.convention = g->convention, .attribute = g->attribute, .groups = g->count,
                                  .rows = g->row_count, .images = g->images, .searched = g->searched,
                                  .mean_images = g->mean_images, .layers = (int)g->layers, .heads = (int)g->heads,
                                  .halves = g->halves, .paper = g->paper, .last = g->last, .mean_from = g->mean_from};
}

const clipspan_group *clipspan_groups_get(const clipspan_groups *g, size_t group)
{
    return group < g->count ? &g->groups[group] : NULL;
}

const clipspan_groups_row *clipspan_groups_row_get(const clipspan_groups *g, size_t row)
{
    return row < g->row_count ? g->rows[row] : NULL;
}

clipspan_status clipspan_groups_add(clipspan_groups *g, const char *name, const unsigned char *heads, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t all = g->layers * g->heads, count = 0, *chosen = NULL;
    CLSP_ALLOC(chosen, clsp_alloc(all, sizeof *chosen));
    for (size_t h = 0; h < all; h++) {
        if (!heads[h] || clsp_replaced(g, h)) continue;
        if (g->slot[h] == SIZE_MAX)
            CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "L%zu.H%zu is not among the heads that were read", h / g->heads,
                               h % g->heads));
        chosen[count++] = h;
    }
    CLSP_TRY(clsp_row_add(g, name, 0, chosen, count, err));
out:
    clsp_free(chosen);
    return status;
}
