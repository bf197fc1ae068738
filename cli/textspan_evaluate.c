/* clipspan textspan --evaluate: accuracy, distinct texts and variance explained against size and pool. */
#include "textspan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clipspan/picture.h"

typedef struct inputs {
    const clipspan_store *store; /* borrowed */
    clipspan_store *other;       /* --held-out STORE */
    cli_scored scored;
    clipspan_textspan_pool pools[CLI_LIST_MOST];
    clipspan_texts *texts[CLI_LIST_MOST];
    float *embeddings[CLI_LIST_MOST]; /* [T, E] */
    size_t pool_count;
    int sizes[CLIPSPAN_EVALUATION_SIZES];
    size_t size_count;
    clipspan_textspan_evaluation *result;
} inputs;

/* "5,10,20" */
static clipspan_status read_sizes(inputs *in, const char *text, clipspan_error *err)
{
    for (const char *at = text; *at;) {
        char *end;
        errno = 0;
        long number = strtol(at, &end, 10);
        if (end == at || errno != 0 || number < 1 || number > 100000 || (*end != ',' && *end != '\0') ||
            (*end == ',' && end[1] == '\0') || in->size_count == CLIPSPAN_EVALUATION_SIZES ||
            (in->size_count > 0 && number <= in->sizes[in->size_count - 1]))
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                            "--sizes %s: expected at most %d whole numbers, each larger than the one before, such as 5,10,20",
                            text, (int)CLIPSPAN_EVALUATION_SIZES);
        in->sizes[in->size_count++] = (int)number;
        at = *end == ',' ? end + 1 : end;
    }
    if (in->size_count == 0) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--sizes names no size");
    return CLIPSPAN_OK;
}

static int in_halves(const cli_textspan_settings *s)
{
    return s->held_out != NULL && strcmp(s->held_out, "half") == 0;
}

static clipspan_status open_pools(const cli_textspan_settings *s, inputs *in, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t p = 0; status == CLIPSPAN_OK && p < s->span.texts.count; p++) {
        const char *path = s->span.texts.items[p];
        status = cli_open_texts(&in->texts[p], path, err);
        if (status == CLIPSPAN_OK) in->pool_count++;
        in->pools[p] = (clipspan_textspan_pool){path, in->texts[p], NULL};
    }
    return status;
}

static clipspan_status embed_pools(const cli_textspan_settings *s, inputs *in, clipspan_error *err)
{
    size_t row = (size_t)clipspan_store_get_info(in->store)->embed_dim * sizeof(float);
    for (size_t p = 0; p < in->pool_count; p++) {
        in->embeddings[p] = calloc(clipspan_texts_count(in->texts[p]), row);
        if (in->embeddings[p] == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
        clipspan_status status = clipspan_engine_embed_pool(in->scored.engine, in->texts[p], s->span.cache, in->embeddings[p],
                                                            cli_hooks(), err);
        cli_progress_end();
        if (status != CLIPSPAN_OK) return status;
        in->pools[p].embeddings = in->embeddings[p];
    }
    return CLIPSPAN_OK;
}

static clipspan_status open_inputs(const cli_textspan_settings *s, inputs *in, clipspan_error *err)
{
    cli_scored_settings scored = s->scored;
    scored.model = s->span.model;
    scored.vocab = s->span.vocab;
    clipspan_status status = read_sizes(in, s->sizes, err);
    if (status == CLIPSPAN_OK) status = open_pools(s, in, err);
    if (status == CLIPSPAN_OK && s->held_out != NULL && !in_halves(s))
        status = clipspan_store_open(&in->other, s->held_out, err);
    if (status == CLIPSPAN_OK && in->other != NULL &&
        strcmp(clipspan_store_get_info(in->other)->model_fingerprint, clipspan_store_get_info(in->store)->model_fingerprint) != 0)
        status = cli_fail(err, CLIPSPAN_ERROR_MISMATCH, "--held-out %s: made by another model than %s", s->held_out,
                          s->arguments[0]);
    if (status == CLIPSPAN_OK)
        status = cli_scored_open(&in->scored, in->other ? in->other : in->store, &scored, &s->span.engine, err);
    if (status == CLIPSPAN_OK) status = embed_pools(s, in, err);
    return status;
}

static clipspan_status evaluate(const cli_textspan_settings *s, inputs *in, clipspan_error *err)
{
    clipspan_textspan_evaluation_options options = CLIPSPAN_TEXTSPAN_EVALUATION_OPTIONS_INIT;
    const clipspan_textspan_scoring scoring = {in->scored.classifier, in->scored.count, in->scored.labels};
    options.convention = cli_convention(s->span.convention);
    options.last = (int)s->last;
    options.rank = (int)s->span.rank;
    options.sizes = in->sizes;
    options.size_count = in->size_count;
    options.halves = in_halves(s);
    options.held_out = in->other;
    options.resamples = s->stability ? (int)s->resamples : 0;
    options.threads = (int)s->span.engine.threads;
    clipspan_status status = clipspan_textspan_evaluate(&in->result, in->store, in->pools, in->pool_count, &scoring, &options,
                                                        cli_hooks(), err);
    cli_progress_end();
    return status;
}

/* One line a pool, and the two that it lies between. */
static clipspan_status plot(const inputs *in, const char *path, clipspan_error *err)
{
    enum { BETWEEN = 2 };
    clipspan_textspan_evaluation_info info = clipspan_textspan_evaluation_get_info(in->result);
    size_t count = info.sizes, lines = info.pools + BETWEEN;
    double *values = calloc((lines + 1) * count, sizeof *values);
    clipspan_line *line = calloc(lines, sizeof *line);
    clipspan_status status = values && line ? CLIPSPAN_OK : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t l = 0; status == CLIPSPAN_OK && l < lines; l++) {
        double *x = values + lines * count;
        line[l] = (clipspan_line){.x = x, .y = values + l * count, .count = count};
        line[l].name = l < info.pools ? clipspan_textspan_evaluation_pool(in->result, l)
                       : l == info.pools ? "late heads whole" : "all heads at their means";
        for (size_t i = 0; i < count; i++) {
            clipspan_textspan_evaluation_point point = clipspan_textspan_evaluation_get(in->result, l < info.pools ? l : 0, i);
            x[i] = point.size;
            values[l * count + i] = 100 * (l < info.pools ? point.accuracy : l == info.pools ? info.late : info.none);
        }
    }
    const clipspan_plot all = {.title = "Zero-shot accuracy when late heads say m texts each",
                               .x_name = "texts a head, m", .y_name = "top-1, %", .lines = line, .count = lines,
                               .note = "Last layers' heads: mean + projection on m chosen directions; earlier heads: means."};
    if (status == CLIPSPAN_OK) status = clipspan_picture_plot(&all, path, err);
    free(values);
    free(line);
    return status;
}

static clipspan_status write_results(const cli_textspan_settings *s, const inputs *in, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (s->plot != NULL) status = plot(in, s->plot, err);
    if (status == CLIPSPAN_OK && s->csv != NULL)
        status = clipspan_report_textspan_evaluation(in->result, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    return clipspan_report_textspan_evaluation(in->result, s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT,
                                               s->output ? s->output : "-", err);
}

static clipspan_status check(const cli_textspan_settings *s, clipspan_error *err)
{
    enum { MOST = 100000 };
    const size_t default_size = ((cli_span_settings)CLI_SPAN_DEFAULTS).size;
    if (s->span.heads != NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--evaluate describes all heads of the --last layers: --heads is not taken");
    if (s->span.size != default_size)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--evaluate takes --sizes M,M,...: --size is not taken");
    if (s->span.rank < 1 || s->span.rank > MOST || s->last < 1 || s->last > MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--rank and --last are 1 to %d", (int)MOST);
    return CLIPSPAN_OK;
}

clipspan_status cli_textspan_evaluate(const cli_textspan_settings *s, const clipspan_store *store, clipspan_error *err)
{
    inputs in = {.store = store};
    clipspan_status status = check(s, err);
    if (status == CLIPSPAN_OK) status = open_inputs(s, &in, err);
    if (status == CLIPSPAN_OK) status = evaluate(s, &in, err);
    if (status == CLIPSPAN_OK) status = write_results(s, &in, err);
    clipspan_textspan_evaluation_free(in.result);
    for (size_t p = 0; p < CLI_LIST_MOST; p++) {
        clipspan_texts_free(in.texts[p]);
        free(in.embeddings[p]);
    }
    cli_scored_close(&in.scored);
    clipspan_store_free(in.other);
    return status;
}
