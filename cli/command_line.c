/* Command lines put together by the program. */
#include "command_line.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void take(cli_line *line, char *word)
{
    char **words = word ? realloc(line->words, (line->count + 1) * sizeof *words) : NULL;
    if (words == NULL) {
        free(word);
        line->failed = 1;
        return;
    }
    line->words = words;
    line->words[line->count++] = word;
}

void cli_line_word(cli_line *line, const char *word)
{
    take(line, strdup(word));
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

void cli_line_clear(cli_line *line)
{
    for (size_t i = 0; i < line->count; i++) free(line->words[i]);
    free(line->words);
    *line = (cli_line){0};
}

/* ---- as a shell reads it ------------------------------------------------------------------------------------ */

static int is_plain(const char *word)
{
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    return *word != '\0' && word[strspn(word, PLAIN)] == '\0';
}

/* The word in single quotes where it needs them, a quote inside as '\''; returns its end. out: room for 4 a byte, and 3. */
static char *quote(char *out, const char *word)
{
    int plain = is_plain(word);
    if (!plain) *out++ = '\'';
    for (; *word; word++) {
        if (*word == '\'') {
            memcpy(out, "'\\'", 3);
            out += 3;
        }
        *out++ = *word;
    }
    if (!plain) *out++ = '\'';
    return out;
}

char *cli_line_text(const cli_line *line)
{
    static const char NAME[] = "clipspan";
    size_t room = sizeof NAME;
    for (size_t i = 0; i < line->count; i++) room += 4 * strlen(line->words[i]) + 3;
    char *text = line->failed ? NULL : malloc(room), *at = text;
    if (text == NULL) return NULL;
    memcpy(at, NAME, sizeof NAME - 1);
    at += sizeof NAME - 1;
    for (size_t i = 0; i < line->count; i++) {
        *at++ = ' ';
        at = quote(at, line->words[i]);
    }
    *at = '\0';
    return text;
}
