/* Heads replaced inside the image tower, between attention and out-projection; and what heads write on average.
 *
 * Letters: L layers, H heads, d head width, D = H d, N tokens, T tokens at which a head is replaced (1 or N). */
#include "engine/towers.h"

#include <math.h>
#include <string.h>

struct clsp_replacement {
    clsp_type type;
    size_t heads, head_dim, tokens; /* H, d, T */
    unsigned char *chosen;          /* [L * H] */
    float *values;                  /* [L, H, T, d] */
    uint16_t *halves;               /* the same rounded, where the tower computes in bf16 */
};

void clsp_replacement_free(clsp_replacement *r)
{
    if (r == NULL) return;
    clsp_free(r->chosen);
    clsp_free(r->values);
    clsp_free(r->halves);
    clsp_free(r);
}

/* ---- what is asked for ------------------------------------------------------------------------------------- */

static clipspan_status check_values(const clipspan_intervention *v, const clsp_tower_config *config,
                                    clipspan_error *err)
{
    size_t heads = (size_t)config->heads, all = heads * (size_t)config->layers, d = (size_t)config->head_dim;
    for (size_t h = 0; h < all; h++) {
        bool last = h / heads + 1 == (size_t)config->layers; /* only its class token goes on */
        const float *row = v->values + h * (size_t)v->tokens * d;
        for (size_t i = 0; v->heads[h] && i < (last ? 1 : (size_t)v->tokens) * d; i++)
            if (!isfinite(row[i]))
                return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                                 "intervention: value %zu of L%zu.H%zu at token %zu is not finite", i % d, h / heads,
                                 h % heads, i / d);
    }
    return CLIPSPAN_OK;
}

static clipspan_status check(const clipspan_intervention *v, const clsp_vision *vision, clipspan_error *err)
{
    size_t heads = (size_t)vision->config.heads;
    if (v->heads == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "intervention: heads is NULL, expected %d x %zu flags",
                         vision->config.layers, heads);
    if (v->tokens != 1 && v->tokens != vision->tokens)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "intervention: %d tokens, expected 1 (the class token) or the model's %d", v->tokens,
                         vision->tokens);
    for (size_t h = 0; h < heads * (size_t)vision->config.layers; h++)
        if (v->heads[h] > 1)
            return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "intervention: L%zu.H%zu is marked %d, expected 0 or 1",
                             h / heads, h % heads, v->heads[h]);
    return v->values ? check_values(v, &vision->config, err) : CLIPSPAN_OK;
}

/* Rows of heads that are not replaced stay zero; the caller need not have set them. */
static clipspan_status copy_values(clsp_replacement *r, const float *values, size_t heads, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t row = r->tokens * r->head_dim, count;
    if (!clsp_mul(&count, heads, row)) return clsp_fail_memory(err);
    CLSP_ALLOC(r->values, clsp_alloc_zero(count, sizeof *r->values));
    for (size_t h = 0; values && h < heads; h++)
        if (r->chosen[h]) memcpy(r->values + h * row, values + h * row, row * sizeof *values);
    if (r->type == CLSP_TYPE_F32) return CLIPSPAN_OK;
    CLSP_ALLOC(r->halves, clsp_alloc(count, sizeof *r->halves));
    clsp_to_bf16(r->halves, r->values, count);
out:
    return status;
}

clipspan_status clipspan_engine_intervene(clipspan_engine *engine, const clipspan_intervention *intervention,
                                          clipspan_error *err)
{
    const clsp_vision *vision = &engine->model->vision;
    size_t heads = (size_t)vision->config.heads * (size_t)vision->config.layers;
    clipspan_status status = CLIPSPAN_OK;
    clsp_replacement *r = NULL, *old = engine->replacement;
    if (intervention) {
        CLSP_TRY(check(intervention, vision, err));
        CLSP_ALLOC(r, clsp_alloc_zero(1, sizeof *r));
        *r = (clsp_replacement){.type = engine->type, .heads = (size_t)vision->config.heads,
                                .head_dim = (size_t)vision->config.head_dim, .tokens = (size_t)intervention->tokens};
        CLSP_ALLOC(r->chosen, clsp_alloc(heads, 1));
        memcpy(r->chosen, intervention->heads, heads);
        CLSP_TRY(copy_values(r, intervention->values, heads, err));
    }
    engine->replacement = r;
    r = old;
out:
    clsp_replacement_free(r);
    return status;
}

bool clsp_engine_intervened(const clipspan_engine *engine) { return engine->replacement != NULL; }

clipspan_status clsp_engine_check_parts(const clipspan_engine *engine, bool cls, bool tokens, clipspan_error *err)
{
    if (engine->replacement == NULL || !(cls || tokens)) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                     "%s: the %s part cannot be told while heads are replaced: what replaces a head has no source "
                     "tokens",
                     engine->model->info.path, cls ? "cls" : "tokens");
}

/* ---- in the tower ------------------------------------------------------------------------------------------ */

static void copy_head(const clsp_replacement *r, size_t head, size_t token, void *rows, size_t row)
{
    size_t d = r->head_dim, from = (head * r->tokens + token) * d, to = row * r->heads * d + head % r->heads * d;
    if (r->halves)
        memcpy((uint16_t *)rows + to, r->halves + from, d * sizeof *r->halves);
    else
        memcpy((float *)rows + to, r->values + from, d * sizeof *r->values);
}

void clsp_replace_heads(const clsp_replacement *r, size_t layer, void *rows, const size_t *start, size_t sequences,
                        size_t tokens, float *z)
{
    size_t d = r->head_dim, first = layer * r->heads;
#pragma omp parallel for schedule(static)
    for (size_t s = 0; s < sequences; s++)
        for (size_t h = first; h < first + r->heads; h++) {
            if (!r->chosen[h]) continue;
            for (size_t n = 0; n < clsp_min(tokens, r->tokens); n++)
                copy_head(r, h, n, rows, (tokens == 1 ? s : start[s]) + n);
            if (z) memcpy(z + (s * r->heads + h - first) * d, r->values + h * r->tokens * d, d * sizeof *z);
        }
}

void clsp_add_heads(double *sums, clsp_type type, const void *rows, size_t width, const size_t *start,
                    size_t sequences, size_t tokens, const unsigned char *counted)
{
#pragma omp parallel for schedule(static)
    for (size_t n = 0; n < tokens; n++)
        for (size_t s = 0; s < sequences; s++) {
            size_t row = ((tokens == 1 ? s : start[s]) + n) * width;
            double *sum = sums + n * width;
            if (!counted[s]) continue;
            if (type == CLSP_TYPE_BF16)
                for (size_t i = 0; i < width; i++) sum[i] += (double)clsp_bf16_to_f32(((const uint16_t *)rows)[row + i]);
            else
                for (size_t i = 0; i < width; i++) sum[i] += (double)((const float *)rows)[row + i];
        }
}

/* ---- means over a list of images --------------------------------------------------------------------------- */

typedef struct averaging {
    clsp_capture capture; /* head_sums [L, N, D] alone */
    unsigned char *counted; /* [batch] */
    float *embedding;       /* [batch, E]: a pass gives it */
    uint64_t images;
} averaging;

/* All on the calling thread: sums run from image to image. */
static clipspan_status add_batch(void *user, clipspan_engine *engine, const clsp_pixels *batch, clipspan_error *err)
{
    averaging *a = user;
    memset(a->counted, 0, (size_t)engine->batch);
    memcpy(a->counted, batch->ok, batch->n);
    for (size_t i = 0; i < batch->n; i++) a->images += batch->ok[i] != 0;
    return clsp_engine_forward(engine, batch->pixels, batch->n, &a->capture, a->embedding, err);
}

/* out: [L, H, N, d] from sums: [L, N, D] */
static void divide(float *out, const averaging *a, const clsp_vision *vision)
{
    size_t tokens = (size_t)vision->tokens, d = (size_t)vision->config.head_dim, heads = (size_t)vision->config.heads;
    for (size_t lh = 0; lh < heads * (size_t)vision->config.layers; lh++)
        for (size_t n = 0; n < tokens; n++) {
            const double *from = a->capture.head_sums + ((lh / heads * tokens + n) * heads + lh % heads) * d;
            for (size_t i = 0; i < d; i++) *out++ = (float)(from[i] / (double)a->images);
        }
}

static clipspan_status averaging_init(averaging *a, clipspan_engine *engine, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_vision *vision = &engine->model->vision;
    size_t batch = (size_t)engine->batch, width = (size_t)vision->config.width, rows;
    *a = (averaging){.capture = {.images = batch}};
    if (!clsp_mul(&rows, (size_t)vision->config.layers * width, (size_t)vision->tokens)) return clsp_fail_memory(err);
    CLSP_ALLOC(a->capture.head_sums, clsp_alloc_zero(rows, sizeof *a->capture.head_sums));
    CLSP_ALLOC(a->counted, clsp_alloc(batch, 1));
    CLSP_ALLOC(a->embedding, clsp_alloc_aligned(batch * (size_t)engine->model->embed_dim, sizeof *a->embedding));
    a->capture.counted = a->counted;
out:
    return status;
}

clipspan_status clipspan_engine_head_means(clipspan_engine *engine, const clipspan_images *images, int strict,
                                           float *out, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    averaging a;
    const clsp_stream_job job = {.stage = "head means", .count = clipspan_images_count(images), .strict = strict != 0,
                                 .finish = add_batch, .user = &a};
    CLSP_TRY(averaging_init(&a, engine, err));
    CLSP_TRY(clsp_engine_stream(engine, images, &job, hooks, err));
    if (a.images == 0)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: no image could be read, so the heads have no means",
                           clipspan_images_root(images)));
    divide(out, &a, &engine->model->vision);
out:
    clsp_free(a.capture.head_sums);
    clsp_free(a.counted);
    clsp_free(a.embedding);
    return status;
}
