/* An ablation study as pictures: the paper's curve, and the grid of heads. */
#include "clipspan/ablation.h"

#include <stdio.h>

#include "report/output.h"

enum { LINES = 2, NOTE = 256 };

/* One curve: [L + 1] points, in %. */
typedef struct curve {
    double *x, *y, *low, *high;
    size_t count;
} curve;

static clipspan_status curve_open(curve *c, const clipspan_ablation_study *study, clipspan_ablated none,
                                  clipspan_ablated up_to, clipspan_error *err)
{
    size_t layers = clipspan_ablation_study_count(study, up_to);
    if (layers == 0) return CLIPSPAN_OK;
    c->x = clsp_alloc(4 * (layers + 1), sizeof *c->x);
    if (c->x == NULL) return clsp_fail_memory(err);
    c->count = layers + 1;
    c->y = c->x + c->count;
    c->low = c->y + c->count;
    c->high = c->low + c->count;
    for (size_t i = 0; i <= layers; i++) {
        const clipspan_ablation_score *score = i == 0 ? clipspan_ablation_study_direct(study, none, 0)
                                                      : clipspan_ablation_study_direct(study, up_to, i - 1);
        c->x[i] = (double)i;
        c->y[i] = 100 * score->top1.value;
        c->low[i] = 100 * score->top1.low;
        c->high[i] = 100 * score->top1.high;
    }
    return CLIPSPAN_OK;
}

static void note_of(const clipspan_ablation_report *given, char note[NOTE])
{
    const clipspan_ablation_study_info info = clipspan_ablation_study_get_info(given->study);
    char scored[32], means[32];
    int n = snprintf(note, NOTE, "%s images, %zu classes; %s convention; replaced by ", clipspan_report_count(scored, info.scored),
                     info.classes, clsp_convention_name(info.convention));
    if (info.zero)
        snprintf(note + n, NOTE - (size_t)n, "zero");
    else
        snprintf(note + n, NOTE - (size_t)n, "the mean over %s images of %s", clipspan_report_count(means, info.mean_images),
                 given->means_from ? given->means_from : "this store");
}

clipspan_status clipspan_picture_ablation_curve(const clipspan_ablation_report *given, const char *path,
                                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clipspan_ablation_study *study = given->study;
    bool bands = clipspan_ablation_study_get_info(study).resamples > 0;
    curve kept = {0}, replaced = {0};
    char note[NOTE];
    note_of(given, note);
    CLSP_TRY(curve_open(&kept, study, CLIPSPAN_ABLATED_NOTHING, CLIPSPAN_ABLATED_UP_TO, err));
    CLSP_TRY(curve_open(&replaced, study, CLIPSPAN_ABLATED_MLPS, CLIPSPAN_ABLATED_UP_TO_MLPS, err));
    const clipspan_line lines[LINES] = {
        {"MLPs kept", kept.x, kept.y, bands ? kept.low : NULL, bands ? kept.high : NULL, kept.count},
        {"x0 and MLPs replaced too", replaced.x, replaced.y, bands ? replaced.low : NULL, bands ? replaced.high : NULL,
         replaced.count}};
    const clipspan_plot plot = {.title = given->bare ? NULL : "Accuracy as attention layers are replaced, from the first",
                                .x_name = "attention layers replaced",
                                .y_name = "zero-shot top-1, %",
                                .note = given->bare ? NULL : note,
                                .lines = lines,
                                .count = replaced.count ? 2 : 1};
    CLSP_TRY(clipspan_picture_plot(&plot, path, err));
out:
    clsp_free(kept.x);
    clsp_free(replaced.x);
    return status;
}

clipspan_status clipspan_picture_ablation_heads(const clipspan_ablation_report *given, const char *path,
                                                clipspan_error *err)
{
    const clipspan_ablation_study_info info = clipspan_ablation_study_get_info(given->study);
    size_t count = clipspan_ablation_study_count(given->study, CLIPSPAN_ABLATED_HEAD);
    char note[NOTE];
    double *values = clsp_alloc(count, sizeof *values);
    if (values == NULL) return clsp_fail_memory(err);
    for (size_t h = 0; h < count; h++)
        values[h] = clipspan_ablation_study_direct(given->study, CLIPSPAN_ABLATED_HEAD, h)->logit_drop.value;
    note_of(given, note);
    const clipspan_grid grid = {.title = given->bare ? NULL : "What each head alone is worth (direct effect)",
                                .unit = "drop in the right class's mean logit",
                                .note = given->bare ? NULL : note,
                                .values = values,
                                .rows = (size_t)info.layers,
                                .columns = (size_t)info.heads,
                                .scale = CLIPSPAN_SCALE_ZERO,
                                .row_prefix = "L",
                                .column_prefix = "H"};
    clipspan_status status = clipspan_picture_grid(&grid, path, err);
    clsp_free(values);
    return status;
}
