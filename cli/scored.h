/* cli/scored.h - a store's images with their true classes and a zero-shot classifier: what accuracy is measured with. */
#ifndef CLIPSPAN_CLI_SCORED_H
#define CLIPSPAN_CLI_SCORED_H

#include "labelled.h"
#include "vectors.h"

typedef struct cli_scored_settings {
    const char *classes, *templates, *classifier, *column, *model, *vocab;
    int needs_no_model; /* nothing else is asked of the model: it is not opened where the classifier is from a file */
} cli_scored_settings;

#define CLI_SCORED_OPTIONS(type, member)                                                                              \
    {"classes", 0, CLI_TEXT, "FILE",                                                                                  \
     "class names, one a line, or label, tab, words (default: the labels of the images)",                             \
     offsetof(type, member.classes)},                                                                                 \
    {"column", 0, CLI_TEXT, "NAME", "column that holds the true class (default: label)",                              \
     offsetof(type, member.column)},                                                                                  \
    {"templates", 0, CLI_TEXT, "FILE", CLI_TEMPLATES_HELP, offsetof(type, member.templates)},                         \
    {"classifier", 0, CLI_TEXT, "FILE.npy", CLI_CLASSIFIER_HELP, offsetof(type, member.classifier)},                  \
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now", offsetof(type, member.model)},                  \
    CLI_VOCAB_OPTION(type, member.vocab)

typedef struct cli_scored {
    clipspan_model *model; /* the store's; NULL: it was not needed */
    clipspan_engine *engine;
    cli_classes classes;
    float *classifier; /* [C, E] unit length */
    int *labels;       /* [I] class of each row of the store, or -1 */
    size_t count;      /* C */
    cli_strays strays;
} cli_scored;
/* Fails where the store holds moments alone, or no image has a class. A label that names no class is noted. */
clipspan_status cli_scored_open(cli_scored *out, const clipspan_store *store, const cli_scored_settings *settings,
                                const cli_engine_settings *engine, clipspan_error *err);
void cli_scored_close(cli_scored *scored);

#endif
