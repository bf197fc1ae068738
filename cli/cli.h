/* cli/cli.h - what every subcommand shares: options declared once, errors, progress, interrupts.
 *
 * A subcommand is one file: a settings struct, a table of options with offsets into it, a `cli_command` that names
 * them, and a run function. Help, man page and docs/cli.md are printed from the tables.
 */
#ifndef CLIPSPAN_CLI_H
#define CLIPSPAN_CLI_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "clipspan/report.h"

/* Exit codes, also printed by --help and the man page. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

typedef enum cli_kind {
    CLI_FLAG,  /* int: 1 */
    CLI_UNFLAG,/* int: 0 */
    CLI_TEXT,  /* const char * */
    CLI_OPTIONAL, /* const char *: "--name=VALUE", or "--name" alone, which gives "" */
    CLI_LIST,  /* cli_list: the option may be given again and again */
    CLI_COUNT, /* size_t, 0 or more */
    CLI_DTYPE, /* clipspan_dtype: f32 or bf16 */
    /* const char *, as CLI_TEXT, but a place that is written: looked at before the command runs (outputs.c) */
    CLI_TO_STREAM, /* a file, or "-": standard output; with a letter also where it is not given */
    CLI_TO_FILE,   /* a file: a picture or an array */
    CLI_TO_FILES,  /* cli_list of such */
    CLI_TO_FOLDER  /* a folder that is made, its parents too */
} cli_kind;

enum { CLI_LIST_MOST = 64 };
typedef struct cli_list {
    const char *items[CLI_LIST_MOST];
    size_t count;
} cli_list;

typedef struct cli_words {
    const char **items; /* [count], as long as the command runs */
    size_t count;
} cli_words;

typedef struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    cli_kind kind;
    const char *value; /* what the help calls its value; a list "a|b" is checked */
    const char *help;
    size_t offset;     /* in the command's settings */
} cli_option;

enum { CLI_ARGUMENTS = 2 };
typedef struct cli_command {
    const char *name;
    const char *arguments[CLI_ARGUMENTS]; /* names of the positional arguments, in order; "[X]" is optional */
    size_t words;                         /* where arguments[0] is "X...": offset of the cli_words that holds them; 0: none */
    const char *summary;                  /* one line */
    const char *text;                     /* a paragraph or two */
    const char *example;
    const cli_option *options; /* ends with a NULL name */
    size_t settings_size;      /* the struct begins with `const char *arguments[CLI_ARGUMENTS]` */
    const void *defaults;      /* settings_size bytes, copied first */
    clipspan_status (*run)(void *settings, clipspan_error *err);
} cli_command;

extern const cli_command *const cli_commands[]; /* ends with NULL */

/* Runs a command as its words behind "clipspan NAME" ask; what it says on standard error it says. prepare: NULL, or sees the
 * settings that were read, before they are used. */
clipspan_status cli_run_command(const cli_command *command, const char *const *words, size_t count,
                                void (*prepare)(void *settings, void *user), void *user, clipspan_error *err);

/* Options that several commands have, as one settings block each. */
typedef struct cli_model_settings {
    const char *config, *vocab, *cache;
} cli_model_settings;
typedef struct cli_engine_settings {
    clipspan_dtype dtype;
    size_t threads, batch;
    const char *engines; /* "auto" or a number; NULL: 1 */
} cli_engine_settings;
typedef struct cli_image_settings {
    const char *kind;
    int exif, strict;
    size_t limit;
} cli_image_settings;

#define CLI_VOCAB_OPTION(type, member)                                                                                \
    {"vocab", 0, CLI_TEXT, "FILE", "tokenizer.json, vocab.json or open_clip's gzipped merges file",                   \
     offsetof(type, member)}
#define CLI_MODEL_OPTIONS(type, member)                                                                               \
    {"config", 0, CLI_TEXT, "NAME", "built-in configuration of a bare state-dict file, such as ViT-B-16-quickgelu",   \
     offsetof(type, member.config)},                                                                                  \
    CLI_VOCAB_OPTION(type, member.vocab),                                                                             \
    {"cache", 0, CLI_OPTIONAL, "DIR", "keep packed weights (as large as the model in --dtype) for fast starts; also $CLIPSPAN_CACHE", \
     offsetof(type, member.cache)}
#define CLI_ENGINE_OPTIONS(type, member)                                                                              \
    {"dtype", 0, CLI_DTYPE, "f32|bf16", "type of weights and products (default f32: exact)",                          \
     offsetof(type, member.dtype)},                                                                                   \
    {"threads", 0, CLI_COUNT, "N", "worker threads (default: every processor)", offsetof(type, member.threads)},      \
    {"batch", 0, CLI_COUNT, "N", "images in one forward pass (default: by the model's size)",                         \
     offsetof(type, member.batch)}
#define CLI_ENGINES_OPTION(type, member)                                                                              \
    {"engines", 0, CLI_TEXT, "N", "engines side by side, sharing threads and weights; auto: one for each 8 threads (default 1)", \
     offsetof(type, member.engines)}
#define CLI_IMAGE_OPTIONS(type, member)                                                                               \
    {"source", 0, CLI_TEXT, "folder|imagefolder|list|csv|waterbirds|tar|matlab", "what IMAGES is (default: found from the path)",       \
     offsetof(type, member.kind)},                                                                                    \
    {"exif", 0, CLI_FLAG, NULL, "turn pictures as their EXIF orientation says", offsetof(type, member.exif)},         \
    {"strict", 0, CLI_FLAG, NULL, "the first image that cannot be read stops the run",                                \
     offsetof(type, member.strict)},                                                                                  \
    {"limit", 0, CLI_COUNT, "N", "only the first N images", offsetof(type, member.limit)}
#define CLI_END {NULL, 0, CLI_FLAG, NULL, NULL, 0}

clipspan_status cli_open_model(clipspan_model **out, const char *path, const cli_model_settings *settings,
                               clipspan_error *err);
clipspan_status cli_open_engine(clipspan_engine **out, const clipspan_model *model,
                                const cli_engine_settings *settings, clipspan_error *err);
/* The same for work on this list: a batch is no larger than the list. */
clipspan_status cli_open_engine_for(clipspan_engine **out, const clipspan_model *model, const clipspan_images *images,
                                    const cli_engine_settings *settings, clipspan_error *err);
clipspan_status cli_open_images(clipspan_images **out, const char *path, const cli_image_settings *settings,
                                clipspan_error *err);
/* The model a store was made with: at `path` or, if NULL, where the store says; with the vocabulary `vocab` or, if
 * NULL, the store's. Checked against the store. */
clipspan_status cli_open_store_model(clipspan_model **out, const clipspan_store *store, const char *path,
                                     const char *vocab, clipspan_error *err);

/* The image list a store was made from, opened again: at `path` or, if NULL, where the store says (same kind, same
 * turning). Count and names are compared. */
clipspan_status cli_open_store_images(clipspan_images **out, const clipspan_store *store, const char *path,
                                      clipspan_error *err);
/* Where row `row` of the store stands in that list: further on by the pictures that could not be read; SIZE_MAX: nowhere. */
size_t cli_store_picture(const clipspan_images *images, const clipspan_store *store, size_t row);
#define CLI_STORE_IMAGES_OPTION(type, member)                                                                         \
    {"images", 0, CLI_TEXT, "PATH", "where the store's pictures are now", offsetof(type, member)}
/* A text a line, blank and repeated ones left out; a file without any is an error. */
clipspan_status cli_open_texts(clipspan_texts **out, const char *path, clipspan_error *err);
/* Says what several engines held; of one nothing. */
void cli_note_engines(const clipspan_engine *engine);
/* Says how much faster bf16 would be, where an fp32 engine is about to work for long. */
void cli_hint_bf16(const clipspan_engine *engine, const clipspan_images *images);

/* Writes the error, returns its status: for what only the command line can know. */
clipspan_status cli_fail(clipspan_error *err, clipspan_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Before long work: each output of the command goes elsewhere, is no file that it reads, and the folder it goes to is there
 * and can be written to. */
clipspan_status cli_check_outputs(const cli_command *command, const void *settings, clipspan_error *err);
/* In the help of options that draw. */
#define CLI_PICTURE_HELP "PNG, SVG or PDF by its ending"
/* Makes the folder and its parents; one that is there is fine. */
clipspan_status cli_make_folder(const char *path, clipspan_error *err);
/* A line on standard error; quiet under --quiet. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A progress bar with rate and remaining time on a terminal, nothing in a pipe; Ctrl-C asks the job to stop. */
const clipspan_hooks *cli_hooks(void);
void cli_progress_end(void); /* clears the bar */
/* Ctrl-C and SIGTERM also call this, inside the signal handler; NULL: nothing. */
void cli_interrupt_also(void (*call)(void));

/* From now on a mapped file that is cut short ends the command with a message, not by a signal (bus.c). */
void cli_watch_mapped_files(void);

extern int cli_quiet;
extern const cli_command cli_serve, cli_info, cli_tokenize, cli_preprocess, cli_embed, cli_classify, cli_decompose, cli_textspan, cli_heads_command,
    cli_attributes, cli_neurons, cli_groups, cli_ablate, cli_segment, cli_edit, cli_export, cli_retrieve, cli_map, cli_merge, cli_figure, cli_report;

/* help.c */
void cli_help(FILE *out);
void cli_help_command(FILE *out, const cli_command *command);
void cli_help_man(FILE *out);
void cli_help_markdown(FILE *out);

#endif
