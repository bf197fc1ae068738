/* Heads in a terminal: the layer x head grid, and what heads say, within the width of a line. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/heads.h"
#include "report/scale.h"
#include "report/terminal.h"

/* CELL: a space and three characters. BLOCKS: up to so many heads are described at length, of more each gets one of LINES. */
enum { CELL = 4, TOTAL = 7, NARROWEST = 40, BLOCKS = 8, LINES = 24, ROLES = 26,
       NUMBER = 11, BESIDE = 72, NAME_MOST = 80, TEXT_MOST = 200 };

/* What the grid shows. */
typedef struct grid {
    const clsp_heads *heads;
    clsp_report *report;
    clipspan_scale scale;
    double factor, limit;  /* what values are multiplied by; the largest magnitude after it */
    bool signed_values, totals;
    const char *unit;
    char unit_room[96];
    char letters[ROLES];   /* of the attributes; by role alone */
    size_t width, label, columns; /* of a line; of "L23"; heads side by side */
} grid;

/* ---- words within the width ------------------------------------------------------------------------------------- */

static size_t line_width(const clsp_heads *heads)
{
    return (size_t)(heads->look->width > NARROWEST ? heads->look->width : NARROWEST);
}

static void say(const grid *g, size_t indent, const char *format, ...) CLSP_PRINTF(3, 4);
static void say(const grid *g, size_t indent, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    clsp_report_wrap(g->report, g->width, indent, text);
}

/* ---- the grid --------------------------------------------------------------------------------------------------- */

/* A head's value in the grid's unit; NaN: none. */
static double value_of(const grid *g, const clsp_head_place *at)
{
    switch (g->heads->look->by) {
    case CLIPSPAN_HEADS_BY_VARIANCE: return at->spread->variance * g->factor;
    case CLIPSPAN_HEADS_BY_ROLE: return at->role == SIZE_MAX ? (double)NAN : at->excess * g->factor;
    case CLIPSPAN_HEADS_BY_EFFECT: return at->effect * g->factor;
    default: return at->spread->share * g->factor;
    }
}

static double largest(const grid *g)
{
    double most = 0;
    for (size_t i = 0; i < g->heads->count; i++) {
        double value = value_of(g, &g->heads->places[i]);
        if (isfinite(value)) most = fmax(most, fabs(value));
    }
    return most;
}

/* A power of ten that gives the largest value two digits before the point. */
static void scale_by_ten(grid *g, const char *unit)
{
    double most = largest(g);
    int power = most > 0 ? (int)floor(log10(most * 1.005)) - 1 : 0; /* 99.6 would be printed as 100 */
    g->factor = pow(10, -power);
    snprintf(g->unit_room, sizeof g->unit_room, "in units of %g %s", pow(10, power), unit);
    g->unit = g->unit_room;
}

/* The attribute's first letter that no earlier one has; else the first letter that is free. */
static void choose_letters(grid *g)
{
    const clipspan_attributes *attributes = g->heads->table->attributes;
    bool taken[ROLES] = {false};
    for (size_t a = 0; a < clsp_min(clipspan_attributes_count(attributes), ROLES); a++) {
        int letter = -1;
        for (const char *c = clipspan_attributes_name(attributes, a); *c && letter < 0; c++) {
            int small = *c >= 'A' && *c <= 'Z' ? *c - 'A' : *c - 'a';
            if (small >= 0 && small < ROLES && !taken[small]) letter = small;
        }
        for (int free = 0; letter < 0; free++)
            if (!taken[free]) letter = free;
        taken[letter] = true;
        g->letters[a] = (char)('a' + letter);
    }
}

static void choose_unit(grid *g)
{
    g->factor = 1;
    g->scale = CLIPSPAN_SCALE_MOST;
    switch (g->heads->look->by) {
    case CLIPSPAN_HEADS_BY_VARIANCE:
        scale_by_ten(g, "squared units of the joint space");
        g->totals = true;
        break;
    case CLIPSPAN_HEADS_BY_ROLE:
        g->factor = 100;
        g->unit = "%";
        choose_letters(g);
        break;
    case CLIPSPAN_HEADS_BY_EFFECT:
        scale_by_ten(g, "of a logit");
        g->scale = CLIPSPAN_SCALE_ZERO;
        g->signed_values = true;
        break;
    default:
        g->factor = 100;
        g->unit = "% of all heads' together";
        g->totals = true;
    }
    g->limit = largest(g);
}

/* As many heads side by side as fit, in parts of about the same size. */
static void choose_columns(grid *g)
{
    char label[16];
    size_t heads = (size_t)g->heads->info->heads;
    g->width = line_width(g->heads);
    g->label = (size_t)snprintf(label, sizeof label, "L%d", g->heads->info->layers - 1);
    size_t fit = (g->width - g->label - (g->totals ? TOTAL : 0)) / CELL, parts = (heads + fit - 1) / fit;
    g->columns = (heads + parts - 1) / parts;
}

static char letter_of(const grid *g, size_t attribute)
{
    return attribute < ROLES ? g->letters[attribute] : '*';
}

/* Lighter where the attribute tells less. */
static clsp_rgb role_colour(size_t attribute, double excess)
{
    clsp_rgb c = clsp_line_colour(attribute);
    double t = 0.2 + 0.8 * fmin(fmax(excess, 0), 1);
    return (clsp_rgb){1 - t * (1 - c.r), 1 - t * (1 - c.g), 1 - t * (1 - c.b)};
}

static void draw_cell(const grid *g, const clsp_head_place *at)
{
    double value = value_of(g, at);
    clipspan_colours colours = g->heads->look->colours;
    bool role = g->heads->look->by == CLIPSPAN_HEADS_BY_ROLE;
    if (!isfinite(value)) {
        clsp_report_add(g->report, "   .");
        return;
    }
    clsp_terminal_paint(g->report, colours, role ? role_colour(at->role, at->excess)
                                                 : clsp_colour(g->scale, clsp_scale_place(value, g->limit)));
    if (role)
        clsp_report_add(g->report, " %c%02.0f", letter_of(g, at->role), fmin(value, 99));
    else if (g->signed_values)
        clsp_report_add(g->report, " %3.0f", round(value) + 0.0); /* no "-0" */
    else if (g->limit < 0.995) /* ".35" */
        clsp_report_add(g->report, " .%02.0f", 100 * value);
    else
        clsp_report_add(g->report, value < 9.95 ? " %3.1f" : " %3.0f", value);
    clsp_terminal_plain(g->report, colours);
}

static void draw_total(const grid *g, int layer)
{
    double sum = 0;
    for (int h = 0; h < g->heads->info->heads; h++)
        sum += value_of(g, &g->heads->places[layer * g->heads->info->heads + h]);
    clsp_report_add(g->report, "%*.1f", TOTAL, sum);
}

/* Heads first .. end - 1 of every layer; the last part has the layers' sums. */
static void draw_part(const grid *g, int first, int end)
{
    bool totals = g->totals && end == g->heads->info->heads;
    clsp_report_add(g->report, "%*s", (int)g->label, "");
    for (int h = first; h < end; h++) {
        char name[16];
        snprintf(name, sizeof name, "H%d", h);
        clsp_report_add(g->report, "%*s", CELL, name);
    }
    if (totals) clsp_report_add(g->report, "%*s", TOTAL, "all");
    clsp_report_add(g->report, "\n");
    for (int layer = 0; layer < g->heads->info->layers; layer++) {
        char name[16];
        snprintf(name, sizeof name, "L%d", layer);
        clsp_report_add(g->report, "%-*s", (int)g->label, name);
        for (int h = first; h < end; h++) draw_cell(g, &g->heads->places[layer * g->heads->info->heads + h]);
        if (totals) draw_total(g, layer);
        clsp_report_add(g->report, "\n");
    }
}

static void draw_role_legend(const grid *g)
{
    const clipspan_attributes *attributes = g->heads->table->attributes;
    size_t used = 0;
    clsp_report_add(g->report, "\n");
    for (size_t a = 0; a < clipspan_attributes_count(attributes); a++) {
        const char *name = clipspan_attributes_name(attributes, a);
        size_t wide = 3 + clsp_text_width(name);
        bool breaks = used > 0 && used + 2 + wide > g->width;
        if (used > 0) clsp_report_add(g->report, breaks ? "\n" : "  ");
        used = used > 0 && !breaks ? used + 2 + wide : wide;
        clsp_terminal_paint(g->report, g->heads->look->colours, role_colour(a, 1));
        clsp_report_add(g->report, " %c ", letter_of(g, a));
        clsp_terminal_plain(g->report, g->heads->look->colours);
        clsp_report_cut(g->report, name, g->width - 3);
    }
    clsp_report_add(g->report, "\n");
}

static void explain(const grid *g)
{
    switch (g->heads->look->by) {
    case CLIPSPAN_HEADS_BY_ROLE:
        say(g, 0, "Letter: the attribute that the head tells best. Number: share of its variance between images of different "
                  "value, chance taken out (epsilon squared), %%; a dot: none above chance.");
        break;
    case CLIPSPAN_HEADS_BY_EFFECT:
        say(g, 0, "Effect: what replacing the head by its mean takes from the right class's mean logit (direct effect), %s.",
            g->unit);
        break;
    default:
        say(g, 0, "Variance of each head's contribution over the images, %s; all: the layer's.", g->unit);
    }
}

static void draw_grid(const grid *g)
{
    int heads = g->heads->info->heads, step = (int)g->columns;
    char images[32];
    say(g, 0, "%s: %d layers of %d heads, %s images, %s convention.", g->heads->info->model_name, g->heads->info->layers,
        heads, clipspan_report_count(images, g->heads->info->images), clsp_convention_name(g->heads->table->convention));
    explain(g);
    for (int first = 0; first < heads; first += step) {
        clsp_report_add(g->report, "\n");
        draw_part(g, first, first + step < heads ? first + step : heads);
    }
    if (g->heads->look->by == CLIPSPAN_HEADS_BY_ROLE)
        draw_role_legend(g);
    else if (g->heads->look->colours != CLIPSPAN_COLOURS_NONE) {
        clsp_report_add(g->report, "\n");
        clsp_terminal_bar(g->report, g->heads->look->colours, g->scale, g->limit);
        clsp_report_add(g->report, "  %s\n", g->unit);
    }
}

/* ---- one head at length ----------------------------------------------------------------------------------------- */

static void describe_title(const grid *g, const clsp_head_place *at)
{
    const char *role = clsp_heads_role(g->heads, at);
    char tells[160] = "", effect[64] = "";
    if (role != NULL) snprintf(tells, sizeof tells, ", tells %.*s best (%.0f %%, chance taken out)", clsp_text_bytes(role, NAME_MOST), role,
                               100 * at->excess);
    if (!isnan(at->effect)) snprintf(effect, sizeof effect, ", effect %+.3g of a logit", at->effect);
    clsp_report_add(g->report, "\n");
    say(g, 2, "L%d.H%d: variance %.4g (%.2f %% of all heads'), rank %d%s%s", at->layer, at->head, at->spread->variance,
        100 * at->spread->share, at->spread->rank, tells, effect);
}

static void describe_texts(const grid *g, const clsp_head_place *at)
{
    const clipspan_textspan_head *texts = clsp_heads_texts(g->heads, at);
    bool stable = clsp_heads_resamples(g->heads) > 0;
    if (texts == NULL) return;
    if (texts->count > 0) clsp_report_add(g->report, stable ? "   share  again  text\n" : "   share  text\n");
    for (int m = 0; m < texts->count; m++) {
        clsp_report_add(g->report, "  %4.1f %%  ", 100 * texts->texts[m].explained);
        if (stable)
            clsp_report_add(g->report, "%3.0f %%  ",
                            100 * clipspan_textspan_stability(g->heads->table->textspan, at->texts, m));
        clsp_report_cut(g->report, clsp_heads_text(g->heads, at, m), g->width - (stable ? 17 : 10));
        clsp_report_add(g->report, "\n");
    }
    say(g, 2, "  %4.1f %%  by %d texts together", 100 * texts->explained, texts->count);
}

/* Lower eighths of a block, from U+2581 on; a bin with any image shows something. */
static void draw_histogram(const grid *g, const clipspan_activation *a, int digits)
{
    uint64_t most = 1;
    size_t bins = a->bins, per = (bins + g->width - 30) / (g->width - 29); /* bins a character, where the line is short */
    for (int drawn = 0; drawn < 2; drawn++) {
        if (drawn) clsp_report_add(g->report, "  %+*.*f ", NUMBER, digits, a->low);
        for (size_t b = 0; b < bins; b += per) {
            uint64_t count = 0;
            for (size_t i = b; i < clsp_min(b + per, bins); i++) count += a->counts[i];
            int eighths = (int)((count * 8 + most - 1) / most);
            if (drawn) clsp_report_add(g->report, eighths ? "\xE2\x96%c" : " ", 0x80 + eighths);
            most = count > most ? count : most;
        }
    }
    clsp_report_add(g->report, " %+.*f\n", digits, a->high);
}

/* Four digits of the larger end. */
static int digits_of(const clipspan_activation *a)
{
    double most = fmax(fabs(a->low), fabs(a->high));
    int digits = most > 0 ? 3 - (int)floor(log10(most)) : 4;
    return digits < 0 ? 0 : digits > 9 ? 9 : digits;
}

/* width: of the name's column; 0: it ends the line. */
static void end_cell(const grid *g, uint64_t row, double value, int digits, size_t width)
{
    const char *name = clipspan_store_image_name(g->heads->table->store, (size_t)row);
    clsp_report_add(g->report, "  %+*.*f ", NUMBER, digits, value);
    if (width > 0)
        clsp_report_cell(g->report, name, width);
    else
        clsp_report_cut(g->report, name, (g->width >= BESIDE ? g->width / 2 : g->width) - NUMBER - 4);
}

/* Most and least side by side where the line is long enough, else one below the other. */
static void describe_images(const grid *g, const clipspan_activation *a, int digits)
{
    bool beside = g->width >= BESIDE;
    size_t name = beside ? g->width / 2 - NUMBER - 4 : 0;
    clsp_report_add(g->report, beside ? "  %-*s  least active\n" : "  %-*s\n", beside ? (int)name + NUMBER + 1 : 0, "most active");
    for (size_t n = 0; n < a->top; n++) {
        end_cell(g, a->most[n], a->most_values[n], digits, name);
        if (beside) end_cell(g, a->least[n], a->least_values[n], digits, 0);
        clsp_report_add(g->report, "\n");
    }
    if (beside) return;
    clsp_report_add(g->report, "  least active\n");
    for (size_t n = 0; n < a->top; n++) {
        end_cell(g, a->least[n], a->least_values[n], digits, 0);
        clsp_report_add(g->report, "\n");
    }
}

static void describe_activation(const grid *g, const clsp_head_place *at)
{
    const clipspan_activation *a = at->activation;
    int digits = a ? digits_of(a) : 0;
    if (a == NULL) return;
    const char *text = clsp_heads_text(g->heads, at, 0);
    say(g, 2, "  along \"%.*s\", %s: mean %+.*f, deviation %.*f", clsp_text_bytes(text, TEXT_MOST), text,
        g->heads->table->convention == CLIPSPAN_PAPER ? "change in cosine" : "contribution . text", digits, a->mean, digits,
        a->deviation);
    draw_histogram(g, a, digits);
    describe_images(g, a, digits);
}

/* ---- many heads, one line each ---------------------------------------------------------------------------------- */

typedef struct ranked {
    const clsp_head_place *at;
    double size;
} ranked;

static int by_size(const void *a, const void *b)
{
    const ranked *first = a, *second = b;
    if (first->size != second->size) return first->size < second->size ? 1 : -1;
    return first->at < second->at ? -1 : first->at > second->at;
}

static void list_line(const grid *g, const clsp_head_place *at)
{
    const clipspan_textspan_head *texts = clsp_heads_texts(g->heads, at);
    const char *role = clsp_heads_role(g->heads, at);
    clsp_buffer said;
    char name[32];
    clsp_buffer_init(&said, SIZE_MAX / 2);
    clsp_report_head_name(name, at->layer, at->head);
    if (role != NULL) g->report->failed |= !clsp_buffer_format(&said, "%s %.0f %%", role, 100 * at->excess);
    for (int m = 0; texts != NULL && m < texts->count; m++)
        g->report->failed |= !clsp_buffer_format(&said, "%s%s", said.length == 0 ? "" : m == 0 ? ": " : " | ",
                                                 clsp_heads_text(g->heads, at, m));
    clsp_report_cell(g->report, name, 8);
    clsp_report_add(g->report, " %5.2f %%  ", 100 * at->spread->share);
    clsp_report_cut(g->report, said.length ? said.data : "-", g->width - 18);
    clsp_report_add(g->report, "\n");
    clsp_buffer_free(&said);
}

static void list_heads(const grid *g, ranked *heads, size_t count)
{
    const clipspan_heads_table *table = g->heads->table;
    qsort(heads, count, sizeof *heads, by_size);
    clsp_report_add(g->report, "\n");
    say(g, 0, "The strongest heads in the grid's order: share of the variance of all heads%s%s.",
        table->attributes ? "; the attribute it tells best, chance taken out" : "",
        table->textspan ? "; texts in the order TextSpan picked them" : "");
    for (size_t i = 0; i < clsp_min(count, LINES); i++) list_line(g, heads[i].at);
    if (count > LINES) say(g, 0, "and %zu more, which JSON and CSV name", count - (size_t)LINES);
}

static void describe(const grid *g, ranked *heads, size_t count)
{
    if (count > BLOCKS) {
        list_heads(g, heads, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        describe_title(g, heads[i].at);
        describe_texts(g, heads[i].at);
        describe_activation(g, heads[i].at);
    }
}

void clsp_heads_as_text(const void *given, clsp_report *report)
{
    grid g = {.heads = given, .report = report};
    ranked *heads = clsp_alloc(g.heads->count, sizeof *heads);
    size_t count = 0;
    choose_unit(&g);
    choose_columns(&g);
    draw_grid(&g);
    report->failed |= heads == NULL;
    for (size_t i = 0; heads != NULL && i < g.heads->count; i++) {
        double size = fabs(value_of(&g, &g.heads->places[i]));
        if (g.heads->look->described != NULL && g.heads->look->described[i])
            heads[count++] = (ranked){&g.heads->places[i], isfinite(size) ? size : -1};
    }
    if (heads != NULL) describe(&g, heads, count);
    clsp_free(heads);
}
