/* clipspan ablate: what every layer and head is worth to zero-shot accuracy, directly and (--total) in all. */
#include "scored.h"
#include "span.h"

#include "clipspan/ablation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *heads, *mean_from, *at, *convention, *output, *csv, *plot, *grid, *images, *mean_images;
    int zero, total, json;
    size_t resamples, seed;
    cli_scored_settings scored;
    cli_engine_settings engine;
} settings;

/* Pictures for total effects: which list position each row of the store has. */
typedef struct pictures {
    clipspan_images *images, *mean_images; /* mean_images: those behind the means; may be NULL: the same */
    size_t *row_of;                        /* [images of the list] row of the store, or SIZE_MAX */
} pictures;

typedef struct inputs {
    clipspan_store *store, *mean_store; /* mean_store NULL: means of the scored store */
    cli_scored scored;
    clipspan_means *means; /* NULL: the study makes its own */
    unsigned char *heads;  /* [L * H] the named set */
    size_t named;
    pictures pictures;
    clipspan_ablation_study *study;
} inputs;

/* ---- before long work starts -------------------------------------------------------------------------------- */

static clipspan_status check(const settings *s, clipspan_error *err)
{
    const struct {
        const char *name;
        int given;
    } of_total[] = {{"at", s->at != NULL}, {"images", s->images != NULL}, {"mean-images", s->mean_images != NULL}};
    if (s->zero && s->mean_from != NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--zero and --mean-from: a term is replaced by zero or by a mean");
    for (size_t i = 0; i < sizeof of_total / sizeof *of_total; i++)
        if (of_total[i].given && !s->total)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s is for --total, which runs the model again",
                            of_total[i].name);
    if (s->mean_images != NULL && s->mean_from == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--mean-images says where the pictures of --mean-from are");
    if (s->resamples > 100000) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--resamples is at most 100000");
    return CLIPSPAN_OK;
}

static clipspan_status name_heads(const settings *s, inputs *in, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(in->store);
    size_t all = (size_t)info->layers * (size_t)info->heads;
    in->heads = calloc(all, 1);
    if (in->heads == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (s->heads == NULL) return CLIPSPAN_OK;
    clipspan_status status = clipspan_heads_parse(s->heads, info->layers, info->heads, in->heads, err);
    for (size_t h = 0; h < all; h++) in->named += in->heads[h];
    return status;
}

static clipspan_status open_mean_store(const settings *s, inputs *in, clipspan_error *err)
{
    if (s->mean_from == NULL) return CLIPSPAN_OK;
    clipspan_status status = clipspan_store_open(&in->mean_store, s->mean_from, err);
    if (status != CLIPSPAN_OK) return status;
    const clipspan_store_info *from = clipspan_store_get_info(in->mean_store), *to = clipspan_store_get_info(in->store);
    if (strcmp(from->model_fingerprint, to->model_fingerprint) != 0)
        return cli_fail(err, CLIPSPAN_ERROR_MISMATCH, "--mean-from %s is of model %s (%.8s), %s of %s (%.8s)", s->mean_from,
                        from->model_name, from->model_fingerprint, s->arguments[0], to->model_name, to->model_fingerprint);
    unsigned lacking = to->parts & ~(from->moments_only ? 0 : from->parts) & (CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS);
    if (lacking)
        cli_note("%s %s: it has no means for%s%s, which are not ablated", s->mean_from,
                 from->moments_only ? "holds moments alone" : "keeps fewer parts",
                 lacking & CLIPSPAN_PART_MLP ? " MLPs" : "",
                 lacking & CLIPSPAN_PART_CLS ? (lacking & CLIPSPAN_PART_MLP ? " and the class token's attention to itself"
                                                                            : " the class token's attention to itself")
                                             : "");
    return CLIPSPAN_OK;
}

static void note_parts(const clipspan_store *store)
{
    unsigned parts = clipspan_store_get_info(store)->parts;
    if (!(parts & CLIPSPAN_PART_MLP)) cli_note("the store keeps no MLP terms (part mlp), so MLPs are not ablated");
    if (!(parts & CLIPSPAN_PART_CLS))
        cli_note("the store keeps no attention of the class token to itself (part cls), so it is not ablated");
}

static clipspan_status map_rows(inputs *in, clipspan_error *err)
{
    pictures *p = &in->pictures;
    size_t count = clipspan_images_count(p->images), rows = (size_t)clipspan_store_get_info(in->store)->images;
    p->row_of = calloc(count + 1, sizeof *p->row_of);
    if (p->row_of == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) p->row_of[i] = SIZE_MAX;
    for (size_t row = 0; row < rows; row++) {
        size_t at = cli_store_picture(p->images, in->store, row);
        if (at < count) p->row_of[at] = row;
    }
    return CLIPSPAN_OK;
}

static clipspan_status open_pictures(const settings *s, inputs *in, clipspan_error *err)
{
    pictures *p = &in->pictures;
    if (!s->total) return CLIPSPAN_OK;
    clipspan_status status = cli_open_store_images(&p->images, in->store, s->images, err);
    if (status == CLIPSPAN_OK && in->mean_store != NULL)
        status = cli_open_store_images(&p->mean_images, in->mean_store, s->mean_images, err);
    if (status == CLIPSPAN_OK) status = map_rows(in, err);
    return status;
}

static clipspan_status open_scored(const settings *s, inputs *in, clipspan_error *err)
{
    cli_scored_settings scored = s->scored;
    scored.needs_no_model = !s->total;
    return cli_scored_open(&in->scored, in->store, &scored, &s->engine, err);
}

/* ---- direct effects ----------------------------------------------------------------------------------------- */

static clipspan_status study(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_ablation_study_options options = CLIPSPAN_ABLATION_STUDY_OPTIONS_INIT;
    clipspan_status status = CLIPSPAN_OK;
    options.convention = cli_convention(s->convention);
    options.zero = s->zero;
    options.heads = in->named ? in->heads : NULL;
    options.resamples = (int)s->resamples;
    options.seed = s->seed;
    options.threads = (int)s->engine.threads;
    if (in->mean_store != NULL)
        status = clipspan_means_open(&in->means, in->mean_store, options.convention, options.threads, cli_hooks(), err);
    options.means = in->means;
    if (status == CLIPSPAN_OK)
        status = clipspan_ablation_study_run(&in->study, in->store, in->scored.classifier, in->scored.count,
                                             in->scored.labels, &options, cli_hooks(), err);
    cli_progress_end();
    return status;
}

/* ---- total effects: the model runs again -------------------------------------------------------------------- */

typedef struct rerun {
    const settings *settings;
    inputs *in;
    size_t layers, heads, embed_dim, rows, tokens; /* tokens: T of the replaced outputs */
    float *values;         /* [L, H, T, d]; NULL: zeros */
    unsigned char *chosen; /* [L * H] */
    float *embeddings;     /* [rows, E] */
    size_t filled;
} rerun;

static clipspan_status keep_rows(void *user, size_t first, size_t n, const float *embeddings, const unsigned char *ok,
                                 clipspan_error *err)
{
    rerun *r = user;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        size_t row = r->in->pictures.row_of[first + i];
        if (row == SIZE_MAX || !ok[i]) continue;
        memcpy(r->embeddings + row * r->embed_dim, embeddings + i * r->embed_dim, r->embed_dim * sizeof *embeddings);
        r->filled++;
    }
    return CLIPSPAN_OK;
}

/* Every picture through the model as it is now. */
static clipspan_status embed(rerun *r, clipspan_error *err)
{
    r->filled = 0;
    clipspan_status status = clipspan_engine_embed_list(r->in->scored.engine, r->in->pictures.images, 1, 0, keep_rows, r,
                                                        cli_hooks(), err);
    cli_progress_end();
    if (status != CLIPSPAN_OK || r->filled == r->rows) return status;
    return cli_fail(err, CLIPSPAN_ERROR_MISMATCH, "%zu of the store's %zu pictures can no longer be read",
                    r->rows - r->filled, r->rows);
}

/* The heads in r->chosen replaced, scored as ablation (what, index). */
static clipspan_status replace(rerun *r, clipspan_ablated what, size_t index, clipspan_error *err)
{
    const clipspan_intervention change = {.heads = r->chosen, .values = r->values, .tokens = (int)r->tokens};
    clipspan_status status = clipspan_engine_intervene(r->in->scored.engine, &change, err);
    if (status == CLIPSPAN_OK) status = embed(r, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_ablation_study_add_total(r->in->study, what, index, r->embeddings, err);
    return status;
}

/* The pictures may have changed since the store was made; then nothing could be compared. */
static clipspan_status compare_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    const rerun *r = user;
    for (size_t i = 0; i < batch->images; i++) {
        size_t row = (size_t)batch->index[i];
        double cosine = 0;
        for (size_t e = 0; e < r->embed_dim; e++)
            cosine += (double)batch->embedding[i * r->embed_dim + e] * (double)r->embeddings[row * r->embed_dim + e];
        cosine /= (double)batch->norm[i];
        if (!(cosine > 0.99)) /* a store made in bf16 has 0.999 */
            return cli_fail(err, CLIPSPAN_ERROR_MISMATCH,
                            "%.200s: its embedding is not the one in the store (cosine %.3f): the picture was changed since",
                            clipspan_store_image_name(r->in->store, row), cosine);
    }
    return CLIPSPAN_OK;
}

static clipspan_status baseline(rerun *r, clipspan_error *err)
{
    clipspan_status status = embed(r, err);
    unsigned char *none = calloc(r->layers, 1);
    if (status == CLIPSPAN_OK && none == NULL) status = cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    const clipspan_store_selection select = {.layers = none, .parts = 0, .no_heads = 1};
    if (status == CLIPSPAN_OK) status = clipspan_store_each(r->in->store, &select, compare_batch, r, cli_hooks(), err);
    cli_progress_end();
    if (status == CLIPSPAN_OK)
        status = clipspan_ablation_study_add_total(r->in->study, CLIPSPAN_ABLATED_NOTHING, 0, r->embeddings, err);
    free(none);
    return status;
}

/* What stands in place of replaced heads: their means by token, or those of the class token alone. */
static clipspan_status mean_values(rerun *r, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(r->in->store);
    const pictures *p = &r->in->pictures;
    size_t n = (size_t)info->tokens, d = (size_t)info->head_dim, all = r->layers * r->heads;
    if (r->settings->zero) return CLIPSPAN_OK;
    r->values = calloc(all * n, d * sizeof *r->values);
    if (r->values == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_engine_head_means(r->in->scored.engine, p->mean_images ? p->mean_images : p->images, 0,
                                                        r->values, cli_hooks(), err);
    cli_progress_end();
    for (size_t h = 0; r->tokens == 1 && h < all; h++) memmove(r->values + h * d, r->values + h * n * d, d * sizeof *r->values);
    return status;
}

static clipspan_status layers(rerun *r, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t l = 0; l < r->layers && status == CLIPSPAN_OK; l++) {
        memset(r->chosen, 0, r->layers * r->heads);
        memset(r->chosen + l * r->heads, 1, r->heads);
        status = replace(r, CLIPSPAN_ABLATED_LAYER, l, err);
    }
    return status;
}

static clipspan_status named_heads(rerun *r, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t all = r->layers * r->heads;
    if (r->in->named == 0) return CLIPSPAN_OK;
    for (size_t h = 0; h < all && status == CLIPSPAN_OK; h++) {
        if (!r->in->heads[h]) continue;
        memset(r->chosen, 0, all);
        r->chosen[h] = 1;
        status = replace(r, CLIPSPAN_ABLATED_HEAD, h, err);
    }
    memcpy(r->chosen, r->in->heads, all);
    if (status == CLIPSPAN_OK) status = replace(r, CLIPSPAN_ABLATED_SET, 0, err);
    return status;
}

static clipspan_status totals(const settings *s, inputs *in, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(in->store);
    if (!s->total) return CLIPSPAN_OK;
    rerun r = {.settings = s, .in = in, .layers = (size_t)info->layers, .heads = (size_t)info->heads,
               .embed_dim = (size_t)info->embed_dim, .rows = (size_t)info->images};
    r.tokens = s->at != NULL && strcmp(s->at, "class") == 0 ? 1 : (size_t)info->tokens;
    r.chosen = calloc(r.layers * r.heads, 1);
    r.embeddings = calloc(r.rows, r.embed_dim * sizeof *r.embeddings);
    clipspan_status status =
        r.chosen && r.embeddings ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    cli_note("total effects: the model runs %zu times over %zu images",
             1 + !s->zero + r.layers + in->named + (in->named > 0), clipspan_images_count(in->pictures.images));
    if (status == CLIPSPAN_OK) status = baseline(&r, err);
    if (status == CLIPSPAN_OK) status = mean_values(&r, err);
    if (status == CLIPSPAN_OK) status = layers(&r, err);
    if (status == CLIPSPAN_OK) status = named_heads(&r, err);
    free(r.values);
    free(r.chosen);
    free(r.embeddings);
    return status;
}

/* ---- results ------------------------------------------------------------------------------------------------ */

static clipspan_status write_results(const settings *s, const inputs *in, clipspan_error *err)
{
    const clipspan_images *of_means = in->pictures.mean_images ? in->pictures.mean_images : in->pictures.images;
    const clipspan_store_info *behind = clipspan_store_get_info(in->mean_store ? in->mean_store : in->store);
    const clipspan_ablation_report report = {
        .study = in->study,
        .store = in->store,
        .means_from = s->mean_from,
        .at = !s->total ? NULL : s->at ? s->at : "all",
        .total_mean_images = s->total && !s->zero ? clipspan_images_count(of_means) - behind->skipped : 0};
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL) status = clipspan_report_ablation(&report, CLIPSPAN_CSV, s->csv, err);
    if (status == CLIPSPAN_OK && s->plot != NULL) status = clipspan_picture_ablation_curve(&report, s->plot, err);
    if (status == CLIPSPAN_OK && s->grid != NULL) status = clipspan_picture_ablation_heads(&report, s->grid, err);
    if (status != CLIPSPAN_OK) return status;
    return clipspan_report_ablation(&report, s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT, s->output ? s->output : "-", err);
}

static void free_inputs(inputs *in)
{
    clipspan_ablation_study_free(in->study);
    clipspan_means_free(in->means);
    cli_scored_close(&in->scored);
    clipspan_images_free(in->pictures.images);
    clipspan_images_free(in->pictures.mean_images);
    free(in->pictures.row_of);
    free(in->heads);
    clipspan_store_free(in->mean_store);
    clipspan_store_free(in->store);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    inputs in = {0};
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_open(&in.store, s->arguments[0], err);
    if (status == CLIPSPAN_OK) status = name_heads(s, &in, err);
    if (status == CLIPSPAN_OK) status = open_mean_store(s, &in, err);
    if (status == CLIPSPAN_OK) status = open_pictures(s, &in, err);
    if (status == CLIPSPAN_OK) status = open_scored(s, &in, err);
    if (status == CLIPSPAN_OK) note_parts(in.store);
    if (status == CLIPSPAN_OK) status = study(s, &in, err);
    if (status == CLIPSPAN_OK) status = totals(s, &in, err);
    if (status == CLIPSPAN_OK) status = write_results(s, &in, err);
    free_inputs(&in);
    return status;
}

static const cli_option options[] = {
    {"heads", 0, CLI_TEXT, "HEADS", "a named set, also scored together: L22.H13, L22, last:4, all, @FILE, comma-separated",
     offsetof(settings, heads)},
    CLI_SCORED_OPTIONS(settings, scored),
    {"zero", 0, CLI_FLAG, NULL, "replace terms by zero instead of their mean", offsetof(settings, zero)},
    {"mean-from", 0, CLI_TEXT, "STORE2", "means over another store's images (default: over this store's, as the paper)",
     offsetof(settings, mean_from)},
    CLI_CONVENTION_OPTION(settings, convention),
    {"resamples", 0, CLI_COUNT, "N", "of the bootstrap behind the intervals (default 1000; 0: none)",
     offsetof(settings, resamples)},
    {"seed", 0, CLI_COUNT, "N", "of the bootstrap (default 0)", offsetof(settings, seed)},
    {"total", 0, CLI_FLAG, NULL, "also run the model again with each layer's heads, and the named ones, replaced inside",
     offsetof(settings, total)},
    {"at", 0, CLI_TEXT, "all|class", "with --total: replaced at every token by position, or at the class token (default all)",
     offsetof(settings, at)},
    {"images", 0, CLI_TEXT, "IMAGES", "with --total: where the store's pictures are now", offsetof(settings, images)},
    {"mean-images", 0, CLI_TEXT, "IMAGES", "with --total: where STORE2's pictures are now", offsetof(settings, mean_images)},
    {"json", 0, CLI_FLAG, NULL, "as JSON, every ablation", offsetof(settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table, one line an ablation and effect", offsetof(settings, csv)},
    {"plot", 0, CLI_TO_FILE, "FILE", "also draw accuracy against the attention layers replaced: " CLI_PICTURE_HELP,
     offsetof(settings, plot)},
    {"grid", 0, CLI_TO_FILE, "FILE", "also draw what each head alone is worth, layer x head: " CLI_PICTURE_HELP,
     offsetof(settings, grid)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_END,
};

static const settings defaults = {.convention = "paper", .resamples = 1000};

const cli_command cli_ablate = {
    .name = "ablate",
    .arguments = {"STORE"},
    .summary = "Measure what each layer and head is worth to zero-shot accuracy",
    .text = "Replaces terms of a store's images by their means and classifies again: x0 and all MLPs; the class token's\n"
            "attention to itself; attention layers 0..i for each i; each layer, MLP and head alone; the named heads\n"
            "together. That is the direct effect, without running the model. With --total the model also runs with those\n"
            "heads replaced inside, so that later layers react. Top-1, top-5 and the right class's mean logit, with 95 %\n"
            "bootstrap intervals. docs/ablation.md has the formulas.",
    .example = "clipspan ablate out/demo/store --column setting --classes models/demo/zero_shot/setting.classes.txt "
               "--templates models/demo/zero_shot/setting.templates.txt --heads last:1 --plot curve.png",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
