/* cli/segment.h - one run of segmentation: images in, every method's maps, masks and counts out. */
#ifndef CLIPSPAN_CLI_SEGMENT_H
#define CLIPSPAN_CLI_SEGMENT_H

#include "clipspan/picture.h"
#include "labelled.h"

/* Methods by number: clipspan_relevance's, then the decomposition. */
enum { CLI_DECOMPOSITION = CLIPSPAN_RELEVANCES, CLI_METHODS };
const char *cli_method_name(int method);
const char *cli_method_words(int method);
const char *cli_method_citation(int method);
/* "a,b", or "all"; chosen: [CLI_METHODS] out, of 0 and 1. `semantic` leaves out, or refuses, maps that know no text. */
clipspan_status cli_methods_parse(const char *text, int semantic, unsigned char *chosen, clipspan_error *err);

typedef struct cli_segment_method {
    int method;
    size_t side, count;            /* of its maps: [count, side, side] an image */
    clipspan_segmentation *result;
    clipspan_npy *maps;            /* exported; NULL: not */
} cli_segment_method;

struct cli_segmenting;
/* Sees every mask: of image `image` of the list by methods[method], in job->mask, beside job->truth. */
typedef struct cli_segment_watch {
    clipspan_status (*see)(void *user, const struct cli_segmenting *job, size_t image, size_t method, clipspan_error *err);
    void *user;
} cli_segment_watch;

typedef struct cli_segment_settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *classes, *templates, *methods, *heads, *convention, *protocol, *background, *class_column;
    const char *kind, *split, *mask_column, *ignore, *masks, *maps, *output, *csv;
    int semantic, centred, strict, json;
    size_t limit, resamples;
    cli_engine_settings engine;
    cli_model_settings model;
    cli_segment_watch watch; /* no option; see NULL: nobody does */
} cli_segment_settings;

/* Opened by segment.c; the second half is the run's own. */
typedef struct cli_segmenting {
    const clipspan_model *model;
    clipspan_engine *engine;
    const clipspan_masks *masks;
    const clipspan_images *images; /* of masks */
    const float *classifier;       /* [C, E] */
    size_t classes;                /* C, that compete */
    const int *labels;             /* [I] true class, or -1; NULL: not known */
    const unsigned char *heads;    /* [L * H] */
    clipspan_convention convention;
    clipspan_protocol protocol;
    clipspan_background background;
    double threshold;
    int semantic, centred, strict, threads;
    const char *mask_folder, *export_folder; /* NULL: none */
    cli_segment_watch watch;

    cli_segment_method methods[CLI_METHODS];
    size_t method_count;
    clipspan_tracer *tracer;
    clipspan_npy *truths;
    unsigned char *truth, *mask; /* [S, S] */
    float *wide;                 /* [S, S]: a truth, for export */
    float *pixels;               /* [3, S, S] */
    float *direction;            /* [E] */
    float *maps, *tokens;        /* [C, side, side]; [C, N] */
    size_t done, unlabelled;
} cli_segmenting;
/* Also on failure the caller calls cli_segment_close. */
clipspan_status cli_segment_run(cli_segmenting *job, const unsigned char *methods, clipspan_error *err);
void cli_segment_close(cli_segmenting *job);

#endif
