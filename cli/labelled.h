/* cli/labelled.h - images with labels, from an image list or from a store, and class names for them. */
#ifndef CLIPSPAN_CLI_LABELLED_H
#define CLIPSPAN_CLI_LABELLED_H

#include "cli.h"

/* Borrowed: one of the two is NULL. */
typedef struct cli_labelled {
    const clipspan_images *images;
    const clipspan_store *store;
    size_t column; /* whose values are the labels; SIZE_MAX: the list's own labels */
} cli_labelled;

size_t cli_labelled_count(const cli_labelled *from);
const char *cli_labelled_name(const cli_labelled *from, size_t i);
/* Chooses the column; NULL: the list's own labels. */
clipspan_status cli_labelled_choose(cli_labelled *from, const char *column, clipspan_error *err);
/* How many images have a label, or a value in that column. */
size_t cli_labelled_known(const cli_labelled *from);

/* What images can be classified as. */
typedef struct cli_classes {
    clipspan_texts *labels; /* [C] as labels have them */
    clipspan_texts *words;  /* [C] what stands for "{}" in the prompts */
} cli_classes;
/* Lines "label" or "label<tab>words" of a file; NULL: the values of the chosen column, else the images' own labels,
 * sorted by bytes. */
clipspan_status cli_classes_open(cli_classes *classes, const char *path, const cli_labelled *from, clipspan_error *err);
void cli_classes_free(cli_classes *classes);
/* Prompt templates of a file; NULL: the project's own set; "single": "a photo of a {}." alone. */
clipspan_status cli_templates_open(clipspan_texts **templates, const char *path, clipspan_error *err);
/* What that is called in a result. */
const char *cli_templates_source(const char *path);
#define CLI_TEMPLATES_HELP "prompt templates, {} for the class (default: a set of the project's own; single: 'a photo of a {}.')"
/* `strays` counts the labels that name no class: such an image is left out of every score. */
typedef struct cli_strays {
    size_t count;
    const char *example; /* borrowed from the images */
} cli_strays;
/* Image i's label as a position in the classes: by name, else as a number; -1: none. */
int cli_classes_label(const cli_classes *classes, const cli_labelled *from, size_t i, cli_strays *strays);
void cli_strays_note(const cli_strays *strays);

#endif
