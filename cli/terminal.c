/* The terminal behind standard output. */
#include "terminal.h"
#include "cli.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { ANSWER_MILLISECONDS = 500, ANSWER_MOST = 256, NARROWEST = 20, WIDEST = 1000, CELL = 10, CELL_LEAST = 4, CELL_MOST = 100 };

static int is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0';
}

static int is(const char *name, const char *value)
{
    const char *found = getenv(name);
    return found != NULL && strcmp(found, value) == 0;
}

static int begins(const char *name, const char *prefix)
{
    const char *found = getenv(name);
    return found != NULL && strncmp(found, prefix, strlen(prefix)) == 0;
}

/* no-color.org: NO_COLOR set and not empty; what is asked for by an option stands above it. */
clipspan_colours cli_terminal_colours(const char *choice, const char *output)
{
    int terminal = output == NULL && isatty(STDOUT_FILENO) && is_set("TERM") && !is("TERM", "dumb");
    if (strcmp(choice, "never") == 0) return CLIPSPAN_COLOURS_NONE;
    if (strcmp(choice, "auto") == 0 && (!terminal || is_set("NO_COLOR"))) return CLIPSPAN_COLOURS_NONE;
    return is("COLORTERM", "truecolor") || is("COLORTERM", "24bit") ? CLIPSPAN_COLOURS_TRUE : CLIPSPAN_COLOURS_256;
}

int cli_terminal_width(void)
{
    struct winsize size = {0};
    int given = is_set("COLUMNS") ? atoi(getenv("COLUMNS")) : 0;
    if (given <= 0 && isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) given = size.ws_col;
    return given <= 0 ? 80 : given < WIDEST ? given : WIDEST;
}

/* Pixels that a character is wide, where the terminal says so. */
static int cell_width(void)
{
    struct winsize size = {0};
    int known = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    int cell = known ? size.ws_xpixel / size.ws_col : 0;
    return cell >= CELL_LEAST && cell <= CELL_MOST ? cell : CELL;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* Up to the end of the answer to "which device are you" (ESC [ ? ... c), which every terminal gives last. */
static void read_answer(int terminal, char *answer)
{
    struct pollfd ready = {.fd = terminal, .events = POLLIN};
    size_t length = 0;
    while (length + 1 < ANSWER_MOST && poll(&ready, 1, ANSWER_MILLISECONDS) > 0) {
        ssize_t got = read(terminal, answer + length, 1);
        if (got <= 0) break;
        length++;
        answer[length] = '\0';
        const char *device = strstr(answer, "\033[?");
        if (device != NULL && answer[length - 1] == 'c') break;
    }
}

/* What the terminal answers to the question; "" where none comes, or where it would not be ours to read. */
static void ask(const char *question, char *answer)
{
    struct termios before, quiet;
    int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    answer[0] = '\0';
    if (terminal < 0) return;
    if (tcgetpgrp(terminal) == getpgrp() && tcgetattr(terminal, &before) == 0) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        quiet.c_cc[VMIN] = 1;
        quiet.c_cc[VTIME] = 0;
        if (tcsetattr(terminal, TCSANOW, &quiet) == 0) {
            if (write(terminal, question, strlen(question)) == (ssize_t)strlen(question)) read_answer(terminal, answer);
            tcsetattr(terminal, TCSANOW, &before);
        }
    }
    close(terminal);
}

/* 4 among the attributes of a device is sixel: ESC [ ? 62 ; 4 ; 22 c. */
static int says_sixel(const char *answer)
{
    const char *at = strstr(answer, "\033[?");
    if (at == NULL) return 0;
    for (at += 3; *at != '\0' && *at != 'c'; at += *at == ';') {
        size_t length = strspn(at, "0123456789");
        if (length == 1 && *at == '4') return 1;
        at += length;
        if (*at != ';' && *at != 'c') return 0;
    }
    return 0;
}

/* kitty's protocol is asked for with a picture of one pixel that is not shown; who knows it answers before the device does.
 * Within tmux and screen the variables are those of the terminal outside, which does not see such pictures. */
static clipspan_graphics graphics_of_terminal(void)
{
    static const char WITH_KITTY[] = "\033_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\033\\\033[c", DEVICE[] = "\033[c";
    char answer[ANSWER_MOST];
    int inside = begins("TERM", "tmux") || begins("TERM", "screen") || is_set("TMUX");
    if (!is_set("TERM") || is("TERM", "dumb") || is("TERM", "linux")) return CLIPSPAN_GRAPHICS_BLOCKS;
    if (!inside && (is_set("KITTY_WINDOW_ID") || is("TERM", "xterm-kitty") || is("TERM_PROGRAM", "ghostty")))
        return CLIPSPAN_GRAPHICS_KITTY;
    ask(inside ? DEVICE : WITH_KITTY, answer);
    if (strstr(answer, "\033_Gi=31;OK") != NULL) return CLIPSPAN_GRAPHICS_KITTY;
    return says_sixel(answer) ? CLIPSPAN_GRAPHICS_SIXEL : CLIPSPAN_GRAPHICS_BLOCKS;
}

static const struct {
    const char *name;
    clipspan_graphics graphics;
} WAYS[] = {{"kitty", CLIPSPAN_GRAPHICS_KITTY}, {"sixel", CLIPSPAN_GRAPHICS_SIXEL}, {"blocks", CLIPSPAN_GRAPHICS_BLOCKS}};

/* -1: it is none of them. */
static int way_number(const char *way)
{
    for (int i = 0; i < (int)(sizeof WAYS / sizeof *WAYS); i++)
        if (strcmp(WAYS[i].name, way) == 0) return i;
    return -1;
}

clipspan_status cli_terminal_check(const char *way, clipspan_error *err)
{
    if (way == NULL || way[0] == '\0' || way_number(way) >= 0) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--show=%s: expected kitty, sixel or blocks", way);
}

int cli_terminal_find(clipspan_terminal *out, const char *way)
{
    int number = way_number(way);
    *out = (clipspan_terminal)CLIPSPAN_TERMINAL_INIT;
    out->width = cli_terminal_width();
    if (out->width < NARROWEST) out->width = NARROWEST;
    out->cell = cell_width();
    if (is("TERM_PROGRAM", "Apple_Terminal") || is("TERM", "linux")) out->colours = CLIPSPAN_COLOURS_256;
    if (number < 0 && !isatty(STDOUT_FILENO)) {
        cli_note("standard output is no terminal: nothing is drawn there (--show=blocks draws all the same)");
        return 0;
    }
    out->graphics = number < 0 ? graphics_of_terminal() : WAYS[number].graphics;
    return 1;
}
