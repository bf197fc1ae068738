/* cli/command_line.h - a command line put together by the program: to be run here, and to be shown. */
#ifndef CLIPSPAN_CLI_COMMAND_LINE_H
#define CLIPSPAN_CLI_COMMAND_LINE_H

#include "cli.h"

typedef struct cli_line {
    char **words; /* [count] behind "clipspan" */
    char **shown; /* [count] as they are written for a shell */
    size_t count;
    int failed;   /* a word was lost for want of memory */
} cli_line;

/* Zeros are an empty line. */
void cli_line_word(cli_line *line, const char *word);
void cli_line_format(cli_line *line, const char *format, ...) __attribute__((format(printf, 2, 3))); /* one word */
/* "--name value"; nothing where value is NULL. */
void cli_line_option(cli_line *line, const char *name, const char *value);
void cli_line_list(cli_line *line, const char *name, const cli_list *values); /* once a value */
/* A file or folder: run as it is, shown in short (cli_short_folder). What begins with '-' gets "./", to be no option. */
void cli_line_path(cli_line *line, const char *path);
void cli_line_path_option(cli_line *line, const char *name, const char *path); /* nothing where path is NULL */
void cli_line_paths(cli_line *line, const char *name, const cli_list *paths);
/* Options of the engine that are not as they are by default. */
void cli_line_engine(cli_line *line, const cli_engine_settings *engine);
/* "clipspan ..." as a shell reads it; the caller frees it. NULL: no memory. */
char *cli_line_text(const cli_line *line);
void cli_line_cut(cli_line *line, size_t count); /* the first `count` words stay */
void cli_line_clear(cli_line *line);

/* Folder i whose paths are shown in short, as what: "." of the folder that the program runs in, "~" of the user's own; NULL:
 * behind the last. Static storage. */
const char *cli_short_folder(size_t i, const char **name);

#endif
