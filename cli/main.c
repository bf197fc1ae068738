/* clipspan: finds the subcommand, reads its options, runs it, says how it ended. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clipspan/inputs.h"

const cli_command *const cli_commands[] = {
    &cli_info,       &cli_tokenize, &cli_preprocess, &cli_embed,  &cli_classify, &cli_decompose, &cli_merge,
    &cli_textspan,   &cli_heads_command,
    &cli_attributes, &cli_neurons,  &cli_ablate,     &cli_groups, &cli_edit,     &cli_retrieve,  &cli_map,
    &cli_segment,    &cli_export,   &cli_report,   &cli_figure, &cli_serve,  NULL};

static const cli_command *find_command(const char *name)
{
    for (const cli_command *const *c = cli_commands; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

static const cli_option *find_option(const cli_command *command, const char *name, size_t length)
{
    for (const cli_option *o = command->options; o->name != NULL; o++)
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) return o;
    return NULL;
}

static const cli_option *find_letter(const cli_command *command, char letter)
{
    for (const cli_option *o = command->options; o->name != NULL; o++)
        if (o->letter == letter && letter != 0) return o;
    return NULL;
}

/* Is `value` one of "a|b|c"? */
static int in_choices(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *c = choices; c != NULL; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (strncmp(c, value, length) == 0 && (c[length] == '|' || c[length] == '\0')) return 1;
    return 0;
}

static clipspan_status read_count(const cli_option *option, const char *value, size_t *out, clipspan_error *err)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0 || *end != '\0' || *value < '0' || *value > '9' || number > 1000000000000ull)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s %s: expected a whole number", option->name, value);
    *out = (size_t)number;
    return CLIPSPAN_OK;
}

static clipspan_status add_item(const cli_option *option, const char *value, cli_list *list, clipspan_error *err)
{
    if (list->count == CLI_LIST_MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s is given more than %d times", option->name, (int)CLI_LIST_MOST);
    list->items[list->count++] = value;
    return CLIPSPAN_OK;
}

static clipspan_status set_option(const cli_option *option, const char *value, void *settings, clipspan_error *err)
{
    char *target = (char *)settings + option->offset;
    if (option->value != NULL && strchr(option->value, '|') != NULL && !in_choices(option->value, value))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s %s: expected one of %s", option->name, value, option->value);
    switch (option->kind) {
    case CLI_FLAG:
    case CLI_UNFLAG: {
        int flag = option->kind == CLI_FLAG;
        memcpy(target, &flag, sizeof flag);
        break;
    }
    case CLI_OPTIONAL:
    case CLI_TO_STREAM:
    case CLI_TO_FILE:
    case CLI_TO_FOLDER:
    case CLI_TEXT: memcpy(target, &value, sizeof value); break;
    case CLI_TO_FILES:
    case CLI_LIST: return add_item(option, value, (cli_list *)(void *)target, err);
    case CLI_DTYPE: {
        clipspan_dtype dtype = strcmp(value, "bf16") == 0 ? CLIPSPAN_BF16 : CLIPSPAN_F32;
        memcpy(target, &dtype, sizeof dtype);
        break;
    }
    case CLI_COUNT: {
        size_t count = 0;
        clipspan_status status = read_count(option, value, &count, err);
        if (status != CLIPSPAN_OK) return status;
        memcpy(target, &count, sizeof count);
        break;
    }
    }
    return CLIPSPAN_OK;
}

/* One "--name", "--name=value", "--name value", "-o value": advances *i past what it used. */
static clipspan_status read_option(const cli_command *command, const char *const *words, int count, int *i, void *settings,
                                   clipspan_error *err)
{
    const char *word = words[*i], *value = NULL;
    const cli_option *option;
    if (word[1] == '-') {
        size_t length = strcspn(word + 2, "=");
        option = find_option(command, word + 2, length);
        if (word[2 + length] == '=') value = word + 3 + length;
    } else {
        option = find_letter(command, word[1]);
        if (option != NULL && word[2] != '\0') value = word + 2;
    }
    if (option == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "unknown option %s (see clipspan %s --help)", word, command->name);
    int takes_value = option->kind != CLI_FLAG && option->kind != CLI_UNFLAG;
    if (!takes_value && value != NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s takes no value", option->name);
    if (option->kind == CLI_OPTIONAL && value == NULL) value = "";
    if (takes_value && value == NULL) {
        if (*i + 1 >= count)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--%s needs a value: %s", option->name, option->value);
        value = words[++*i];
    }
    return set_option(option, value, settings, err);
}

/* "--cache DIR" in place of "--cache=DIR": the option behind which a word stands alone, or NULL. */
static const cli_option *split_option(const cli_command *command, const char *const *words, int count)
{
    for (int i = 0; i + 1 < count && strcmp(words[i], "--") != 0; i++) {
        const cli_option *option = strncmp(words[i], "--", 2) == 0 ? find_option(command, words[i] + 2, strlen(words[i] + 2)) : NULL;
        if (option != NULL && option->kind == CLI_OPTIONAL && words[i + 1][0] != '-') return option;
    }
    return NULL;
}

static clipspan_status word_too_many(const cli_command *command, const char *const *words, int count, const char *word,
                                     clipspan_error *err)
{
    const cli_option *split = split_option(command, words, count);
    if (split == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "one word too many: %s (see clipspan %s --help)", word, command->name);
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "one word too many: %s; --%s takes its value as --%s=%s", word, split->name,
                    split->name, split->value);
}

static clipspan_status read_words(const cli_command *command, const char *const *words, int count, void *settings,
                                  clipspan_error *err)
{
    const char **arguments = settings;
    cli_words *all = command->words ? (cli_words *)(void *)((char *)settings + command->words) : NULL;
    int given = 0, literal = 0;
    for (int i = 0; i < count; i++) {
        clipspan_status status = CLIPSPAN_OK;
        if (!literal && strcmp(words[i], "--") == 0)
            literal = 1;
        else if (!literal && strcmp(words[i], "--quiet") == 0)
            cli_quiet = 1;
        else if (!literal && words[i][0] == '-' && words[i][1] != '\0')
            status = read_option(command, words, count, &i, settings, err);
        else if (all != NULL)
            all->items[all->count++] = words[i];
        else if (given < CLI_ARGUMENTS && command->arguments[given] != NULL)
            arguments[given++] = words[i];
        else
            status = word_too_many(command, words, count, words[i], err);
        if (status != CLIPSPAN_OK) return status;
    }
    if (all != NULL && all->count > 0) given = 1;
    if (given < CLI_ARGUMENTS && command->arguments[given] != NULL && command->arguments[given][0] != '[')
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s is missing (see clipspan %s --help)", command->arguments[given],
                        command->name);
    return CLIPSPAN_OK;
}

/* A reader that has seen enough (`| head`) is no failure. */
static int reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0;
}

static int exit_code(clipspan_status status)
{
    switch (status) {
    case CLIPSPAN_OK: return CLI_DONE;
    case CLIPSPAN_ERROR_ARGUMENT: return CLI_USAGE;
    case CLIPSPAN_ERROR_INTERRUPTED: return CLI_INTERRUPTED;
    default: return CLI_FAILED;
    }
}

static int asks_help(char **words, int count)
{
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++)
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0) return 1;
    return 0;
}

clipspan_status cli_run_command(const cli_command *command, const char *const *words, size_t count,
                                void (*prepare)(void *settings, void *user), void *user, clipspan_error *err)
{
    void *settings = calloc(1, command->settings_size);
    const char **all = calloc(count + 1, sizeof *all);
    clipspan_status status = settings && all ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (status == CLIPSPAN_OK) {
        if (command->defaults != NULL) memcpy(settings, command->defaults, command->settings_size);
        if (command->words) ((cli_words *)(void *)((char *)settings + command->words))->items = all;
        status = read_words(command, words, (int)count, settings, err);
    }
    if (status == CLIPSPAN_OK && prepare != NULL) prepare(settings, user);
    if (status == CLIPSPAN_OK) status = cli_check_outputs(command, settings, err);
    if (status == CLIPSPAN_OK) status = command->run(settings, err);
    cli_progress_end();
    free(all);
    free(settings);
    return status;
}

/* Says what went wrong, standard output's part of it too; returns the exit code. */
static int ended(const char *name, clipspan_status status, clipspan_error *err)
{
    if (status == CLIPSPAN_OK && (fflush(stdout) != 0 || ferror(stdout)))
        status = cli_fail(err, CLIPSPAN_ERROR_IO, "standard output: cannot be written: %s", strerror(errno));
    if (status == CLIPSPAN_ERROR_IO && reader_is_gone()) status = CLIPSPAN_OK;
    if (status != CLIPSPAN_OK && err->message[0] != '\0') fprintf(stderr, "clipspan %s: %s\n", name, err->message);
    return exit_code(status);
}

static int run_command(const cli_command *command, char **words, int count)
{
    clipspan_error err = {CLIPSPAN_OK, ""};
    clipspan_status status = CLIPSPAN_OK;
    if (asks_help(words, count))
        cli_help_command(stdout, command);
    else
        status = cli_run_command(command, (const char *const *)words, (size_t)count, NULL, NULL, &err);
    return ended(command->name, status, &err);
}

/* A file must not get the number of a standard stream that is closed (`2>&-`): warnings would be written into it. What
 * stands in its place refuses to be written, or read, as a closed one does. */
static int open_standard_streams(void)
{
    for (int handle = 0; handle < 3; handle++)
        if (fcntl(handle, F_GETFD) < 0 && open("/dev/null", handle == STDIN_FILENO ? O_WRONLY : O_RDONLY) != handle) return 0;
    return 1;
}

/* What is printed without a command. -1: a command is asked for. */
static int print_about(const char *first, const char *second)
{
    if (strcmp(first, "help") == 0 || strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        const cli_command *about = second ? find_command(second) : NULL;
        if (about != NULL)
            cli_help_command(stdout, about);
        else
            cli_help(stdout);
    } else if (strcmp(first, "--version") == 0 || strcmp(first, "version") == 0)
        printf("clipspan %s\n", clipspan_version());
    else if (strcmp(first, "--man") == 0)
        cli_help_man(stdout);
    else if (strcmp(first, "--markdown") == 0)
        cli_help_markdown(stdout);
    else
        return -1;
    return ended(first, CLIPSPAN_OK, &(clipspan_error){CLIPSPAN_OK, ""});
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    cli_watch_mapped_files();
    signal(SIGXFSZ, SIG_IGN); /* a file that grows too large is an error message, not the end */
    if (!open_standard_streams()) return CLI_FAILED;
    if (argc < 2) {
        cli_help(stderr);
        return CLI_USAGE;
    }
    int code = print_about(argv[1], argv[2]);
    if (code >= 0) return code;
    const cli_command *command = find_command(argv[1]);
    if (command == NULL) {
        fprintf(stderr, "clipspan: no subcommand %s (see clipspan --help)\n", argv[1]);
        return CLI_USAGE;
    }
    clipspan_inputs_remember(1); /* no output goes to a file that is read */
    return run_command(command, argv + 2, argc - 2);
}
