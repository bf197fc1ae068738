/* clipspan classify: zero-shot classification of images, from a list or from a store. */
#include "labelled.h"
#include "vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *classes, *templates, *classifier, *column, *output, *csv, *model_path;
    int json, predictions;
    cli_image_settings images;
    cli_engine_settings engine;
    cli_model_settings model;
} settings;

typedef struct inputs {
    clipspan_store *store; /* one of the two */
    clipspan_images *images;
    cli_labelled from;
    clipspan_model *model;
    clipspan_engine *engine;
    cli_classes classes;
    clipspan_texts *templates;
    float *classifier;  /* [C, E] */
    float *embeddings;  /* [I, E] unit length, of the images that could be read */
    int *labels;        /* [I] */
    const char **names; /* [I] */
    uint64_t *rows;     /* [I] position in the list, or row in the store */
    cli_strays strays;
    size_t embed_dim, count, skipped;
    float logit_scale;
    clipspan_classification *result;
} inputs;

/* What only a list of images can be asked for, and what only a store. */
static clipspan_status check(const settings *s, clipspan_error *err)
{
    const struct {
        const char *name;
        int given, of_store;
    } options_of[] = {
        {"source", s->images.kind != NULL, 0},
        {"exif", s->images.exif, 0},
        {"strict", s->images.strict, 0},
        {"limit", s->images.limit > 0, 0},
        {"config", s->model.config != NULL, 0},
        {"model", s->model_path != NULL, 1},
    };
    int store = s->arguments[1] == NULL;
    if (cli_check_classifier(s->classifier, s->templates, err) != CLIPSPAN_OK) return err->status;
    for (size_t i = 0; i < sizeof options_of / sizeof *options_of; i++)
        if (options_of[i].given && options_of[i].of_store != store)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                            store ? "--%s is for MODEL IMAGES, and %s is taken for a store, whose images are embedded already"
                                  : "--%s is for a store alone, and %s is taken for a model",
                            options_of[i].name, s->arguments[0]);
    return CLIPSPAN_OK;
}

static clipspan_status open_subject(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_status status;
    if (s->arguments[1] == NULL) {
        status = clipspan_store_open(&in->store, s->arguments[0], err);
        if (status == CLIPSPAN_OK && clipspan_store_get_info(in->store)->moments_only)
            status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s holds moments alone, no single images", s->arguments[0]);
        if (status == CLIPSPAN_OK && s->classifier == NULL)
            status = cli_open_store_model(&in->model, in->store, s->model_path, s->model.vocab, err);
    } else {
        status = cli_open_model(&in->model, s->arguments[0], &s->model, err);
        if (status == CLIPSPAN_OK) status = cli_open_images(&in->images, s->arguments[1], &s->images, err);
    }
    in->from = (cli_labelled){.images = in->images, .store = in->store};
    if (status != CLIPSPAN_OK) return status;
    in->embed_dim = (size_t)(in->store ? clipspan_store_get_info(in->store)->embed_dim
                                       : clipspan_model_get_info(in->model)->embed_dim);
    in->logit_scale = in->store ? clipspan_store_get_info(in->store)->logit_scale
                                : clipspan_model_get_info(in->model)->logit_scale;
    return CLIPSPAN_OK;
}

static clipspan_status open_prompts(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_status status = cli_labelled_choose(&in->from, s->column, err);
    if (status == CLIPSPAN_OK) status = cli_classes_open(&in->classes, s->classes, &in->from, err);
    if (status != CLIPSPAN_OK || s->classifier != NULL) return status;
    return cli_templates_open(&in->templates, s->templates, err);
}

static clipspan_status open_engine(const settings *s, inputs *in, clipspan_error *err)
{
    if (in->model == NULL) return CLIPSPAN_OK; /* a store and a classifier from a file */
    return in->images ? cli_open_engine_for(&in->engine, in->model, in->images, &s->engine, err)
                      : cli_open_engine(&in->engine, in->model, &s->engine, err);
}

static clipspan_status allocate(inputs *in, clipspan_error *err)
{
    size_t images = cli_labelled_count(&in->from);
    in->embeddings = calloc(images + 1, in->embed_dim * sizeof *in->embeddings);
    in->labels = calloc(images + 1, sizeof *in->labels);
    in->names = calloc(images + 1, sizeof *in->names);
    in->rows = calloc(images + 1, sizeof *in->rows);
    if (in->embeddings && in->labels && in->names && in->rows) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

static void keep(inputs *in, size_t image, const float *embedding)
{
    memcpy(in->embeddings + in->count * in->embed_dim, embedding, in->embed_dim * sizeof *embedding);
    in->labels[in->count] = cli_classes_label(&in->classes, &in->from, image, &in->strays);
    in->rows[in->count] = image;
    in->names[in->count++] = cli_labelled_name(&in->from, image);
}

static clipspan_status keep_rows(void *user, size_t first, size_t n, const float *embeddings, const unsigned char *ok,
                                 clipspan_error *err)
{
    inputs *in = user;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        if (ok[i])
            keep(in, first + i, embeddings + i * in->embed_dim);
        else
            in->skipped++;
    }
    return CLIPSPAN_OK;
}

/* A store's embeddings are as the encoder gave them: here they get unit length. */
static clipspan_status keep_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    inputs *in = user;
    (void)err;
    for (size_t i = 0; i < batch->images; i++) {
        float *kept = in->embeddings + in->count * in->embed_dim;
        keep(in, (size_t)batch->index[i], batch->embedding + i * in->embed_dim);
        for (size_t e = 0; e < in->embed_dim; e++) kept[e] /= batch->norm[i];
    }
    return CLIPSPAN_OK;
}

static clipspan_status read_store(inputs *in, clipspan_error *err)
{
    clipspan_store_selection select = CLIPSPAN_STORE_SELECTION_INIT;
    unsigned char *no_layers = calloc((size_t)clipspan_store_get_info(in->store)->layers, 1);
    if (no_layers == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    select.layers = no_layers;
    select.parts = 0;
    clipspan_status status = clipspan_store_each(in->store, &select, keep_batch, in, cli_hooks(), err);
    free(no_layers);
    return status;
}

/* Labels that name no class are noted; where none names one, there is no accuracy, and that is said. */
static void note_labels(const inputs *in)
{
    size_t labelled = 0;
    for (size_t i = 0; i < in->count; i++) labelled += in->labels[i] >= 0;
    if (labelled == 0 && in->strays.count > 0)
        cli_warn("no accuracy: none of the %zu labels is one of the %zu classes; \"%s\" is a label, \"%s\" a class "
                 "(--classes FILE: lines of label, tab, words)",
                 in->strays.count, clipspan_texts_count(in->classes.labels), in->strays.example,
                 clipspan_texts_get(in->classes.labels, 0));
    else
        cli_strays_note(&in->strays);
}

static clipspan_status open_classifier(const settings *s, inputs *in, clipspan_error *err)
{
    size_t classes = clipspan_texts_count(in->classes.labels);
    if (s->classifier != NULL) return cli_classifier_open(&in->classifier, s->classifier, classes, in->embed_dim, err);
    in->classifier = calloc(classes, in->embed_dim * sizeof *in->classifier);
    if (in->classifier == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    return clipspan_classifier_build(in->engine, in->classes.words, in->templates, in->classifier, cli_hooks(), err);
}

static clipspan_status classify(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_status status = open_classifier(s, in, err);
    if (status == CLIPSPAN_OK)
        status = in->store ? read_store(in, err)
                           : clipspan_engine_embed_list(in->engine, in->images, 1, s->images.strict, keep_rows, in,
                                                        cli_hooks(), err);
    cli_progress_end();
    if (status != CLIPSPAN_OK) return status;
    if (in->count == 0) return cli_fail(err, CLIPSPAN_ERROR_FORMAT, "none of the %zu images could be read", in->skipped);
    if (in->skipped) cli_note("%zu images could not be read and were skipped", in->skipped);
    note_labels(in);
    return clipspan_classify_run(&in->result, in->embeddings, in->count, in->embed_dim, in->labels, in->classifier,
                                 in->classes.labels, in->logit_scale, (int)s->engine.threads, err);
}

static clipspan_status write_results(const settings *s, const inputs *in, clipspan_error *err)
{
    clipspan_format format = s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT;
    const clipspan_prompts prompts = {s->classifier ? s->classifier : cli_templates_source(s->templates),
                                      s->classifier ? 0 : clipspan_texts_count(in->templates)};
    clipspan_status status = CLIPSPAN_OK;
    if (s->csv != NULL)
        status = clipspan_report_classification(in->result, in->names, in->rows, &prompts, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    const char *output = s->output ? s->output : "-";
    if (s->json && !s->predictions) return clipspan_report_accuracy(in->result, &prompts, output, err);
    return clipspan_report_classification(in->result, in->names, in->rows, &prompts, format, output, err);
}

static void free_inputs(inputs *in)
{
    clipspan_classification_free(in->result);
    free(in->classifier);
    free(in->embeddings);
    free(in->labels);
    free(in->names);
    free(in->rows);
    clipspan_texts_free(in->templates);
    cli_classes_free(&in->classes);
    clipspan_engine_free(in->engine);
    clipspan_images_free(in->images);
    clipspan_store_free(in->store);
    clipspan_model_free(in->model);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    inputs in = {0};
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = open_subject(s, &in, err);
    if (status == CLIPSPAN_OK) status = open_prompts(s, &in, err);
    if (status == CLIPSPAN_OK) status = allocate(&in, err);
    if (status == CLIPSPAN_OK) status = open_engine(s, &in, err);
    if (status == CLIPSPAN_OK) status = classify(s, &in, err);
    if (status == CLIPSPAN_OK) status = write_results(s, &in, err);
    free_inputs(&in);
    return status;
}

static const cli_option options[] = {
    {"classes", 0, CLI_TEXT, "FILE", "class names, one a line, or label, tab, words (default: the labels of the images)",
     offsetof(settings, classes)},
    {"column", 0, CLI_TEXT, "NAME", "column of the image list's CSV that holds the true class (default: label)",
     offsetof(settings, column)},
    {"templates", 0, CLI_TEXT, "FILE", CLI_TEMPLATES_HELP, offsetof(settings, templates)},
    {"classifier", 0, CLI_TEXT, "FILE.npy", CLI_CLASSIFIER_HELP, offsetof(settings, classifier)},
    {"json", 0, CLI_FLAG, NULL, "as JSON, with every image's choice", offsetof(settings, json)},
    {"no-predictions", 0, CLI_UNFLAG, NULL, "JSON without the images' choices", offsetof(settings, predictions)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table, one line an image", offsetof(settings, csv)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(settings, output)},
    {"model", 0, CLI_TEXT, "MODEL", "where a store's model is now", offsetof(settings, model_path)},
    CLI_IMAGE_OPTIONS(settings, images),
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_MODEL_OPTIONS(settings, model),
    CLI_END,
};

static const settings defaults = {.predictions = 1};

const cli_command cli_classify = {
    .name = "classify",
    .arguments = {"MODEL|STORE", "[IMAGES]"},
    .summary = "Classify images by class names alone (zero-shot)",
    .text = "Classifies IMAGES with a model, or the images of a store, whose embeddings it holds. Each class is the mean\n"
            "of its prompts' embeddings. Where the images have labels (ImageFolder tree, CSV, tar), top-1 and top-5\n"
            "accuracy, calibration, a table by class and the most frequent confusions are printed; images without a label\n"
            "are not scored. In JSON and CSV `row` is the image's position in the list (embed's row), or its row in the store.",
    .example = "clipspan classify path/to/ViT-B-16 photos/ --classes classes.txt",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
