/* clipspan edit: a copy of the model with heads mean-ablated in its weights, and what that does to accuracy. */
#include "scored.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clipspan/ablation.h"

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *heads, *output, *mean, *images, *attribute, *csv;
    int zero, remove, score, json;
    size_t threads, batch;
    cli_scored_settings scored;
} settings;

typedef struct inputs {
    clipspan_store *store;
    const clipspan_store_info *info;
    clipspan_images *images; /* the store's; NULL: none is needed */
    int score;               /* accuracy is measured */
    cli_engine_settings engine_settings;
    cli_scored scored;      /* with the model in any case */
    unsigned char *chosen;  /* [L * H] */
    float *means;           /* [L, H, d]; NULL: zeros */
    uint64_t mean_images;
    size_t *row_of;         /* [pictures listed] row of the store, or SIZE_MAX */
    float *before, *direct, *after; /* [I, E] */
    unsigned char *lost;    /* [I] 1: the edited model did not see it */
    clipspan_edit_score *scores;
    size_t score_count;
} inputs;

static clipspan_status no_memory(clipspan_error *err)
{
    return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

static clipspan_status check(const settings *s, clipspan_error *err)
{
    if (s->remove)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                        "--remove is not possible here: neither Hugging Face's CLIP nor open_clip's ViT can say that one layer "
                        "has fewer heads than another, so a smaller matrix would not load; without --remove the heads are "
                        "mean-ablated in the weights, which has the same effect at the same size (docs/edit.md)");
    if (s->heads == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--heads HEADS is missing");
    if (s->output == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o NEWMODEL is missing");
    if (s->zero && s->mean != NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--zero and --mean exclude each other");
    if (!s->score && s->attribute != NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--attribute says how to group accuracy, --no-accuracy that there is none");
    return CLIPSPAN_OK;
}

static int of_tokens(const settings *s)
{
    return s->mean != NULL && strcmp(s->mean, "tokens") == 0;
}

/* Accuracy is measured in the type that the store was made in. */
static clipspan_status open_model(const settings *s, inputs *in, clipspan_error *err)
{
    in->engine_settings = (cli_engine_settings){
        .dtype = strcmp(in->info->compute, "bf16") == 0 ? CLIPSPAN_BF16 : CLIPSPAN_F32, .threads = s->threads,
        .batch = s->batch};
    if (in->score) return cli_scored_open(&in->scored, in->store, &s->scored, &in->engine_settings, err);
    clipspan_status status = cli_open_store_model(&in->scored.model, in->store, s->scored.model, s->scored.vocab, err);
    if (status == CLIPSPAN_OK && of_tokens(s))
        status = cli_open_engine(&in->scored.engine, in->scored.model, &in->engine_settings, err);
    return status;
}

/* Unless it was asked for by name, accuracy is left out where there is nothing to measure it with. */
static int wants_score(const settings *s, const clipspan_store *store)
{
    const cli_labelled from = {.store = store, .column = SIZE_MAX};
    const cli_scored_settings *scored = &s->scored;
    if (!s->score || s->attribute != NULL || scored->classes != NULL || scored->column != NULL ||
        scored->classifier != NULL || cli_labelled_known(&from) > 0)
        return s->score;
    cli_note("no accuracy: none of the store's images has a label to score it with");
    return 0;
}

static clipspan_status check_attribute(const settings *s, const inputs *in, clipspan_error *err)
{
    cli_labelled from = {.store = in->store};
    return cli_labelled_choose(&from, s->attribute, err);
}

static clipspan_status open_inputs(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_status status = clipspan_store_open(&in->store, s->arguments[0], err);
    if (status != CLIPSPAN_OK) return status;
    in->info = clipspan_store_get_info(in->store);
    in->score = wants_score(s, in->store);
    in->chosen = calloc((size_t)in->info->layers * (size_t)in->info->heads, 1);
    if (in->chosen == NULL) return no_memory(err);
    status = clipspan_heads_parse(s->heads, in->info->layers, in->info->heads, in->chosen, err);
    if (status == CLIPSPAN_OK && in->info->moments_only && !s->zero && !of_tokens(s))
        status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                          "%s holds moments alone, no single outputs to take means of (--mean tokens runs the model)",
                          s->arguments[0]);
    if (status == CLIPSPAN_OK) status = check_attribute(s, in, err);
    if (status == CLIPSPAN_OK) status = open_model(s, in, err);
    if (status == CLIPSPAN_OK && (in->score || of_tokens(s)))
        status = cli_open_store_images(&in->images, in->store, s->images, err);
    return status;
}

/* ---- the means -------------------------------------------------------------------------------------------- */

typedef struct summing {
    const inputs *in;
    double *sums; /* [L, H, d] */
    uint64_t images;
} summing;

static clipspan_status add_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    summing *s = user;
    size_t heads = (size_t)(batch->basis->layers * batch->basis->heads), d = (size_t)batch->basis->head_dim;
    (void)err;
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; s->in->chosen[h] && i < batch->images; i++)
            for (size_t j = 0; j < d; j++) s->sums[h * d + j] += (double)batch->z[(h * batch->images + i) * d + j];
    s->images += batch->images;
    return CLIPSPAN_OK;
}

/* At the class token: one pass over the store's chosen layers. */
static clipspan_status class_means(inputs *in, clipspan_error *err)
{
    size_t layers = (size_t)in->info->layers, h = (size_t)in->info->heads, cells = layers * h * (size_t)in->info->head_dim;
    summing s = {.in = in, .sums = calloc(cells, sizeof *s.sums)};
    unsigned char *read = calloc(layers, 1);
    clipspan_status status = s.sums && read ? CLIPSPAN_OK : no_memory(err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < layers * h; i++) read[i / h] |= in->chosen[i];
    clipspan_store_selection select = {.layers = read};
    if (status == CLIPSPAN_OK) status = clipspan_store_each(in->store, &select, add_batch, &s, cli_hooks(), err);
    if (status == CLIPSPAN_OK && s.images == 0)
        status = cli_fail(err, CLIPSPAN_ERROR_FORMAT, "the store holds no images to take means of");
    for (size_t i = 0; status == CLIPSPAN_OK && i < cells; i++) in->means[i] = (float)(s.sums[i] / (double)s.images);
    in->mean_images = s.images;
    free(s.sums);
    free(read);
    return status;
}

/* Over the class token and all patches: the model runs over the images. The last layer's patches are read by nothing,
 * so there it is the class token's. */
static clipspan_status token_means(inputs *in, clipspan_error *err)
{
    size_t heads = (size_t)(in->info->layers * in->info->heads), d = (size_t)in->info->head_dim;
    size_t tokens = (size_t)in->info->tokens, last = (size_t)(in->info->layers - 1) * (size_t)in->info->heads;
    float *all = calloc(heads * tokens, d * sizeof *all);
    clipspan_status status = all ? CLIPSPAN_OK : no_memory(err);
    if (status == CLIPSPAN_OK)
        status = clipspan_engine_head_means(in->scored.engine, in->images, 0, all, cli_hooks(), err);
    for (size_t h = 0; status == CLIPSPAN_OK && h < heads; h++)
        for (size_t j = 0; j < d; j++) {
            size_t count = h >= last ? 1 : tokens;
            double sum = 0;
            for (size_t t = 0; t < count; t++) sum += (double)all[(h * tokens + t) * d + j];
            in->means[h * d + j] = (float)(sum / (double)count);
        }
    in->mean_images = in->info->images;
    free(all);
    return status;
}

static clipspan_status make_means(const settings *s, inputs *in, clipspan_error *err)
{
    if (s->zero) return CLIPSPAN_OK;
    in->means = calloc((size_t)in->info->layers * (size_t)in->info->heads, (size_t)in->info->head_dim * sizeof *in->means);
    if (in->means == NULL) return no_memory(err);
    clipspan_status status = of_tokens(s) ? token_means(in, err) : class_means(in, err);
    cli_progress_end();
    return status;
}

/* ---- before and after --------------------------------------------------------------------------------------- */

static clipspan_status keep_before(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    inputs *in = user;
    size_t e = (size_t)in->info->embed_dim;
    (void)err;
    for (size_t i = 0; i < batch->images; i++)
        for (size_t d = 0; d < e; d++)
            in->before[(size_t)batch->index[i] * e + d] = batch->embedding[i * e + d] / batch->norm[i];
    return CLIPSPAN_OK;
}

static clipspan_status read_before(inputs *in, clipspan_error *err)
{
    unsigned char *none = calloc((size_t)in->info->layers, 1);
    clipspan_store_selection select = {.layers = none};
    if (none == NULL) return no_memory(err);
    clipspan_status status = clipspan_store_each(in->store, &select, keep_before, in, cli_hooks(), err);
    free(none);
    return status;
}

/* Direct effect: the heads' terms replaced in the sum, no model run. */
static clipspan_status predict(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_means *means = NULL;
    const clipspan_ablation ablation = {.heads = in->chosen, .zero = s->zero, .threads = (int)s->threads};
    clipspan_status status = s->zero ? CLIPSPAN_OK
                                     : clipspan_means_open(&means, in->store, CLIPSPAN_PAPER, (int)s->threads, cli_hooks(), err);
    if (status == CLIPSPAN_OK) status = clipspan_ablate(in->direct, in->store, &ablation, means, cli_hooks(), err);
    clipspan_means_free(means);
    return status;
}

static clipspan_status keep_after(void *user, size_t first, size_t n, const float *embeddings, const unsigned char *ok,
                                  clipspan_error *err)
{
    inputs *in = user;
    size_t e = (size_t)in->info->embed_dim;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        size_t row = in->row_of[first + i];
        if (row == SIZE_MAX || !ok[i]) continue;
        memcpy(in->after + row * e, embeddings + i * e, e * sizeof *embeddings);
        in->lost[row] = 0;
    }
    return CLIPSPAN_OK;
}

/* Where the edited model is opened: a bare index of shards keeps its name inside the new folder. */
static char *edited_path(const settings *s, const inputs *in)
{
    static const char ending[] = ".index.json";
    const char *old = in->info->model_path, *slash = strrchr(old, '/');
    size_t n = strlen(old), m = sizeof ending - 1;
    if (n < m || strcmp(old + n - m, ending) != 0) return strdup(s->output);
    const char *name = slash != NULL ? slash + 1 : old;
    size_t room = strlen(s->output) + strlen(name) + 2;
    char *path = malloc(room);
    if (path != NULL) snprintf(path, room, "%s/%s", s->output, name);
    return path;
}

/* Total effect: the edited files, opened and run. */
static clipspan_status run_edited(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_model *edited = NULL;
    clipspan_engine *engine = NULL;
    clipspan_model_options options = CLIPSPAN_MODEL_OPTIONS_INIT;
    if (in->info->model_config[0]) options.config = in->info->model_config;
    memset(in->lost, 1, (size_t)in->info->images);
    char *path = edited_path(s, in);
    clipspan_status status = path != NULL ? clipspan_model_open(&edited, path, &options, err) : no_memory(err);
    free(path);
    if (status == CLIPSPAN_OK) status = cli_open_engine_for(&engine, edited, in->images, &in->engine_settings, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_engine_embed_list(engine, in->images, 1, 0, keep_after, in, cli_hooks(), err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < in->info->images; i++)
        if (in->lost[i])
            status = cli_fail(err, CLIPSPAN_ERROR_IO, "%s: cannot be read, though the store has it: no accuracy of %s",
                              clipspan_store_image_name(in->store, i), s->output);
    clipspan_engine_free(engine);
    clipspan_model_free(edited);
    return status;
}

static clipspan_status make_room(inputs *in, clipspan_error *err)
{
    size_t images = (size_t)in->info->images, e = (size_t)in->info->embed_dim, listed = clipspan_images_count(in->images);
    in->before = calloc(images + 1, e * sizeof *in->before);
    in->direct = calloc(images + 1, e * sizeof *in->direct);
    in->after = calloc(images + 1, e * sizeof *in->after);
    in->lost = calloc(images + 1, 1);
    in->row_of = calloc(listed + 1, sizeof *in->row_of);
    if (!in->before || !in->direct || !in->after || !in->lost || !in->row_of) return no_memory(err);
    for (size_t i = 0; i < listed; i++) in->row_of[i] = SIZE_MAX;
    for (size_t row = 0; row < images; row++) in->row_of[cli_store_picture(in->images, in->store, row)] = row;
    return CLIPSPAN_OK;
}

/* ---- accuracy ------------------------------------------------------------------------------------------------ */

static clipspan_status classify(clipspan_classification **out, const inputs *in, const float *embeddings,
                                clipspan_error *err)
{
    return clipspan_classify_run(out, embeddings, (size_t)in->info->images, (size_t)in->info->embed_dim,
                                 in->scored.labels, in->scored.classifier, in->scored.classes.labels,
                                 in->info->logit_scale, (int)in->engine_settings.threads, err);
}

/* The row of scores for this name, made where it is new; the first is of all images. */
static clipspan_edit_score *score_of(inputs *in, const char *class, const char *value)
{
    char name[512];
    snprintf(name, sizeof name, "%s%s%s", class, *value ? ", " : "", value);
    for (size_t i = 0; i < in->score_count; i++)
        if (strcmp(in->scores[i].name, name) == 0) return &in->scores[i];
    clipspan_edit_score *grown = realloc(in->scores, (in->score_count + 1) * sizeof *grown);
    char *copy = strdup(name);
    if (grown != NULL) in->scores = grown;
    if (grown == NULL || copy == NULL) return free(copy), NULL;
    grown[in->score_count] = (clipspan_edit_score){.name = copy};
    return &grown[in->score_count++];
}

static int count_image(inputs *in, const char *class, const char *value, const int right[3])
{
    clipspan_edit_score *score = score_of(in, class, value);
    if (score == NULL) return 0;
    score->images++;
    score->before += right[0];
    score->direct += right[1];
    score->after += right[2];
    return 1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const clipspan_edit_score *)a)->name, ((const clipspan_edit_score *)b)->name);
}

static clipspan_status count_right(const settings *s, inputs *in, clipspan_classification *const by[3], clipspan_error *err)
{
    size_t column = 0, columns = clipspan_store_column_count(in->store);
    while (s->attribute != NULL && column < columns && strcmp(clipspan_store_column(in->store, column), s->attribute) != 0)
        column++;
    for (size_t i = 0; i < in->info->images; i++) {
        int label = in->scored.labels[i], right[3];
        if (label < 0) continue;
        for (int k = 0; k < 3; k++) right[k] = clipspan_classification_choice(by[k], i, 0, NULL) == label;
        if (!count_image(in, "all", "", right)) return no_memory(err);
        const char *value = s->attribute != NULL ? clipspan_store_value(in->store, i, column) : "";
        if (*value && !count_image(in, clipspan_texts_get(in->scored.classes.labels, (size_t)label), value, right))
            return no_memory(err);
    }
    for (size_t i = 0; i < in->score_count; i++) {
        in->scores[i].before /= (double)in->scores[i].images;
        in->scores[i].direct /= (double)in->scores[i].images;
        in->scores[i].after /= (double)in->scores[i].images;
    }
    qsort(in->scores + 1, in->score_count - 1, sizeof *in->scores, by_name); /* there is a labelled image */
    return CLIPSPAN_OK;
}

/* Mean over images of the cosine between the embeddings of the two models. */
static double mean_cosine(const inputs *in)
{
    size_t images = (size_t)in->info->images, e = (size_t)in->info->embed_dim;
    double sum = 0;
    for (size_t i = 0; i < images * e; i++) sum += (double)in->before[i] * (double)in->after[i];
    return images ? sum / (double)images : 0;
}

static clipspan_status score(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_classification *by[3] = {NULL, NULL, NULL};
    clipspan_status status = make_room(in, err);
    if (status == CLIPSPAN_OK) status = read_before(in, err);
    if (status == CLIPSPAN_OK) status = predict(s, in, err);
    if (status == CLIPSPAN_OK) status = run_edited(s, in, err);
    cli_progress_end();
    if (status == CLIPSPAN_OK) status = classify(&by[0], in, in->before, err);
    if (status == CLIPSPAN_OK) status = classify(&by[1], in, in->direct, err);
    if (status == CLIPSPAN_OK) status = classify(&by[2], in, in->after, err);
    if (status == CLIPSPAN_OK) status = count_right(s, in, by, err);
    for (int k = 0; k < 3; k++) clipspan_classification_free(by[k]);
    return status;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static clipspan_status write_results(const settings *s, const inputs *in, clipspan_error *err)
{
    const clipspan_edit_summary summary = {
        .model = in->info->model_path,
        .edited = s->output,
        .layers = in->info->layers,
        .heads = in->info->heads,
        .chosen = in->chosen,
        .means = s->zero ? CLIPSPAN_EDIT_ZERO : of_tokens(s) ? CLIPSPAN_EDIT_TOKENS : CLIPSPAN_EDIT_CLASS,
        .mean_images = in->mean_images,
        .attribute = s->attribute,
        .cosine = in->score ? mean_cosine(in) : (double)NAN,
        .scores = in->scores,
        .count = in->score_count,
    };
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL) status = clipspan_report_edit(&summary, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    return clipspan_report_edit(&summary, s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT, "-", err);
}

static void free_inputs(inputs *in)
{
    for (size_t i = 0; i < in->score_count; i++) free((char *)in->scores[i].name);
    free(in->scores);
    free(in->before);
    free(in->direct);
    free(in->after);
    free(in->lost);
    free(in->row_of);
    free(in->means);
    free(in->chosen);
    cli_scored_close(&in->scored);
    clipspan_images_free(in->images);
    clipspan_store_free(in->store);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    inputs in = {0};
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = open_inputs(s, &in, err);
    if (status == CLIPSPAN_OK) status = make_means(s, &in, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_model_edit(in.scored.model, in.chosen, in.means, s->output, cli_hooks(), err);
    cli_progress_end();
    if (status == CLIPSPAN_OK && in.score) status = score(s, &in, err);
    if (status == CLIPSPAN_OK) status = write_results(s, &in, err);
    free_inputs(&in);
    return status;
}

static const cli_option options[] = {
    {"heads", 0, CLI_TEXT, "HEADS", "the heads to take out: L22.H13, L22, last:4, all, @FILE, comma-separated",
     offsetof(settings, heads)},
    {"output", 'o', CLI_TO_FOLDER, "NEWMODEL", "the edited model: a new folder (a .safetensors file for a model of one file)",
     offsetof(settings, output)},
    {"mean", 0, CLI_TEXT, "class|tokens",
     "what replaces a head's output: its mean at the class token, from the store (default), or over all tokens, for "
     "which the model runs",
     offsetof(settings, mean)},
    {"zero", 0, CLI_FLAG, NULL, "zeros instead of means", offsetof(settings, zero)},
    {"remove", 0, CLI_FLAG, NULL, "says why no head can be cut out of these layouts", offsetof(settings, remove)},
    {"no-accuracy", 0, CLI_UNFLAG, NULL, "only write the model", offsetof(settings, score)},
    {"attribute", 0, CLI_TEXT, "COLUMN", "accuracy also by true class and value of this column", offsetof(settings, attribute)},
    CLI_STORE_IMAGES_OPTION(settings, images),
    CLI_SCORED_OPTIONS(settings, scored),
    {"threads", 0, CLI_COUNT, "N", "worker threads (default: every processor)", offsetof(settings, threads)},
    {"batch", 0, CLI_COUNT, "N", "images in one forward pass (default: by the model's size)", offsetof(settings, batch)},
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write accuracies as a table", offsetof(settings, csv)},
    CLI_END,
};

static const settings defaults = {.score = 1};

const cli_command cli_edit = {
    .name = "edit",
    .arguments = {"STORE"},
    .summary = "Write a copy of the model with heads mean-ablated in its weights",
    .text = "Copies the store's model with the given heads taken out: their columns of the out-projection become zero and\n"
            "their mean output goes into its bias. Same files, names and types, so Hugging Face or open_clip load it as\n"
            "the old one. Prints zero-shot accuracy over the store's images: before; predicted from the store (direct\n"
            "effect: the terms replaced in the sum); and of the edited model, really run (total effect). Needs the\n"
            "pictures and their true classes for that; of images without labels only the model is written.",
    .example = "clipspan edit photos.store --heads L11.H3,L10.H10 -o repaired --attribute place",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
