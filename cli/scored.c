/* A store's images with their true classes, and the classifier that scores them. */
#include "scored.h"

#include <stdlib.h>

static clipspan_status check(const clipspan_store *store, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    if (info->moments_only)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "the store holds moments alone, no single images to score");
    if (!info->complete)
        cli_warn("the store is unfinished: %llu images of %llu are used", (unsigned long long)info->images,
                 (unsigned long long)info->listed);
    return CLIPSPAN_OK;
}

/* Before classes are asked for: with them alone nothing could be scored. */
static clipspan_status check_labels(const cli_labelled *from, clipspan_error *err)
{
    if (cli_labelled_known(from) > 0) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                    "none of the store's %zu images has a label to score it with (labels: a folder for each class, a CSV's "
                    "column label, or --column NAME)", cli_labelled_count(from));
}

static clipspan_status read_labels(cli_scored *scored, const cli_labelled *from, clipspan_error *err)
{
    size_t images = cli_labelled_count(from), labelled = 0;
    scored->labels = calloc(images + 1, sizeof *scored->labels);
    if (scored->labels == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < images; i++) {
        scored->labels[i] = cli_classes_label(&scored->classes, from, i, &scored->strays);
        labelled += scored->labels[i] >= 0;
    }
    if (labelled > 0) {
        cli_strays_note(&scored->strays);
        return CLIPSPAN_OK;
    }
    return cli_fail(err, CLIPSPAN_ERROR_MISMATCH,
                    "none of the store's %zu images has a label that is one of the %zu classes; \"%s\" is one of their labels",
                    images, scored->count, scored->strays.example);
}

static clipspan_status build(cli_scored *scored, const clipspan_texts *templates, size_t embed_dim, clipspan_error *err)
{
    scored->classifier = calloc(scored->count, embed_dim * sizeof *scored->classifier);
    if (scored->classifier == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_classifier_build(scored->engine, scored->classes.words, templates, scored->classifier,
                                                       cli_hooks(), err);
    cli_progress_end();
    return status;
}

static clipspan_status open_classifier(cli_scored *scored, const clipspan_store *store, const cli_scored_settings *s,
                                       const cli_engine_settings *engine, clipspan_error *err)
{
    clipspan_texts *templates = NULL;
    clipspan_status status = CLIPSPAN_OK;
    size_t embed_dim = (size_t)clipspan_store_get_info(store)->embed_dim;
    if (s->classifier != NULL)
        status = cli_classifier_open(&scored->classifier, s->classifier, scored->count, embed_dim, err);
    else
        status = cli_templates_open(&templates, s->templates, err);
    if (status == CLIPSPAN_OK && (s->classifier == NULL || !s->needs_no_model)) {
        status = cli_open_store_model(&scored->model, store, s->model, s->vocab, err);
        if (status == CLIPSPAN_OK) status = cli_open_engine(&scored->engine, scored->model, engine, err);
    }
    if (status == CLIPSPAN_OK && s->classifier == NULL) status = build(scored, templates, embed_dim, err);
    clipspan_texts_free(templates);
    return status;
}

clipspan_status cli_scored_open(cli_scored *out, const clipspan_store *store, const cli_scored_settings *settings,
                                const cli_engine_settings *engine, clipspan_error *err)
{
    cli_labelled from = {.store = store};
    *out = (cli_scored){0};
    clipspan_status status = cli_check_classifier(settings->classifier, settings->templates, err);
    if (status == CLIPSPAN_OK) status = check(store, err);
    if (status == CLIPSPAN_OK) status = cli_labelled_choose(&from, settings->column, err);
    if (status == CLIPSPAN_OK) status = check_labels(&from, err);
    if (status == CLIPSPAN_OK) status = cli_classes_open(&out->classes, settings->classes, &from, err);
    if (status == CLIPSPAN_OK) out->count = clipspan_texts_count(out->classes.labels);
    if (status == CLIPSPAN_OK) status = read_labels(out, &from, err);
    if (status == CLIPSPAN_OK) status = open_classifier(out, store, settings, engine, err);
    if (status != CLIPSPAN_OK) cli_scored_close(out);
    return status;
}

void cli_scored_close(cli_scored *scored)
{
    free(scored->labels);
    free(scored->classifier);
    cli_classes_free(&scored->classes);
    clipspan_engine_free(scored->engine);
    clipspan_model_free(scored->model);
    *scored = (cli_scored){0};
}
