/* clipspan merge: parts of a store to one. */
#include "cli.h"

#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    cli_words folders;
    const char *output, *collect;
    int unfinished, json;
} settings;

static void print_summary(const settings *s, const char *store, const clipspan_store_summary *summary)
{
    if (s->json)
        printf("{\"images\": %llu, \"skipped\": %llu, \"bytes\": %llu}\n", (unsigned long long)summary->images,
               (unsigned long long)summary->skipped, (unsigned long long)summary->bytes);
    else
        cli_note("%s: %llu images, %.1f MB", store, (unsigned long long)summary->images, (double)summary->bytes / 1e6);
    if (summary->skipped) cli_note("%llu images could not be read and were skipped", (unsigned long long)summary->skipped);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    clipspan_merge_options options = CLIPSPAN_MERGE_OPTIONS_INIT;
    clipspan_store_summary summary;
    if (s->output == NULL && s->folders.count > 1)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-o STORE is missing: the parts lie in %zu folders", s->folders.count);
    const char *store = s->output ? s->output : s->folders.items[0];
    options.unfinished = s->unfinished;
    if (s->collect != NULL)
        options.collect = strcmp(s->collect, "link") == 0 ? CLIPSPAN_COLLECT_LINKS : CLIPSPAN_COLLECT_COPIES;
    clipspan_status status = clipspan_store_merge(store, s->folders.items, s->folders.count, &options, &summary, cli_hooks(),
                                                  err);
    cli_progress_end();
    if (status == CLIPSPAN_OK) print_summary(s, store, &summary);
    return status;
}

static const cli_option options[] = {
    {"output", 'o', CLI_TO_FOLDER, "STORE", "folder of the store (default: FOLDER itself, where it is one)",
     offsetof(settings, output)},
    {"collect", 0, CLI_TEXT, "link|copy", "bring the shards into STORE, which then needs no other folder",
     offsetof(settings, collect)},
    {"unfinished", 0, CLI_FLAG, NULL, "what is missing may follow: decompose or merge goes on with it",
     offsetof(settings, unfinished)},
    {"json", 0, CLI_FLAG, NULL, "print a summary as JSON", offsetof(settings, json)},
    CLI_END,
};

const cli_command cli_merge = {
    .name = "merge",
    .arguments = {"FOLDER..."},
    .words = offsetof(settings, folders),
    .summary = "Put parts of a store (decompose --part) together",
    .text = "Parts must be of one model, image list and options; what is missing or there twice is named. Shards stay where\n"
            "they are: a store may be spread over folders. The result does not depend on how the work was divided.",
    .example = "clipspan merge photos.store",
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
};
