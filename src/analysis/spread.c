/* How much each head varies and in how many directions, from moments alone. */
#include "clipspan/heads.h"

#include "analysis/span.h"
#include "compute/compute.h"
#include "decompose/decompose.h"

/* One head's map and moments in double, as the span takes them. */
typedef struct inputs {
    size_t n, embed_dim;
    double *map, *second, *mean; /* [n, E], [n, n], [n] */
} inputs;

static void inputs_close(inputs *in)
{
    clsp_free(in->map);
    clsp_free(in->second);
    clsp_free(in->mean);
}

static clipspan_status inputs_open(inputs *in, const clipspan_moments *moments, clipspan_convention convention, int layer,
                                   int head, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_basis *basis = clipspan_moments_basis(moments);
    size_t n = clsp_head_width(basis, convention), e = (size_t)basis->embed_dim;
    float *narrow = NULL;
    *in = (inputs){.n = n, .embed_dim = e};
    CLSP_ALLOC(narrow, clsp_alloc(n * e, sizeof *narrow));
    CLSP_ALLOC(in->map, clsp_alloc(n * e, sizeof *in->map));
    CLSP_ALLOC(in->second, clsp_alloc(n * n, sizeof *in->second));
    CLSP_ALLOC(in->mean, clsp_alloc(n, sizeof *in->mean));
    clsp_head_map(basis, convention, layer, head, narrow);
    for (size_t i = 0; i < n * e; i++) in->map[i] = (double)narrow[i];
    clsp_moments_head(moments, convention, layer, head, in->mean, in->second);
out:
    clsp_free(narrow);
    return status;
}

clipspan_status clsp_span_of_head(clsp_span *span, const clipspan_moments *moments, clipspan_convention convention,
                                  int layer, int head, size_t cap, clipspan_error *err)
{
    inputs in;
    clipspan_status status = inputs_open(&in, moments, convention, layer, head, err);
    if (status == CLIPSPAN_OK)
        status = clsp_span_build(span, in.map, in.second, in.mean, in.n, in.embed_dim, cap, err);
    inputs_close(&in);
    return status;
}

clipspan_status clsp_spread_of_head(size_t *k, double *total, const clipspan_moments *moments,
                                    clipspan_convention convention, int layer, int head, clipspan_error *err)
{
    inputs in;
    clipspan_status status = inputs_open(&in, moments, convention, layer, head, err);
    if (status == CLIPSPAN_OK)
        status = clsp_span_measure(k, total, in.map, in.second, in.mean, in.n, in.embed_dim, err);
    inputs_close(&in);
    return status;
}

static clipspan_status tell(const clipspan_hooks *hooks, int done, int total, clipspan_error *err)
{
    const clipspan_progress now = {"heads", (unsigned long long)done, (unsigned long long)total, 0};
    if (hooks == NULL || hooks->progress == NULL || hooks->progress(hooks->user, &now) == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped after %d of %d heads", done, total);
}

/* One layer's heads, shared among threads; the first failure, in their order, is told. */
static clipspan_status measure_layer(clipspan_head_spread *out, const clipspan_moments *moments,
                                     clipspan_convention convention, int layer, int threads, clipspan_error *err)
{
    int heads = clipspan_moments_basis(moments)->heads, failed = heads;
    clipspan_error first = {0};
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int h = 0; h < heads; h++) {
        clipspan_error message;
        size_t rank = 0;
        clipspan_status status = clsp_spread_of_head(&rank, &out[h].variance, moments, convention, layer, h, &message);
        out[h].rank = (int)rank;
        if (status == CLIPSPAN_OK) continue;
#pragma omp critical(clsp_measure_layer)
        if (h < failed) {
            failed = h;
            first = message;
        }
    }
    return failed == heads ? CLIPSPAN_OK : clsp_fail(err, first.status, "L%d.H%d: %s", layer, failed, first.message);
}

clipspan_status clipspan_heads_spread(clipspan_head_spread *out, const clipspan_moments *moments,
                                      clipspan_convention convention, int threads, const clipspan_hooks *hooks,
                                      clipspan_error *err)
{
    const clipspan_basis *basis = clipspan_moments_basis(moments);
    int all = basis->layers * basis->heads, before = clsp_threads(threads);
    clipspan_status status = CLIPSPAN_OK;
    double total = 0;
    if (convention != CLIPSPAN_PAPER && convention != CLIPSPAN_EXACT)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown convention %d", (int)convention));
    if (clipspan_moments_images(moments) == 0) CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "moments of no image"));
    for (int layer = 0; layer < basis->layers; layer++) {
        CLSP_TRY(tell(hooks, layer * basis->heads, all, err));
        CLSP_TRY(measure_layer(out + layer * basis->heads, moments, convention, layer,
                               threads > 0 ? threads : clsp_cpu_count(), err));
    }
    for (int h = 0; h < all; h++) total += out[h].variance;
    for (int h = 0; h < all; h++) out[h].share = total > 0 ? out[h].variance / total : 0;
out:
    clsp_threads(before);
    return status;
}
