/* Sections of a report that are other subcommands' JSON. */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEAREST = 8, SHOWN_HEADS = 3 };

/* ---- adding ------------------------------------------------------------------------------------------------------ */

static clipspan_status wish_for(report_rows *to, const clipspan_page *page, clipspan_error *err)
{
    size_t count = 0;
    const uint64_t *rows = clipspan_page_rows(page, &count);
    uint64_t *all = realloc(to->rows, (to->count + count + 1) * sizeof *all);
    if (all == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (count > 0) memcpy(all + to->count, rows, count * sizeof *all);
    to->rows = all;
    to->count += count;
    return CLIPSPAN_OK;
}

clipspan_status report_add(report_side *side, const char *kind, const cli_line *line, clipspan_memory_file *file, int wish,
                           clipspan_error *err)
{
    size_t length = 0;
    const char *json = clipspan_memory_file_bytes(file, &length);
    char *command = cli_line_text(line);
    if (command == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    clipspan_status status = clipspan_page_section(side->page, kind, command, json, length, err);
    free(command);
    if (status == CLIPSPAN_OK && wish < REPORT_WISHES) status = wish_for(&side->wanted[wish], side->page, err);
    return status;
}

clipspan_status report_leave_out(report_side *side, const char *kind, clipspan_status status, clipspan_error *err)
{
    if (status == CLIPSPAN_OK || status == CLIPSPAN_ERROR_INTERRUPTED || status == CLIPSPAN_ERROR_MEMORY) return status;
    cli_note("left out: %s: %s", kind, err->message);
    return clipspan_page_absent(side->page, kind, err->message, err);
}

clipspan_status report_all_columns(report_side *side, clipspan_status status, clipspan_error *err)
{
    if (status == CLIPSPAN_OK) return status;
    side->columns = NULL;
    strncat(err->message, " (all columns are taken instead)", sizeof err->message - strlen(err->message) - 1);
    return report_leave_out(side, "attributes", status, err);
}

/* The words "-o FILE" are for this run alone. */
static clipspan_status run_into(clipspan_memory_file *file, const cli_command *command, cli_line *line,
                                void (*prepare)(void *settings, void *user), void *user, clipspan_error *err)
{
    size_t count = line->count;
    cli_line_option(line, "-o", clipspan_memory_file_path(file));
    clipspan_status status = line->failed ? cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory")
                                          : cli_run_command(command, (const char *const *)line->words + 1, line->count - 1,
                                                            prepare, user, err);
    cli_line_cut(line, count);
    return status;
}

clipspan_status report_capture(report_side *side, const char *kind, const cli_command *command, cli_line *line, int wish,
                               void (*prepare)(void *settings, void *user), void *user, clipspan_error *err)
{
    clipspan_memory_file *file = NULL;
    cli_line_word(line, "--json");
    clipspan_status status = clipspan_memory_file_new(&file, err);
    if (status == CLIPSPAN_OK) status = run_into(file, command, line, prepare, user, err);
    if (status == CLIPSPAN_OK) status = report_add(side, kind, line, file, wish, err);
    clipspan_memory_file_free(file);
    return report_leave_out(side, kind, status, err);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static cli_line begin(const report_side *side, const char *command)
{
    cli_line line = {0};
    cli_line_word(&line, command);
    cli_line_path(&line, side->path);
    return line;
}

void report_model_options(cli_line *line, const report_side *side)
{
    cli_line_path_option(line, "--model", side->model_path);
    cli_line_path_option(line, "--vocab", side->s->span.vocab);
}

static void convention_option(cli_line *line, const report_side *side)
{
    if (cli_convention(side->s->span.convention) == CLIPSPAN_EXACT) cli_line_option(line, "--convention", "exact");
}

static void scored_options(cli_line *line, const report_side *side)
{
    const cli_scored_settings *scored = &side->s->scored;
    cli_line_option(line, "--column", scored->column);
    cli_line_path_option(line, "--classes", scored->classes);
    cli_line_path_option(line, "--templates", scored->templates);
    cli_line_path_option(line, "--classifier", scored->classifier);
    report_model_options(line, side);
    cli_line_engine(line, &side->s->span.engine);
}

/* What was found for the heads' roles is what the command prints. */
static clipspan_status add_attributes(report_side *side, cli_line *line, clipspan_error *err)
{
    clipspan_memory_file *file = NULL;
    cli_line_word(line, "--json");
    clipspan_status status = clipspan_memory_file_new(&file, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_report_attributes(side->heads.attributes, side->store, NULL, CLIPSPAN_JSON,
                                            clipspan_memory_file_path(file), err);
    if (status == CLIPSPAN_OK) status = report_add(side, "attributes", line, file, REPORT_WISHES, err);
    clipspan_memory_file_free(file);
    return report_leave_out(side, "attributes", status, err);
}

clipspan_status report_attributes(report_side *side, clipspan_error *err)
{
    cli_line line = begin(side, "attributes");
    cli_line_option(&line, "--columns", side->columns);
    convention_option(&line, side);
    cli_line_engine(&line, &side->s->span.engine);
    clipspan_status status =
        side->heads.attributes != NULL
            ? add_attributes(side, &line, err)
            : report_capture(side, "attributes", &cli_attributes, &line, REPORT_WISHES, NULL, NULL, err); /* says why */
    cli_line_clear(&line);
    return status;
}

clipspan_status report_scores(report_side *side, clipspan_error *err)
{
    cli_line line = begin(side, "ablate");
    scored_options(&line, side);
    convention_option(&line, side);
    clipspan_status status = report_capture(side, "ablate", &cli_ablate, &line, REPORT_WISHES, NULL, NULL, err);
    cli_line_clear(&line);
    if (status != CLIPSPAN_OK) return status;
    line = begin(side, "classify");
    scored_options(&line, side);
    cli_line_word(&line, "--no-predictions");
    status = report_capture(side, "classify", &cli_classify, &line, REPORT_WISHES, NULL, NULL, err);
    cli_line_clear(&line);
    return status;
}

clipspan_status report_groups(report_side *side, clipspan_error *err)
{
    if (side->s->attribute == NULL) return CLIPSPAN_OK;
    cli_line line = begin(side, "groups");
    cli_line_option(&line, "--attribute", side->s->attribute);
    cli_line_list(&line, "--where", &side->s->where);
    cli_line_list(&line, "--cue", &side->s->cue);
    cli_line_word(&line, "--skip-empty"); /* groups without images: what is there is shown */
    scored_options(&line, side);
    convention_option(&line, side);
    clipspan_status status = report_capture(side, "groups", &cli_groups, &line, REPORT_WISHES, NULL, NULL, err);
    cli_line_clear(&line);
    return status;
}

/* ---- retrieval: images nearest in the spaces of a few heads ------------------------------------------------------- */

typedef struct shown_head {
    int layer, head;
    size_t attribute;  /* its role; SIZE_MAX: none */
    double weight;     /* how specialised it is */
    uint64_t query;    /* the image that it sees most of its first text in */
} shown_head;

/* Whether what the head tells is known of the image; no: its neighbours could not be held against it. */
static int has_value(const report_side *side, uint64_t row, size_t attribute)
{
    const char *name = attribute == SIZE_MAX ? NULL : clipspan_attributes_name(side->heads.attributes, attribute);
    for (size_t c = 0; name != NULL && c < clipspan_store_column_count(side->store); c++) {
        const char *value = clipspan_store_value(side->store, (size_t)row, c);
        if (strcmp(clipspan_store_column(side->store, c), name) == 0) return value != NULL && value[0] != '\0';
    }
    return 1;
}

/* The first of the images that the head sees most of its first text in, with a value where one has it. 0: it has no text. */
static int find_query(const report_side *side, shown_head *of)
{
    size_t count = side->heads.textspan ? clipspan_textspan_head_count(side->heads.textspan) : 0, at = 0;
    for (size_t i = 0; i < count; i++) {
        const clipspan_activation *a = report_activation(side, i);
        if (a == NULL || a->layer != of->layer || a->head != of->head || a->top == 0) continue;
        while (at < a->top && !has_value(side, a->most[at], of->attribute)) at++;
        of->query = a->most[at < a->top ? at : 0];
        return 1;
    }
    return 0;
}

/* Every head's weight: how much of what it tells best is above chance (roles), or, where nothing is known of the images or no
 * head tells of it, its share of the variance. Where heads were described, those that were not weigh nothing. */
static shown_head weigh(const report_side *side, int layer, int head, int roles)
{
    const clipspan_store_info *info = clipspan_store_get_info(side->store);
    const clipspan_attributes *attributes = side->heads.attributes;
    shown_head shown = {layer, head, SIZE_MAX, side->heads.spread[layer * info->heads + head].share, 0};
    if (roles && attributes != NULL) {
        shown.attribute = clipspan_attributes_strongest(attributes, layer, head);
        shown.weight = shown.attribute == SIZE_MAX ? 0 : clipspan_attributes_excess(attributes, shown.attribute, layer, head);
    }
    if (!find_query(side, &shown) && side->heads.activations != NULL) shown.weight = 0;
    return shown;
}

/* Whether the head is among those chosen, or (apart) one of its role is. */
static int is_taken(const shown_head *chosen, size_t count, const shown_head *one, int apart)
{
    for (size_t i = 0; i < count; i++)
        if ((chosen[i].layer == one->layer && chosen[i].head == one->head) ||
            (apart && one->attribute != SIZE_MAX && chosen[i].attribute == one->attribute))
            return 1;
    return 0;
}

/* The heads of the largest weights: of a role each, then of any. */
static size_t choose(const report_side *side, shown_head out[SHOWN_HEADS], int roles)
{
    const clipspan_store_info *info = clipspan_store_get_info(side->store);
    size_t count = 0;
    for (int apart = 1; count < SHOWN_HEADS && apart >= 0;) {
        shown_head best = {.weight = 0};
        for (int h = 0; h < info->layers * info->heads; h++) {
            shown_head one = weigh(side, h / info->heads, h % info->heads, roles);
            if (one.weight > best.weight && !is_taken(out, count, &one, apart)) best = one;
        }
        if (best.weight > 0)
            out[count++] = best;
        else
            apart--;
    }
    return count;
}

static clipspan_status ask(report_side *side, const char *row, const shown_head *heads, size_t count, clipspan_error *err)
{
    cli_line line = begin(side, "retrieve");
    char names[SHOWN_HEADS * 32] = "";
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%sL%d.H%d", i ? "," : "", heads[i].layer, heads[i].head);
    }
    cli_line_option(&line, "--row", row);
    cli_line_option(&line, "--heads", names);
    cli_line_word(&line, "--each");
    cli_line_word(&line, "--whole");
    cli_line_word(&line, "-k");
    cli_line_format(&line, "%d", (int)NEAREST);
    if (count == 1 && heads->attribute != SIZE_MAX)
        cli_line_option(&line, "--column", clipspan_attributes_name(side->heads.attributes, heads->attribute));
    convention_option(&line, side);
    cli_line_engine(&line, &(cli_engine_settings){.threads = side->s->span.engine.threads});
    clipspan_status status = report_capture(side, "retrieve", &cli_retrieve, &line, REPORT_QUERIES, NULL, NULL, err);
    cli_line_clear(&line);
    return status;
}

clipspan_status report_retrieval(report_side *side, clipspan_error *err)
{
    shown_head heads[SHOWN_HEADS];
    clipspan_status status = CLIPSPAN_OK;
    if (clipspan_store_get_info(side->store)->moments_only)
        return report_leave_out(side, "retrieve",
                                cli_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "the store holds moments alone, no single images"), err);
    size_t count = choose(side, heads, 1);
    if (count == 0) count = choose(side, heads, 0);
    if (count == 0)
        return report_leave_out(side, "retrieve", cli_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "no head varies"), err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < side->s->rows.count; i++)
        status = ask(side, side->s->rows.items[i], heads, count, err);
    for (size_t i = 0; status == CLIPSPAN_OK && side->s->rows.count == 0 && i < count; i++) {
        char row[32];
        snprintf(row, sizeof row, "%llu", (unsigned long long)heads[i].query);
        status = ask(side, row, &heads[i], 1, err);
    }
    return status;
}
