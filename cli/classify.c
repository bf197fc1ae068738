/* clipspan classify: zero-shot classification of images. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *classes, *templates, *column, *output;
    int json, csv;
    cli_image_settings images;
    cli_engine_settings engine;
    cli_model_settings model;
} settings;

typedef struct inputs {
    clipspan_model *model;
    clipspan_images *images;
    clipspan_engine *engine;
    clipspan_texts *classes;  /* [C] names, as labels have them */
    clipspan_texts *words;    /* [C] what stands for "{}" in the prompts */
    clipspan_texts *templates;
    size_t column;     /* of the image list, whose values are the labels; SIZE_MAX: the list's own labels */
    float *classifier; /* [C, E] */
    float *embeddings; /* [I, E] of the images that could be read */
    int *labels;       /* [I] */
    const char **names; /* [I] */
    size_t embed_dim, count, skipped;
    clipspan_classification *result;
} inputs;

static clipspan_status find_column(const settings *s, inputs *in, clipspan_error *err)
{
    in->column = SIZE_MAX;
    if (s->column == NULL) return CLIPSPAN_OK;
    for (size_t c = 0; c < clipspan_images_column_count(in->images); c++)
        if (strcmp(clipspan_images_column(in->images, c), s->column) == 0) in->column = c;
    if (in->column != SIZE_MAX) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s has no column %s", s->arguments[1], s->column);
}

/* Lines "label" or "label<tab>words for the prompts" into in->classes and in->words. */
static clipspan_status split_classes(inputs *in, const clipspan_texts *lines, clipspan_error *err)
{
    size_t count = clipspan_texts_count(lines);
    char **labels = calloc(count + 1, sizeof *labels);
    const char **words = calloc(count + 1, sizeof *words);
    clipspan_status status = labels && words ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t c = 0; status == CLIPSPAN_OK && c < count; c++) {
        const char *line = clipspan_texts_get(lines, c), *tab = strchr(line, '\t');
        words[c] = tab ? tab + 1 : line;
        labels[c] = strndup(line, tab ? (size_t)(tab - line) : strlen(line));
        if (labels[c] == NULL) status = cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    }
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&in->classes, (const char *const *)labels, count, err);
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(&in->words, words, count, err);
    for (size_t c = 0; labels != NULL && c < count; c++) free(labels[c]);
    free(labels);
    free(words);
    return status;
}

/* The names of the image list's own labels. */
static clipspan_status list_classes(clipspan_texts **lines, const clipspan_images *images, clipspan_error *err)
{
    size_t count = clipspan_images_class_count(images);
    if (count == 0) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the images have no labels, so --classes FILE is needed");
    const char **names = calloc(count, sizeof *names);
    if (names == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t c = 0; c < count; c++) names[c] = clipspan_images_class(images, c);
    clipspan_status status = clipspan_texts_copy(lines, names, count, err);
    free(names);
    return status;
}

static clipspan_status open_classes(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_texts *lines = NULL;
    if (s->column != NULL && s->classes == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--column also needs --classes FILE");
    clipspan_status status = find_column(s, in, err);
    if (status == CLIPSPAN_OK)
        status = s->classes ? clipspan_texts_open(&lines, s->classes, 1, err) : list_classes(&lines, in->images, err);
    if (status == CLIPSPAN_OK && clipspan_texts_count(lines) == 0)
        status = cli_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: no class names in it", s->classes);
    if (status == CLIPSPAN_OK) status = split_classes(in, lines, err);
    clipspan_texts_free(lines);
    return status;
}

static clipspan_status open_templates(const settings *s, inputs *in, clipspan_error *err)
{
    static const char *const plain[] = {"a photo of a {}."};
    if (s->templates != NULL) return clipspan_texts_open(&in->templates, s->templates, 1, err);
    return clipspan_texts_copy(&in->templates, plain, 1, err);
}

static const char *label_name(const inputs *in, size_t i)
{
    if (in->column != SIZE_MAX) return clipspan_images_value(in->images, i, in->column);
    int label = clipspan_images_label(in->images, i);
    return label < 0 ? "" : clipspan_images_class(in->images, (size_t)label);
}

/* The label of image i as a position in the class file: by name, else as a number; -1: none. */
static int label_of(const inputs *in, size_t i)
{
    const char *name = label_name(in, i);
    size_t count = clipspan_texts_count(in->classes);
    for (size_t c = 0; c < count; c++)
        if (strcmp(clipspan_texts_get(in->classes, c), name) == 0) return (int)c;
    char *end;
    long number = strtol(name, &end, 10);
    return *name && *end == '\0' && number >= 0 && (size_t)number < count ? (int)number : -1;
}

static clipspan_status keep_rows(void *user, size_t first, size_t n, const float *embeddings, const unsigned char *ok,
                                 clipspan_error *err)
{
    inputs *in = user;
    (void)err;
    for (size_t i = 0; i < n; i++) {
        if (!ok[i]) {
            in->skipped++;
            continue;
        }
        memcpy(in->embeddings + in->count * in->embed_dim, embeddings + i * in->embed_dim,
               in->embed_dim * sizeof *embeddings);
        in->labels[in->count] = label_of(in, first + i);
        in->names[in->count++] = clipspan_images_name(in->images, first + i);
    }
    return CLIPSPAN_OK;
}

static clipspan_status allocate(inputs *in, clipspan_error *err)
{
    size_t images = clipspan_images_count(in->images);
    in->embed_dim = (size_t)clipspan_model_get_info(in->model)->embed_dim;
    in->classifier = calloc(clipspan_texts_count(in->classes), in->embed_dim * sizeof *in->classifier);
    in->embeddings = calloc(images, in->embed_dim * sizeof *in->embeddings);
    in->labels = calloc(images, sizeof *in->labels);
    in->names = calloc(images, sizeof *in->names);
    if (in->classifier && in->embeddings && in->labels && in->names) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}

static clipspan_status classify(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_status status = clipspan_classifier_build(in->engine, in->words, in->templates, in->classifier, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_engine_embed_list(in->engine, in->images, 1, s->images.strict, keep_rows, in, cli_hooks(), err);
    cli_progress_end();
    if (status != CLIPSPAN_OK) return status;
    if (in->count == 0) return cli_fail(err, CLIPSPAN_ERROR_FORMAT, "none of the %zu images could be read", in->skipped);
    if (in->skipped) cli_note("%zu images could not be read and were skipped", in->skipped);
    return clipspan_classify_run(&in->result, in->embeddings, in->count, in->embed_dim, in->labels, in->classifier,
                                 in->classes, clipspan_model_get_info(in->model)->logit_scale, err);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    inputs in = {0};
    clipspan_format format = s->json ? CLIPSPAN_JSON : s->csv ? CLIPSPAN_CSV : CLIPSPAN_TEXT;
    clipspan_status status = cli_open_model(&in.model, s->arguments[0], &s->model, err);
    if (status == CLIPSPAN_OK) status = cli_open_images(&in.images, s->arguments[1], &s->images, err);
    if (status == CLIPSPAN_OK) status = open_classes(s, &in, err);
    if (status == CLIPSPAN_OK) status = open_templates(s, &in, err);
    if (status == CLIPSPAN_OK) status = allocate(&in, err);
    if (status == CLIPSPAN_OK) status = cli_open_engine(&in.engine, in.model, &s->engine, err);
    if (status == CLIPSPAN_OK) status = classify(s, &in, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_report_classification(in.result, in.names, format, s->output ? s->output : "-", err);
    clipspan_classification_free(in.result);
    free(in.classifier);
    free(in.embeddings);
    free(in.labels);
    free(in.names);
    clipspan_texts_free(in.templates);
    clipspan_texts_free(in.words);
    clipspan_texts_free(in.classes);
    clipspan_engine_free(in.engine);
    clipspan_images_free(in.images);
    clipspan_model_free(in.model);
    return status;
}

static const cli_option options[] = {
    {"classes", 0, CLI_TEXT, "FILE", "class names, one a line, or label<tab>words (default: the labels of the images)",
     offsetof(settings, classes)},
    {"column", 0, CLI_TEXT, "NAME", "column of the image list's CSV that holds the true class (default: label)",
     offsetof(settings, column)},
    {"templates", 0, CLI_TEXT, "FILE", "prompt templates, {} for the class (default: 'a photo of a {}.')",
     offsetof(settings, templates)},
    {"json", 0, CLI_FLAG, NULL, "as JSON, with every image's choice", offsetof(settings, json)},
    {"csv", 0, CLI_FLAG, NULL, "as CSV, one line an image", offsetof(settings, csv)},
    {"output", 'o', CLI_TEXT, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_IMAGE_OPTIONS(settings, images),
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_MODEL_OPTIONS(settings, model),
    CLI_END,
};

const cli_command cli_classify = {
    .name = "classify",
    .arguments = {"MODEL", "IMAGES"},
    .summary = "Classify images by class names alone (zero-shot)",
    .text = "Each class is the mean of its prompts' embeddings. Where the images have labels (ImageFolder tree, CSV,\n"
            "tar), top-1 and top-5 accuracy and a table by class are printed. Images without a label are not scored.",
    .example = "clipspan classify path/to/ViT-B-16 photos/ --classes classes.txt",
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
};
