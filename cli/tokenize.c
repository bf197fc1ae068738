/* clipspan tokenize: texts to token ids. */
#include "cli.h"

#include <stdlib.h>

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *texts;
    int json;
    cli_model_settings model;
} settings;

static void print_ids(const int32_t *ids, size_t count, int json, int first)
{
    if (json) fputs(first ? "[" : ",\n [", stdout);
    for (size_t i = 0; i < count; i++) printf("%s%d", i == 0 ? "" : json ? ", " : " ", (int)ids[i]);
    fputs(json ? "]" : "\n", stdout);
}

static clipspan_status print_all(const clipspan_model *model, const clipspan_texts *texts, int json, clipspan_error *err)
{
    size_t capacity = (size_t)clipspan_model_get_info(model)->context_length;
    int32_t *ids = calloc(capacity, sizeof *ids);
    clipspan_status status = CLIPSPAN_OK;
    if (ids == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (json) fputs("[", stdout);
    for (size_t i = 0; status == CLIPSPAN_OK && i < clipspan_texts_count(texts); i++) {
        size_t count;
        status = clipspan_tokenize(model, clipspan_texts_get(texts, i), ids, capacity, &count, err);
        if (status == CLIPSPAN_OK) print_ids(ids, count, json, i == 0);
    }
    if (json) fputs("]\n", stdout);
    free(ids);
    return status;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    clipspan_model *model = NULL;
    clipspan_texts *texts = NULL;
    if (s->texts == NULL) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--texts FILE is missing");
    clipspan_status status = clipspan_texts_open(&texts, s->texts, 0, err);
    if (status == CLIPSPAN_OK) status = cli_open_model(&model, s->arguments[0], &s->model, err);
    if (status == CLIPSPAN_OK) status = print_all(model, texts, s->json, err);
    clipspan_texts_free(texts);
    clipspan_model_free(model);
    return status;
}

static const cli_option options[] = {
    {"texts", 't', CLI_TEXT, "FILE", "one text a line, UTF-8", offsetof(settings, texts)},
    {"json", 0, CLI_FLAG, NULL, "as a JSON array of arrays", offsetof(settings, json)},
    CLI_MODEL_OPTIONS(settings, model),
    CLI_END,
};

const cli_command cli_tokenize = {
    .name = "tokenize",
    .arguments = {"MODEL"},
    .summary = "Print the token ids of texts",
    .text = "One line a text: its ids separated by spaces, start and end token included, no padding. The tokenizer is\n"
            "open_clip's or Hugging Face's, as the model's layout says.",
    .example = "clipspan tokenize models/demo/clipspan-demo --texts texts.txt",
    .options = options,
    .settings_size = sizeof(settings),
    .run = run,
};
