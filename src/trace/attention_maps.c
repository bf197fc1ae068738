/* The maps that are read from attention: as it is, rolled out, weighted by derivatives, shared out by relevance.
 *
 * Only the class token's row of a rolled-out product is ever read, and e' M_L ... M_1 is taken from the left: a row of
 * N numbers goes down through the layers, in the order in which derivatives and relevance become known. */
#include "trace/trace.h"

#include <string.h>

/* The one map that a method without text makes, again for each of `count`. */
static void repeat(float *out, size_t size, size_t count)
{
    for (size_t i = 1; i < count; i++) memcpy(out + i * size, out, size * sizeof *out);
}

static const clsp_trace_layer *last_layer(const clipspan_tracer *t) { return &t->layer[t->layers - 1]; }

clipspan_status clsp_map_raw_attention(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                       clipspan_error *err)
{
    size_t n = t->tokens;
    (void)texts, (void)err;
    for (size_t p = 0; p + 1 < n; p++) {
        double sum = 0;
        for (size_t h = 0; h < t->heads; h++) sum += last_layer(t)->attention[h * n * n + p + 1];
        out[p] = (float)(sum / (double)t->heads);
    }
    repeat(out, n - 1, count);
    return CLIPSPAN_OK;
}

/* ---- rolling out ----------------------------------------------------------------------------------------- */

/* Which numbers of a layer are rolled out: its attention a, or max(0, a w) with weights w. Both [H, N, N]. */
typedef struct rolled {
    const float *a, *w;
} rolled;

/* sum [N] = row' X_h of one head */
static void roll_head(double *sum, const double *row, const float *a, const float *w, size_t n)
{
    memset(sum, 0, n * sizeof *sum);
    for (size_t i = 0; i < n; i++) {
        if (row[i] == 0.0) continue;
        for (size_t j = 0; w == NULL && j < n; j++) sum[j] += row[i] * (double)a[i * n + j];
        for (size_t j = 0; w != NULL && j < n; j++) {
            float product = a[i * n + j] * w[i * n + j];
            sum[j] += row[i] * (double)(product > 0.0f ? product : 0.0f);
        }
    }
}

/* row' = keep row' + share row' (mean over heads of X). row: [N], behind it [H, N] of scratch. */
static void roll(const clipspan_tracer *t, double *row, rolled x, double keep, double share)
{
    size_t n = t->tokens;
    double *sums = row + n;
#pragma omp parallel for schedule(static)
    for (size_t h = 0; h < t->heads; h++)
        roll_head(sums + h * n, row, x.a + h * n * n, x.w ? x.w + h * n * n : NULL, n);
    for (size_t j = 0; j < n; j++) {
        double sum = 0;
        for (size_t h = 0; h < t->heads; h++) sum += sums[h * n + j];
        row[j] = keep * row[j] + share * sum / (double)t->heads;
    }
}

static double *row_new(const clipspan_tracer *t)
{
    return clsp_alloc(t->tokens * (t->heads + 1), sizeof(double));
}

static void row_begin(const clipspan_tracer *t, double *row)
{
    memset(row, 0, t->tokens * sizeof *row);
    row[0] = 1.0;
}

static void row_end(const clipspan_tracer *t, float *out, const double *row)
{
    for (size_t p = 0; p + 1 < t->tokens; p++) out[p] = (float)row[p + 1];
}

clipspan_status clsp_map_rollout(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    double *row;
    (void)texts;
    CLSP_ALLOC(row, row_new(t));
    row_begin(t, row);
    for (size_t l = t->layers; l-- > 0;) roll(t, row, (rolled){t->layer[l].attention, NULL}, 0.5, 0.5);
    row_end(t, out, row);
    repeat(out, t->tokens - 1, count);
    clsp_free(row);
out:
    return status;
}

static clipspan_status generic_attention(clipspan_tracer *t, const float *text, double *row, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    row_begin(t, row);
    CLSP_TRY(clsp_backward_begin(t, text, err));
    for (size_t l = t->layers; l-- > 0;) {
        CLSP_TRY(clsp_backward_block(t, l, err));
        roll(t, row, (rolled){t->layer[l].attention, t->gradient_attention}, 1.0, 1.0);
    }
out:
    return status;
}

static clipspan_status transformer_attribution(clipspan_tracer *t, const float *text, double *row, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    row_begin(t, row);
    CLSP_TRY(clsp_backward_begin(t, text, err));
    CLSP_TRY(clsp_relevance_begin(t, text, err));
    for (size_t l = t->layers; l-- > 0;) {
        CLSP_TRY(clsp_backward_block(t, l, err));
        CLSP_TRY(clsp_relevance_attention(t, l, err));
        roll(t, row, (rolled){t->relevance_attention, t->gradient_attention}, 1.0, 1.0);
        if (l > 0) CLSP_TRY(clsp_relevance_block(t, l, err));
    }
out:
    return status;
}

typedef clipspan_status (*roll_fn)(clipspan_tracer *t, const float *text, double *row, clipspan_error *err);

static clipspan_status roll_texts(clipspan_tracer *t, const float *texts, size_t count, float *out, roll_fn method,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    double *row;
    CLSP_ALLOC(row, row_new(t));
    for (size_t i = 0; i < count; i++) {
        CLSP_TRY(method(t, texts + i * t->embed, row, err));
        row_end(t, out + i * (t->tokens - 1), row);
    }
out:
    clsp_free(row);
    return status;
}

clipspan_status clsp_map_generic_attention(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                           clipspan_error *err)
{
    return roll_texts(t, texts, count, out, generic_attention, err);
}

clipspan_status clsp_map_transformer_attribution(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                                 clipspan_error *err)
{
    return roll_texts(t, texts, count, out, transformer_attribution, err);
}

/* ---- the last layer alone ---------------------------------------------------------------------------------- */

/* out[p] = max(0, mean over heads of w_h A_h[class, p]), w_h the mean over patches of A_h[class, p]'s derivative. */
static void gradcam(const clipspan_tracer *t, float *out)
{
    size_t n = t->tokens, patches = n - 1;
    const float *a = last_layer(t)->attention, *g = t->gradient_attention;
    for (size_t h = 0; h < t->heads; h++) {
        double weight = 0;
        for (size_t p = 0; p < patches; p++) weight += g[h * n * n + p + 1];
        weight /= (double)patches * (double)t->heads;
        for (size_t p = 0; p < patches; p++)
            out[p] = (h ? out[p] : 0.0f) + (float)(weight * (double)a[h * n * n + p + 1]);
    }
    for (size_t p = 0; p < patches; p++) out[p] = out[p] > 0.0f ? out[p] : 0.0f;
}

clipspan_status clsp_map_gradcam(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; i < count; i++) {
        CLSP_TRY(clsp_backward_begin(t, texts + i * t->embed, err));
        CLSP_TRY(clsp_backward_block(t, t->layers - 1, err));
        gradcam(t, out + i * (t->tokens - 1));
    }
out:
    return status;
}

clipspan_status clsp_map_partial_lrp(clipspan_tracer *t, const float *texts, size_t count, float *out,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t n = t->tokens;
    for (size_t i = 0; i < count; i++) {
        CLSP_TRY(clsp_relevance_begin(t, texts + i * t->embed, err));
        CLSP_TRY(clsp_relevance_attention(t, t->layers - 1, err));
        for (size_t p = 0; p + 1 < n; p++) {
            double sum = 0;
            for (size_t h = 0; h < t->heads; h++) {
                float value = t->relevance_attention[h * n * n + p + 1];
                sum += value > 0.0f ? value : 0.0f;
            }
            out[i * (n - 1) + p] = (float)(sum / (double)t->heads);
        }
    }
out:
    return status;
}

clipspan_status clsp_map_lrp(clipspan_tracer *t, const float *texts, size_t count, float *out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; i < count; i++) {
        CLSP_TRY(clsp_relevance_begin(t, texts + i * t->embed, err));
        for (size_t l = t->layers; l-- > 0;) {
            CLSP_TRY(clsp_relevance_attention(t, l, err));
            CLSP_TRY(clsp_relevance_block(t, l, err));
        }
        CLSP_TRY(clsp_relevance_pixels(t, out + i * t->image * t->image, err));
    }
out:
    return status;
}
