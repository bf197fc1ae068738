/* cli/terminal.h - what the terminal behind standard output can do. */
#ifndef CLIPSPAN_CLI_TERMINAL_H
#define CLIPSPAN_CLI_TERMINAL_H

#include "clipspan/terminal.h"

#define CLI_COLOUR_OPTION(type, member)                                                                               \
    {"colour", 0, CLI_TEXT, "auto|always|never",                                                                      \
     "colours in text (default auto: on a terminal, unless NO_COLOR is set)", offsetof(type, member)}
#define CLI_SHOW_OPTION(type, member)                                                                                 \
    {"show", 0, CLI_OPTIONAL, "WAY",                                                                                  \
     "also draw them on the terminal, in the way it can: kitty's graphics, sixel, or half-blocks; --show=kitty, "      \
     "--show=sixel and --show=blocks force one, in a pipe too",                                                       \
     offsetof(type, member)}

/* choice: "auto", "always", "never". output: -o's path, or NULL. */
clipspan_colours cli_terminal_colours(const char *choice, const char *output);
/* Characters of a line: $COLUMNS, or what the terminal says, or 80. */
int cli_terminal_width(void);

/* way: of --show; NULL: not given, "": whatever the terminal can do. */
clipspan_status cli_terminal_check(const char *way, clipspan_error *err);
/* 0: nothing can be drawn there, and why was said. */
int cli_terminal_find(clipspan_terminal *out, const char *way);

#endif
