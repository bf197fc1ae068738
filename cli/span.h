/* cli/span.h - TextSpan from a store and a pool file, for the subcommands that show it. */
#ifndef CLIPSPAN_CLI_SPAN_H
#define CLIPSPAN_CLI_SPAN_H

#include "vectors.h"

typedef struct cli_span_settings {
    cli_list texts, embeddings; /* embeddings: none, or a file a pool */
    const char *heads, *model, *vocab, *convention;
    size_t size, rank, images, resamples; /* resamples 0: no stability */
    int cache, joined; /* joined: several pools become one; else they are refused */
    const clipspan_model *opened; /* the store's model where it is open already; NULL: it is found and opened */
    cli_engine_settings engine;
} cli_span_settings;

#define CLI_SPAN_DEFAULTS                                                                                             \
    {                                                                                                                 \
        .convention = "paper", .size = 20, .rank = 80, .images = 8, .cache = 1                        \
    }

#define CLI_CONVENTION_OPTION(type, member)                                                                           \
    {"convention", 0, CLI_TEXT, "paper|exact", "how shared terms are spread (default paper)", offsetof(type, member)}

#define CLI_SPAN_OPTIONS(type, member, heads_said, size_said)                                                         \
    {"texts", 't', CLI_LIST, "POOL", "one description a line (- : standard input); blank and repeated lines are left out",                 \
     offsetof(type, member.texts)},                                                                                   \
    {"embeddings", 0, CLI_LIST, "FILE.npy", CLI_EMBEDDINGS_HELP, offsetof(type, member.embeddings)},                  \
    {"heads", 0, CLI_TEXT, "HEADS", "L22.H13, L22, last:4, all, @FILE, comma-separated (default " heads_said ")",     \
     offsetof(type, member.heads)},                                                                                   \
    {"size", 'm', CLI_COUNT, "N", "texts a head (default " size_said ")", offsetof(type, member.size)},               \
    {"rank", 0, CLI_COUNT, "N", "texts are projected on this many singular vectors (default 80)",                     \
     offsetof(type, member.rank)},                                                                                    \
    CLI_CONVENTION_OPTION(type, member.convention),                                                                   \
    {"model", 0, CLI_TEXT, "MODEL", "where the store's model is now", offsetof(type, member.model)},                  \
    CLI_VOCAB_OPTION(type, member.vocab),                                                                             \
    {"no-cache", 0, CLI_UNFLAG, NULL, "neither read nor write the cache of text embeddings",                          \
     offsetof(type, member.cache)},                                                                                   \
    CLI_ENGINE_OPTIONS(type, member.engine)

clipspan_convention cli_convention(const char *name);

/* Runs TextSpan over the open store; `images` > 0 also ranks images where the store has them. */
clipspan_status cli_span_run(clipspan_textspan **out, const clipspan_store *store, const cli_span_settings *settings,
                             clipspan_error *err);
/* And keeps the embedding of each head's first text, [heads of the result, E], which the caller frees; zeros where a head has
 * none. */
clipspan_status cli_span_find(clipspan_textspan **out, float **first, const clipspan_store *store,
                              const cli_span_settings *settings, clipspan_error *err);

#endif
