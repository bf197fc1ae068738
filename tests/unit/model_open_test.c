/* Models that open: both layouts, every variant, and what the fingerprint depends on. */
#include "model_folder.h"

#include <math.h>

static void huggingface_directory(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    folder_make(&recipe);
    clipspan_model *m = folder_open(NULL);
    const clipspan_model_info *info = clipspan_model_get_info(m);
    assert_string_equal(info->layout, "huggingface");
    assert_string_equal(info->family, "clip");
    assert_string_equal(info->name, "model");
    assert_true(info->path[0] == '/');
    assert_string_equal(info->tokenizer, "huggingface");
    assert_string_equal(info->activation, "gelu");
    assert_int_equal(info->grid, 4);
    assert_int_equal(info->tokens, 17);
    assert_int_equal(info->width, 48);
    assert_int_equal(info->head_dim, 12);
    assert_int_equal(info->embed_dim, 24);
    assert_int_equal(info->context_length, 20);
    assert_int_equal(info->vocab_size, model_maker_vocab_size());
    assert_int_equal(m->text.eot_id, model_maker_vocab_size() - 1);
    assert_int_equal(strlen(info->fingerprint), 32);
    assert_true(fabsf(info->logit_scale - expf(3.5f)) < 1e-4f);
    assert_non_null(strstr(info->preprocess, "32"));
    clipspan_model_free(m);
}

static void open_clip_directory(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    recipe.layout = "open_clip";
    recipe.activation = "quick_gelu";
    folder_make(&recipe);
    clipspan_model *m = folder_open(NULL);
    const clipspan_model_info *info = clipspan_model_get_info(m);
    assert_string_equal(info->layout, "open_clip");
    assert_string_equal(info->tokenizer, "open_clip");
    assert_string_equal(info->activation, "quick_gelu");
    assert_int_equal(info->heads, 4);
    assert_int_equal(info->mlp_width, 96);
    assert_int_equal(m->text.eot_id, -1);
    /* q, k, v are thirds of one tensor */
    const clsp_block_weights *b = &m->vision.blocks[1];
    assert_ptr_equal(b->q.tensor, b->v.tensor);
    assert_int_equal(b->k.first, 48);
    assert_int_equal(b->v.first, 96);
    assert_int_equal(b->v.rows, 48);
    clipspan_model_free(m);
}

/* 35 = 4 x 8 + 3: four patches a side, as in transformers and open_clip. */
static void size_not_a_multiple_of_the_patch(void **state)
{
    (void)state;
    static const char *const layouts[] = {"huggingface", "open_clip"};
    for (size_t i = 0; i < 2; i++) {
        model_recipe recipe = MODEL_RECIPE_INIT;
        recipe.layout = layouts[i];
        recipe.image = 35;
        folder_make(&recipe);
        clipspan_model *m = folder_open(NULL);
        const clipspan_model_info *info = clipspan_model_get_info(m);
        assert_int_equal(info->image_size, 35);
        assert_int_equal(info->patch_size, 8);
        assert_int_equal(info->grid, 4);
        assert_int_equal(info->tokens, 17);
        clipspan_model_free(m);
    }
}

static void open_clip_variants(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    recipe.layout = "open_clip";
    recipe.activation = "gelu_tanh";
    recipe.no_ln_pre = recipe.custom_text = recipe.projection_bias = true;
    recipe.width = 77; /* odd head width */
    recipe.heads = 7;
    folder_make(&recipe);
    clipspan_model *m = folder_open(NULL);
    assert_string_equal(m->info.activation, "gelu_tanh");
    assert_int_equal(m->info.head_dim, 11);
    assert_false(m->vision.has_ln_pre);
    assert_null(m->vision.ln_pre_gamma.tensor);
    assert_non_null(m->text.projection_bias.tensor);
    assert_false(m->text.projection.transposed);
    float zeros[3] = {1, 1, 1};
    assert_int_equal(clsp_weight_floats(&m->vision.ln_pre_beta, 3, zeros, NULL), CLIPSPAN_OK);
    assert_true(zeros[0] == 0 && zeros[2] == 0);
    clipspan_model_free(m);
    folder_edit("open_clip_config.json", "vision_cfg", "\"layers\"",
                "\"patch_dropout\": 0.5, \"output_tokens\": true, \"final_ln_after_pool\": true, \"ls_init_value\": null,"
                " \"pool_type\": \"tok\", \"norm_kwargs\": {\"eps\": 1e-6}, \"layers\"");
    m = folder_open(NULL);
    assert_true(m->vision.config.ln_eps == 1e-6f && m->text.config.ln_eps == 1e-5f);
    clipspan_model_free(m);
}

static void weight_types(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    static const struct { clsp_dtype dtype; const char *name, *mixed; } cases[] = {
        {CLSP_F32, "f32", NULL}, {CLSP_F16, "f16", NULL}, {CLSP_BF16, "bf16", NULL},
        {CLSP_F16, "mixed", "vision_model.post_layernorm.weight"}};
    float exact[48], value[48];
    for (size_t i = 0; i < 4; i++) {
        recipe.dtype = cases[i].dtype;
        recipe.mixed = cases[i].mixed;
        folder_make(&recipe);
        clipspan_model *m = folder_open(NULL);
        assert_string_equal(m->info.weight_type, cases[i].name);
        float *out = i == 0 ? exact : value;
        assert_int_equal(clsp_weight_floats(&m->vision.ln_pre_gamma, 48, out, NULL), CLIPSPAN_OK);
        /* half an ulp: 2^-11 of the value in f16, 2^-8 in bf16 */
        for (int j = 0; j < 48; j++)
            assert_true(fabsf(out[j] - exact[j]) <= fabsf(exact[j]) * (cases[i].dtype == CLSP_BF16 ? 0x1p-8f : 0x1p-11f));
        clipspan_model_free(m);
    }
}

static void sharded_is_the_same_model(void **state)
{
    (void)state;
    char fingerprint[2][CLSP_HASH_HEX];
    const char *const layouts[] = {"huggingface", "open_clip"};
    for (int i = 0; i < 4; i++) {
        model_recipe recipe = MODEL_RECIPE_INIT;
        recipe.layout = layouts[i / 2];
        recipe.sharded = i % 2;
        folder_make(&recipe);
        clipspan_model *m = folder_open(NULL);
        strcpy(fingerprint[i % 2], m->info.fingerprint);
        clipspan_model_free(m);
        if (i % 2) assert_string_equal(fingerprint[0], fingerprint[1]);
    }
}

static void take_fingerprint(char out[CLSP_HASH_HEX])
{
    clipspan_model *m = folder_open(NULL);
    strcpy(out, m->info.fingerprint);
    clipspan_model_free(m);
}

static void fingerprint_sees_everything(void **state)
{
    (void)state;
    char first[CLSP_HASH_HEX], again[CLSP_HASH_HEX], other[CLSP_HASH_HEX];
    model_recipe recipe = MODEL_RECIPE_INIT;
    folder_make(&recipe);
    take_fingerprint(first);
    take_fingerprint(again);
    assert_string_equal(first, again);
    folder_edit("config.json", "vision_config", "\"gelu\"", "\"quick_gelu\""); /* configuration */
    take_fingerprint(other);
    assert_string_not_equal(first, other);
    folder_make(&recipe);
    folder_edit("preprocessor_config.json", "image_mean", "0.45", "0.46"); /* preprocessing */
    take_fingerprint(other);
    assert_string_not_equal(first, other);
    recipe.poison = "text_projection.weight"; /* one value of one tensor */
    recipe.poison_value = 0.125f;
    folder_make(&recipe);
    take_fingerprint(other);
    assert_string_not_equal(first, other);
    recipe.poison = NULL; /* not where the files stand, nor the vocabulary */
    recipe.no_tokenizer = true;
    folder_make(&recipe);
    take_fingerprint(other);
    assert_string_equal(first, other);
}

static void large_tensor_is_hashed_in_pieces(void **state)
{
    (void)state;
    char first[CLSP_HASH_HEX], other[CLSP_HASH_HEX];
    model_recipe recipe = MODEL_RECIPE_INIT;
    recipe.mlp = 8192; /* fc1 and fc2 of 1.5 MiB: two pieces */
    folder_make(&recipe);
    take_fingerprint(first);
    recipe.poison = "vision_model.encoder.layers.1.mlp.fc2.weight"; /* its last value, in the second piece */
    recipe.poison_value = 0.5f;
    folder_make(&recipe);
    take_fingerprint(other);
    assert_string_not_equal(first, other);
    recipe.poison_value = INFINITY;
    folder_make(&recipe);
    folder_refused(folder_path(""), NULL, CLIPSPAN_ERROR_FORMAT,
                   (const char *[]){"layers.1.mlp.fc2.weight", "element 393215 is NaN or infinite", NULL});
}

static void no_tokenizer_no_preprocess(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    recipe.no_tokenizer = recipe.no_preprocess = true;
    folder_make(&recipe);
    clipspan_model *m = folder_open(NULL);
    assert_string_equal(m->info.tokenizer, "none");
    assert_null(m->tokenizer);
    assert_int_equal(m->preprocess.size, 32);
    assert_int_equal(m->preprocess.interpolation, CLSP_BICUBIC);
    assert_true(m->preprocess.mean[0] == 0.48145466);
    assert_non_null(strstr(m->info.preprocess, "no preprocessor_config.json"));
    clipspan_model_free(m);
}

static void vocabulary_by_option(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    char elsewhere[512];
    snprintf(elsewhere, sizeof elsewhere, "%s-vocab", folder_path(""));
    clipspan_error err = {0};
    if (model_make(elsewhere, &recipe, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    strcat(elsewhere, "/vocab.json");
    recipe.no_tokenizer = true;
    folder_make(&recipe);
    clipspan_model_options options = CLIPSPAN_MODEL_OPTIONS_INIT;
    options.vocab = elsewhere;
    clipspan_model *m = folder_open(&options);
    assert_non_null(m->tokenizer);
    assert_non_null(m->vocab);
    clipspan_model_free(m);
}

/* Old and new forms of Hugging Face's files. */
static void huggingface_forms(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    recipe.eos_highest = true;
    recipe.no_preprocess = true;
    folder_make(&recipe);
    folder_edit("config.json", "projection_dim", "\"text_config\"", "\"text_config\": {\"hidden_size\": 9}, \"text_config_dict\"");
    const char processor[] = "{\"processor_class\": \"CLIPProcessor\", \"image_processor\": {\"image_processor_type\": "
                             "\"CLIPImageProcessor\", \"size\": 40, \"crop_size\": 32, \"resample\": 2, \"do_rescale\": false}}";
    folder_write("processor_config.json", processor, strlen(processor));
    clipspan_model *m = folder_open(NULL);
    assert_int_equal(m->text.eot_id, -1);
    assert_int_equal(m->info.text_width, 32);
    assert_int_equal(m->preprocess.resize, 40);
    assert_int_equal(m->preprocess.size, 32);
    assert_int_equal(m->preprocess.interpolation, CLSP_BILINEAR);
    assert_false(m->preprocess.do_rescale);
    clipspan_model_free(m);
    const char squash[] = "{\"size\": {\"height\": 32, \"width\": 32}, \"crop_size\": 32, \"do_center_crop\": false, "
                          "\"resample\": 0, \"feature_extractor_type\": \"CLIPFeatureExtractor\"}";
    folder_write("preprocessor_config.json", squash, strlen(squash));
    m = folder_open(NULL);
    assert_int_equal(m->preprocess.mode, CLSP_RESIZE_SQUASH);
    assert_int_equal(m->preprocess.interpolation, CLSP_NEAREST);
    assert_false(m->preprocess.do_crop);
    clipspan_model_free(m);
}

static void tolerated_extras(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    recipe.extra = recipe.retype = "text_model.embeddings.position_ids";
    folder_make(&recipe);
    clipspan_model_free(folder_open(NULL));
    recipe.layout = "open_clip";
    recipe.retype = NULL;
    recipe.extra = recipe.poison = "attn_mask"; /* holds -inf in old files: nothing reads it */
    recipe.poison_value = -INFINITY;
    folder_make(&recipe);
    clipspan_model_free(folder_open(NULL));
}

static void name_is_the_directorys(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    const char *const paths[] = {".", "../model", "../model//"};
    char before[1024];
    folder_make(&recipe);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder_path("")), 0);
    for (int i = 0; i < 3; i++) {
        clipspan_model *m = NULL;
        assert_int_equal(clipspan_model_open(&m, paths[i], NULL, NULL), CLIPSPAN_OK);
        assert_string_equal(m->info.name, "model");
        assert_true(m->info.path[0] == '/');
        clipspan_model_free(m);
    }
    assert_int_equal(chdir(before), 0);
}

/* A directory with both layouts, as published ones are: open_clip's where its weights are. */
static void both_layouts(void **state)
{
    (void)state;
    clipspan_error err;
    model_recipe recipe = MODEL_RECIPE_INIT;
    folder_make(&recipe);
    recipe.layout = "open_clip";
    assert_int_equal(model_make(folder_path(""), &recipe, &err), CLIPSPAN_OK);
    clipspan_model *m = folder_open(NULL);
    assert_string_equal(m->info.layout, "open_clip");
    clipspan_model_free(m);
    unlink(folder_path("open_clip_model.safetensors"));
    m = folder_open(NULL);
    assert_string_equal(m->info.layout, "huggingface");
    clipspan_model_free(m);
}

static void builtin_by_name(void **state)
{
    (void)state;
    model_recipe recipe = MODEL_RECIPE_INIT;
    recipe.layout = "open_clip";
    folder_make(&recipe);
    clipspan_model_options options = CLIPSPAN_MODEL_OPTIONS_INIT;
    options.config = "ViT-B/32-quickgelu"; /* the tiny file is not that: its first tensor says so */
    folder_refused(folder_path("open_clip_model.safetensors"), &options, CLIPSPAN_ERROR_MISMATCH,
                   (const char *[]){"visual.conv1.weight", "[768, 3, 32, 32]", "[48, 3, 8, 8]", "ViT-B/32-quickgelu",
                                    "width x 3 x patch size x patch size", NULL});
    options.config = "ViT-X-99";
    folder_refused(folder_path("open_clip_model.safetensors"), &options, CLIPSPAN_ERROR_ARGUMENT,
                   (const char *[]){"ViT-X-99", "ViT-bigG-14", NULL});
}

static void allocation_failures(void **state)
{
    (void)state;
    const char *const layouts[] = {"huggingface", "open_clip"};
    for (int l = 0; l < 2; l++) {
        model_recipe recipe = MODEL_RECIPE_INIT;
        recipe.layout = layouts[l];
        recipe.layers = recipe.text_layers = 1;
        recipe.sharded = l;
        folder_make(&recipe);
        unsigned long n = 0;
        clipspan_status status = CLIPSPAN_ERROR_MEMORY;
        while (status != CLIPSPAN_OK) {
            clipspan_model *model = NULL;
            clipspan_error err = {CLIPSPAN_OK, ""};
            clsp_alloc_fail_at(++n);
            status = clipspan_model_open(&model, folder_path(""), NULL, &err);
            clsp_alloc_fail_at(0);
            if (status != CLIPSPAN_OK && status != CLIPSPAN_ERROR_MEMORY)
                fail_msg("allocation %lu: %s: %s", n, clipspan_status_name(status), err.message);
            assert_true((status == CLIPSPAN_OK) == (model != NULL));
            clipspan_model_free(model);
            assert_true(n < 100000);
        }
        printf("%s: %lu allocations failed in turn\n", layouts[l], n - 1);
        assert_true(n > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(huggingface_directory), cmocka_unit_test(open_clip_directory),
        cmocka_unit_test(size_not_a_multiple_of_the_patch), cmocka_unit_test(open_clip_variants), cmocka_unit_test(weight_types),
        cmocka_unit_test(sharded_is_the_same_model), cmocka_unit_test(fingerprint_sees_everything),
        cmocka_unit_test(large_tensor_is_hashed_in_pieces), cmocka_unit_test(no_tokenizer_no_preprocess),
        cmocka_unit_test(vocabulary_by_option), cmocka_unit_test(huggingface_forms),
        cmocka_unit_test(tolerated_extras), cmocka_unit_test(both_layouts), cmocka_unit_test(name_is_the_directorys),
        cmocka_unit_test(builtin_by_name),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
