/* The terminal behind standard output. */
#include "terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0';
}

/* no-color.org: NO_COLOR set and not empty; what is asked for by an option stands above it. */
clipspan_colours cli_terminal_colours(const char *choice, const char *output)
{
    const char *depth = getenv("COLORTERM"), *term = getenv("TERM");
    int terminal = output == NULL && isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    if (strcmp(choice, "never") == 0) return CLIPSPAN_COLOURS_NONE;
    if (strcmp(choice, "auto") == 0 && (!terminal || is_set("NO_COLOR"))) return CLIPSPAN_COLOURS_NONE;
    int all = depth != NULL && (strcmp(depth, "truecolor") == 0 || strcmp(depth, "24bit") == 0);
    return all ? CLIPSPAN_COLOURS_TRUE : CLIPSPAN_COLOURS_256;
}

int cli_terminal_width(void)
{
    struct winsize size = {0};
    int given = is_set("COLUMNS") ? atoi(getenv("COLUMNS")) : 0;
    if (given > 0) return given < 1000 ? given : 1000;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return 80;
}
