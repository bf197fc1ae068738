/* open_clip_config.json: {"model_cfg": {...}, "preprocess_cfg": {...}}.
 *
 * Absent keys take the defaults of open_clip's CLIPVisionCfg and CLIPTextCfg. What would make another network than
 * CLIP's is refused by its key; what changes training alone (patch_dropout, ...) is passed over. A key that
 * open_clip's classes do not have is refused too: open_clip itself would not start with it. */
#include "model/parts.h"

#include <string.h>

static const char *const model_known[] = {
    "embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_scale", "init_logit_bias",
    "nonscalar_logit_scale", "multimodal_cfg", "cast_dtype", "output_dict", NULL};

static const char *const vision_known[] = {
    "layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "ls_init_value", "patch_dropout",
    "attentional_pool", "attn_pooler_queries", "attn_pooler_heads", "no_ln_pre", "pos_embed_type",
    "final_ln_after_pool", "pool_type", "output_tokens", "act_kwargs", "norm_kwargs", "block_type", "qk_norm",
    "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc", "timm_model_name",
    "timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop", "timm_drop_path",
    "input_patchnorm", "global_average_pool", NULL};

static const char *const text_known[] = {
    "context_length", "vocab_size", "hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs", "width", "heads",
    "layers", "mlp_ratio", "ls_init_value", "embed_cls", "pad_id", "eos_id", "no_causal_mask", "final_ln_after_pool",
    "pool_type", "proj_bias", "proj_type", "output_tokens", "act_kwargs", "norm_kwargs", "block_type", "qk_norm",
    "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc", "hf_model_name",
    "hf_model_pretrained", "hf_proj_type", "hf_pooler_type", NULL};

typedef struct refusal {
    const char *key, *why;
} refusal;

static const refusal block_refusals[] = {
    {"ls_init_value", "layer scale is not supported"},
    {"qk_norm", "normalised queries and keys are not supported"},
    {"scaled_cosine_attn", "cosine attention is not supported"},
    {"scale_heads", "scaled heads are not supported"},
    {"scale_attn_inner", "a norm inside attention is not supported"},
    {"scale_attn", "a norm after attention is not supported"},
    {"scale_fc", "a norm inside the MLP is not supported"},
};
static const refusal vision_refusals[] = {
    {"timm_model_name", "timm image towers are not supported"},
    {"attentional_pool", "attentional pooling is not supported"},
    {"input_patchnorm", "a norm on patches is not supported"},
    {"global_average_pool", "average pooling is not supported; the class token is what is decomposed"},
};
static const refusal text_refusals[] = {
    {"hf_model_name", "Hugging Face text towers are not supported"},
    {"hf_tokenizer_name", "only open_clip's own tokenizer is supported"},
    {"tokenizer_mode", "only open_clip's own tokenizer is supported"},
    {"tokenizer_kwargs", "only open_clip's own tokenizer, with its defaults, is supported"},
    {"embed_cls", "a class token in the text tower is not supported"},
    {"no_causal_mask", "only causal text towers are supported"},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static clipspan_status refuse_all(const clsp_section *section, const refusal *refusals, size_t count,
                                  clipspan_error *err)
{
    for (size_t i = 0; i < count; i++) {
        clipspan_status status = clsp_section_refuse(section, refusals[i].key, refusals[i].why, err);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

/* The key's string must be one of `allowed` (two of them, or one twice). */
static clipspan_status want_string(const clsp_section *section, const char *key, const char *fallback,
                                   const char *first, const char *second, clipspan_error *err)
{
    const char *value;
    clipspan_status status = clsp_section_string(section, key, fallback, &value, err);
    if (status != CLIPSPAN_OK || strcmp(value, first) == 0 || strcmp(value, second) == 0) return status;
    return clsp_section_fail(section, key, err, CLIPSPAN_ERROR_UNSUPPORTED, "'%.64s' is not supported (only '%s')",
                             value, first);
}

/* act_kwargs reaches torch's GELU alone: {"approximate": "tanh"} or "none". */
static clipspan_status read_activation(const clsp_section *section, bool quick, clsp_activation *out,
                                       clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    static const char *const known[] = {"approximate", NULL};
    const char *approximate;
    *out = quick ? CLSP_QUICK_GELU : CLSP_GELU;
    if (clsp_json_length(clsp_json_get(section->node, "act_kwargs")) == 0) return CLIPSPAN_OK;
    clsp_section kwargs;
    CLSP_TRY(clsp_section_open(&kwargs, section, "act_kwargs", err));
    CLSP_TRY(clsp_section_known(&kwargs, known, err));
    if (quick)
        return clsp_section_fail(section, "act_kwargs", err, CLIPSPAN_ERROR_MISMATCH, "quick_gelu takes no options");
    CLSP_TRY(clsp_section_string(&kwargs, "approximate", "none", &approximate, err));
    CLSP_TRY(want_string(&kwargs, "approximate", "none", "tanh", "none", err));
    if (strcmp(approximate, "tanh") == 0) *out = CLSP_GELU_TANH;
out:
    return status;
}

static clipspan_status read_eps(const clsp_section *section, float *out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    static const char *const known[] = {"eps", NULL};
    *out = 1e-5f;
    if (clsp_json_length(clsp_json_get(section->node, "norm_kwargs")) == 0) return CLIPSPAN_OK;
    clsp_section kwargs;
    double eps;
    CLSP_TRY(clsp_section_open(&kwargs, section, "norm_kwargs", err));
    CLSP_TRY(clsp_section_known(&kwargs, known, err));
    CLSP_TRY(clsp_section_number(&kwargs, "eps", 1e-5, &eps, err));
    *out = (float)eps; /* checked as such: 1e-50 is 0 */
    if (!(*out > 0 && *out < 1)) return clsp_section_unfit(&kwargs, "eps", "a number between 0 and 1", err);
out:
    return status;
}

/* What both towers share, but for the heads. */
static clipspan_status read_tower(const clsp_section *section, bool quick, int width, clsp_tower_config *tower,
                                  clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    double ratio;
    CLSP_TRY(refuse_all(section, block_refusals, COUNT(block_refusals), err));
    CLSP_TRY(want_string(section, "block_type", "default", "default", "", err));
    CLSP_TRY(clsp_section_int(section, "width", width, 1, CLSP_MAX_WIDTH, &tower->width, err));
    CLSP_TRY(clsp_section_int(section, "layers", 12, 1, CLSP_MAX_LAYERS, &tower->layers, err));
    CLSP_TRY(clsp_section_number(section, "mlp_ratio", 4, &ratio, err));
    double mlp = tower->width * ratio; /* cut to an integer, as open_clip does */
    if (!(mlp >= 1 && mlp <= CLSP_MAX_WIDTH))
        return clsp_section_unfit(section, "mlp_ratio", "a number that gives a width from 1 to 65536", err);
    tower->mlp_width = (int)mlp;
    CLSP_TRY(read_activation(section, quick, &tower->activation, err));
    CLSP_TRY(read_eps(section, &tower->ln_eps, err));
out:
    return status;
}

static clipspan_status read_vision_pooling(clsp_vision *vision, const clsp_section *section, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    bool no_ln_pre;
    CLSP_TRY(want_string(section, "pool_type", "tok", "tok", "tok", err));
    CLSP_TRY(want_string(section, "pos_embed_type", "learnable", "learnable", "sin_cos_2d", err));
    CLSP_TRY(clsp_section_bool(section, "no_ln_pre", false, &no_ln_pre, err));
    vision->has_ln_pre = !no_ln_pre;
out:
    return status;
}

static clipspan_status read_vision(clsp_vision *vision, const clsp_section *model, bool quick, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_section section;
    int head_width, width;
    CLSP_TRY(clsp_section_open(&section, model, "vision_cfg", err));
    CLSP_TRY(clsp_section_known(&section, vision_known, err));
    CLSP_TRY(refuse_all(&section, vision_refusals, COUNT(vision_refusals), err));
    if (clsp_json_is_array(clsp_json_get(section.node, "layers")))
        return clsp_section_fail(&section, "layers", err, CLIPSPAN_ERROR_UNSUPPORTED,
                                 "a list of layers means a ResNet image tower, which is not supported");
    CLSP_TRY(read_tower(&section, quick, 768, &vision->config, err));
    width = vision->config.width;
    CLSP_TRY(clsp_section_int(&section, "head_width", 64, 1, CLSP_MAX_WIDTH, &head_width, err));
    if (width % head_width != 0)
        return clsp_section_fail(&section, "width", err, CLIPSPAN_ERROR_MISMATCH,
                                 "%d is not a multiple of head_width, %d", width, head_width);
    vision->config.heads = width / head_width;
    CLSP_TRY(clsp_section_square(&section, "image_size", 224, CLSP_MAX_IMAGE, &vision->image_size, err));
    CLSP_TRY(clsp_section_square(&section, "patch_size", 16, CLSP_MAX_IMAGE, &vision->patch_size, err));
    if (vision->patch_size > vision->image_size) /* what is left beside whole patches is not seen, as there */
        return clsp_section_fail(&section, "patch_size", err, CLIPSPAN_ERROR_MISMATCH, "%d is more than image_size, %d",
                                 vision->patch_size, vision->image_size);
    CLSP_TRY(read_vision_pooling(vision, &section, err));
out:
    return status;
}

static clipspan_status read_eot(clsp_text *text, const clsp_section *section, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const char *pool;
    text->eot_id = -1;
    CLSP_TRY(want_string(section, "pool_type", "argmax", "argmax", "eos", err));
    CLSP_TRY(clsp_section_string(section, "pool_type", "argmax", &pool, err));
    if (strcmp(pool, "eos") == 0)
        CLSP_TRY(clsp_section_int(section, "eos_id", 2, 0, text->vocab_size - 1, &text->eot_id, err));
out:
    return status;
}

static clipspan_status read_text(clsp_text *text, const clsp_section *model, bool quick, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_section section;
    CLSP_TRY(clsp_section_open(&section, model, "text_cfg", err));
    CLSP_TRY(clsp_section_known(&section, text_known, err));
    CLSP_TRY(refuse_all(&section, text_refusals, COUNT(text_refusals), err));
    CLSP_TRY(read_tower(&section, quick, 512, &text->config, err));
    CLSP_TRY(clsp_section_int(&section, "heads", 8, 1, CLSP_MAX_WIDTH, &text->config.heads, err));
    if (text->config.width % text->config.heads != 0)
        return clsp_section_fail(&section, "width", err, CLIPSPAN_ERROR_MISMATCH, "%d is not a multiple of heads, %d",
                                 text->config.width, text->config.heads);
    CLSP_TRY(clsp_section_int(&section, "context_length", 77, 2, CLSP_MAX_CONTEXT, &text->context_length, err));
    CLSP_TRY(clsp_section_int(&section, "vocab_size", 49408, 3, CLSP_MAX_VOCAB, &text->vocab_size, err));
    CLSP_TRY(want_string(&section, "proj_type", "linear", "linear", "linear", err));
    CLSP_TRY(clsp_section_bool(&section, "proj_bias", false, &text->has_projection_bias, err));
    CLSP_TRY(read_eot(text, &section, err));
out:
    return status;
}

static clipspan_status read_preprocess(clipspan_model *model, const clsp_section *root, clipspan_error *err)
{
    clsp_section section;
    int size = model->vision.image_size;
    if (clsp_json_get(root->node, "preprocess_cfg") == NULL)
        return clsp_preprocess_open_clip(&model->preprocess, NULL, size, err);
    clipspan_status status = clsp_section_open(&section, root, "preprocess_cfg", err);
    if (status != CLIPSPAN_OK) return status;
    return clsp_preprocess_open_clip(&model->preprocess, &section, size, err);
}

clipspan_status clsp_config_open_clip(clipspan_model *model, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_json *json = NULL;
    clsp_section section;
    bool quick;
    CLSP_TRY(clsp_json_open(&json, path, CLSP_JSON_MAXIMUM, err));
    clsp_section root = {path, "", json};
    CLSP_TRY(clsp_section_open(&section, &root, "model_cfg", err));
    CLSP_TRY(clsp_section_known(&section, model_known, err));
    CLSP_TRY(clsp_section_refuse(&section, "multimodal_cfg", "CoCa is not supported", err));
    CLSP_TRY(clsp_section_int(&section, "embed_dim", CLSP_REQUIRED, 1, CLSP_MAX_WIDTH, &model->embed_dim, err));
    CLSP_TRY(clsp_section_bool(&section, "quick_gelu", false, &quick, err));
    CLSP_TRY(read_vision(&model->vision, &section, quick, err));
    CLSP_TRY(read_text(&model->text, &section, quick, err));
    clsp_config_finish(model);
    CLSP_TRY(read_preprocess(model, &root, err));
out:
    clsp_json_free(json);
    return status;
}
