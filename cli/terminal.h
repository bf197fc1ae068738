/* cli/terminal.h - what the terminal behind standard output can do. */
#ifndef CLIPSPAN_CLI_TERMINAL_H
#define CLIPSPAN_CLI_TERMINAL_H

#include "clipspan/heads.h"

#define CLI_COLOUR_OPTION(type, member)                                                                               \
    {"colour", 0, CLI_TEXT, "auto|always|never",                                                                      \
     "colours in text (default auto: on a terminal, unless NO_COLOR is set)", offsetof(type, member)}

/* choice: "auto", "always", "never". output: -o's path, or NULL. */
clipspan_colours cli_terminal_colours(const char *choice, const char *output);
/* Characters of a line: $COLUMNS, or what the terminal says, or 80. */
int cli_terminal_width(void);

#endif
