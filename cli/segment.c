/* clipspan segment: masks from maps, held against the truth: the decomposition and the methods it is compared with. */
#include "segment.h"

#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 1000, SEED = 1 };

typedef cli_segment_settings settings;

typedef struct inputs {
    clipspan_model *model;
    clipspan_masks *masks;
    clipspan_engine *engine;
    cli_labelled from;
    cli_classes classes;
    clipspan_texts *templates;
    float *classifier;    /* [C, E] */
    unsigned char *heads; /* [L * H] */
    int *labels;          /* [I]; NULL: not known */
    const char **values;  /* names of a mask's values, when semantic */
    unsigned char methods[CLI_METHODS];
    cli_segmenting job;
} inputs;

/* ---- what was asked for --------------------------------------------------------------------------------------- */

static clipspan_status parse_background(const settings *s, cli_segmenting *job, clipspan_error *err)
{
    const char *text = s->background;
    job->background = CLIPSPAN_BACKGROUND_NONE;
    if (!s->semantic || (text != NULL && strcmp(text, "none") == 0)) return CLIPSPAN_OK;
    job->background = CLIPSPAN_BACKGROUND_MEAN;
    if (text == NULL || strcmp(text, "mean") == 0) return CLIPSPAN_OK;
    char *end;
    job->background = CLIPSPAN_BACKGROUND_BELOW;
    job->threshold = strtod(text, &end);
    if (end != text && *end == '\0' && job->threshold >= 0 && job->threshold <= 1) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--background %s: expected mean, none or a number from 0 to 1", text);
}

static clipspan_status parse_ignore(const settings *s, int *ignore, clipspan_error *err)
{
    char *end;
    *ignore = CLIPSPAN_MASK_IGNORE_USUAL;
    if (s->ignore == NULL) return CLIPSPAN_OK;
    *ignore = CLIPSPAN_MASK_IGNORE_NONE;
    if (strcmp(s->ignore, "none") == 0) return CLIPSPAN_OK;
    long value = strtol(s->ignore, &end, 10);
    *ignore = (int)value;
    if (end != s->ignore && *end == '\0' && value >= 0 && value <= 255) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--ignore %s: expected a mask's value, 0 to 255, or none", s->ignore);
}

static clipspan_status check(const settings *s, inputs *in, clipspan_error *err)
{
    cli_segmenting *job = &in->job;
    if (!s->semantic && s->background != NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--background is for --semantic");
    job->semantic = s->semantic;
    job->centred = s->centred;
    job->strict = s->strict;
    job->threads = (int)s->engine.threads;
    job->mask_folder = s->masks;
    job->export_folder = s->maps;
    job->watch = s->watch;
    job->convention = strcmp(s->convention, "exact") == 0 ? CLIPSPAN_EXACT : CLIPSPAN_PAPER;
    job->protocol = strcmp(s->protocol, "aligned") == 0 ? CLIPSPAN_PROTOCOL_ALIGNED : CLIPSPAN_PROTOCOL_PAPER;
    clipspan_status status = parse_background(s, job, err);
    if (status == CLIPSPAN_OK) status = cli_methods_parse(s->methods, s->semantic, in->methods, err);
    return status;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static clipspan_status open_data(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_masks_options options = CLIPSPAN_MASKS_OPTIONS_INIT;
    options.kind = s->kind;
    options.split = s->split;
    options.column = s->mask_column;
    options.binary = !s->semantic || s->class_column != NULL; /* with a class for each image, masks say where alone */
    options.limit = s->limit;
    clipspan_status status = parse_ignore(s, &options.ignore, err);
    if (status == CLIPSPAN_OK) status = clipspan_masks_open(&in->masks, s->arguments[1], &options, err);
    if (status != CLIPSPAN_OK) return status;
    in->job.masks = in->masks;
    in->job.images = clipspan_masks_images(in->masks);
    in->from = (cli_labelled){.images = in->job.images};
    return cli_labelled_choose(&in->from, s->class_column, err);
}

/* Pascal VOC names its own classes; its background is a text only where no rule finds it. */
static clipspan_status own_classes(inputs *in, clipspan_error *err)
{
    size_t count = clipspan_masks_class_count(in->masks);
    size_t first = in->job.semantic && in->job.background == CLIPSPAN_BACKGROUND_NONE ? 0 : 1;
    const char *names[256];
    for (size_t c = first; c < count; c++) names[c - first] = clipspan_masks_class(in->masks, c);
    clipspan_status status = clipspan_texts_copy(&in->classes.labels, names, count - first, err);
    return status == CLIPSPAN_OK ? clipspan_texts_copy(&in->classes.words, names, count - first, err) : status;
}

static clipspan_status open_classes(const settings *s, inputs *in, clipspan_error *err)
{
    int voc = clipspan_masks_class_count(in->masks) > 0;
    clipspan_status status = voc && s->classes == NULL ? own_classes(in, err)
                                                       : cli_classes_open(&in->classes, s->classes, &in->from, err);
    if (status != CLIPSPAN_OK) return status;
    size_t count = clipspan_texts_count(in->classes.words);
    size_t values = count + (in->job.background != CLIPSPAN_BACKGROUND_NONE);
    in->job.classes = count;
    if (count < 2 && !s->semantic)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "one class has nothing to be told from: its map minus the mean over "
                        "classes is zero; --classes needs two or more");
    if (s->semantic && (values < 2 || values > 255))
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--semantic with %zu classes: a mask has 2 to 255 values, background "
                        "included", count);
    if (s->semantic && voc && values != clipspan_masks_class_count(in->masks))
        return cli_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s has %zu classes, background included; Pascal VOC has %zu "
                        "(other data: a CSV of paths and masks)",
                        s->classes, values, clipspan_masks_class_count(in->masks));
    return cli_templates_open(&in->templates, s->templates, err);
}

static clipspan_status read_labels(const settings *s, inputs *in, clipspan_error *err)
{
    cli_strays strays = {0, NULL};
    size_t count = cli_labelled_count(&in->from), known = 0;
    if (s->class_column == NULL) return CLIPSPAN_OK;
    in->labels = calloc(count + 1, sizeof *in->labels);
    if (in->labels == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        in->labels[i] = cli_classes_label(&in->classes, &in->from, i, &strays);
        known += in->labels[i] >= 0;
    }
    cli_strays_note(&strays);
    in->job.labels = in->labels;
    if (known > 0) return CLIPSPAN_OK;
    return cli_fail(err, CLIPSPAN_ERROR_MISMATCH, "column %s: no image has one of the classes", s->class_column);
}

/* The names of a mask's values: the classes, behind a background where a rule finds it. */
static clipspan_status name_values(inputs *in, clipspan_error *err)
{
    size_t shift = in->job.background != CLIPSPAN_BACKGROUND_NONE;
    if (!in->job.semantic) return CLIPSPAN_OK;
    in->values = calloc(in->job.classes + shift, sizeof *in->values);
    if (in->values == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (shift) in->values[0] = "background";
    for (size_t c = 0; c < in->job.classes; c++) in->values[c + shift] = clipspan_texts_get(in->classes.labels, c);
    return CLIPSPAN_OK;
}

static size_t layers_chosen(const inputs *in, const clipspan_model_info *info)
{
    size_t layers = 0;
    for (int l = 0; l < info->layers; l++)
        layers += memchr(in->heads + (size_t)l * (size_t)info->heads, 1, (size_t)info->heads) != NULL;
    return layers;
}

/* Terms by token are large: as many images go into a batch as keep them within a gigabyte. */
static clipspan_status open_engine(const settings *s, inputs *in, clipspan_error *err)
{
    static const size_t ROOM = (size_t)1 << 30;
    const clipspan_model_info *info = clipspan_model_get_info(in->model);
    cli_engine_settings fitting = s->engine;
    size_t image = 2 * sizeof(float) * layers_chosen(in, info) * (size_t)info->tokens * (size_t)info->width;
    size_t most = image > 0 && ROOM / image > 0 ? ROOM / image : 1;
    clipspan_status status = cli_open_engine_for(&in->engine, in->model, in->job.images, &fitting, err);
    if (status != CLIPSPAN_OK || s->engine.batch > 0 || !in->methods[CLI_DECOMPOSITION] ||
        (size_t)clipspan_engine_batch(in->engine) <= most)
        return status;
    clipspan_engine_free(in->engine);
    in->engine = NULL;
    fitting.batch = most;
    return cli_open_engine(&in->engine, in->model, &fitting, err);
}

static clipspan_status open_model(const settings *s, inputs *in, clipspan_error *err)
{
    clipspan_status status = cli_open_model(&in->model, s->arguments[0], &s->model, err);
    if (status != CLIPSPAN_OK) return status;
    const clipspan_model_info *info = clipspan_model_get_info(in->model);
    in->heads = calloc((size_t)info->layers * (size_t)info->heads, 1);
    in->classifier = calloc(in->job.classes, (size_t)info->embed_dim * sizeof *in->classifier);
    if (in->heads == NULL || in->classifier == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    status = clipspan_heads_parse(s->heads, info->layers, info->heads, in->heads, err);
    if (status == CLIPSPAN_OK) status = open_engine(s, in, err);
    if (status == CLIPSPAN_OK)
        status = clipspan_classifier_build(in->engine, in->classes.words, in->templates, in->classifier, cli_hooks(), err);
    cli_progress_end();
    in->job.model = in->model;
    in->job.engine = in->engine;
    in->job.heads = in->heads;
    in->job.classifier = in->classifier;
    return status;
}

/* ---- results ------------------------------------------------------------------------------------------------------ */

static const char *background_words(const settings *s, const cli_segmenting *job, char *out, size_t size)
{
    if (!job->semantic) return NULL;
    if (job->background == CLIPSPAN_BACKGROUND_NONE) return "none: every value of a mask is a class";
    snprintf(out, size, "pixels whose best class exceeds the mean over classes by no more than %s%s",
             job->background == CLIPSPAN_BACKGROUND_MEAN ? "the image's own mean" : s->background,
             job->background == CLIPSPAN_BACKGROUND_MEAN ? "" : ", scaled to [0, 1] by image");
    return out;
}

static const char *steps_words(const cli_segmenting *job)
{
    if (job->semantic) return "map: one a class, up-sampled bilinearly, the largest at each pixel";
    return job->centred ? "map: of the class minus the mean over classes, up-sampled bilinearly, scaled to [0, 1], object "
                          "above its own mean"
                        : "map: decomposition and dense methods: of the class minus the mean over classes; gradient "
                          "methods: of the class; up-sampled bilinearly, scaled to [0, 1], object above its own mean";
}

static clipspan_status fill_rows(const inputs *in, size_t resamples, clipspan_segmentation_row *rows, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t m = 0; status == CLIPSPAN_OK && m < in->job.method_count; m++) {
        const cli_segment_method *from = &in->job.methods[m];
        rows[m] = (clipspan_segmentation_row){.method = cli_method_name(from->method),
                                              .words = cli_method_words(from->method),
                                              .citation = cli_method_citation(from->method),
                                              .result = from->result};
        status = clipspan_segmentation_score(&rows[m].scores, from->result, resamples, SEED, err);
    }
    return status;
}

static clipspan_status write_results(const settings *s, const inputs *in, clipspan_error *err)
{
    const cli_segmenting *job = &in->job;
    char words[256], chosen[256];
    clipspan_segmentation_row rows[CLI_METHODS];
    if (s->class_column)
        snprintf(chosen, sizeof chosen, "the true one, of column %s", s->class_column);
    else
        snprintf(chosen, sizeof chosen, "the best of %zu by the whole representation", job->classes);
    clipspan_segmentation_table table = {
        .rows = rows, .count = job->method_count, .model = clipspan_model_get_info(in->model)->name,
        .data = s->arguments[1],
        .kind = clipspan_masks_kind(in->masks), .protocol = clipspan_protocol_name(job->protocol),
        .convention = in->methods[CLI_DECOMPOSITION] ? s->convention : NULL,
        .heads = in->methods[CLI_DECOMPOSITION] ? s->heads : NULL, .chosen = job->semantic ? NULL : chosen,
        .steps = steps_words(job), .background = background_words(s, job, words, sizeof words),
        .classes = in->classes.labels, .values = in->values,
        .value_count = in->values ? job->classes + (job->background != CLIPSPAN_BACKGROUND_NONE) : 0,
        .size = clipspan_model_get_info(in->model)->image_size, .ignore = clipspan_masks_ignore(in->masks),
        .skipped = clipspan_images_count(job->images) - job->done, .resamples = s->resamples};
    clipspan_status status = fill_rows(in, s->resamples, rows, err);
    if (status == CLIPSPAN_OK && rows[0].scores.images == 0)
        status = cli_fail(err, CLIPSPAN_ERROR_FORMAT, "none of the %zu images could be read", table.skipped);
    if (status == CLIPSPAN_OK && s->csv) status = clipspan_report_segmentation(&table, CLIPSPAN_CSV, s->csv, err);
    if (status != CLIPSPAN_OK) return status;
    return clipspan_report_segmentation(&table, s->json ? CLIPSPAN_JSON : CLIPSPAN_TEXT, s->output ? s->output : "-", err);
}

static void free_inputs(inputs *in)
{
    cli_segment_close(&in->job);
    free(in->values);
    free(in->labels);
    free(in->classifier);
    free(in->heads);
    clipspan_texts_free(in->templates);
    cli_classes_free(&in->classes);
    clipspan_engine_free(in->engine);
    clipspan_model_free(in->model);
    clipspan_masks_free(in->masks);
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    inputs in = {0};
    clipspan_status status = check(s, &in, err);
    if (status == CLIPSPAN_OK) status = open_data(s, &in, err);
    if (status == CLIPSPAN_OK) status = open_classes(s, &in, err);
    if (status == CLIPSPAN_OK) status = read_labels(s, &in, err);
    if (status == CLIPSPAN_OK) status = name_values(&in, err);
    if (status == CLIPSPAN_OK) status = open_model(s, &in, err);
    if (status == CLIPSPAN_OK) status = cli_segment_run(&in.job, in.methods, err);
    if (status == CLIPSPAN_OK && in.job.unlabelled)
        cli_note("%zu images have no class in column %s and were left out", in.job.unlabelled, s->class_column);
    if (status == CLIPSPAN_OK) status = write_results(s, &in, err);
    free_inputs(&in);
    return status;
}

static const cli_option options[] = {
    {"classes", 0, CLI_TEXT, "FILE",
     "class names, one a line, or label, tab, words (default: Pascal VOC's own, else the labels of the images)",
     offsetof(settings, classes)},
    {"templates", 0, CLI_TEXT, "FILE", CLI_TEMPLATES_HELP, offsetof(settings, templates)},
    {"method", 0, CLI_TEXT, "A,B,...", "methods of the list above, or all (default: decomposition)",
     offsetof(settings, methods)},
    {"heads", 0, CLI_TEXT, "HEADS", "the decomposition's: L22.H13, L22, last:4, all, @FILE (default: all, as the paper)",
     offsetof(settings, heads)},
    {"convention", 0, CLI_TEXT, "paper|exact", "how shared terms are spread over heads (default: paper)",
     offsetof(settings, convention)},
    {"protocol", 0, CLI_TEXT, "paper|aligned",
     "masks stretched to the square, or resized and cropped as their images (default: paper)",
     offsetof(settings, protocol)},
    {"semantic", 0, CLI_FLAG, NULL, "a class for every pixel, not object against background", offsetof(settings, semantic)},
    {"background", 0, CLI_TEXT, "RULE",
     "with --semantic, value 0 of a mask: mean: what is not above the image's mean (default); 0 to 1: what is not above"
     " that; none: value 0 is the first class",
     offsetof(settings, background)},
    {"class-column", 0, CLI_TEXT, "NAME",
     "CSV column with each image's true class: its map is taken; with --semantic the object's pixels have it",
     offsetof(settings, class_column)},
    {"centred", 0, CLI_FLAG, NULL, "gradient methods too explain the class minus the mean over classes",
     offsetof(settings, centred)},
    {"source", 0, CLI_TEXT, "folder|csv|voc|matlab", "what DATA is (default: found from the path)",
     offsetof(settings, kind)},
    {"split", 0, CLI_TEXT, "NAME", "Pascal VOC's list of images (default: val)", offsetof(settings, split)},
    {"mask-column", 0, CLI_TEXT, "NAME", "CSV column with the masks (default: mask)", offsetof(settings, mask_column)},
    {"ignore", 0, CLI_TEXT, "VALUE",
     "mask value that is not scored, or none (default: 255 in Pascal VOC and with classes in masks, else none)",
     offsetof(settings, ignore)},
    {"limit", 0, CLI_COUNT, "N", "only the first N images", offsetof(settings, limit)},
    {"strict", 0, CLI_FLAG, NULL, "the first image that cannot be read stops the run", offsetof(settings, strict)},
    {"resamples", 0, CLI_COUNT, "N", "draws of the bootstrap behind the intervals (default: 1000; 0: none)",
     offsetof(settings, resamples)},
    {"masks", 0, CLI_TO_FOLDER, "DIR", "write every mask there, DIR/METHOD/IMAGE.png", offsetof(settings, masks)},
    {"maps", 0, CLI_TO_FOLDER, "DIR", "write the raw maps and the truths there, DIR/METHOD.npy, DIR/truth.npy",
     offsetof(settings, maps)},
    {"json", 0, CLI_FLAG, NULL, "as JSON", offsetof(settings, json)},
    {"csv", 0, CLI_TO_STREAM, "FILE", "also write a table, one line a method", offsetof(settings, csv)},
    {"output", 'o', CLI_TO_STREAM, "FILE", "write there instead of standard output", offsetof(settings, output)},
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_MODEL_OPTIONS(settings, model),
    CLI_END,
};

static const settings defaults = {
    .methods = "decomposition", .heads = "all", .convention = "paper", .protocol = "paper", .resamples = RESAMPLES};

const cli_command cli_segment = {
    .name = "segment",
    .arguments = {"MODEL", "DATA"},
    .summary = "Turn maps into masks and score them against true masks",
    .text = "DATA: a folder with images/ and masks/ of equal names, a CSV with columns path and mask, Pascal VOC's layout,\n"
            "or gtsegs_ijcv.mat. Prints pixel accuracy, mIoU and (object against background) mAP, one row a method:\n"
            "  decomposition            Gandelsman, Efros, Steinhardt, ICLR 2024\n"
            "  raw-attention            Dosovitskiy et al., ICLR 2021\n"
            "  rollout                  Abnar, Zuidema, ACL 2020\n"
            "  gradcam                  Selvaraju et al., ICCV 2017\n"
            "  partial-lrp              Voita et al., ACL 2019\n"
            "  lrp                      Binder et al., ICANN 2016\n"
            "  transformer-attribution  Chefer, Gur, Wolf, CVPR 2021\n"
            "  generic-attention        Chefer, Gur, Wolf, ICCV 2021\n"
            "  maskclip                 Zhou, Loy, Dai, ECCV 2022\n"
            "  clip-surgery             Li et al., 2023\n"
            "  sclip                    Wang, Mei, Yuille, ECCV 2024\n"
            "  naclip                   Hajimiri, Ben Ayed, Dolz, WACV 2025\n"
            "docs/segmentation.md gives the protocols and metrics, docs/relevance.md the methods' formulas.",
    .example = "clipspan segment path/to/ViT-L-14 gtsegs_ijcv.mat --classes imagenet.txt --method all --csv table.csv",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
