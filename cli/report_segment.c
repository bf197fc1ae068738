/* Segmentation in a report: `clipspan segment` on a sample of the data, and some of its masks. */
#include "report.h"
#include "segment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 60, EXAMPLES = 6, EVERY = SAMPLE / EXAMPLES };

/* Every tenth image of the run, as it goes by. */
typedef struct examples {
    clipspan_segment_example kept[EXAMPLES]; /* their blocks are owned here */
    const char *methods[CLI_METHODS];
    char *names[EXAMPLES];
    size_t count, images, last, method_count; /* images: seen; last: of the list */
    int side;
} examples;

/* Intersection over union of the object, over the scored pixels. */
static double iou_of(const unsigned char *mask, const unsigned char *truth, size_t pixels)
{
    size_t both = 0, either = 0;
    for (size_t p = 0; p < pixels; p++) {
        if (truth[p] == CLIPSPAN_MASK_UNSCORED) continue;
        both += mask[p] == 1 && truth[p] == 1;
        either += mask[p] == 1 || truth[p] == 1;
    }
    return either ? (double)both / (double)either : (double)NAN;
}

static clipspan_status begin_example(examples *x, const cli_segmenting *job, size_t image, clipspan_error *err)
{
    clipspan_segment_example *e = &x->kept[x->count];
    size_t pixels = (size_t)x->side * (size_t)x->side;
    unsigned char *rgb = malloc(3 * pixels), *truth = malloc(pixels), *masks = calloc(x->method_count, pixels);
    double *iou = calloc(x->method_count, sizeof *iou);
    *e = (clipspan_segment_example){.rgb = rgb, .truth = truth, .masks = masks, .iou = iou};
    x->names[x->count] = strdup(clipspan_images_name(job->images, image));
    e->name = x->names[x->count++];
    if (!rgb || !truth || !masks || !iou || !e->name) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    memcpy(truth, job->truth, pixels);
    return clipspan_images_view(job->images, image, job->model, rgb, err);
}

static clipspan_status see(void *user, const cli_segmenting *job, size_t image, size_t method, clipspan_error *err)
{
    examples *x = user;
    clipspan_status status = CLIPSPAN_OK;
    x->side = clipspan_model_get_info(job->model)->image_size;
    x->method_count = job->method_count;
    x->methods[method] = cli_method_name(job->methods[method].method);
    int fresh = x->images == 0 || x->last != image;
    x->images += (size_t)fresh;
    x->last = image;
    if ((x->images - 1) % EVERY != 0 || (x->images - 1) / EVERY >= EXAMPLES) return CLIPSPAN_OK;
    if (fresh) status = begin_example(x, job, image, err);
    if (status != CLIPSPAN_OK) return status;
    size_t pixels = (size_t)x->side * (size_t)x->side;
    memcpy((unsigned char *)(uintptr_t)x->kept[x->count - 1].masks + method * pixels, job->mask, pixels);
    ((double *)(uintptr_t)x->kept[x->count - 1].iou)[method] = iou_of(job->mask, job->truth, pixels);
    return CLIPSPAN_OK;
}

static void watch(void *settings, void *user)
{
    ((cli_segment_settings *)settings)->watch = (cli_segment_watch){see, user};
}

static void clear(examples *x)
{
    for (size_t i = 0; i < x->count; i++) {
        free((void *)(uintptr_t)x->kept[i].rgb);
        free((void *)(uintptr_t)x->kept[i].truth);
        free((void *)(uintptr_t)x->kept[i].masks);
        free((void *)(uintptr_t)x->kept[i].iou);
        free(x->names[i]);
    }
}

static clipspan_status add_examples(report_side *side, const examples *x, const cli_line *line, clipspan_error *err)
{
    clipspan_memory_file *file = NULL;
    if (x->count == 0) return CLIPSPAN_OK; /* the run failed, which the page says */
    clipspan_status status = clipspan_memory_file_new(&file, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_report_segment_examples(x->kept, x->count, x->methods, x->method_count, x->side,
                                                  clipspan_memory_file_path(file), err);
    if (status == CLIPSPAN_OK) status = report_add(side, "segment-examples", line, file, REPORT_WISHES, err);
    clipspan_memory_file_free(file);
    return report_leave_out(side, "segment-examples", status, err);
}

clipspan_status report_segmentation(report_side *side, clipspan_error *err)
{
    const report_settings *s = side->s;
    const clipspan_store_info *info = clipspan_store_get_info(side->store);
    if (s->segment == NULL) return CLIPSPAN_OK;
    cli_line line = {0};
    examples x = {0};
    cli_line_word(&line, "segment");
    cli_line_path(&line, side->model_path ? side->model_path : info->model_path);
    cli_line_path(&line, s->segment);
    cli_line_path_option(&line, "--classes", s->segment_classes);
    cli_line_path_option(&line, "--templates", s->segment_templates);
    cli_line_option(&line, "--method", s->segment_methods);
    cli_line_option(&line, "--protocol", "aligned");
    cli_line_word(&line, "--limit");
    cli_line_format(&line, "%d", (int)SAMPLE);
    if (info->model_config[0]) cli_line_path_option(&line, "--config", info->model_config);
    if (s->span.vocab != NULL || info->model_vocab[0])
        cli_line_path_option(&line, "--vocab", s->span.vocab ? s->span.vocab : info->model_vocab);
    cli_line_engine(&line, &s->span.engine);
    clipspan_status status = report_capture(side, "segment", &cli_segment, &line, REPORT_WISHES, watch, &x, err);
    if (status == CLIPSPAN_OK) status = add_examples(side, &x, &line, err);
    clear(&x);
    cli_line_clear(&line);
    return status;
}
