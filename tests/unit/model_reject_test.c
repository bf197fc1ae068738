/* Models that must not open, and what the message names. */
#include "model_folder.h"

#include <math.h>
#include <sys/stat.h>

typedef struct config_case {
    const char *layout, *file, *after, *from, *to; /* one edit of a good configuration */
    clipspan_status status;
    const char *texts[4];
} config_case;

#define HF "huggingface", "config.json"
#define PRE "huggingface", "preprocessor_config.json"
#define OC "open_clip", "open_clip_config.json"
#define MISMATCH CLIPSPAN_ERROR_MISMATCH
#define UNSUPPORTED CLIPSPAN_ERROR_UNSUPPORTED
#define FORMAT CLIPSPAN_ERROR_FORMAT

static const config_case config_cases[] = {
    /* Hugging Face: missing, contradictory, foreign */
    {HF, "{", "\"model_type\": \"clip\",", "", MISMATCH, {"config.json", "model_type", "missing"}},
    {HF, "{", "\"clip\"", "\"siglip\"", UNSUPPORTED, {"config.json: model_type", "siglip"}},
    {HF, "{", "\"vision_config\"", "\"vision\"", MISMATCH, {"vision_config", "missing"}},
    {HF, "{", "\"text_config\"", "\"text\"", MISMATCH, {"text_config", "missing"}},
    {HF, "{", "\"text_config\"", "\"text_config\": 3, \"x\"", MISMATCH, {"text_config", "an object", "found 3"}},
    {HF, "vision_config", "\"hidden_size\": 48", "\"hidden_size\": 50", MISMATCH,
     {"vision_config.hidden_size", "50", "num_attention_heads", "4"}},
    {HF, "vision_config", "\"hidden_size\": 48", "\"hidden_size\": \"48\"", MISMATCH, {"vision_config.hidden_size", "\"48\""}},
    {HF, "vision_config", "\"hidden_size\": 48", "\"hidden_size\": 0", MISMATCH, {"vision_config.hidden_size", "found 0"}},
    {HF, "vision_config", "\"hidden_size\": 48", "\"hidden_size\": 1e30", MISMATCH, {"vision_config.hidden_size"}},
    {HF, "vision_config", "\"hidden_size\": 48", "\"hidden_size\": 52", MISMATCH,
     {"model.safetensors: tensor vision_model.embeddings.patch_embedding.weight", "[52, 3, 8, 8]", "[48, 3, 8, 8]", "config.json"}},
    {HF, "vision_config", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", MISMATCH,
     {"vision_model.encoder.layers.3.layer_norm1.weight", "missing", "[48]", "config.json"}},
    {HF, "vision_config", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2", MISMATCH,
     {"vision_model.encoder.layers.2.", "no place", "unknown tensors: 16"}},
    {HF, "vision_config", "\"intermediate_size\": 96", "\"intermediate_size\": 95", MISMATCH,
     {"mlp.fc1.weight", "[95, 48] (MLP width x width)", "[96, 48]"}},
    {HF, "vision_config", "\"image_size\": 32", "\"image_size\": 36", MISMATCH, /* 4 patches a side, as before */
     {"preprocessor_config.json: crop_size: 32", "image_size is 36"}},
    {HF, "vision_config", "\"image_size\": 32", "\"image_size\": 7", MISMATCH,
     {"vision_config.patch_size: 8 is more than image_size, 7"}},
    {HF, "vision_config", "\"patch_size\": 8", "\"patch_size\": 33", MISMATCH,
     {"vision_config.patch_size: 33 is more than image_size, 32"}},
    {HF, "vision_config", "\"patch_size\": 8", "\"patch_size\": 7", MISMATCH, {"patch_embedding.weight", "[48, 3, 7, 7]", "[48, 3, 8, 8]"}},
    {HF, "vision_config", "\"patch_size\": 8", "\"patch_size\": 0", MISMATCH, {"vision_config.patch_size", "found 0"}},
    {HF, "vision_config", "\"patch_size\": 8", "\"patch_size\": -8", MISMATCH, {"vision_config.patch_size", "found -8"}},
    {HF, "vision_config", "\"image_size\": 32", "\"image_size\": [32, 24]", UNSUPPORTED, {"vision_config.image_size", "32 and 24"}},
    {HF, "vision_config", "\"image_size\": 32", "\"image_size\": 40", MISMATCH,
     {"preprocessor_config.json: crop_size: 32", "image_size is 40"}},
    {HF, "vision_config", "\"num_channels\": 3", "\"num_channels\": 4", MISMATCH, {"vision_config.num_channels", "found 4"}},
    {HF, "vision_config", "\"gelu\"", "\"relu\"", UNSUPPORTED, {"vision_config.hidden_act", "relu", "quick_gelu"}},
    {HF, "vision_config", "1e-05", "-1", MISMATCH, {"vision_config.layer_norm_eps", "-1"}},
    {HF, "{", "\"projection_dim\": 24", "\"projection_dim\": 25", MISMATCH,
     {"visual_projection.weight", "[25, 48] (joint dimension x width)", "[24, 48]"}},
    {HF, "text_config", "\"num_attention_heads\": 2", "\"num_attention_heads\": 3", MISMATCH, {"text_config.hidden_size", "32", "3"}},
    {HF, "text_config", "\"eos_token_id\": ", "\"eos_token_id\": 9", MISMATCH, {"text_config.eos_token_id", "vocab_size"}},
    {HF, "text_config", "\"eos_token_id\": ", "\"eos_token_id\": [1], \"x\": ", MISMATCH, {"text_config.eos_token_id", "[1]"}},
    {HF, "text_config", "\"max_position_embeddings\": 20", "\"max_position_embeddings\": 21", MISMATCH,
     {"text_model.embeddings.position_embedding.weight", "[21, 32] (context length x width)"}},
    {HF, "{", "{", "", FORMAT, {"config.json"}},
    {HF, "{", "\"projection_dim\"", "\"quantization_config\": {\"bits\": 4}, \"projection_dim\"", UNSUPPORTED, {"quantization_config"}},
    /* its preprocessing */
    {PRE, "crop_size", "\"height\": 32, \"width\": 32", "\"height\": 40, \"width\": 40", MISMATCH, {"crop_size", "40", "image_size is 32"}},
    {PRE, "crop_size", "\"height\": 32, \"width\": 32", "\"height\": 32, \"width\": 30", UNSUPPORTED, {"crop_size", "32 and 30"}},
    {PRE, "crop_size", "\"height\": 32, ", "", MISMATCH, {"crop_size.height", "missing"}},
    {PRE, "resample", "3", "1", UNSUPPORTED, {"preprocessor_config.json: resample", "1"}},
    {PRE, "do_center_crop", "true", "false", UNSUPPORTED, {"do_center_crop"}},
    {PRE, "size\": {\"short", "shortest_edge", "longest_edge", UNSUPPORTED, {"size.longest_edge"}},
    {PRE, "size\": {\"short", "{\"shortest_edge\": 32}", "0", MISMATCH, {"size", "found 0"}},
    {PRE, "image_std", "0.26", "0", MISMATCH, {"image_std", "above 0"}},
    {PRE, "image_mean", "0.5, ", "", MISMATCH, {"image_mean", "three numbers"}},
    {PRE, "{", "{", "{\"image_processor_type\": \"ViTImageProcessor\", ", UNSUPPORTED, {"image_processor_type", "ViTImageProcessor"}},
    /* open_clip */
    {OC, "{", "\"model_cfg\"", "\"cfg\"", MISMATCH, {"open_clip_config.json: model_cfg", "missing"}},
    {OC, "{", "\"embed_dim\"", "\"init_logit_bias\"", MISMATCH, {"model_cfg.embed_dim", "missing"}},
    {OC, "{", "\"vision_cfg\"", "\"output_dict\"", MISMATCH, {"model_cfg.vision_cfg", "missing"}},
    {OC, "{", "\"embed_dim\"", "\"multimodal_cfg\": {\"width\": 3}, \"embed_dim\"", UNSUPPORTED, {"multimodal_cfg", "CoCa"}},
    {OC, "{", "\"embed_dim\"", "\"vision_tower\": 1, \"embed_dim\"", UNSUPPORTED, {"model_cfg.vision_tower", "unknown key"}},
    {OC, "vision_cfg", "\"layers\": 3", "\"layers\": [3, 4, 6, 3]", UNSUPPORTED, {"vision_cfg.layers", "ResNet"}},
    {OC, "vision_cfg", "\"layers\"", "\"timm_model_name\": \"vit_base\", \"layers\"", UNSUPPORTED, {"vision_cfg.timm_model_name", "vit_base", "timm"}},
    {OC, "vision_cfg", "\"layers\"", "\"attentional_pool\": true, \"layers\"", UNSUPPORTED, {"vision_cfg.attentional_pool"}},
    {OC, "vision_cfg", "\"layers\"", "\"pool_type\": \"avg\", \"layers\"", UNSUPPORTED, {"vision_cfg.pool_type", "avg"}},
    {OC, "vision_cfg", "\"layers\"", "\"ls_init_value\": 1e-5, \"layers\"", UNSUPPORTED, {"vision_cfg.ls_init_value", "layer scale"}},
    {OC, "vision_cfg", "\"layers\"", "\"qk_norm\": true, \"layers\"", UNSUPPORTED, {"vision_cfg.qk_norm"}},
    {OC, "vision_cfg", "\"layers\"", "\"rope\": true, \"layers\"", UNSUPPORTED, {"vision_cfg.rope", "unknown key"}},
    {OC, "vision_cfg", "\"layers\"", "\"act_kwargs\": {\"approximate\": \"sine\"}, \"layers\"", UNSUPPORTED, {"act_kwargs.approximate", "sine"}},
    {OC, "vision_cfg", "\"head_width\": 12", "\"head_width\": 13", MISMATCH, {"vision_cfg.width", "48", "head_width", "13"}},
    {OC, "vision_cfg", "\"image_size\": 32", "\"image_size\": 40", MISMATCH,
     {"visual.positional_embedding", "[26, 48] (patches + 1 x width)", "[17, 48]"}},
    {OC, "vision_cfg", "\"image_size\": 32", "\"image_size\": 7", MISMATCH, {"vision_cfg.patch_size: 8 is more than image_size, 7"}},
    {OC, "vision_cfg", "\"patch_size\": 8", "\"patch_size\": 7", MISMATCH, {"visual.conv1.weight", "[48, 3, 7, 7]", "[48, 3, 8, 8]"}},
    {OC, "vision_cfg", "\"patch_size\": 8", "\"patch_size\": 33", MISMATCH, {"vision_cfg.patch_size: 33 is more than image_size, 32"}},
    {OC, "vision_cfg", "\"patch_size\": 8", "\"patch_size\": 0", MISMATCH, {"vision_cfg.patch_size", "found 0"}},
    {OC, "vision_cfg", "\"patch_size\": 8", "\"patch_size\": -8", MISMATCH, {"vision_cfg.patch_size", "found -8"}},
    {OC, "vision_cfg", "\"no_ln_pre\": false", "\"no_ln_pre\": true", MISMATCH, {"visual.ln_pre.bias", "no place", "unknown tensors: 2"}},
    {OC, "vision_cfg", "\"no_ln_pre\": false", "\"no_ln_pre\": 0", MISMATCH, {"vision_cfg.no_ln_pre", "true or false"}},
    {OC, "text_cfg", "\"heads\"", "\"hf_model_name\": \"xlm\", \"heads\"", UNSUPPORTED, {"text_cfg.hf_model_name", "xlm"}},
    {OC, "text_cfg", "\"heads\"", "\"hf_tokenizer_name\": \"bert\", \"heads\"", UNSUPPORTED, {"text_cfg.hf_tokenizer_name", "bert"}},
    {OC, "text_cfg", "\"heads\"", "\"no_causal_mask\": true, \"heads\"", UNSUPPORTED, {"text_cfg.no_causal_mask"}},
    {OC, "text_cfg", "\"heads\"", "\"pool_type\": \"last\", \"heads\"", UNSUPPORTED, {"text_cfg.pool_type", "last"}},
    {OC, "text_cfg", "\"heads\"", "\"proj_type\": \"none\", \"heads\"", UNSUPPORTED, {"text_cfg.proj_type", "none"}},
    {OC, "text_cfg", "\"heads\": 2", "\"heads\": 5", MISMATCH, {"text_cfg.width", "32", "5"}},
    {OC, "text_cfg", "\"proj_bias\": false", "\"proj_bias\": true", MISMATCH, {"text_projection.weight", "missing"}},
    {OC, "preprocess_cfg", "bicubic", "lanczos", UNSUPPORTED, {"preprocess_cfg.interpolation", "lanczos"}},
    {OC, "preprocess_cfg", "shortest", "stretch", UNSUPPORTED, {"preprocess_cfg.resize_mode", "stretch"}},
};

static void configurations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof config_cases / sizeof *config_cases; i++) {
        const config_case *c = &config_cases[i];
        const char *texts[5] = {c->texts[0], c->texts[1], c->texts[2], c->texts[3], NULL};
        model_recipe recipe = MODEL_RECIPE_INIT;
        recipe.layout = c->layout;
        folder_make(&recipe);
        folder_edit(c->file, c->after, c->from, c->to);
        print_message("%s: %s -> %s\n", c->file, c->from, c->to);
        folder_refused(folder_path(""), NULL, c->status, texts);
    }
}

#define FC1 "vision_model.encoder.layers.2.mlp.fc1.weight"

static void weights(void **state)
{
    (void)state;
    model_recipe r = MODEL_RECIPE_INIT;
    r.omit = FC1;
    folder_make(&r);
    folder_refused(folder_path(""), NULL, MISMATCH, (const char *[]){"model.safetensors: tensor " FC1 " is missing", "[96, 48]", NULL});
    r = (model_recipe)MODEL_RECIPE_INIT;
    r.omit = "logit_scale";
    folder_make(&r);
    folder_refused(folder_path(""), NULL, MISMATCH, (const char *[]){"logit_scale is missing", "[]", NULL});
    r = (model_recipe)MODEL_RECIPE_INIT;
    r.reshape = FC1;
    folder_make(&r);
    folder_refused(folder_path(""), NULL, MISMATCH, (const char *[]){FC1, "[96, 48]", "found [97, 48]", NULL});
    r = (model_recipe)MODEL_RECIPE_INIT;
    r.retype = FC1;
    folder_make(&r);
    folder_refused(folder_path(""), NULL, UNSUPPORTED, (const char *[]){FC1, "F32, F16 or BF16", "I32", NULL});
    r = (model_recipe)MODEL_RECIPE_INIT;
    r.extra = "vision_model.adapter.weight";
    folder_make(&r);
    folder_refused(folder_path(""), NULL, MISMATCH, (const char *[]){"vision_model.adapter.weight", "no place", NULL});
}

static void values_that_are_not_finite(void **state)
{
    (void)state;
    const clsp_dtype dtypes[] = {CLSP_F32, CLSP_F16, CLSP_BF16};
    const float values[] = {NAN, INFINITY, -INFINITY};
    for (int d = 0; d < 3; d++)
        for (int v = 0; v < 3; v++) {
            if (dtypes[d] == CLSP_F16 && v) continue; /* the writer itself refuses infinity in f16 */
            model_recipe r = MODEL_RECIPE_INIT;
            r.dtype = dtypes[d];
            r.poison = FC1;
            r.poison_value = values[v];
            folder_make(&r);
            folder_refused(folder_path(""), NULL, FORMAT, (const char *[]){FC1, "element 4607", "NaN or infinite", NULL});
        }
    model_recipe r = MODEL_RECIPE_INIT; /* the largest finite values pass */
    r.poison = FC1;
    r.poison_value = 3.4028235e38f;
    folder_make(&r);
    clipspan_model_free(folder_open(NULL));
    r.dtype = CLSP_F16;
    r.poison_value = 65504;
    folder_make(&r);
    clipspan_model_free(folder_open(NULL));
}

/* Damage to the safetensors file itself, seen through the model. */
static void damaged_files(void **state)
{
    (void)state;
    clipspan_error err;
    model_recipe r = MODEL_RECIPE_INIT;
    char *bytes;
    size_t size;
    const char *const file[] = {"model.safetensors", NULL};
    folder_make(&r);
    assert_int_equal(clsp_file_read(&bytes, &size, folder_path("model.safetensors"), 1 << 22, &err), CLIPSPAN_OK);
    const size_t lengths[] = {0, 4, 8, 100, size / 2, size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        folder_write("model.safetensors", bytes, lengths[i]);
        folder_refused(folder_path(""), NULL, FORMAT, file);
    }
    unsigned char header[8];
    memcpy(header, bytes, 8);
    memset(bytes, 0xff, 7); /* a header of 72 petabytes */
    bytes[7] = 0;
    folder_write("model.safetensors", bytes, size);
    folder_refused(folder_path(""), NULL, FORMAT, file);
    memcpy(bytes, header, 8);
    char *offsets = strstr(bytes + 8, "\"data_offsets\":[0,"); /* overlapping: two tensors at the file's start */
    char *second = offsets ? strstr(offsets + 1, "\"data_offsets\":[") : NULL;
    assert_non_null(second);
    memcpy(second + 16, "0,", 2);
    folder_write("model.safetensors", bytes, size);
    folder_refused(folder_path(""), NULL, FORMAT, file);
    clsp_free(bytes);
}

static void shards(void **state)
{
    (void)state;
    model_recipe r = MODEL_RECIPE_INIT;
    r.sharded = true;
    folder_make(&r);
    unlink(folder_path("model-00002-of-00002.safetensors"));
    folder_refused(folder_path(""), NULL, CLIPSPAN_ERROR_IO, (const char *[]){"model-00002-of-00002.safetensors", NULL});
    folder_make(&r);
    folder_edit("model.safetensors.index.json", "weight_map", "-00002-of", "-00001-of");
    folder_refused(folder_path(""), NULL, FORMAT, (const char *[]){"model-00001-of-00002.safetensors", NULL});
}

static void wrong_files(void **state)
{
    (void)state;
    model_recipe r = MODEL_RECIPE_INIT;
    folder_make(&r);
    folder_refused("no/such/folder", NULL, CLIPSPAN_ERROR_IO, (const char *[]){"no/such/folder", NULL});
    folder_refused(folder_path("model.safetensors"), NULL, CLIPSPAN_ERROR_ARGUMENT,
                   (const char *[]){"bare state dict", "ViT-B-16", NULL});
    folder_refused(folder_path("config.json"), NULL, CLIPSPAN_ERROR_ARGUMENT, (const char *[]){"config.json", NULL});
    clipspan_model_options options = CLIPSPAN_MODEL_OPTIONS_INIT;
    options.config = "ViT-B-16"; /* Hugging Face's names in a bare file */
    folder_refused(folder_path("model.safetensors"), &options, MISMATCH,
                   (const char *[]){"visual.conv1.weight", "Hugging Face's names", NULL});
    unlink(folder_path("model.safetensors"));
    folder_refused(folder_path(""), NULL, CLIPSPAN_ERROR_IO, (const char *[]){"no weights", "model.safetensors", NULL});
    folder_write("pytorch_model.bin", "PK", 2);
    folder_refused(folder_path(""), NULL, UNSUPPORTED, (const char *[]){"pytorch_model.bin", "convert", "save_file", NULL});
    folder_refused(folder_path("pytorch_model.bin"), NULL, UNSUPPORTED, (const char *[]){"convert", NULL});
    unlink(folder_path("config.json"));
    folder_refused(folder_path(""), NULL, CLIPSPAN_ERROR_IO, (const char *[]){"no config.json", "ViT-B-16", NULL});
    r.layout = "open_clip";
    folder_make(&r);
    unlink(folder_path("open_clip_model.safetensors"));
    folder_write("open_clip_pytorch_model.bin", "PK", 2);
    folder_refused(folder_path(""), NULL, UNSUPPORTED, (const char *[]){"open_clip_pytorch_model.bin", "convert", NULL});
}

static void vocabulary(void **state)
{
    (void)state;
    model_recipe r = MODEL_RECIPE_INIT;
    folder_make(&r);
    folder_write("vocab.json", "{", 1);
    folder_refused(folder_path(""), NULL, FORMAT, (const char *[]){"vocab.json", NULL});
    clipspan_model_options options = CLIPSPAN_MODEL_OPTIONS_INIT;
    options.vocab = "no/such/vocab.json";
    folder_refused(folder_path(""), &options, CLIPSPAN_ERROR_IO, (const char *[]){"no/such/vocab.json", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations), cmocka_unit_test(weights), cmocka_unit_test(values_that_are_not_finite),
        cmocka_unit_test(damaged_files), cmocka_unit_test(shards), cmocka_unit_test(wrong_files),
        cmocka_unit_test(vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
