/* Opening a model: find the files, read the configuration, map the weights, bind names, fingerprint, tokenizer. */
#include "model/parts.h"

static clipspan_status read_configuration(clipspan_model *model, const clsp_model_files *files, const char **note,
                                          clipspan_error *err)
{
    *note = "";
    if (files->config == NULL) {
        *note = " (open_clip's defaults)";
        return clsp_config_builtin(model, files->name, err);
    }
    if (files->layout == CLSP_LAYOUT_OPEN_CLIP) return clsp_config_open_clip(model, files->config, err);
    clipspan_status status = clsp_config_huggingface(model, files->config, err);
    if (status != CLIPSPAN_OK) return status;
    return clsp_preprocess_huggingface(&model->preprocess, files->directory, model->vision.image_size, note, err);
}

static clipspan_status open_weights(clipspan_model *model, const clsp_model_files *files, clipspan_error *err)
{
    if (files->sharded) return clsp_safetensors_open_index(&model->weights, files->weights, err);
    return clsp_safetensors_open(&model->weights, files->weights, err);
}

static const char *weight_type(const clipspan_model *model, const bool *used)
{
    int seen = -1;
    for (size_t i = 0; i < clsp_safetensors_count(model->weights); i++) {
        if (!used[i]) continue;
        int dtype = (int)clsp_safetensors_at(model->weights, i)->dtype;
        if (seen >= 0 && seen != dtype) return "mixed";
        seen = dtype;
    }
    return seen == CLSP_F32 ? "f32" : seen == CLSP_F16 ? "f16" : "bf16";
}

static uint64_t count_parameters(const clipspan_model *model, const bool *used)
{
    uint64_t total = 0;
    for (size_t i = 0; i < clsp_safetensors_count(model->weights); i++)
        if (used[i]) total += clsp_safetensors_at(model->weights, i)->count;
    return total;
}

/* Names, values, fingerprint: everything that looks at the weights. */
static clipspan_status bind_weights(clipspan_model *model, const clsp_model_files *files, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    bool *used = NULL;
    CLSP_TRY(open_weights(model, files, err));
    CLSP_ALLOC(used, clsp_alloc_zero(clsp_safetensors_count(model->weights), sizeof *used));
    CLSP_TRY(clsp_names_bind(model, files->layout, files->config ? files->config : files->name, used, err));
    CLSP_TRY(clsp_fingerprint_recall(model, used, err));
    model->info.weight_type = weight_type(model, used);
    model->info.parameters = count_parameters(model, used);
out:
    clsp_free(used);
    return status;
}

static clipspan_status open_tokenizer(clipspan_model *model, const clsp_model_files *files, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *path = NULL;
    bool open_clip = files->layout == CLSP_LAYOUT_OPEN_CLIP;
    clsp_tokenizer_manner manner = open_clip ? CLSP_TOKENIZER_OPEN_CLIP : CLSP_TOKENIZER_HUGGINGFACE;
    model->info.tokenizer = "none";
    if (model->vocab)
        CLSP_ALLOC(path, clsp_strdup(model->vocab));
    else
        CLSP_TRY(clsp_files_vocab(&path, files, err));
    if (path == NULL) goto out;
    CLSP_TRY(clsp_tokenizer_open(&model->tokenizer, path, manner, model->text.context_length, model->text.vocab_size,
                                 err));
    model->info.tokenizer = open_clip ? "open_clip" : "huggingface";
out:
    clsp_free(path);
    return status;
}

static clipspan_status copy_strings(clipspan_model *model, const clsp_model_files *files, const char *path,
                                    const clipspan_model_options *options, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_ALLOC(model->name, clsp_strdup(files->name));
    CLSP_ALLOC(model->path, clsp_files_absolute(path));
    if (options && options->config) CLSP_ALLOC(model->config, clsp_strdup(options->config));
    if (options && options->vocab) CLSP_ALLOC(model->vocab, clsp_files_absolute(options->vocab));
out:
    return status;
}

/* "" stands for the user's own place, which need not exist. */
static clipspan_status take_cache(clipspan_model *model, const clipspan_model_options *options, clipspan_error *err)
{
    if (options == NULL || options->cache == NULL) return CLIPSPAN_OK;
    if (options->hooks != NULL) model->hooks = *options->hooks;
    model->cache = options->cache[0] ? clsp_strdup(options->cache) : clsp_cache_folder();
    if (model->cache != NULL) return CLIPSPAN_OK;
    if (options->cache[0]) return clsp_fail_memory(err);
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                     "no place for a cache: neither XDG_CACHE_HOME nor HOME is set; name a folder");
}

static clipspan_status describe_preprocess(clipspan_model *model, const char *note, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *words;
    CLSP_ALLOC(words, clsp_preprocess_words(&model->preprocess));
    CLSP_ALLOC(model->preprocess_words, clsp_format("%s%s", words, note));
out:
    clsp_free(words);
    return status;
}

static void fill_towers(clipspan_model_info *info, const clipspan_model *model)
{
    const clsp_vision *vision = &model->vision;
    const clsp_text *text = &model->text;
    info->image_size = vision->image_size;
    info->patch_size = vision->patch_size;
    info->grid = vision->grid;
    info->tokens = vision->tokens;
    info->width = vision->config.width;
    info->layers = vision->config.layers;
    info->heads = vision->config.heads;
    info->head_dim = vision->config.head_dim;
    info->mlp_width = vision->config.mlp_width;
    info->embed_dim = model->embed_dim;
    info->text_width = text->config.width;
    info->text_layers = text->config.layers;
    info->text_heads = text->config.heads;
    info->text_mlp_width = text->config.mlp_width;
    info->context_length = text->context_length;
    info->vocab_size = text->vocab_size;
}

static void fill_info(clipspan_model *model, clsp_layout layout)
{
    static const char *const activations[] = {"gelu", "quick_gelu", "gelu_tanh"};
    clipspan_model_info *info = &model->info;
    info->name = model->name;
    info->path = model->path;
    info->family = "clip";
    info->layout = layout == CLSP_LAYOUT_HUGGINGFACE ? "huggingface" : "open_clip";
    info->activation = activations[model->vision.config.activation];
    info->fingerprint = model->fingerprint;
    info->logit_scale = model->logit_scale;
    info->preprocess = model->preprocess_words;
    fill_towers(info, model);
}

clipspan_status clsp_model_open_files(clipspan_model **out, const char *path, const clsp_model_files *files,
                                      const clipspan_model_options *options, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_model *model = NULL;
    const char *note;
    *out = NULL;
    CLSP_ALLOC(model, clsp_alloc_zero(1, sizeof *model));
    CLSP_ALLOC(model->shared, clsp_shared_new());
    CLSP_TRY(copy_strings(model, files, path, options, err));
    CLSP_TRY(take_cache(model, options, err));
    CLSP_TRY(read_configuration(model, files, &note, err));
    CLSP_TRY(bind_weights(model, files, err));
    CLSP_TRY(open_tokenizer(model, files, err));
    CLSP_TRY(describe_preprocess(model, note, err));
    fill_info(model, files->layout);
    *out = model;
    model = NULL;
out:
    clipspan_model_free(model);
    return status;
}

clipspan_status clipspan_model_open(clipspan_model **out, const char *path, const clipspan_model_options *options,
                                    clipspan_error *err)
{
    clsp_model_files files = {.layout = CLSP_LAYOUT_OPEN_CLIP};
    *out = NULL;
    clipspan_status status = clsp_files_find(&files, path, options, err);
    if (status == CLIPSPAN_OK) status = clsp_model_open_files(out, path, &files, options, err);
    clsp_files_free(&files);
    return status;
}

void clipspan_model_free(clipspan_model *model)
{
    if (model == NULL) return;
    clsp_tokenizer_free(model->tokenizer);
    clsp_safetensors_free(model->weights);
    clsp_free(model->vision.blocks);
    clsp_free(model->text.blocks);
    clsp_free(model->name);
    clsp_free(model->path);
    clsp_free(model->preprocess_words);
    clsp_free(model->config);
    clsp_free(model->vocab);
    clsp_free(model->cache);
    clsp_shared_free(model->shared);
    clsp_free(model);
}

void clsp_model_warn(const clipspan_model *model, const char *what, const char *why)
{
    if (model->hooks.warn == NULL) return;
    char *line = clsp_format("%s: %s", what, why);
    if (line != NULL) model->hooks.warn(model->hooks.user, line);
    clsp_free(line);
}

const clipspan_model_info *clipspan_model_get_info(const clipspan_model *model)
{
    return &model->info;
}

clipspan_status clsp_weight_floats(const clsp_weight *weight, size_t expected, float *out, clipspan_error *err)
{
    if (weight->tensor == NULL) {
        for (size_t i = 0; i < expected; i++) out[i] = 0;
        return CLIPSPAN_OK;
    }
    size_t count = weight->rows * weight->columns;
    if (count != expected)
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "%s: tensor %s: %zu values asked for, %zu bound",
                         weight->tensor->file, weight->tensor->name, expected, count);
    return clsp_tensor_floats(weight->tensor, weight->first * weight->columns, count, out, err);
}
