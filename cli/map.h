/* cli/map.h - what the files of `clipspan map` share: the options, and one run of it. */
#ifndef CLIPSPAN_CLI_MAP_H
#define CLIPSPAN_CLI_MAP_H

#include "cli.h"

#include "clipspan/picture.h"
#include "clipspan/relevance.h"

enum { MAP_PART_NAME = 40, MAP_METHODS_MOST = CLIPSPAN_RELEVANCES + 1 };

typedef struct map_settings {
    const char *arguments[CLI_ARGUMENTS];
    cli_list texts, names, methods, pictures;
    const char *texts_file, *minus, *heads, *detail, *pick, *pool, *rows, *convention, *evidence, *scale;
    const char *show, *npy, *csv, *output, *model_path, *images_path;
    int minus_mean, json, bare; /* bare: pictures without a title, of the note the scale's alone; `figure` asks for it */
    size_t top, tile;
    cli_image_settings images;
    cli_engine_settings engine;
    cli_model_settings model;
} map_settings;

/* Pictures are wanted, in a file or on the terminal. */
static inline int map_draws(const map_settings *s) { return s->pictures.count > 0 || s->show != NULL; }

/* Letters: I chosen images, T texts, P parts, L layers, H heads, E joint dimension. */
typedef struct map_job {
    const map_settings *s;
    clipspan_store *store;   /* NULL: the model is run */
    clipspan_images *images; /* of a store: NULL unless pictures are wanted */
    clipspan_model *model;
    clipspan_engine *engine;
    clipspan_tracer *tracer; /* where a method of relevance.h is asked for */
    clipspan_convention convention;
    clipspan_map_detail detail;
    int layers, heads, embed_dim, side, tokens; /* side: of the maps */

    clipspan_texts *words;
    const char **texts; /* [T] of words */
    float *directions;  /* [T, E] what is mapped */
    size_t text_count;

    size_t *rows; /* [I] of the store, or positions in the list */
    size_t row_count;

    unsigned char *kept;   /* [L]: layers whose tokens can be had */
    unsigned char *chosen; /* [L * H] the heads that are mapped */
    size_t *columns;       /* [P] head or layer of each part, by detail */
    char (*part_names)[MAP_PART_NAME];
    const char **parts; /* [P] */
    size_t part_count;
    int methods[MAP_METHODS_MOST]; /* [P] with --method: clipspan_relevance, or -1: the decomposition */
    size_t places; /* of one map */

    /* what was found, [count] of at most I images */
    clipspan_map_image *found;
    size_t count, skipped;
    double *scores, *predicted;      /* [I, T], [I, T, P] */
    float *effects;                  /* [I, T, L * H]; NULL with --method */
    clipspan_map_summary *summaries; /* [I, T, P] */
    float *values;                   /* [I, T, P, places], or of one image where they are not kept */
    unsigned char *rgb;              /* [I, S, S, 3] where a picture is wanted */
    int keep_values;
    float *scratch; /* one image's maps, of one method */
    clipspan_npy *npy;
    double scale; /* of the picture; 0: found */
} map_job;

/* map_choose.c: which images, texts and heads. */
/* One "7" or "3-9" of "0,7,20-25": advances *text to the next. 0: there is none. */
int map_read_range(const char **text, size_t *first, size_t *last);
clipspan_status map_choose_rows(map_job *job, clipspan_error *err);
clipspan_status map_choose_texts(map_job *job, clipspan_error *err);
clipspan_status map_choose_heads(map_job *job, clipspan_error *err);
clipspan_status map_choose_methods(map_job *job, clipspan_error *err);
/* Engine batches of a size whose tokens fit into memory; parts and layers to read. */
clipspan_status map_each_batch(map_job *job, unsigned parts, int all_rows, clipspan_batch_fn fn, clipspan_error *err);

/* map_read.c: the maps of the chosen images. */
clipspan_status map_read(map_job *job, clipspan_error *err);
const char *map_image_name(const map_job *job, size_t row);

#endif
