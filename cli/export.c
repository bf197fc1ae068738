/* clipspan export: a store as the reference code's files, or as HDF5. */
#include "labelled.h"
#include "span.h"

#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *format, *name, *model_name, *output, *convention, *classes, *column, *templates, *pool, *pool_name,
        *model, *vocab;
    cli_engine_settings engine;
} settings;

typedef struct texts {
    clipspan_model *model;
    clipspan_engine *engine;
    cli_classes classes;
    clipspan_texts *templates, *pool;
    float *classifier, *pool_embeddings;
    int *labels; /* [images of the store]: positions in the classes; -1: none */
} texts;

/* The classifier's columns are the file's lines, so the labels must be too, whatever order the images' list has. */
static clipspan_status number_labels(texts *t, const cli_labelled *from, clipspan_error *err)
{
    size_t images = cli_labelled_count(from), labelled = 0;
    cli_strays strays = {0};
    t->labels = calloc(images + 1, sizeof *t->labels);
    if (t->labels == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < images; i++) {
        t->labels[i] = cli_classes_label(&t->classes, from, i, &strays);
        labelled += t->labels[i] >= 0;
    }
    cli_strays_note(&strays);
    if (labelled > 0 || strays.count > 0) return CLIPSPAN_OK;
    free(t->labels); /* nothing is known of any image: no file of labels */
    t->labels = NULL;
    return CLIPSPAN_OK;
}

static clipspan_status embed_classes(const settings *s, const clipspan_store *store, texts *t, clipspan_error *err)
{
    cli_labelled from = {.store = store};
    clipspan_status status = cli_labelled_choose(&from, s->column, err);
    if (status == CLIPSPAN_OK) status = cli_classes_open(&t->classes, s->classes, &from, err);
    if (status == CLIPSPAN_OK) status = cli_templates_open(&t->templates, s->templates, err);
    if (status == CLIPSPAN_OK) status = number_labels(t, &from, err);
    if (status != CLIPSPAN_OK) return status;
    size_t embed_dim = (size_t)clipspan_model_get_info(t->model)->embed_dim;
    t->classifier = calloc(clipspan_texts_count(t->classes.words), embed_dim * sizeof *t->classifier);
    if (t->classifier == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    return clipspan_classifier_build(t->engine, t->classes.words, t->templates, t->classifier, cli_hooks(), err);
}

static clipspan_status embed_pool(const settings *s, texts *t, clipspan_error *err)
{
    clipspan_status status = cli_open_texts(&t->pool, s->pool, err);
    if (status != CLIPSPAN_OK) return status;
    size_t embed_dim = (size_t)clipspan_model_get_info(t->model)->embed_dim;
    t->pool_embeddings = calloc(clipspan_texts_count(t->pool), embed_dim * sizeof *t->pool_embeddings);
    if (t->pool_embeddings == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    return clipspan_engine_embed_pool(t->engine, t->pool, 1, t->pool_embeddings, cli_hooks(), err);
}

/* The model is opened only where texts are asked for. */
static clipspan_status embed_texts(const settings *s, const clipspan_store *store, texts *t, clipspan_error *err)
{
    if (s->classes == NULL && s->pool == NULL) return CLIPSPAN_OK;
    clipspan_status status = cli_open_store_model(&t->model, store, s->model, s->vocab, err);
    if (status == CLIPSPAN_OK) status = cli_open_engine(&t->engine, t->model, &s->engine, err);
    if (status == CLIPSPAN_OK && s->classes != NULL) status = embed_classes(s, store, t, err);
    if (status == CLIPSPAN_OK && s->pool != NULL) status = embed_pool(s, t, err);
    return status;
}

static clipspan_status export_store(const settings *s, const clipspan_store *store, const texts *t, clipspan_error *err)
{
    clipspan_export_options options = CLIPSPAN_EXPORT_OPTIONS_INIT;
    options.format = s->format;
    options.name = s->name;
    options.model = s->model_name;
    options.convention = cli_convention(s->convention);
    options.classifier = t->classifier;
    options.classes = t->classifier ? clipspan_texts_count(t->classes.labels) : 0;
    options.labels = t->labels;
    options.pool = t->pool_embeddings;
    options.pool_texts = t->pool ? clipspan_texts_count(t->pool) : 0;
    options.pool_name = t->pool ? s->pool_name : NULL;
    return clipspan_store_export(store, s->output, &options, cli_hooks(), err);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    clipspan_store *store = NULL;
    texts t = {0};
    if (s->output == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o DIR is missing");
    if (s->classes == NULL && (s->column != NULL || s->templates != NULL))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s needs --classes FILE", s->column ? "column" : "templates");
    clipspan_status status = clipspan_store_open(&store, s->arguments[0], err);
    if (status == CLIPSPAN_OK) status = embed_texts(s, store, &t, err);
    if (status == CLIPSPAN_OK) status = export_store(s, store, &t, err);
    cli_progress_end();
    free(t.classifier);
    free(t.pool_embeddings);
    free(t.labels);
    cli_classes_free(&t.classes);
    clipspan_texts_free(t.templates);
    clipspan_texts_free(t.pool);
    clipspan_engine_free(t.engine);
    clipspan_model_free(t.model);
    clipspan_store_free(store);
    return status;
}

static const cli_option options[] = {
    {"format", 0, CLI_TEXT, "npy|hdf5", "the reference code's npy files, or one HDF5 file (default npy)",
     offsetof(settings, format)},
    {"name", 0, CLI_TEXT, "NAME", "the data set's name in the file names (default dataset)", offsetof(settings, name)},
    {"model-name", 0, CLI_TEXT, "NAME", "the model's name in the file names (default: the store's)",
     offsetof(settings, model_name)},
    {"output", 'o', CLI_TO_FOLDER, "DIR", "folder for the files", offsetof(settings, output)},
    CLI_CONVENTION_OPTION(settings, convention),
    {"classes", 0, CLI_TEXT, "FILE",
     "also write the zero-shot classifier of these: names, one a line, or label, tab, words; labels are numbered by it",
     offsetof(settings, classes)},
    {"column", 0, CLI_TEXT, "NAME", "column of the image list's CSV that holds the true class (default: label)",
     offsetof(settings, column)},
    {"templates", 0, CLI_TEXT, "FILE", CLI_TEMPLATES_HELP, offsetof(settings, templates)},
    {"texts", 0, CLI_TEXT, "POOL", "also write the embeddings of a text pool", offsetof(settings, pool)},
    {"texts-name", 0, CLI_TEXT, "NAME", "the pool's name in the file name (default texts)", offsetof(settings, pool_name)},
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now (for texts)", offsetof(settings, model)},
    CLI_VOCAB_OPTION(settings, vocab),
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_END,
};

static const settings defaults = {.format = "npy", .name = "dataset", .convention = "paper", .pool_name = "texts"};

const cli_command cli_export = {
    .name = "export",
    .arguments = {"STORE"},
    .summary = "Write a store as npy or HDF5 files for other programs",
    .text = "The files of the paper's released code: NAME_attn_MODEL.npy [images, layers, heads, E],\n"
            "NAME_mlp_MODEL.npy [images, layers + 1, E], NAME_cls_attn_MODEL.npy [images, layers, E], NAME_labels.npy,\n"
            "and with texts NAME_classifier_MODEL.npy [E, classes] and POOL_MODEL.npy [texts, E]. Float32; labels int64.\n"
            "NAME_images.txt says which row is which image. HDF5: the same as data sets of one NAME_MODEL.h5.",
    .example = "clipspan export photos.store --format npy --name photos -o arrays/",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
