/* Residual blocks, the same for images and texts: x += attention(ln_1(x)), x += mlp(ln_2(x)).
 *
 * In the last block only the pooled tokens go on: every token gives its k and v, but queries, out-projection and MLP
 * are those of the pooled tokens alone. */
#include "engine/towers.h"

#include <string.h>

/* ---- layers ---------------------------------------------------------------------------------------------- */

static clsp_epilogue epilogue_of(clsp_activation activation)
{
    switch (activation) {
    case CLSP_QUICK_GELU: return CLSP_EPILOGUE_QUICK_GELU;
    case CLSP_GELU_TANH: return CLSP_EPILOGUE_GELU_TANH;
    case CLSP_GELU: break;
    }
    return CLSP_EPILOGUE_GELU;
}

static clipspan_status layers_new(clsp_block *b, clsp_workspace *workspace, const clsp_packed_block *w, clsp_type type,
                                  clsp_epilogue activation, bool last, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (last) {
        CLSP_TRY(clsp_linear_new(&b->q, workspace, &w->q, type, CLSP_EPILOGUE_NONE, err));
        CLSP_TRY(clsp_linear_new(&b->kv, workspace, &w->kv, type, CLSP_EPILOGUE_NONE, err));
    } else {
        CLSP_TRY(clsp_linear_new(&b->qkv, workspace, &w->qkv, type, CLSP_EPILOGUE_NONE, err));
    }
    CLSP_TRY(clsp_linear_new(&b->out, workspace, &w->out, CLSP_TYPE_F32, CLSP_EPILOGUE_ADD, err));
    CLSP_TRY(clsp_linear_new(&b->fc1, workspace, &w->fc1, type, activation, err));
    CLSP_TRY(clsp_linear_new(&b->fc2, workspace, &w->fc2, CLSP_TYPE_F32, CLSP_EPILOGUE_ADD, err));
out:
    return status;
}

static void block_clear(clsp_block *b)
{
    clsp_linear *layers[] = {b->qkv, b->q, b->kv, b->out, b->fc1, b->fc2};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) clsp_linear_free(layers[i]);
}

/* ---- buffers --------------------------------------------------------------------------------------------- */

/* Elements between the rows that bf16 products read: rows a power of two apart would share few sets of a cache. */
static size_t gap_of(clsp_type type) { return type == CLSP_TYPE_BF16 ? 32 : 0; }

static size_t size_of(clsp_type type) { return type == CLSP_TYPE_BF16 ? sizeof(uint16_t) : sizeof(float); }

/* Zeroed, aligned: rows behind the sequences must be finite from the first pass on. */
static void *rows_new(clsp_tower *t, size_t rows, size_t width, size_t size)
{
    size_t bytes;
    if (!clsp_mul(&bytes, rows, width) || !clsp_mul(&bytes, bytes, size)) return NULL;
    void *block = clsp_alloc_aligned(bytes, 1);
    if (block) memset(block, 0, bytes);
    t->bytes += bytes;
    return block;
}

static clipspan_status buffers_new(clsp_tower *t, size_t work_bytes, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t width = (size_t)t->config.width, hidden = (size_t)t->config.mlp_width, size = size_of(t->type);
    size_t room = clsp_max(3 * width, hidden) + gap_of(t->type);
    if (!clsp_mul(&room, room, t->rows) || !clsp_mul(&room, room, size)) return clsp_fail_memory(err);
    CLSP_ALLOC(t->x, rows_new(t, t->rows, width, sizeof *t->x));
    CLSP_ALLOC(t->h, rows_new(t, t->rows, width + gap_of(t->type), size));
    CLSP_ALLOC(t->work, rows_new(t, clsp_max(room, work_bytes), 1, 1));
    CLSP_ALLOC(t->pooled, rows_new(t, t->sequences, width, sizeof *t->pooled));
    CLSP_ALLOC(t->before, rows_new(t, t->sequences, width, sizeof *t->before));
    CLSP_ALLOC(t->pooled_h, rows_new(t, t->sequences, width, size));
    CLSP_ALLOC(t->pooled_q, rows_new(t, t->sequences, width, size));
    CLSP_ALLOC(t->pooled_hidden, rows_new(t, t->sequences, hidden, size));
out:
    return status;
}

clipspan_status clsp_tower_init(clsp_tower *tower, clsp_workspace *workspace, const clsp_packed_tower *weights,
                                const clsp_tower_config *config, size_t rows, size_t sequences, size_t longest,
                                bool causal, size_t work_bytes, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t layers = (size_t)config->layers;
    clsp_attention_desc attention = {.heads = (size_t)config->heads, .head_dim = (size_t)config->head_dim,
                                     .longest = longest, .type = weights->type, .causal = causal};
    *tower = (clsp_tower){.config = *config, .type = weights->type, .rows = rows, .sequences = sequences,
                          .weights = weights};
    CLSP_ALLOC(tower->blocks, clsp_alloc_zero(layers, sizeof *tower->blocks));
    for (size_t l = 0; l < layers; l++)
        CLSP_TRY(layers_new(&tower->blocks[l], workspace, &weights->blocks[l], weights->type,
                            epilogue_of(config->activation), l + 1 == layers, err));
    CLSP_TRY(clsp_attention_new(&tower->attention, &attention, err));
    CLSP_TRY(buffers_new(tower, work_bytes, err));
out:
    return status;
}

clipspan_status clsp_tower_share(clsp_tower *tower, size_t tokens, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t width = (size_t)tower->config.width, size = size_of(tower->type);
    CLSP_ALLOC(tower->spread, rows_new(tower, tokens, 3 * width, size));
    CLSP_ALLOC(tower->spread_h, rows_new(tower, tokens, width, size));
    tower->tokens = tokens;
out:
    return status;
}

void clsp_tower_clear(clsp_tower *tower)
{
    for (int l = 0; tower->blocks && l < tower->config.layers; l++) block_clear(&tower->blocks[l]);
    clsp_attention_free(tower->attention);
    void *all[] = {tower->blocks, tower->x, tower->h, tower->work, tower->pooled, tower->before, tower->pooled_h,
                   tower->pooled_q, tower->pooled_hidden, tower->spread, tower->spread_h};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
    *tower = (clsp_tower){0};
}

/* ---- running --------------------------------------------------------------------------------------------- */

/* Rows picked[s] of `from` one below the other. bytes: of a row. */
static void pick_rows(void *to, const void *from, const size_t *picked, size_t count, size_t bytes)
{
    for (size_t s = 0; s < count; s++) memcpy((char *)to + s * bytes, (const char *)from + picked[s] * bytes, bytes);
}

/* The same on every thread, for many rows. */
static void spread_rows(void *to, const void *from, const size_t *picked, size_t count, size_t bytes)
{
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < count; r++) memcpy((char *)to + r * bytes, (const char *)from + picked[r] * bytes, bytes);
}

static clsp_attention_capture attention_capture(const clsp_tower *t, const clsp_pass *pass, size_t layer)
{
    clsp_attention_capture views = {0};
    const clsp_capture *c = pass->capture;
    if (c == NULL) return views;
    size_t plane = c->images * (size_t)t->config.width, tokens = pass->start[1] - pass->start[0];
    if (c->z) views.z = c->z + layer * plane;
    if (c->cls) views.cls = c->cls + layer * plane;
    for (int i = 0; c->tokens && i < c->token_layer_count; i++)
        if ((size_t)c->token_layers[i] == layer) views.tokens = c->tokens + (size_t)i * plane * tokens;
    views.room = c->images;
    return views;
}

static float *mlp_capture(const clsp_tower *t, const clsp_pass *pass, size_t term)
{
    if (pass->capture == NULL || pass->capture->mlp == NULL) return NULL;
    return pass->capture->mlp + term * pass->capture->images * (size_t)t->config.width;
}

/* What the MLP added is taken from the residual stream itself, before and after, so that the terms add up to the
 * stream that the network really had. after: row of sequence s is after[s] or, with rows NULL, s. */
static void keep_mlp(float *kept, const float *before, const float *x, const size_t *rows, size_t count, size_t width)
{
    for (size_t s = 0; s < count; s++) {
        const float *after = x + (rows ? rows[s] : s) * width;
        for (size_t i = 0; i < width; i++) kept[s * width + i] = after[i] - before[s * width + i];
    }
}

/* The pooled tokens' neurons, from rows [.., M] in the tower's type, `stride` apart. rows NULL: row s is sequence s's. */
static void keep_hidden(const clsp_tower *t, const clsp_pass *pass, size_t layer, const void *hidden, size_t stride,
                        const size_t *rows)
{
    if (pass->capture == NULL || pass->capture->hidden == NULL) return;
    size_t m = (size_t)t->config.mlp_width;
    float *to = pass->capture->hidden + layer * pass->capture->images * m;
    for (size_t s = 0; s < pass->sequences; s++, to += m) {
        size_t from = (rows ? rows[s] : s) * stride;
        if (t->type == CLSP_TYPE_F32) memcpy(to, (const float *)hidden + from, m * sizeof *to);
        else
            for (size_t j = 0; j < m; j++) to[j] = clsp_bf16_to_f32(((const uint16_t *)hidden)[from + j]);
    }
}

/* Between attention and out-projection: heads are replaced, then summed. rows: [tokens of every sequence, D], or
 * [sequences, D] in the last block, where tokens is 1. */
static void visit_heads(const clsp_tower *t, const clsp_pass *pass, size_t layer, void *rows, size_t tokens, float *z)
{
    const clsp_capture *c = pass->capture;
    size_t width = (size_t)t->config.width, all = pass->start[1] - pass->start[0];
    if (pass->replacement)
        clsp_replace_heads(pass->replacement, layer, rows, pass->start, pass->sequences, tokens, z);
    if (c && c->head_sums)
        clsp_add_heads(c->head_sums + layer * all * width, t->type, rows, width, pass->start, pass->sequences, tokens,
                       c->counted);
}

/* Attention of the rows in t->work, `stride` apart, into `out`. Where rows are shared, every sequence gets its own copy of
 * them, since attention wants a sequence in one piece; of each row's results the first token's is kept. */
static clipspan_status attend(const clsp_tower *t, const clsp_pass *pass, void *out, clsp_attention_input *input,
                              bool one_query, const clsp_attention_capture *captures, clipspan_error *err)
{
    size_t size = size_of(t->type), stride = input->kv_stride, width = (size_t)t->config.width;
    if (pass->source == NULL)
        return clsp_attention_run(t->attention, out, input, pass->start, pass->sequences, one_query, captures, err);
    spread_rows(t->spread, t->work, pass->source, pass->start[pass->sequences], stride * size);
    input->k = (const char *)t->spread + ((const char *)input->k - (const char *)t->work);
    input->v = (const char *)t->spread + ((const char *)input->v - (const char *)t->work);
    if (one_query)
        return clsp_attention_run(t->attention, out, input, pass->start, pass->sequences, true, captures, err);
    input->q = t->spread; /* q stands first */
    clipspan_status status =
        clsp_attention_run(t->attention, t->spread_h, input, pass->start, pass->sequences, false, captures, err);
    if (status == CLIPSPAN_OK) spread_rows(out, t->spread_h, pass->owner, pass->used, width * size);
    return status;
}

static clipspan_status run_block(clsp_tower *t, const clsp_pass *pass, size_t l, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_block *b = &t->blocks[l];
    const clsp_packed_block *w = &t->weights->blocks[l];
    size_t d = (size_t)t->config.width, m = (size_t)t->config.mlp_width, rows = pass->rows, size = size_of(t->type);
    size_t hs = d + gap_of(t->type), ms = m + gap_of(t->type); /* strides of h and of the hidden rows */
    float eps = t->config.ln_eps, *kept = mlp_capture(t, pass, l + 1);
    clsp_attention_capture captures = attention_capture(t, pass, l);
    clsp_attention_input input = {.q = t->work, .k = (char *)t->work + d * size, .v = (char *)t->work + 2 * d * size,
                                  .q_stride = 3 * d, .kv_stride = 3 * d};
    clsp_layer_norm(t->h, t->x, w->ln1_gamma, w->ln1_beta, eps, rows, d, d, hs, t->type);
    CLSP_TRY(clsp_linear_run(b->qkv, t->work, 3 * d, t->h, hs, rows, err));
    CLSP_TRY(attend(t, pass, t->h, &input, false, &captures, err));
    visit_heads(t, pass, l, t->h, pass->start[1] - pass->start[0], captures.z);
    CLSP_TRY(clsp_linear_run(b->out, t->x, d, t->h, d, rows, err));
    if (kept) pick_rows(t->before, t->x, pass->pooled, pass->sequences, d * sizeof *t->x);
    clsp_layer_norm(t->h, t->x, w->ln2_gamma, w->ln2_beta, eps, rows, d, d, hs, t->type);
    CLSP_TRY(clsp_linear_run(b->fc1, t->work, ms, t->h, hs, rows, err));
    keep_hidden(t, pass, l, t->work, ms, pass->pooled);
    CLSP_TRY(clsp_linear_run(b->fc2, t->x, d, t->work, ms, rows, err));
    if (kept) keep_mlp(kept, t->before, t->x, pass->pooled, pass->sequences, d);
out:
    return status;
}

static clipspan_status run_last_block(clsp_tower *t, const clsp_pass *pass, size_t l, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_block *b = &t->blocks[l];
    const clsp_packed_block *w = &t->weights->blocks[l];
    size_t d = (size_t)t->config.width, m = (size_t)t->config.mlp_width, rows = pass->pooled_rows;
    size_t size = size_of(t->type);
    float eps = t->config.ln_eps, *kept = mlp_capture(t, pass, l + 1);
    clsp_attention_capture captures = attention_capture(t, pass, l);
    clsp_attention_input input = {.q = t->pooled_q, .k = t->work, .v = (char *)t->work + d * size, .q_stride = d,
                                  .kv_stride = 2 * d};
    clsp_layer_norm(t->h, t->x, w->ln1_gamma, w->ln1_beta, eps, pass->rows, d, d, d, t->type);
    CLSP_TRY(clsp_linear_run(b->kv, t->work, 2 * d, t->h, d, pass->rows, err));
    pick_rows(t->pooled_h, t->h, pass->pooled, pass->sequences, d * size);
    pick_rows(t->pooled, t->x, pass->pooled, pass->sequences, d * sizeof *t->x);
    memset(t->pooled + pass->sequences * d, 0, (rows - pass->sequences) * d * sizeof *t->pooled);
    CLSP_TRY(clsp_linear_run(b->q, t->pooled_q, d, t->pooled_h, d, rows, err));
    CLSP_TRY(attend(t, pass, t->pooled_h, &input, true, &captures, err));
    visit_heads(t, pass, l, t->pooled_h, 1, captures.z);
    CLSP_TRY(clsp_linear_run(b->out, t->pooled, d, t->pooled_h, d, rows, err));
    if (kept) memcpy(t->before, t->pooled, pass->sequences * d * sizeof *t->before);
    clsp_layer_norm(t->pooled_h, t->pooled, w->ln2_gamma, w->ln2_beta, eps, rows, d, d, d, t->type);
    CLSP_TRY(clsp_linear_run(b->fc1, t->pooled_hidden, m, t->pooled_h, d, rows, err));
    keep_hidden(t, pass, l, t->pooled_hidden, m, NULL);
    CLSP_TRY(clsp_linear_run(b->fc2, t->pooled, d, t->pooled_hidden, m, rows, err));
    if (kept) keep_mlp(kept, t->before, t->pooled, NULL, pass->sequences, d);
out:
    return status;
}

clipspan_status clsp_tower_run(clsp_tower *tower, const clsp_pass *pass, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t last = (size_t)tower->config.layers - 1, row = (size_t)tower->config.width * sizeof *tower->x;
    float *x0 = mlp_capture(tower, pass, 0);
    if (x0) pick_rows(x0, tower->x, pass->pooled, pass->sequences, row);
    for (size_t l = 0; l < last; l++) CLSP_TRY(run_block(tower, pass, l, err));
    CLSP_TRY(run_last_block(tower, pass, last, err));
    if (pass->capture && pass->capture->last) memcpy(pass->capture->last, tower->pooled, pass->sequences * row);
out:
    return status;
}
