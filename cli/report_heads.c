/* The section of a report that is about heads: found here rather than by `clipspan heads`, since others build on it. */
#include "report.h"

const clipspan_activation *report_activation(const report_side *side, size_t i)
{
    const clipspan_textspan_head *head = clipspan_textspan_get(side->heads.textspan, i);
    size_t count = side->heads.activations ? clipspan_activations_count(side->heads.activations) : 0;
    for (size_t a = 0; a < count; a++) {
        const clipspan_activation *found = clipspan_activations_get(side->heads.activations, a);
        if (found->layer == head->layer && found->head == head->head) return found;
    }
    return NULL;
}

/* The line that prints the same; size and resamples as `clipspan heads` takes them. */
static cli_line line_of(const report_side *side, const cli_heads_settings *h)
{
    cli_line line = {0};
    cli_line_word(&line, "heads");
    cli_line_path(&line, side->path);
    if (h->span.texts.count > 0) {
        cli_line_paths(&line, "--texts", &h->span.texts);
        cli_line_paths(&line, "--embeddings", &h->span.embeddings);
        cli_line_word(&line, "--size");
        cli_line_format(&line, "%zu", h->span.size);
        if (h->span.resamples > 0) {
            cli_line_word(&line, "--stability");
            cli_line_word(&line, "--resamples");
            cli_line_format(&line, "%zu", h->span.resamples);
        }
        cli_line_path_option(&line, "--heads", side->s->span.heads); /* it may be @FILE */
        report_model_options(&line, side);
    }
    cli_line_option(&line, "--columns", h->columns);
    if (cli_convention(h->span.convention) == CLIPSPAN_EXACT) cli_line_option(&line, "--convention", "exact");
    cli_line_engine(&line, &h->span.engine);
    cli_line_word(&line, "--json");
    return line;
}

static clipspan_status find_and_add(report_side *side, const cli_heads_settings *h, clipspan_error *err)
{
    clipspan_memory_file *file = NULL;
    clipspan_status status = cli_heads_find(&side->heads, side->store, h, err);
    if (status == CLIPSPAN_OK) status = clipspan_memory_file_new(&file, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_report_heads(&side->heads.table, NULL, CLIPSPAN_JSON, clipspan_memory_file_path(file), err);
    cli_line line = line_of(side, h);
    if (status == CLIPSPAN_OK) status = report_add(side, "heads", &line, file, REPORT_LISTED, err);
    cli_line_clear(&line);
    clipspan_memory_file_free(file);
    return status;
}

/* Why there are no texts; NULL: there are some. */
static const char *no_texts(const report_side *side)
{
    const cli_span_settings *span = &side->s->span;
    if (span->texts.count == 0) return "no texts were given to describe heads with (--texts POOL)";
    return side->model == NULL && span->embeddings.count == 0 ? side->no_model : NULL;
}

clipspan_status report_heads(report_side *side, clipspan_error *err)
{
    cli_heads_settings h = CLI_HEADS_DEFAULTS;
    h.span = side->s->span;
    h.span.model = side->model_path;
    h.columns = side->columns;
    if (h.span.heads == NULL) h.span.heads = "all";
    if (clipspan_store_get_info(side->store)->moments_only) h.span.resamples = 0;
    clipspan_status status = CLIPSPAN_OK;
    const char *why = no_texts(side);
    if (why == NULL) {
        status = find_and_add(side, &h, err);
        if (status == CLIPSPAN_OK) return CLIPSPAN_OK;
        cli_heads_free(&side->heads);
        side->heads = (cli_heads){0};
        status = report_leave_out(side, "heads", status, err);
    } else {
        status = report_leave_out(side, "heads", cli_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s", why), err);
    }
    h.span.texts.count = h.span.embeddings.count = h.span.resamples = 0;
    if (status == CLIPSPAN_OK) status = find_and_add(side, &h, err);
    if (status != CLIPSPAN_ERROR_ARGUMENT || !side->second || side->columns == NULL) return status;
    h.columns = NULL; /* there, but of too many values, say */
    status = report_all_columns(side, status, err);
    return status == CLIPSPAN_OK ? find_and_add(side, &h, err) : status;
}
