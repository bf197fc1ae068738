/* What a model's files say about its input.
 *
 * open_clip: preprocess_cfg of open_clip_config.json; its size is overruled by the network's, as open_clip does.
 * Hugging Face: preprocessor_config.json, or "image_processor" of the processor_config.json that transformers 5
 * writes. Absent keys take the defaults of open_clip's PreprocessCfg and of transformers' CLIPImageProcessor; an
 * absent file too, with the network's size. */
#include "model/parts.h"

#include <string.h>

static const double clip_mean[3] = {0.48145466, 0.4578275, 0.40821073};
static const double clip_std[3] = {0.26862954, 0.26130258, 0.27577711};

static void set_defaults(clsp_preprocess *out, clsp_preprocess_manner manner, int size)
{
    *out = (clsp_preprocess){.manner = manner, .mode = CLSP_RESIZE_SHORTEST, .interpolation = CLSP_BICUBIC,
                             .size = size, .resize = size, .do_resize = true, .do_crop = true, .do_rescale = true,
                             .do_normalize = true, .rescale = 1.0 / 255.0};
    memcpy(out->mean, clip_mean, sizeof clip_mean);
    memcpy(out->std, clip_std, sizeof clip_std);
}

typedef struct choice {
    const char *name;
    int value;
} choice;

static clipspan_status read_choice(const clsp_section *section, const char *key, const choice *choices, int *out,
                                   clipspan_error *err)
{
    const char *name;
    clipspan_status status = clsp_section_string(section, key, choices[0].name, &name, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t i = 0; choices[i].name; i++)
        if (strcmp(choices[i].name, name) == 0) {
            *out = choices[i].value;
            return CLIPSPAN_OK;
        }
    return clsp_section_fail(section, key, err, CLIPSPAN_ERROR_UNSUPPORTED, "'%.64s' is not supported", name);
}

static clipspan_status read_mean_std(clsp_preprocess *out, const clsp_section *section, const char *mean,
                                     const char *std, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clsp_section_triple(section, mean, out->mean, err));
    CLSP_TRY(clsp_section_triple(section, std, out->std, err));
    for (int i = 0; i < 3; i++)
        if (!(out->std[i] > 0)) return clsp_section_unfit(section, std, "three numbers above 0", err);
out:
    return status;
}

clipspan_status clsp_preprocess_open_clip(clsp_preprocess *out, const clsp_section *section, int image_size,
                                          clipspan_error *err)
{
    static const choice interpolations[] = {
        {"bicubic", CLSP_BICUBIC}, {"bilinear", CLSP_BILINEAR}, {"random", CLSP_BICUBIC}, {NULL, 0}};
    static const choice modes[] = {{"shortest", CLSP_RESIZE_SHORTEST}, {"squash", CLSP_RESIZE_SQUASH},
                                   {"longest", CLSP_RESIZE_LONGEST}, {NULL, 0}};
    static const choice colours[] = {{"RGB", 0}, {NULL, 0}};
    clipspan_status status = CLIPSPAN_OK;
    int value = 0, ignored;
    set_defaults(out, CLSP_PREPROCESS_OPEN_CLIP, image_size);
    if (section == NULL) return CLIPSPAN_OK;
    CLSP_TRY(read_choice(section, "mode", colours, &value, err));
    CLSP_TRY(clsp_section_square(section, "size", image_size, CLSP_MAX_IMAGE, &ignored, err));
    CLSP_TRY(read_choice(section, "interpolation", interpolations, &value, err));
    out->interpolation = (clsp_interpolation)value;
    CLSP_TRY(read_choice(section, "resize_mode", modes, &value, err));
    out->mode = (clsp_resize_mode)value;
    CLSP_TRY(clsp_section_int(section, "fill_color", 0, 0, 255, &out->fill, err));
    CLSP_TRY(read_mean_std(out, section, "mean", "std", err));
out:
    return status;
}

/* PIL's numbers: 0 nearest, 2 bilinear, 3 bicubic. */
static clipspan_status read_resample(clsp_preprocess *out, const clsp_section *section, clipspan_error *err)
{
    int number;
    clipspan_status status = clsp_section_int(section, "resample", 3, 0, 5, &number, err);
    if (status != CLIPSPAN_OK) return status;
    if (number != 0 && number != 2 && number != 3)
        return clsp_section_fail(section, "resample", err, CLIPSPAN_ERROR_UNSUPPORTED,
                                 "%d is not supported (0 nearest, 2 bilinear, 3 bicubic)", number);
    out->interpolation = number == 0 ? CLSP_NEAREST : number == 2 ? CLSP_BILINEAR : CLSP_BICUBIC;
    return CLIPSPAN_OK;
}

/* {"height": n, "width": n} */
static clipspan_status read_sides(const clsp_section *section, const char *key, int *out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_section sides;
    int width;
    CLSP_TRY(clsp_section_open(&sides, section, key, err));
    CLSP_TRY(clsp_section_int(&sides, "height", CLSP_REQUIRED, 1, CLSP_MAX_IMAGE, out, err));
    CLSP_TRY(clsp_section_int(&sides, "width", CLSP_REQUIRED, 1, CLSP_MAX_IMAGE, &width, err));
    if (width != *out)
        return clsp_section_fail(section, key, err, CLIPSPAN_ERROR_UNSUPPORTED,
                                 "unequal sides are not supported: %d and %d", *out, width);
out:
    return status;
}

/* An integer or {"shortest_edge": n}: the short side. {"height", "width"}, or an integer with default_to_square:
 * both sides. */
static clipspan_status read_resize(clsp_preprocess *out, const clsp_section *section, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_json *size = clsp_json_get(section->node, "size");
    bool square;
    CLSP_TRY(clsp_section_bool(section, "default_to_square", false, &square, err));
    if (!clsp_json_is_object(size)) {
        if (size && square) out->mode = CLSP_RESIZE_SQUASH;
        return clsp_section_int(section, "size", out->resize, 1, CLSP_MAX_IMAGE, &out->resize, err);
    }
    clsp_section sides = {section->file, "size", size};
    CLSP_TRY(clsp_section_refuse(&sides, "longest_edge", "a bound on the long side is not supported", err));
    CLSP_TRY(clsp_section_refuse(&sides, "max_height", "a bound on the sides is not supported", err));
    CLSP_TRY(clsp_section_refuse(&sides, "max_width", "a bound on the sides is not supported", err));
    if (clsp_json_get(size, "shortest_edge"))
        return clsp_section_int(&sides, "shortest_edge", CLSP_REQUIRED, 1, CLSP_MAX_IMAGE, &out->resize, err);
    out->mode = CLSP_RESIZE_SQUASH;
    CLSP_TRY(read_sides(section, "size", &out->resize, err));
out:
    return status;
}

static clipspan_status read_switches(clsp_preprocess *out, const clsp_section *section, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clsp_section_refuse(section, "use_square_size", "an old form; write \"size\": {\"height\", \"width\"}", err));
    CLSP_TRY(clsp_section_refuse(section, "do_pad", "padding is not supported", err));
    CLSP_TRY(clsp_section_bool(section, "do_resize", true, &out->do_resize, err));
    CLSP_TRY(clsp_section_bool(section, "do_center_crop", true, &out->do_crop, err));
    CLSP_TRY(clsp_section_bool(section, "do_rescale", true, &out->do_rescale, err));
    CLSP_TRY(clsp_section_bool(section, "do_normalize", true, &out->do_normalize, err));
    CLSP_TRY(clsp_section_number(section, "rescale_factor", 1.0 / 255.0, &out->rescale, err));
out:
    return status;
}

/* What comes out must be the network's square, whatever the image. */
static clipspan_status check_output(const clsp_preprocess *p, int crop, int image_size, const clsp_section *section,
                                    clipspan_error *err)
{
    if (p->do_crop && crop != image_size)
        return clsp_section_fail(section, "crop_size", err, CLIPSPAN_ERROR_MISMATCH,
                                 "%d, but the network's image_size is %d", crop, image_size);
    if (!p->do_crop && (!p->do_resize || p->mode == CLSP_RESIZE_SHORTEST))
        return clsp_section_fail(section, "do_center_crop", err, CLIPSPAN_ERROR_UNSUPPORTED,
                                 "false leaves images of different sizes, which is not supported");
    bool whole = p->do_resize && p->mode == CLSP_RESIZE_SQUASH;
    if (whole && p->resize != image_size)
        return clsp_section_fail(section, "size", err, p->do_crop ? CLIPSPAN_ERROR_UNSUPPORTED : CLIPSPAN_ERROR_MISMATCH,
                                 "%d, but the network's image_size is %d", p->resize, image_size);
    return CLIPSPAN_OK;
}

static clipspan_status read_huggingface(clsp_preprocess *out, const clsp_section *section, int image_size,
                                        clipspan_error *err)
{
    static const choice types[] = {{"CLIPImageProcessor", 0}, {"CLIPImageProcessorFast", 0},
                                   {"CLIPImageProcessorPil", 0}, {"CLIPFeatureExtractor", 0}, {NULL, 0}};
    clipspan_status status = CLIPSPAN_OK;
    int ignored, crop = 224; /* CLIPImageProcessor's default, which a file that names no size means */
    out->resize = 224;
    CLSP_TRY(read_choice(section, "image_processor_type", types, &ignored, err));
    CLSP_TRY(read_choice(section, "feature_extractor_type", types + 3, &ignored, err));
    CLSP_TRY(read_switches(out, section, err));
    CLSP_TRY(read_resample(out, section, err));
    CLSP_TRY(read_resize(out, section, err));
    if (clsp_json_is_object(clsp_json_get(section->node, "crop_size")))
        CLSP_TRY(read_sides(section, "crop_size", &crop, err));
    else
        CLSP_TRY(clsp_section_int(section, "crop_size", crop, 1, CLSP_MAX_IMAGE, &crop, err));
    CLSP_TRY(read_mean_std(out, section, "image_mean", "image_std", err));
    CLSP_TRY(check_output(out, crop, image_size, section, err));
out:
    return status;
}

/* The first of the two files that is there; *nested: its settings stand under "image_processor". */
static clipspan_status find_file(char **out, bool *nested, const char *directory, clipspan_error *err)
{
    static const char *const names[] = {"preprocessor_config.json", "processor_config.json"};
    for (int i = 0; i < 2; i++) {
        *out = clsp_path_join(directory, names[i]);
        if (*out == NULL) return clsp_fail_memory(err);
        *nested = i == 1;
        if (clsp_file_exists(*out)) return CLIPSPAN_OK;
        clsp_free(*out);
        *out = NULL;
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_preprocess_huggingface(clsp_preprocess *out, const char *directory, int image_size,
                                            const char **note, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    clsp_json *json = NULL;
    bool nested = false;
    set_defaults(out, CLSP_PREPROCESS_HUGGINGFACE, image_size);
    *note = " (CLIP's defaults: no preprocessor_config.json)";
    CLSP_TRY(find_file(&path, &nested, directory, err));
    if (path == NULL) goto out;
    CLSP_TRY(clsp_json_open(&json, path, CLSP_JSON_MAXIMUM, err));
    clsp_section root = {path, "", json}, inner = root;
    if (nested && clsp_json_get(json, "image_processor") == NULL) goto out; /* a processor_config.json of old: no image part */
    if (nested) CLSP_TRY(clsp_section_open(&inner, &root, "image_processor", err));
    *note = "";
    CLSP_TRY(read_huggingface(out, &inner, image_size, err));
out:
    clsp_json_free(json);
    clsp_free(path);
    return status;
}
