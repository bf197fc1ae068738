/* Command lines put together by the program. */
#include "command_line.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- folders in short ---------------------------------------------------------------------------------------- */

enum { FOLDERS_MOST = 4 };
typedef struct short_folder {
    char path[PATH_MAX];
    const char *name;
} short_folder;

/* The root is no folder to be short about: every path would be in it. */
static void add_folder(short_folder *folders, size_t *count, const char *path, const char *name)
{
    size_t length = path ? strlen(path) : 0;
    if (length == 0 || path[0] != '/' || length >= PATH_MAX) return;
    while (length > 0 && path[length - 1] == '/') length--;
    for (size_t i = 0; i < *count; i++)
        if (strlen(folders[i].path) == length && memcmp(folders[i].path, path, length) == 0) return;
    if (length == 0) return;
    memcpy(folders[*count].path, path, length);
    folders[*count].path[length] = '\0';
    folders[(*count)++].name = name;
}

/* Stores hold paths with links followed, people write them without. */
static size_t find_folders(short_folder *folders)
{
    char here[PATH_MAX], followed[PATH_MAX];
    const char *written = getenv("PWD"), *home = getenv("HOME");
    struct stat a, b;
    size_t count = 0;
    if (getcwd(here, sizeof here) != NULL) add_folder(folders, &count, here, ".");
    if (count > 0 && written != NULL && stat(written, &a) == 0 && stat(here, &b) == 0 && a.st_dev == b.st_dev &&
        a.st_ino == b.st_ino)
        add_folder(folders, &count, written, ".");
    add_folder(folders, &count, home, "~");
    if (home != NULL && home[0] == '/' && realpath(home, followed) != NULL) add_folder(folders, &count, followed, "~");
    return count;
}

const char *cli_short_folder(size_t i, const char **name)
{
    static short_folder folders[FOLDERS_MOST];
    static size_t count = SIZE_MAX;
    if (count == SIZE_MAX) count = find_folders(folders);
    if (i >= count) return NULL;
    *name = folders[i].name;
    return folders[i].path;
}

/* The name of the deepest short folder that the path is in, and how long the folder is; NULL: it is in none. */
static const char *folder_of(const char *path, size_t *length)
{
    const char *found = NULL, *name = NULL;
    *length = 0;
    for (size_t i = 0; cli_short_folder(i, &name) != NULL; i++) {
        const char *folder = cli_short_folder(i, &name);
        size_t own = strlen(folder);
        if (own <= *length || strncmp(path, folder, own) != 0 || (path[own] != '/' && path[own] != '\0')) continue;
        found = name;
        *length = own;
    }
    return found;
}

/* ---- as a shell reads it ------------------------------------------------------------------------------------ */

/* Bytes of the UTF-8 character at c; 0: there is none. */
static size_t character(const unsigned char *c)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = c[0] < 0x80 ? 1 : c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : c[0] >= 0xc0 ? 2 : 0;
    unsigned code = length > 1 ? c[0] & (0x7fu >> length) : 0x7fu;
    for (size_t i = 1; i < length; i++) {
        if ((c[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (c[i] & 0x3fu);
    }
    if (length < 2) return length;
    return code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) || c[0] > 0xf7 ? 0 : length;
}

static int is_plain(const char *word)
{
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    return *word != '\0' && word[strspn(word, PLAIN)] == '\0';
}

/* In single quotes, a quote inside as '\''. What a page cannot hold, or a terminal takes for a command of its own, is left to
 * printf: '"$(printf '\377')"'. A line end stands as it is. Returns the end. out: room for 21 a byte, and 3. */
static char *quote(char *out, const char *word)
{
    *out++ = '\'';
    while (*word) {
        size_t length = character((const unsigned char *)word);
        if (*word == '\'') {
            out = stpcpy(out, "'\\''");
        } else if (length == 0 || ((unsigned char)*word < ' ' && *word != '\n') || *word == 0x7f) {
            out += snprintf(out, 22, "'\"$(printf '\\%03o')\"'", (unsigned char)*word);
        } else {
            memcpy(out, word, length);
            out += length;
        }
        word += length ? length : 1;
    }
    *out++ = '\'';
    return out;
}

/* The word for a shell, `before` in front of it, which is one for it already; NULL: no memory. */
static char *for_shell(const char *before, const char *word)
{
    size_t length = strlen(before);
    char *text = malloc(length + 21 * strlen(word) + 4), *end = text;
    if (text == NULL) return NULL;
    memcpy(end, before, length);
    end += length;
    if (is_plain(word)) {
        memcpy(end, word, strlen(word));
        end += strlen(word);
    } else if (*word != '\0' || length == 0) {
        end = quote(end, word);
    }
    *end = '\0';
    return text;
}

/* A path, perhaps behind an '@' (a list of heads that is in a file), where a shell would not see the '~'. */
static char *path_for_shell(const char *word)
{
    size_t length = 0, at = word[0] == '@';
    const char *name = folder_of(word + at, &length), *rest = word + at + length;
    if (name == NULL) return for_shell("", word);
    while (*rest == '/') rest++;
    if (strcmp(name, "~") == 0) return for_shell(at ? "@\"$HOME\"/" : "~/", rest);
    return for_shell(at ? "@" : *rest == '-' ? "./" : "", *rest ? rest : ".");
}

char *cli_line_text(const cli_line *line)
{
    static const char NAME[] = "clipspan";
    size_t room = sizeof NAME;
    for (size_t i = 0; i < line->count; i++) room += strlen(line->shown[i]) + 1;
    char *text = line->failed ? NULL : malloc(room), *at = text;
    if (text == NULL) return NULL;
    at = stpcpy(at, NAME);
    for (size_t i = 0; i < line->count; i++) at = stpcpy(stpcpy(at, " "), line->shown[i]);
    return text;
}

/* ---- words -------------------------------------------------------------------------------------------------- */

/* Both are the line's from here on. */
static void take(cli_line *line, char *word, char *shown)
{
    char **words = realloc(line->words, (line->count + 1) * sizeof *words);
    if (words != NULL) line->words = words;
    char **all = realloc(line->shown, (line->count + 1) * sizeof *all);
    if (all != NULL) line->shown = all;
    if (word == NULL || shown == NULL || words == NULL || all == NULL) {
        free(word);
        free(shown);
        line->failed = 1;
        return;
    }
    line->words[line->count] = word;
    line->shown[line->count++] = shown;
}

void cli_line_word(cli_line *line, const char *word)
{
    take(line, strdup(word), for_shell("", word));
}

void cli_line_format(cli_line *line, const char *format, ...)
{
    char word[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(word, sizeof word, format, arguments);
    va_end(arguments);
    cli_line_word(line, word);
}

void cli_line_option(cli_line *line, const char *name, const char *value)
{
    if (value == NULL) return;
    cli_line_word(line, name);
    cli_line_word(line, value);
}

void cli_line_list(cli_line *line, const char *name, const cli_list *values)
{
    for (size_t i = 0; i < values->count; i++) cli_line_option(line, name, values->items[i]);
}

void cli_line_path(cli_line *line, const char *path)
{
    size_t length = strlen(path);
    char *safe = path[0] == '-' && length > 1 ? malloc(length + 3) : strdup(path);
    if (safe != NULL && path[0] == '-' && length > 1) stpcpy(stpcpy(safe, "./"), path);
    take(line, safe, safe ? path_for_shell(safe) : NULL);
}

void cli_line_path_option(cli_line *line, const char *name, const char *path)
{
    if (path == NULL) return;
    cli_line_word(line, name);
    cli_line_path(line, path);
}

void cli_line_paths(cli_line *line, const char *name, const cli_list *paths)
{
    for (size_t i = 0; i < paths->count; i++) cli_line_path_option(line, name, paths->items[i]);
}

void cli_line_engine(cli_line *line, const cli_engine_settings *engine)
{
    if (engine->dtype == CLIPSPAN_BF16) cli_line_option(line, "--dtype", "bf16");
    if (engine->threads > 0) {
        cli_line_word(line, "--threads");
        cli_line_format(line, "%zu", engine->threads);
    }
    if (engine->batch > 0) {
        cli_line_word(line, "--batch");
        cli_line_format(line, "%zu", engine->batch);
    }
}

void cli_line_cut(cli_line *line, size_t count)
{
    while (line->count > count) {
        free(line->words[--line->count]);
        free(line->shown[line->count]);
    }
}

void cli_line_clear(cli_line *line)
{
    cli_line_cut(line, 0);
    free(line->words);
    free(line->shown);
    *line = (cli_line){0};
}
