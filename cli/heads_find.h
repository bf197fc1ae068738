/* cli/heads_find.h - everything about a store's heads, for the subcommands that show it. */
#ifndef CLIPSPAN_CLI_HEADS_FIND_H
#define CLIPSPAN_CLI_HEADS_FIND_H

#include "scored.h"
#include "span.h"

#include "clipspan/heads.h"

enum { CLI_ROLES_NONE = 0, CLI_ROLES_ALL = 1, CLI_ROLES_DESCRIBED = 2 /* those of span.heads */ };
typedef struct cli_heads_settings {
    cli_span_settings span;     /* texts: none: no descriptions; several pools become one. heads: those described. images: 0: no ranking along every text */
    int roles;                  /* with the attribute that a head tells best, where the store's list has columns for it */
    const char *columns;        /* of roles, as `attributes --columns`; NULL: all that can be scored */
    int effects;                /* 1: with what each head is worth to the right class's logit, scored as `scored` says */
    size_t effect_resamples;    /* of the bootstrap behind the effects' intervals; 0: none */
    cli_scored_settings scored; /* its model and vocab: the span's */
    size_t top, bins;           /* of activations: images at either end (0: no activations); bins of the histogram */
} cli_heads_settings;
#define CLI_HEADS_DEFAULTS                                                                                             \
    {                                                                                                                  \
        .span = {.heads = "all", .convention = "paper", .size = 5, .rank = 80, .cache = 1}, .roles = CLI_ROLES_ALL, .top = 8, .bins = 32 \
    }

typedef struct cli_heads {
    clipspan_heads_table table; /* for clipspan_report_heads; points into the rest, which is owned: */
    clipspan_head_spread *spread;
    clipspan_attributes *attributes;   /* NULL: roles were not asked for, or the store's list has no columns for them */
    clipspan_ablation_study *effects;  /* NULL: not asked for */
    clipspan_textspan *textspan;       /* NULL: no texts */
    clipspan_activations *activations; /* NULL: no texts, or a store of moments alone */
    float *first;                      /* [heads of textspan, E] embedding of each head's first text, zeros where it has none */
    const char *sources[CLI_LIST_MOST];
} cli_heads;
/* Activations are of the described heads that have a text; find them by layer and head. */
clipspan_status cli_heads_find(cli_heads *out, const clipspan_store *store, const cli_heads_settings *settings,
                               clipspan_error *err);
void cli_heads_free(cli_heads *heads); /* zeros are fine */

#endif
