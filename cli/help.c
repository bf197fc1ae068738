/* Help, man page and the page in docs/, all from the tables of the subcommands. */
#include "cli.h"

#include <string.h>

static const char exit_codes[] = "0 done; 1 failed (a file or its content); 2 wrong use; 130 interrupted. Images that\n"
                                 "cannot be read are skipped and counted; --strict makes the first one a failure.\n";

void cli_help(FILE *out)
{
    fprintf(out, "clipspan %s - what every attention head of a CLIP image encoder says, in words\n\n", clipspan_version());
    fprintf(out, "usage: clipspan COMMAND ... ; clipspan COMMAND --help says more\n\n");
    for (const cli_command *const *c = cli_commands; *c != NULL; c++)
        fprintf(out, "  %-11s %s\n", (*c)->name, (*c)->summary);
    fprintf(out, "\nThe main job:\n  clipspan decompose MODEL IMAGES -o STORE\n"
                 "  clipspan textspan STORE --texts POOL\n\nExit codes: %s", exit_codes);
}

static void print_usage(FILE *out, const cli_command *command)
{
    fprintf(out, "clipspan %s", command->name);
    for (int i = 0; i < CLI_ARGUMENTS && command->arguments[i] != NULL; i++) fprintf(out, " %s", command->arguments[i]);
    fprintf(out, " [options]");
}

enum { HELP_COLUMN = 29, HELP_WIDTH = 106 }; /* of an option's words: where they begin, and where a line of them ends */
enum { EXAMPLE_WIDTH = 100, OPTION_WIDTH = 96 };

/* Words from the column on, broken between words; the first line goes on from where the cursor is. */
static void print_wrapped(FILE *out, const char *words)
{
    size_t room = HELP_WIDTH - HELP_COLUMN;
    while (strlen(words) > room) {
        size_t end = room;
        while (end > 0 && words[end] != ' ') end--;
        if (end == 0) end = strcspn(words, " "); /* one word that is longer than the line */
        fprintf(out, "%.*s\n", (int)end, words);
        words += end + strspn(words + end, " ");
        if (*words == '\0') return;
        fprintf(out, "%*s", HELP_COLUMN, "");
    }
    fprintf(out, "%s\n", words);
}

/* As it is typed: "-o, --output FILE", "--cache[=DIR]". */
static void option_words(char out[OPTION_WIDTH], const char *no_letter, const cli_option *option)
{
    char letter[5];
    int optional = option->kind == CLI_OPTIONAL;
    snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(out, OPTION_WIDTH, "%s--%s%s%s%s", option->letter ? letter : no_letter, option->name,
             optional ? "[=" : option->value ? " " : "", option->value ? option->value : "", optional ? "]" : "");
}

static void print_option(FILE *out, const cli_option *option)
{
    char left[OPTION_WIDTH];
    option_words(left, "    ", option);
    if (strlen(left) > 26)
        fprintf(out, "  %s\n%*s", left, HELP_COLUMN, "");
    else
        fprintf(out, "  %-26s ", left);
    print_wrapped(out, option->help);
}

/* A command line, broken before options where it is long, as a shell reads it. */
static void print_example(FILE *out, const char *indent, const char *example)
{
    const char *from = example;
    fputs(indent, out);
    while (strlen(from) > EXAMPLE_WIDTH) {
        const char *end = NULL;
        for (const char *at = strstr(from + 1, " -"); at != NULL && at - from <= EXAMPLE_WIDTH; at = strstr(at + 1, " -"))
            end = at;
        if (end == NULL) break;
        fprintf(out, "%.*s \\\n%s   ", (int)(end - from), from, indent);
        from = end;
    }
    fprintf(out, "%s\n", from);
}

void cli_help_command(FILE *out, const cli_command *command)
{
    fprintf(out, "%s\n\nusage: ", command->summary);
    print_usage(out, command);
    fprintf(out, "\n\n%s\n\noptions:\n", command->text);
    for (const cli_option *o = command->options; o->name != NULL; o++) print_option(out, o);
    fprintf(out, "  %-26s %s\n  %-26s %s\n", "    --quiet", "no notes on standard error", "-h, --help", "this text");
    fputs("\nexample:\n", out);
    print_example(out, "  ", command->example);
    fprintf(out, "\nexit codes: %s", exit_codes);
}

/* roff: backslashes and leading dots are its own. */
static void print_roff(FILE *out, const char *text)
{
    int line_start = 1;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) fputs("\\&", out);
        if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
        line_start = *text == '\n';
    }
}

static void print_man_command(FILE *out, const cli_command *command)
{
    fprintf(out, ".SH \"CLIPSPAN ");
    print_roff(out, command->name);
    fprintf(out, "\"\n.B ");
    print_usage(out, command);
    fprintf(out, "\n.PP\n");
    print_roff(out, command->text);
    for (const cli_option *o = command->options; o->name != NULL; o++) {
        char words[OPTION_WIDTH];
        option_words(words, "", o);
        fprintf(out, "\n.TP\n.B ");
        print_roff(out, words);
        fputc('\n', out);
        print_roff(out, o->help);
    }
    fprintf(out, "\n.PP\nExample:\n.EX\n");
    print_roff(out, command->example);
    fprintf(out, "\n.EE\n");
}

void cli_help_man(FILE *out)
{
    fprintf(out, ".TH CLIPSPAN 1 \"\" \"clipspan %s\"\n.SH NAME\nclipspan \\- what every attention head of a CLIP image encoder "
                 "says, in words\n.SH SYNOPSIS\n.B clipspan\nCOMMAND ...\n", clipspan_version());
    for (const cli_command *const *c = cli_commands; *c != NULL; c++) print_man_command(out, *c);
    fprintf(out, ".SH \"EXIT STATUS\"\n");
    print_roff(out, exit_codes);
}

/* A row of a table: its bars stand between columns, so a choice is written in words. */
static void print_row(FILE *out, const cli_option *option)
{
    fprintf(out, "| `--%s", option->name);
    if (option->kind == CLI_OPTIONAL) fprintf(out, "[=%s]", option->value);
    fprintf(out, "`%s%c%s | ", option->letter ? ", `-" : "", option->letter ? option->letter : ' ', option->letter ? "`" : "");
    for (const char *v = option->value ? option->value : ""; *v; v++) fprintf(out, *v == '|' ? " or " : "%c", *v);
    fprintf(out, " | %s |\n", option->help);
}

void cli_help_markdown(FILE *out)
{
    fprintf(out, "# The command line\n\nPrinted by `clipspan --markdown` from the option tables in `cli/`; do not edit.\n\n"
                 "Exit codes: %s", exit_codes);
    for (const cli_command *const *c = cli_commands; *c != NULL; c++) {
        const cli_command *command = *c;
        fprintf(out, "\n## clipspan %s\n%s.\n\n    ", command->name, command->summary);
        print_usage(out, command);
        fprintf(out, "\n\n%s\n\n| option | value | meaning |\n|---|---|---|\n", command->text);
        for (const cli_option *o = command->options; o->name != NULL; o++) print_row(out, o);
        fputc('\n', out);
        print_example(out, "    ", command->example);
    }
}
