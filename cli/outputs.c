/* What a command writes, as its table of options says: before long work each output is looked at, whether it can be written
 * and whether anything would be lost. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clipspan/inputs.h"

/* One output: "-o" or "--csv", its kind, and where it goes. */
typedef struct output {
    char option[32];
    cli_kind kind;
    const char *path;
} output;

enum { OUTPUTS_MOST = CLI_LIST_MOST + 8 };
typedef struct outputs {
    output all[OUTPUTS_MOST];
    size_t count;
} outputs;

/* ---- files by any path ----------------------------------------------------------------------------------------- */

/* The folder of a path, in `folder`; the name in it. */
static const char *split_path(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    snprintf(folder, PATH_MAX, "%.*s", slash ? (int)length : 1, slash ? path : ".");
    return slash ? slash + 1 : path;
}

/* The same file by any path, there already or not. */
static int same_file(const char *a, const char *b)
{
    char folder_a[PATH_MAX], folder_b[PATH_MAX];
    struct stat first, second;
    if (strcmp(a, b) == 0) return 1;
    if (strcmp(a, "-") == 0 || strcmp(b, "-") == 0) return 0;
    if (stat(a, &first) == 0 && stat(b, &second) == 0)
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino && S_ISREG(first.st_mode);
    return strcmp(split_path(a, folder_a), split_path(b, folder_b)) == 0 && stat(folder_a, &first) == 0 &&
           stat(folder_b, &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/* ---- what is read ---------------------------------------------------------------------------------------------- */

/* Values of these names are files, or folders, that are read. */
static int names_input(const cli_option *option)
{
    static const char *const names[] = {"FILE", "FILE.npy", "POOL", "HEADS", "NEURONS", "IMAGES", "PATH", "DATA", "MODEL", "MODEL2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (option->value != NULL && strcmp(option->value, names[i]) == 0) return 1;
    return 0;
}

/* "@FILE" among heads is a file too. */
static clipspan_status add_input(const char *value, clipspan_error *err)
{
    return value == NULL ? CLIPSPAN_OK : clipspan_inputs_add(*value == '@' ? value + 1 : value, err);
}

static clipspan_status add_option(const cli_option *option, const void *at, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (!names_input(option)) return CLIPSPAN_OK;
    if (option->kind == CLI_TEXT) return add_input(*(const char *const *)at, err);
    const cli_list *list = at;
    for (size_t i = 0; option->kind == CLI_LIST && status == CLIPSPAN_OK && i < list->count; i++)
        status = add_input(list->items[i], err);
    return status;
}

/* Files that the command line names; what lies in its folders is remembered when it is opened. */
static clipspan_status add_inputs(const cli_command *command, const void *settings, clipspan_error *err)
{
    const char *const *arguments = settings;
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; status == CLIPSPAN_OK && i < CLI_ARGUMENTS; i++) status = add_input(arguments[i], err);
    for (const cli_option *o = command->options; status == CLIPSPAN_OK && o->name != NULL; o++)
        status = add_option(o, (const char *)settings + o->offset, err);
    return status;
}

/* ---- what is written ------------------------------------------------------------------------------------------- */

static void add_output(outputs *all, const cli_option *option, const char *path)
{
    output *next = &all->all[all->count];
    if (path == NULL || all->count == OUTPUTS_MOST) return;
    *next = (output){.kind = option->kind, .path = path};
    if (option->letter)
        snprintf(next->option, sizeof next->option, "-%c", option->letter);
    else
        snprintf(next->option, sizeof next->option, "--%s", option->name);
    all->count++;
}

/* A stream with a letter is the command's result: it goes to standard output where nothing else is said. */
static void collect(outputs *all, const cli_command *command, const void *settings)
{
    for (const cli_option *o = command->options; o->name != NULL; o++) {
        const void *at = (const char *)settings + o->offset;
        const cli_list *list = at;
        if (o->kind == CLI_TO_STREAM || o->kind == CLI_TO_FILE || o->kind == CLI_TO_FOLDER) {
            const char *path = *(const char *const *)at;
            add_output(all, o, path == NULL && o->kind == CLI_TO_STREAM && o->letter ? "-" : path);
        }
        for (size_t i = 0; o->kind == CLI_TO_FILES && i < list->count; i++) add_output(all, o, list->items[i]);
    }
}

static clipspan_status check_place(const output *o, clipspan_error *err)
{
    char folder[PATH_MAX];
    struct stat at;
    if (strcmp(o->path, "-") == 0) {
        if (o->kind == CLI_TO_STREAM) return CLIPSPAN_OK;
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s -: this goes to a %s, not to standard output", o->option,
                        o->kind == CLI_TO_FOLDER ? "folder" : "file");
    }
    int in_memory = strncmp(o->path, "memory:", strlen("memory:")) == 0; /* clipspan/memory_file.h */
    if (o->kind == CLI_TO_FOLDER || in_memory) return CLIPSPAN_OK;
    int there = stat(o->path, &at) == 0, problem = there && S_ISDIR(at.st_mode) ? EISDIR : 0;
    if (there && !problem && !S_ISREG(at.st_mode)) return CLIPSPAN_OK; /* a pipe or a device is written as it is */
    split_path(o->path, folder);
    if (!problem && stat(folder, &at) != 0) problem = errno;
    if (!problem && !S_ISDIR(at.st_mode)) problem = ENOTDIR;
    if (!problem && access(folder, W_OK | X_OK) != 0) problem = errno;
    if (problem) return cli_fail(err, CLIPSPAN_ERROR_IO, "%.800s: cannot be written: %s", o->path, strerror(problem));
    return clipspan_inputs_check(o->path, err);
}

/* Folders may be one: each names what it writes there by its option. */
static int collide(const output *a, const output *b)
{
    return (a->kind != CLI_TO_FOLDER || b->kind != CLI_TO_FOLDER) && same_file(a->path, b->path);
}

clipspan_status cli_check_outputs(const cli_command *command, const void *settings, clipspan_error *err)
{
    outputs all = {.count = 0};
    clipspan_status status = add_inputs(command, settings, err);
    if (status == CLIPSPAN_OK) collect(&all, command, settings);
    for (size_t i = 0; status == CLIPSPAN_OK && i < all.count; i++) {
        status = check_place(&all.all[i], err);
        for (size_t j = 0; status == CLIPSPAN_OK && j < i; j++)
            if (collide(&all.all[j], &all.all[i]))
                status = cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s and %s both go to %s", all.all[j].option, all.all[i].option,
                                  strcmp(all.all[i].path, "-") == 0 ? "standard output" : all.all[i].path);
    }
    return status;
}
