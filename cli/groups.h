/* cli/groups.h - what the subcommand groups is asked, what it has opened, and the rows it makes. */
#ifndef CLIPSPAN_CLI_GROUPS_H
#define CLIPSPAN_CLI_GROUPS_H

#include "clipspan/groups.h"
#include "scored.h"
#include "span.h"

typedef struct groups_settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *attribute, *heads, *published, *words, *texts, *candidates, *protocol, *mean_from, *convention;
    const char *output, *csv, *png;
    cli_list where, cue;
    int json, search, skip_empty;
    size_t most, last, size;
    cli_scored_settings scored;
    cli_engine_settings engine;
} groups_settings;

typedef struct groups_inputs {
    clipspan_store *store, *mean_from;
    cli_scored scored;
    clipspan_texts *words, *pool;
    clipspan_groups *groups;
    unsigned char *given, *published, *candidates, *read; /* [L * H] */
    const char *published_name;
} groups_inputs;

/* groups_rules.c: adds the rows that were asked for. */
clipspan_status groups_add_rules(groups_inputs *in, const groups_settings *s, clipspan_error *err);

#endif
