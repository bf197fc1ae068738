/* clipspan info: what a model or a store is. */
#include "cli.h"

#include <dirent.h>
#include <fnmatch.h>
#include <string.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    int json;
    const char *output;
    cli_model_settings model;
} settings;

/* A store is a folder with a manifest; one of parts has theirs, and opening it says so. */
static int is_store(const char *path)
{
    int found = 0;
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && !found && (entry = readdir(folder)) != NULL;)
        found = strcmp(entry->d_name, "manifest.json") == 0 || fnmatch("manifest-*-of-*.json", entry->d_name, 0) == 0;
    if (folder != NULL) closedir(folder);
    return found;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    const char *path = s->arguments[0], *output = s->output ? s->output : "-";
    clipspan_format format = s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT;
    clipspan_status status;
    if (is_store(path)) {
        clipspan_store *store = NULL;
        status = clipspan_store_open(&store, path, err);
        if (status == CLIPSPAN_OK) status = clipspan_report_store(store, format, output, err);
        clipspan_store_free(store);
        return status;
    }
    clipspan_model *model = NULL;
    status = cli_open_model(&model, path, &s->model, err);
    if (status == CLIPSPAN_OK) status = clipspan_report_model(model, format, output, err);
    clipspan_model_free(model);
    return status;
}

static const cli_option options[] = {
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_MODEL_OPTIONS(settings, model),
    CLI_END,
};

const cli_command cli_info = {
    .name = "info",
    .arguments = {"MODEL|STORE"},
    .summary = "Say what a model directory or a store is",
    .text = "Prints the model's shape, tokenizer and preprocessing as read from its own files, or a store's model,\n"
            "images and parts. MODEL is a Hugging Face CLIP directory, an open_clip directory, or a safetensors state\n"
            "dict with --config.",
    .example = "clipspan info models/demo/clipspan-demo",
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
};
