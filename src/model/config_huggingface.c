/* config.json of a Hugging Face CLIP model.
 *
 * Keys that are absent take the defaults of transformers' CLIPConfig, CLIPTextConfig and CLIPVisionConfig: files
 * written by transformers 4.20 and later leave out what equals them. An older file may hold "text_config_dict" or
 * "vision_config_dict" too; transformers completes such an object with the defaults and lets it win, so it is read
 * in place of the other. */
#include "model/parts.h"

#include <stdio.h>
#include <string.h>

typedef struct tower_keys {
    const char *section, *older;
    int width, layers, heads, mlp; /* defaults */
} tower_keys;

static const tower_keys vision_keys = {"vision_config", "vision_config_dict", 768, 12, 12, 3072};
static const tower_keys text_keys = {"text_config", "text_config_dict", 512, 12, 8, 2048};

static clipspan_status read_activation(const clsp_section *section, clsp_activation *out, clipspan_error *err)
{
    static const struct { const char *name; clsp_activation activation; } known[] = {
        {"gelu", CLSP_GELU}, {"gelu_python", CLSP_GELU}, {"quick_gelu", CLSP_QUICK_GELU}, {"gelu_new", CLSP_GELU_TANH},
        {"gelu_pytorch_tanh", CLSP_GELU_TANH}, {"gelu_fast", CLSP_GELU_TANH}};
    const char *name;
    clipspan_status status = clsp_section_string(section, "hidden_act", "quick_gelu", &name, err);
    if (status != CLIPSPAN_OK) return status;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i].activation;
            return CLIPSPAN_OK;
        }
    return clsp_section_fail(section, "hidden_act", err, CLIPSPAN_ERROR_UNSUPPORTED,
                             "activation '%.64s' is not supported (gelu, quick_gelu, gelu_new, gelu_pytorch_tanh)", name);
}

static clipspan_status read_tower(clsp_section *section, const clsp_section *root, const tower_keys *keys,
                                  clsp_tower_config *tower, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    double eps;
    bool older = clsp_json_is_object(clsp_json_get(root->node, keys->older));
    CLSP_TRY(clsp_section_open(section, root, older ? keys->older : keys->section, err));
    CLSP_TRY(clsp_section_int(section, "hidden_size", keys->width, 1, CLSP_MAX_WIDTH, &tower->width, err));
    CLSP_TRY(clsp_section_int(section, "num_hidden_layers", keys->layers, 1, CLSP_MAX_LAYERS, &tower->layers, err));
    CLSP_TRY(clsp_section_int(section, "num_attention_heads", keys->heads, 1, CLSP_MAX_WIDTH, &tower->heads, err));
    CLSP_TRY(clsp_section_int(section, "intermediate_size", keys->mlp, 1, CLSP_MAX_WIDTH, &tower->mlp_width, err));
    if (tower->width % tower->heads != 0)
        return clsp_section_fail(section, "hidden_size", err, CLIPSPAN_ERROR_MISMATCH,
                                 "%d is not a multiple of num_attention_heads, %d", tower->width, tower->heads);
    CLSP_TRY(read_activation(section, &tower->activation, err));
    CLSP_TRY(clsp_section_number(section, "layer_norm_eps", 1e-5, &eps, err));
    tower->ln_eps = (float)eps; /* checked as such: 1e-50 is 0 */
    if (!(tower->ln_eps > 0 && tower->ln_eps < 1))
        return clsp_section_unfit(section, "layer_norm_eps", "a number between 0 and 1", err);
out:
    return status;
}

static clipspan_status read_vision(clsp_vision *vision, const clsp_section *root, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_section section;
    int channels;
    CLSP_TRY(read_tower(&section, root, &vision_keys, &vision->config, err));
    CLSP_TRY(clsp_section_int(&section, "num_channels", 3, 3, 3, &channels, err));
    CLSP_TRY(clsp_section_square(&section, "image_size", 224, CLSP_MAX_IMAGE, &vision->image_size, err));
    CLSP_TRY(clsp_section_square(&section, "patch_size", 32, CLSP_MAX_IMAGE, &vision->patch_size, err));
    if (vision->patch_size > vision->image_size) /* what is left beside whole patches is not seen, as there */
        return clsp_section_fail(&section, "patch_size", err, CLIPSPAN_ERROR_MISMATCH, "%d is more than image_size, %d",
                                 vision->patch_size, vision->image_size);
    vision->has_ln_pre = true;
out:
    return status;
}

/* transformers pools at the highest id where eos_token_id is 2 (a mistake of old files that it keeps alive), else
 * at the first eos_token_id. */
static clipspan_status read_text(clsp_text *text, const clsp_section *root, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_section section;
    CLSP_TRY(read_tower(&section, root, &text_keys, &text->config, err));
    CLSP_TRY(clsp_section_int(&section, "vocab_size", 49408, 3, CLSP_MAX_VOCAB, &text->vocab_size, err));
    CLSP_TRY(clsp_section_int(&section, "max_position_embeddings", 77, 2, CLSP_MAX_CONTEXT, &text->context_length, err));
    CLSP_TRY(clsp_section_int(&section, "eos_token_id", 49407, 0, CLSP_MAX_VOCAB, &text->eot_id, err));
    if (text->eot_id >= text->vocab_size)
        return clsp_section_fail(&section, "eos_token_id", err, CLIPSPAN_ERROR_MISMATCH,
                                 "%d is outside the vocabulary of vocab_size, %d", text->eot_id, text->vocab_size);
    if (text->eot_id == 2) text->eot_id = -1;
out:
    return status;
}

static clipspan_status check_type(const clsp_section *root, clipspan_error *err)
{
    const char *type;
    clipspan_status status = clsp_section_string(root, "model_type", NULL, &type, err);
    if (status != CLIPSPAN_OK) return status;
    if (type == NULL) return clsp_section_unfit(root, "model_type", "\"clip\"", err);
    if (strcmp(type, "clip") == 0) return CLIPSPAN_OK;
    return clsp_section_fail(root, "model_type", err, CLIPSPAN_ERROR_UNSUPPORTED,
                             "'%.64s' is not supported; only \"clip\", with both towers, is read", type);
}

clipspan_status clsp_config_huggingface(clipspan_model *model, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_json *json = NULL;
    CLSP_TRY(clsp_json_open(&json, path, CLSP_JSON_MAXIMUM, err));
    clsp_section root = {path, "", json};
    CLSP_TRY(check_type(&root, err));
    CLSP_TRY(clsp_section_refuse(&root, "quantization_config", "quantized weights are not read", err));
    CLSP_TRY(clsp_section_int(&root, "projection_dim", 512, 1, CLSP_MAX_WIDTH, &model->embed_dim, err));
    CLSP_TRY(read_vision(&model->vision, &root, err));
    CLSP_TRY(read_text(&model->text, &root, err));
    clsp_config_finish(model);
out:
    clsp_json_free(json);
    return status;
}
