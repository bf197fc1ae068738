/* The image tower: patches, class token, position, blocks, ln_post, projection; and what a pass keeps.
 *
 * Letters: B batch, N tokens, G = sqrt(N - 1) patches a side, P pixels of a patch's side, S pixels of the image's,
 * K = 3 P P values of a patch, D width, E joint dimension. */
#include "engine/towers.h"

#include <string.h>

struct clsp_vision_tower {
    clsp_tower tower;
    const clipspan_model *model;
    const clsp_packed_tower *weights; /* shared by all engines of the model */
    size_t batch, tokens, grid, side, image_side, patch_values, embed_dim;
    clsp_linear *patch;      /* K -> D */
    clsp_linear *projection; /* D -> E, fp32 in both types */
    size_t *start, *pooled;  /* [B + 1], [B] */
    float *projected;        /* [B, E] */
};

/* ---- capture --------------------------------------------------------------------------------------------- */

clipspan_status clsp_capture_new(clsp_capture *capture, const clsp_vision *vision, size_t images, unsigned what,
                                 const int *token_layers, int token_layer_count, clipspan_error *err)
{
    size_t layers = (size_t)vision->config.layers, width = (size_t)vision->config.width, total = 0;
    size_t hidden = (size_t)vision->config.mlp_width;
    size_t kept_layers = (what & CLSP_CAPTURE_TOKENS) && token_layer_count > 0 ? (size_t)token_layer_count : 0;
    struct { unsigned bit; float **place; size_t planes, width, floats; } parts[] = {
        {CLSP_CAPTURE_Z, &capture->z, layers, width, 0},
        {CLSP_CAPTURE_MLP, &capture->mlp, layers + 1, width, 0},
        {CLSP_CAPTURE_CLS, &capture->cls, layers, width, 0},
        {CLSP_CAPTURE_LAST, &capture->last, 1, width, 0},
        {CLSP_CAPTURE_TOKENS, &capture->tokens, kept_layers * (size_t)vision->tokens, width, 0},
        {CLSP_CAPTURE_HIDDEN, &capture->hidden, layers, hidden, 0},
    };
    *capture = (clsp_capture){.images = images};
    bool fits = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!(what & parts[i].bit)) continue;
        fits = fits && clsp_mul(&parts[i].floats, images, parts[i].width) &&
               clsp_mul(&parts[i].floats, parts[i].floats, parts[i].planes) &&
               clsp_add(&total, total, parts[i].floats);
    }
    capture->block = fits ? clsp_alloc_aligned(total, sizeof(float)) : NULL;
    if (capture->block == NULL) return clsp_fail_memory(err);
    float *next = capture->block;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].floats == 0) continue;
        *parts[i].place = next;
        next += parts[i].floats;
    }
    capture->token_layers = kept_layers ? token_layers : NULL;
    capture->token_layer_count = (int)kept_layers;
    return CLIPSPAN_OK;
}

void clsp_capture_free(clsp_capture *capture)
{
    clsp_free(capture->block);
    *capture = (clsp_capture){0};
}

/* ---- making and freeing ---------------------------------------------------------------------------------- */

static clipspan_status sequences_new(clsp_vision_tower *t, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(t->start, clsp_alloc(t->batch + 1, sizeof *t->start));
    CLSP_ALLOC(t->pooled, clsp_alloc(t->batch, sizeof *t->pooled));
    for (size_t b = 0; b <= t->batch; b++) t->start[b] = b * t->tokens;
    for (size_t b = 0; b < t->batch; b++) t->pooled[b] = b * t->tokens;
    CLSP_ALLOC(t->projected, clsp_alloc_aligned(t->batch * t->embed_dim, sizeof *t->projected));
out:
    return status;
}

/* The patches' embeddings in fp32 and behind them, 64-byte aligned, the patches in `type` share the blocks' work area. */
static size_t input_bytes(const clsp_vision_tower *t, clsp_type type, size_t width)
{
    size_t patches = t->batch * (t->tokens - 1), size = type == CLSP_TYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
    return (patches * width * sizeof(float) + 63) / 64 * 64 + patches * t->patch_values * size;
}

clipspan_status clsp_vision_tower_new(clsp_vision_tower **out, clsp_workspace *workspace, const clipspan_model *model,
                                      clsp_type type, size_t batch, clipspan_error *err)
{
    const clsp_vision *v = &model->vision;
    clipspan_status status = CLIPSPAN_OK;
    clsp_vision_tower *t = NULL;
    size_t width = (size_t)v->config.width, tokens = (size_t)v->tokens, side = (size_t)v->patch_size, rows;
    *out = NULL;
    if (!clsp_mul(&rows, batch, tokens)) return clsp_fail_memory(err);
    CLSP_ALLOC(t, clsp_alloc_zero(1, sizeof *t));
    *t = (clsp_vision_tower){.model = model, .batch = batch, .tokens = tokens, .grid = (size_t)v->grid, .side = side,
                             .image_side = (size_t)v->image_size, .patch_values = 3 * side * side,
                             .embed_dim = (size_t)model->embed_dim};
    CLSP_TRY(clsp_packed_tower_take(&t->weights, model, CLSP_IMAGES, type, err));
    CLSP_TRY(clsp_linear_new(&t->patch, workspace, &t->weights->patch, CLSP_TYPE_F32, CLSP_EPILOGUE_NONE, err));
    CLSP_TRY(clsp_linear_new(&t->projection, workspace, &t->weights->projection, CLSP_TYPE_F32, CLSP_EPILOGUE_NONE, err));
    CLSP_TRY(sequences_new(t, err));
    CLSP_TRY(clsp_tower_init(&t->tower, workspace, t->weights, &v->config, rows, batch, tokens, false,
                             input_bytes(t, type, width), err));
    *out = t;
    t = NULL;
out:
    clsp_vision_tower_free(t);
    return status;
}

void clsp_vision_tower_free(clsp_vision_tower *t)
{
    if (t == NULL) return;
    clsp_tower_clear(&t->tower);
    clsp_linear_free(t->patch);
    clsp_linear_free(t->projection);
    if (t->weights) clsp_packed_tower_drop(t->model, CLSP_IMAGES, t->weights->type);
    void *all[] = {t->start, t->pooled, t->projected};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
    clsp_free(t);
}

const clsp_tower *clsp_vision_tower_blocks(const clsp_vision_tower *tower) { return &tower->tower; }

/* ---- running --------------------------------------------------------------------------------------------- */

/* One row of patches: to [G, K], from the image [3, S, S], P pixel rows down from `top`; pixels beyond the last
 * whole patch are not seen, as a strided convolution does not see them. */
static void gather_patch_row(void *to, const float *image, size_t top, const clsp_vision_tower *t)
{
    size_t side = t->side, s = t->image_side;
    for (size_t channel = 0; channel < 3; channel++)
        for (size_t y = 0; y < side; y++) {
            const float *line = image + (channel * s + top + y) * s;
            size_t place = (channel * side + y) * side;
            for (size_t g = 0; g < t->grid; g++, place += t->patch_values) {
                if (t->tower.type == CLSP_TYPE_BF16)
                    clsp_to_bf16((uint16_t *)to + place, line + g * side, side);
                else
                    memcpy((float *)to + place, line + g * side, side * sizeof *line);
            }
        }
}

static void gather_patches(void *patches, const float *pixels, size_t n, const clsp_vision_tower *t)
{
    size_t size = t->tower.type == CLSP_TYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
    size_t row = t->grid * t->patch_values * size, plane = 3 * t->image_side * t->image_side;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < t->batch * t->grid; i++) {
        size_t b = i / t->grid, g = i % t->grid;
        char *to = (char *)patches + i * row;
        if (b < n)
            gather_patch_row(to, pixels + b * plane, g * t->side, t);
        else
            memset(to, 0, row);
    }
}

/* x [B, N, D] = class token or embedded patch, plus position. embedded: [B, N - 1, D] */
static void place_tokens(float *x, const float *embedded, const clsp_vision_tower *t)
{
    size_t width = (size_t)t->tower.config.width, tokens = t->tokens;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < t->batch * tokens; r++) {
        size_t b = r / tokens, n = r % tokens;
        const float *from = n == 0 ? t->weights->class_token : embedded + (b * (tokens - 1) + n - 1) * width;
        for (size_t i = 0; i < width; i++) x[r * width + i] = from[i] + t->weights->position[n * width + i];
    }
}

static clipspan_status embed_patches(clsp_vision_tower *t, const float *pixels, size_t n, clipspan_error *err)
{
    clsp_tower *tower = &t->tower;
    size_t width = (size_t)tower->config.width, patches = t->batch * (t->tokens - 1);
    float *embedded = tower->work;
    void *gathered = embedded + (patches * width + 15) / 16 * 16;
    gather_patches(gathered, pixels, n, t);
    clipspan_status status =
        clsp_linear_run(t->patch, embedded, width, gathered, t->patch_values, patches, err);
    if (status != CLIPSPAN_OK) return status;
    place_tokens(tower->x, embedded, t);
    if (t->weights->pre_gamma)
        clsp_layer_norm(tower->x, tower->x, t->weights->pre_gamma, t->weights->pre_beta, tower->config.ln_eps,
                        t->batch * t->tokens, width, width, width, CLSP_TYPE_F32);
    return CLIPSPAN_OK;
}

clipspan_status clsp_vision_tower_run(clsp_vision_tower *t, const float *pixels, size_t n,
                                      const clsp_replacement *replacement, clsp_capture *capture, float *embedding,
                                      clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_tower *tower = &t->tower;
    size_t width = (size_t)tower->config.width;
    clsp_pass pass = {.start = t->start, .pooled = t->pooled, .sequences = t->batch,
                      .rows = t->batch * t->tokens, .pooled_rows = t->batch, .capture = capture,
                      .replacement = replacement};
    CLSP_TRY(embed_patches(t, pixels, n, err));
    CLSP_TRY(clsp_tower_run(tower, &pass, err));
    clsp_layer_norm(tower->before, tower->pooled, t->weights->post_gamma, t->weights->post_beta, tower->config.ln_eps, t->batch,
                    width, width, width, CLSP_TYPE_F32);
    CLSP_TRY(clsp_linear_run(t->projection, t->projected, t->embed_dim, tower->before, width, t->batch, err));
    memcpy(embedding, t->projected, n * t->embed_dim * sizeof *embedding);
out:
    return status;
}
