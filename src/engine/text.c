/* The text tower: prompts of many lengths one behind the other, without padding between them.
 *
 * A text is causal and only its end token is read, so a prompt is cut right behind that token, and the pooled token
 * is always the last of its sequence. What two neighbours begin with alike ("a photo of a ...") has the same rows in both,
 * and is computed once. Letters: R rows of a pass, S prompts of a pass, D width, E joint dimension. */
#include "engine/towers.h"

#include <string.h>

/* Row counts of a pass are rounded up to these, so that few products are made. */
enum { ROWS = 1024, ROW_STEP = 64, PROMPT_STEP = 16, PROMPTS = 512, TOKENS_A_ROW = 3 };

struct clsp_text_tower {
    clsp_tower tower;
    const clsp_text *text;
    size_t embed_dim;
    const clipspan_model *model;
    const clsp_packed_tower *weights; /* shared by all engines of the model */
    clsp_linear *projection;          /* D -> E, fp32 in both types */
    size_t *start, *pooled;           /* [S + 1], [S] */
    size_t *source, *owner;           /* [tokens], [R]: as in clsp_pass */
    float *projected;                 /* [S, E] */
};

static size_t rounded(size_t n, size_t step) { return (n + step - 1) / step * step; }

/* ---- prompts --------------------------------------------------------------------------------------------- */

/* Where the pooled token stands: the first of the highest ids, or the first that is the configured id (0 where there
 * is none, as argmax over a comparison gives). */
static size_t pooled_position(const int32_t *ids, size_t count, int eot_id)
{
    size_t best = 0;
    for (size_t i = 0; i < count; i++) {
        if (eot_id >= 0 && ids[i] == eot_id) return i;
        if (eot_id < 0 && ids[i] > ids[best]) best = i;
    }
    return best;
}

static clipspan_status check_ids(const int32_t *ids, size_t count, const clipspan_model *model, clipspan_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= model->text.vocab_size)
            return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                             "%s: the tokenizer gives id %d, the model has embeddings for 0 to %d", model->info.name,
                             (int)ids[i], model->text.vocab_size - 1);
    return CLIPSPAN_OK;
}

clipspan_status clsp_prompts_add(clsp_prompts *p, const clipspan_model *model, const int32_t *ids, size_t count,
                                 clipspan_error *err)
{
    clipspan_status status = check_ids(ids, count, model, err);
    if (status != CLIPSPAN_OK) return status;
    size_t used = p->start[p->count], kept = pooled_position(ids, count, model->text.eot_id) + 1;
    if (used + kept > p->room) {
        size_t room = 2 * p->room + kept;
        int32_t *grown = clsp_grow(p->ids, room, sizeof *p->ids);
        if (grown == NULL) return clsp_fail_memory(err);
        p->ids = grown;
        p->room = room;
    }
    memcpy(p->ids + used, ids, kept * sizeof *ids);
    p->start[++p->count] = used + kept;
    return CLIPSPAN_OK;
}

clipspan_status clsp_prompts_init(clsp_prompts *prompts, size_t count, clipspan_error *err)
{
    *prompts = (clsp_prompts){0};
    prompts->start = clsp_alloc_zero(count + 1, sizeof *prompts->start);
    return prompts->start ? CLIPSPAN_OK : clsp_fail_memory(err);
}

clipspan_status clsp_prompts_make(clsp_prompts *prompts, const clipspan_model *model, const char *const *texts,
                                  size_t count, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t context = (size_t)model->text.context_length, length;
    int32_t *ids = NULL;
    CLSP_TRY(clsp_prompts_init(prompts, count, err));
    CLSP_ALLOC(ids, clsp_alloc(context, sizeof *ids));
    for (size_t i = 0; i < count; i++) {
        CLSP_TRY(clipspan_tokenize(model, texts[i], ids, context, &length, err));
        CLSP_TRY(clsp_prompts_add(prompts, model, ids, length, err));
    }
out:
    clsp_free(ids);
    if (status != CLIPSPAN_OK) clsp_prompts_clear(prompts);
    return status;
}

void clsp_prompts_clear(clsp_prompts *prompts)
{
    clsp_free(prompts->ids);
    clsp_free(prompts->start);
    *prompts = (clsp_prompts){0};
}

/* ---- making and freeing ---------------------------------------------------------------------------------- */

clipspan_status clsp_text_tower_new(clsp_text_tower **out, clsp_workspace *workspace, const clipspan_model *model,
                                    clsp_type type, clipspan_error *err)
{
    const clsp_text *text = &model->text;
    clipspan_status status = CLIPSPAN_OK;
    clsp_text_tower *t = NULL;
    size_t context = (size_t)text->context_length, rows = rounded(clsp_max(ROWS, context), ROW_STEP);
    *out = NULL;
    CLSP_ALLOC(t, clsp_alloc_zero(1, sizeof *t));
    t->text = text;
    t->model = model;
    t->embed_dim = (size_t)model->embed_dim;
    CLSP_TRY(clsp_packed_tower_take(&t->weights, model, CLSP_TEXTS, type, err));
    CLSP_TRY(clsp_linear_new(&t->projection, workspace, &t->weights->projection, CLSP_TYPE_F32, CLSP_EPILOGUE_NONE, err));
    CLSP_ALLOC(t->start, clsp_alloc_zero(PROMPTS + 1, sizeof *t->start));
    CLSP_ALLOC(t->pooled, clsp_alloc_zero(PROMPTS, sizeof *t->pooled));
    CLSP_ALLOC(t->projected, clsp_alloc_aligned(PROMPTS * t->embed_dim, sizeof *t->projected));
    CLSP_ALLOC(t->source, clsp_alloc_zero(TOKENS_A_ROW * rows, sizeof *t->source));
    CLSP_ALLOC(t->owner, clsp_alloc_zero(rows, sizeof *t->owner));
    CLSP_TRY(clsp_tower_init(&t->tower, workspace, t->weights, &text->config, rows, PROMPTS, context, true, 0, err));
    CLSP_TRY(clsp_tower_share(&t->tower, TOKENS_A_ROW * rows, err));
    *out = t;
    t = NULL;
out:
    clsp_text_tower_free(t);
    return status;
}

void clsp_text_tower_free(clsp_text_tower *t)
{
    if (t == NULL) return;
    clsp_tower_clear(&t->tower);
    clsp_linear_free(t->projection);
    if (t->weights) clsp_packed_tower_drop(t->model, CLSP_TEXTS, t->weights->type);
    void *all[] = {t->start, t->pooled, t->source, t->owner, t->projected};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_free(all[i]);
    clsp_free(t);
}

const clsp_tower *clsp_text_tower_blocks(const clsp_text_tower *tower) { return &tower->tower; }

/* ---- running --------------------------------------------------------------------------------------------- */

static size_t length_of(const clsp_prompts *prompts, size_t p) { return prompts->start[p + 1] - prompts->start[p]; }

/* How many ids two prompts begin with alike. */
static size_t common(const clsp_prompts *prompts, size_t p, size_t q)
{
    const int32_t *a = prompts->ids + prompts->start[p], *b = prompts->ids + prompts->start[q];
    size_t n = clsp_min(length_of(prompts, p), length_of(prompts, q)), i = 0;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

/* Lays out as many prompts as fit: start, pooled, source and owner of the pass, and the rows that they need. Returns their
 * number. */
static size_t lay_out(clsp_text_tower *t, const clsp_prompts *prompts, const size_t *which, size_t count, size_t *used)
{
    size_t taken = 0;
    *used = 0;
    for (; taken < count && taken < t->tower.sequences; taken++) {
        size_t length = length_of(prompts, which[taken]), first = t->start[taken];
        size_t shared = taken ? common(prompts, which[taken - 1], which[taken]) : 0;
        if (*used + length - shared > t->tower.rows || first + length > t->tower.tokens) break;
        for (size_t i = 0; i < shared; i++) t->source[first + i] = t->source[t->start[taken - 1] + i];
        for (size_t i = shared; i < length; i++) {
            t->source[first + i] = *used;
            t->owner[(*used)++] = first + i;
        }
        t->start[taken + 1] = first + length;
        t->pooled[taken] = t->source[first + length - 1];
    }
    return taken;
}

/* x [R, D] = token embedding + position, zeros behind the prompts. The table stays in the model's files: a pass
 * touches a few hundred rows of tens of thousands. */
static clipspan_status place_tokens(clsp_text_tower *t, const clsp_prompts *prompts, const size_t *which, size_t count,
                                    size_t used, size_t rows, clipspan_error *err)
{
    const clsp_weight *table = &t->text->token;
    size_t width = (size_t)t->text->config.width;
    float *x = t->tower.x;
    for (size_t s = 0; s < count; s++) {
        const int32_t *ids = prompts->ids + prompts->start[which[s]];
        for (size_t i = 0; t->start[s] + i < t->start[s + 1]; i++) {
            if (t->owner[t->source[t->start[s] + i]] != t->start[s] + i) continue; /* it stands there */
            size_t first = (table->first + (size_t)ids[i]) * width;
            clipspan_status status = clsp_tensor_floats(table->tensor, first, width, x, err);
            if (status != CLIPSPAN_OK) return status;
            for (size_t j = 0; j < width; j++) x[j] += t->weights->position[i * width + j];
            x += width; /* rows are dealt in this order */
        }
    }
    memset(x, 0, (rows - used) * width * sizeof *x);
    return CLIPSPAN_OK;
}

clipspan_status clsp_text_tower_run(clsp_text_tower *t, const clsp_prompts *prompts, const size_t *which,
                                    size_t count, float *embeddings, size_t *taken, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t width = (size_t)t->text->config.width, dim = t->embed_dim, used, n = lay_out(t, prompts, which, count, &used);
    clsp_pass pass = {.start = t->start, .pooled = t->pooled, .sequences = n, .rows = rounded(used, ROW_STEP),
                      .pooled_rows = rounded(n, PROMPT_STEP), .owner = t->owner, .used = used};
    if (used < t->start[n]) pass.source = t->source;
    *taken = n;
    CLSP_TRY(place_tokens(t, prompts, which, n, used, pass.rows, err));
    CLSP_TRY(clsp_tower_run(&t->tower, &pass, err));
    clsp_layer_norm(t->tower.before, t->tower.pooled, t->weights->post_gamma, t->weights->post_beta, t->tower.config.ln_eps,
                    pass.pooled_rows, width, width, width, CLSP_TYPE_F32);
    CLSP_TRY(clsp_linear_run(t->projection, t->projected, dim, t->tower.before, width, pass.pooled_rows, err));
    for (size_t s = 0; s < n; s++)
        memcpy(embeddings + which[s] * dim, t->projected + s * dim, dim * sizeof *embeddings);
out:
    return status;
}
