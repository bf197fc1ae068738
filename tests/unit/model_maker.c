/* Small random models on disk. Names and files are written out here on their own, not from src/model's tables, so
 * that a mistake there does not repeat itself here. */
#include "model_maker.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/json.h"

/* ---- vocabulary --------------------------------------------------------------------------------------- */

/* Merges in rank order; "</w>" ends a word. */
static const char *const merges[] = {
    "r e", "re d</w>", "a n", "o f</w>", "p h", "o t", "ph ot", "phot o</w>", "s q", "sq u", "squ a", "squa r", "squar e</w>",
    "b l", "bl u", "blu e</w>", "o n</w>", "i n</w>", "t h", "th e</w>", "c i", "ci r", "cir c", "circ l", "circl e</w>"};
enum { MERGES = sizeof merges / sizeof *merges, BYTES = 256 };

int model_maker_vocab_size(void)
{
    return 2 * BYTES + MERGES + 2;
}

/* The byte alphabet of GPT-2: printable bytes stand for themselves, the rest for U+0100 and up. In the order of
 * OpenAI's vocabulary: first those, then these. */
static bool is_plain(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

static void put_rune(char out[4], int rune)
{
    if (rune < 0x80) {
        out[0] = (char)rune;
        out[1] = '\0';
    } else {
        out[0] = (char)(0xc0 | rune >> 6);
        out[1] = (char)(0x80 | (rune & 0x3f));
        out[2] = '\0';
    }
}

static void byte_alphabet(char out[BYTES][4])
{
    int n = 0, next = 256;
    for (int b = 0; b < BYTES; b++)
        if (is_plain(b)) put_rune(out[n++], b);
    for (int b = 0; b < BYTES; b++)
        if (!is_plain(b)) put_rune(out[n++], next++);
}

static clipspan_status write_text(const char *directory, const char *name, const char *text, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_output output = {0};
    char *path;
    CLSP_ALLOC(path, clsp_path_join(directory, name));
    CLSP_TRY(clsp_output_open(&output, path, err));
    CLSP_TRY(clsp_output_write(&output, text, strlen(text), err));
    CLSP_TRY(clsp_output_commit(&output, err));
out:
    clsp_output_discard(&output);
    clsp_free(path);
    return status;
}

static clipspan_status write_json(const char *directory, const char *name, clsp_json *json, clipspan_error *err)
{
    char *path = clsp_path_join(directory, name);
    clipspan_status status = path && json ? clsp_json_write(json, path, err) : clsp_fail_memory(err);
    clsp_json_free(json);
    clsp_free(path);
    return status;
}

static clipspan_status write_vocabulary(const char *directory, clipspan_error *err)
{
    char alphabet[BYTES][4], token[32], text[1024] = "#version: 0.2\n";
    clsp_json *vocab = clsp_json_new_object();
    bool ok = vocab != NULL;
    int id = 0;
    byte_alphabet(alphabet);
    for (int i = 0; i < BYTES; i++) ok = ok && clsp_json_put(vocab, alphabet[i], clsp_json_new_int(id++));
    for (int i = 0; i < BYTES; i++) {
        snprintf(token, sizeof token, "%.3s</w>", alphabet[i]);
        ok = ok && clsp_json_put(vocab, token, clsp_json_new_int(id++));
    }
    for (int i = 0; i < MERGES; i++) {
        const char *space = strchr(merges[i], ' ');
        snprintf(token, sizeof token, "%.*s%s", (int)(space - merges[i]), merges[i], space + 1);
        ok = ok && clsp_json_put(vocab, token, clsp_json_new_int(id++));
        strcat(strcat(text, merges[i]), "\n");
    }
    ok = ok && clsp_json_put(vocab, "<|startoftext|>", clsp_json_new_int(id++));
    ok = ok && clsp_json_put(vocab, "<|endoftext|>", clsp_json_new_int(id++));
    if (!ok) {
        clsp_json_free(vocab);
        return clsp_fail_memory(err);
    }
    clipspan_status status = write_json(directory, "vocab.json", vocab, err);
    return status == CLIPSPAN_OK ? write_text(directory, "merges.txt", text, err) : status;
}

/* ---- configuration ------------------------------------------------------------------------------------ */

static clipspan_status write_huggingface_config(const char *directory, const model_recipe *r, clipspan_error *err)
{
    const char *activation = strcmp(r->activation, "gelu_tanh") == 0 ? "gelu_pytorch_tanh" : r->activation;
    int vocab = model_maker_vocab_size();
    char *text = clsp_format(
        "{\n  \"architectures\": [\"CLIPModel\"],\n  \"model_type\": \"clip\",\n  \"projection_dim\": %d,\n"
        "  \"text_config\": {\n    \"hidden_size\": %d,\n    \"intermediate_size\": %d,\n    \"num_hidden_layers\": %d,\n"
        "    \"num_attention_heads\": %d,\n    \"max_position_embeddings\": %d,\n    \"vocab_size\": %d,\n"
        "    \"bos_token_id\": %d,\n    \"eos_token_id\": %d,\n    \"hidden_act\": \"%s\",\n"
        "    \"layer_norm_eps\": 1e-05\n  },\n"
        "  \"vision_config\": {\n    \"hidden_size\": %d,\n    \"intermediate_size\": %d,\n    \"num_hidden_layers\": %d,\n"
        "    \"num_attention_heads\": %d,\n    \"image_size\": %d,\n    \"patch_size\": %d,\n    \"num_channels\": 3,\n"
        "    \"hidden_act\": \"%s\",\n    \"layer_norm_eps\": 1e-05\n  }\n}\n",
        r->embed, r->text_width, r->text_mlp, r->text_layers, r->text_heads, r->context, vocab, vocab - 2,
        r->eos_highest ? 2 : vocab - 1, activation, r->width, r->mlp, r->layers, r->heads, r->image, r->patch,
        activation);
    clipspan_status status = text ? write_text(directory, "config.json", text, err) : clsp_fail_memory(err);
    clsp_free(text);
    if (status != CLIPSPAN_OK || r->no_preprocess) return status;
    text = clsp_format("{\n  \"crop_size\": {\"height\": %d, \"width\": %d},\n  \"do_center_crop\": true,\n"
                       "  \"do_normalize\": true,\n  \"do_resize\": true,\n"
                       "  \"image_mean\": [0.5, 0.45, 0.4],\n  \"image_std\": [0.26, 0.27, 0.28],\n"
                       "  \"resample\": 3,\n  \"size\": {\"shortest_edge\": %d}\n}\n",
                       r->image, r->image, r->image);
    status = text ? write_text(directory, "preprocessor_config.json", text, err) : clsp_fail_memory(err);
    clsp_free(text);
    return status;
}

static clipspan_status write_open_clip_config(const char *directory, const model_recipe *r, clipspan_error *err)
{
    bool quick = strcmp(r->activation, "quick_gelu") == 0, tanh_gelu = strcmp(r->activation, "gelu_tanh") == 0;
    const char *kwargs = tanh_gelu ? "\n      \"act_kwargs\": {\"approximate\": \"tanh\"}," : "";
    char *preprocess = clsp_format(",\n  \"preprocess_cfg\": {\n    \"mean\": [0.5, 0.45, 0.4],\n"
                                   "    \"std\": [0.26, 0.27, 0.28],\n    \"interpolation\": \"bicubic\",\n"
                                   "    \"resize_mode\": \"shortest\"\n  }");
    char *text = clsp_format(
        "{\n  \"model_cfg\": {\n    \"embed_dim\": %d,\n    \"quick_gelu\": %s,\n    \"custom_text\": %s,\n"
        "    \"vision_cfg\": {%s\n      \"image_size\": %d,\n      \"patch_size\": %d,\n      \"width\": %d,\n"
        "      \"layers\": %d,\n      \"head_width\": %d,\n      \"mlp_ratio\": %.17g,\n      \"no_ln_pre\": %s\n    },\n"
        "    \"text_cfg\": {%s\n      \"context_length\": %d,\n      \"vocab_size\": %d,\n      \"width\": %d,\n"
        "      \"heads\": %d,\n      \"layers\": %d,\n      \"mlp_ratio\": %.17g,\n      \"proj_bias\": %s\n    }\n  }%s\n}\n",
        r->embed, quick ? "true" : "false", r->custom_text ? "true" : "false", kwargs, r->image, r->patch, r->width,
        r->layers, r->width / r->heads, (r->mlp + 0.25) / r->width, r->no_ln_pre ? "true" : "false", kwargs, r->context,
        model_maker_vocab_size(), r->text_width, r->text_heads, r->text_layers, (r->text_mlp + 0.25) / r->text_width,
        r->projection_bias ? "true" : "false", r->no_preprocess || !preprocess ? "" : preprocess);
    clipspan_status status = text ? write_text(directory, "open_clip_config.json", text, err) : clsp_fail_memory(err);
    clsp_free(text);
    clsp_free(preprocess);
    return status;
}

/* ---- weights ------------------------------------------------------------------------------------------ */

typedef enum kind { MATRIX, TABLE, GAMMA, BETA, SCALE } kind;

typedef struct plan {
    clsp_tensor_plan tensor;
    kind kind;
    size_t inputs; /* of a matrix, for its scale */
} plan;

typedef struct plans {
    plan *items;
    size_t count;
    const model_recipe *recipe;
    char (*names)[96];
} plans;

enum { MAX_PLANS = 4096, NAME = 96 };

static void join(char full[NAME], const char *prefix, const char *name)
{
    size_t n = clsp_min(strlen(prefix), NAME - 1), m = clsp_min(strlen(name), NAME - 1 - n);
    memcpy(full, prefix, n);
    memcpy(full + n, name, m);
    full[n + m] = '\0';
}

static void add(plans *p, const char *name, kind what, size_t inputs, int dims, const size_t *shape)
{
    const model_recipe *r = p->recipe;
    if ((r->omit && strcmp(r->omit, name) == 0) || p->count == MAX_PLANS) return;
    plan *item = &p->items[p->count];
    join(p->names[p->count], name, "");
    *item = (plan){{p->names[p->count], r->dtype, dims, {0}}, what, inputs};
    for (int i = 0; i < dims; i++) item->tensor.shape[i] = shape[i];
    if (r->mixed && strcmp(r->mixed, name) == 0) item->tensor.dtype = CLSP_F32;
    if (r->retype && strcmp(r->retype, name) == 0) item->tensor.dtype = CLSP_I32;
    if (r->reshape && strcmp(r->reshape, name) == 0) item->tensor.shape[0]++;
    p->count++;
}

static void add_vector(plans *p, const char *prefix, const char *name, kind what, int n)
{
    char full[NAME];
    join(full, prefix, name);
    add(p, full, what, 0, 1, (const size_t[]){(size_t)n});
}

static void add_matrix(plans *p, const char *prefix, const char *name, kind what, int rows, int columns)
{
    char full[NAME];
    join(full, prefix, name);
    add(p, full, what, (size_t)columns, 2, (const size_t[]){(size_t)rows, (size_t)columns});
}

/* weight [out, in] and bias */
static void add_linear(plans *p, const char *prefix, const char *name, int rows, int columns)
{
    char full[NAME];
    join(full, prefix, name);
    add_matrix(p, full, ".weight", MATRIX, rows, columns);
    add_vector(p, full, ".bias", BETA, rows);
}

static void add_norm(plans *p, const char *prefix, const char *name, int width)
{
    char full[NAME];
    join(full, prefix, name);
    add_vector(p, full, ".weight", GAMMA, width);
    add_vector(p, full, ".bias", BETA, width);
}

static void add_huggingface_blocks(plans *p, const char *tower, int layers, int width, int mlp)
{
    for (int i = 0; i < layers; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%s.encoder.layers.%d.", tower, i);
        add_norm(p, prefix, "layer_norm1", width);
        add_norm(p, prefix, "layer_norm2", width);
        add_linear(p, prefix, "self_attn.q_proj", width, width);
        add_linear(p, prefix, "self_attn.k_proj", width, width);
        add_linear(p, prefix, "self_attn.v_proj", width, width);
        add_linear(p, prefix, "self_attn.out_proj", width, width);
        add_linear(p, prefix, "mlp.fc1", mlp, width);
        add_linear(p, prefix, "mlp.fc2", width, mlp);
    }
}

static void add_patch(plans *p, const char *name)
{
    const model_recipe *r = p->recipe;
    size_t side = (size_t)r->patch;
    add(p, name, MATRIX, 3 * side * side, 4, (const size_t[]){(size_t)r->width, 3, side, side});
}

static void add_huggingface(plans *p)
{
    const model_recipe *r = p->recipe;
    int grid = r->image / r->patch;
    add(p, "logit_scale", SCALE, 0, 0, NULL);
    add_vector(p, "vision_model.", "embeddings.class_embedding", TABLE, r->width);
    add_patch(p, "vision_model.embeddings.patch_embedding.weight");
    add_matrix(p, "vision_model.", "embeddings.position_embedding.weight", TABLE, grid * grid + 1, r->width);
    add_norm(p, "vision_model.", "pre_layrnorm", r->width);
    add_norm(p, "vision_model.", "post_layernorm", r->width);
    add_huggingface_blocks(p, "vision_model", r->layers, r->width, r->mlp);
    add_matrix(p, "", "visual_projection.weight", MATRIX, r->embed, r->width);
    add_matrix(p, "text_model.", "embeddings.token_embedding.weight", TABLE, model_maker_vocab_size(), r->text_width);
    add_matrix(p, "text_model.", "embeddings.position_embedding.weight", TABLE, r->context, r->text_width);
    add_norm(p, "text_model.", "final_layer_norm", r->text_width);
    add_huggingface_blocks(p, "text_model", r->text_layers, r->text_width, r->text_mlp);
    add_matrix(p, "", "text_projection.weight", MATRIX, r->embed, r->text_width);
}

static void add_open_clip_blocks(plans *p, const char *tower, int layers, int width, int mlp)
{
    for (int i = 0; i < layers; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%stransformer.resblocks.%d.", tower, i);
        add_norm(p, prefix, "ln_1", width);
        add_matrix(p, prefix, "attn.in_proj_weight", MATRIX, 3 * width, width);
        add_vector(p, prefix, "attn.in_proj_bias", BETA, 3 * width);
        add_linear(p, prefix, "attn.out_proj", width, width);
        add_norm(p, prefix, "ln_2", width);
        add_linear(p, prefix, "mlp.c_fc", mlp, width);
        add_linear(p, prefix, "mlp.c_proj", width, mlp);
    }
}

static void add_open_clip(plans *p)
{
    const model_recipe *r = p->recipe;
    const char *text = r->custom_text ? "text." : "";
    int grid = r->image / r->patch;
    add(p, "logit_scale", SCALE, 0, 0, NULL);
    add_vector(p, "visual.", "class_embedding", TABLE, r->width);
    add_patch(p, "visual.conv1.weight");
    add_matrix(p, "visual.", "positional_embedding", TABLE, grid * grid + 1, r->width);
    if (!r->no_ln_pre) add_norm(p, "visual.", "ln_pre", r->width);
    add_norm(p, "visual.", "ln_post", r->width);
    add_matrix(p, "visual.", "proj", MATRIX, r->width, r->embed);
    add_open_clip_blocks(p, "visual.", r->layers, r->width, r->mlp);
    add_matrix(p, text, "token_embedding.weight", TABLE, model_maker_vocab_size(), r->text_width);
    add_matrix(p, text, "positional_embedding", TABLE, r->context, r->text_width);
    add_norm(p, text, "ln_final", r->text_width);
    if (r->projection_bias)
        add_linear(p, text, "text_projection", r->embed, r->text_width);
    else
        add_matrix(p, text, "text_projection", MATRIX, r->text_width, r->embed);
    add_open_clip_blocks(p, text, r->text_layers, r->text_width, r->text_mlp);
}

/* Roughly normal numbers: the sum of four uniform ones, of variance 1. */
static double normal(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(*state >> 11) / 9007199254740992.0 - 0.5;
    }
    return sum * 1.7320508075688772;
}

static float draw(const plan *item, uint64_t *state)
{
    switch (item->kind) {
    case MATRIX: return (float)(normal(state) * 1.6 / sqrt((double)item->inputs));
    case TABLE: return (float)(normal(state) * 0.7);
    case GAMMA: return (float)(1 + 0.3 * normal(state));
    case BETA: return (float)(0.2 * normal(state));
    default: return 3.5f;
    }
}

static clipspan_status write_tensor(clsp_safetensors_writer *writer, const plan *item, const model_recipe *r,
                                    uint64_t *state, clipspan_error *err)
{
    size_t count = 1;
    for (int i = 0; i < item->tensor.dims; i++) count *= item->tensor.shape[i];
    float *values = clsp_alloc_zero(count + 1, sizeof *values);
    if (values == NULL) return clsp_fail_memory(err);
    clipspan_status status;
    if (item->tensor.dtype == CLSP_I32) {
        status = clsp_safetensors_writer_add(writer, values, count * 4, err);
    } else {
        for (size_t i = 0; i < count; i++) values[i] = draw(item, state);
        if (r->poison && strcmp(r->poison, item->tensor.name) == 0) values[count - 1] = r->poison_value;
        status = clsp_safetensors_writer_floats(writer, values, count, item->tensor.dtype, err);
    }
    clsp_free(values);
    return status;
}

static clipspan_status write_shard(const char *directory, const char *name, const plans *p, size_t first, size_t count,
                                   uint64_t *state, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_safetensors_writer *writer = NULL;
    clsp_tensor_plan *declared = NULL;
    static const char *const metadata[] = {"format", "pt", NULL};
    char *path;
    CLSP_ALLOC(path, clsp_path_join(directory, name));
    CLSP_ALLOC(declared, clsp_alloc(count, sizeof *declared));
    for (size_t i = 0; i < count; i++) declared[i] = p->items[first + i].tensor;
    CLSP_TRY(clsp_safetensors_writer_open(&writer, path, declared, count, metadata, err));
    for (size_t i = 0; i < count; i++)
        CLSP_TRY(write_tensor(writer, &p->items[first + i], p->recipe, state, err));
    status = clsp_safetensors_writer_commit(writer, NULL, err);
    writer = NULL;
out:
    clsp_safetensors_writer_discard(writer);
    clsp_free(declared);
    clsp_free(path);
    return status;
}

static clipspan_status write_index(const char *directory, const char *name, const char *const files[2],
                                   const plans *p, clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object(), *map = clsp_json_new_object();
    for (size_t i = 0; map && i < p->count; i++)
        clsp_json_put(map, p->names[i], clsp_json_new_string(files[i >= p->count / 2]));
    if (root) clsp_json_put(root, "metadata", clsp_json_new_object());
    if (root) clsp_json_put(root, "weight_map", map);
    return write_json(directory, name, root, err);
}

static clipspan_status write_weights(const char *directory, const char *stem, const plans *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t state = p->recipe->seed;
    char names[3][96];
    if (!p->recipe->sharded) {
        snprintf(names[0], sizeof names[0], "%s.safetensors", stem);
        return write_shard(directory, names[0], p, 0, p->count, &state, err);
    }
    for (int i = 0; i < 2; i++) snprintf(names[i], sizeof names[i], "%s-%05d-of-00002.safetensors", stem, i + 1);
    snprintf(names[2], sizeof names[2], "%s.safetensors.index.json", stem);
    CLSP_TRY(write_shard(directory, names[0], p, 0, p->count / 2, &state, err));
    CLSP_TRY(write_shard(directory, names[1], p, p->count / 2, p->count - p->count / 2, &state, err));
    CLSP_TRY(write_index(directory, names[2], (const char *const[]){names[0], names[1]}, p, err));
out:
    return status;
}

clipspan_status model_make(const char *directory, const model_recipe *recipe, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    bool open_clip = strcmp(recipe->layout, "open_clip") == 0;
    plans p = {.recipe = recipe};
    CLSP_ALLOC(p.items, clsp_alloc(MAX_PLANS, sizeof *p.items));
    CLSP_ALLOC(p.names, clsp_alloc(MAX_PLANS, sizeof *p.names));
    CLSP_TRY(clsp_directory_make(directory, err));
    if (open_clip)
        add_open_clip(&p);
    else
        add_huggingface(&p);
    if (recipe->extra) add_vector(&p, "", recipe->extra, TABLE, 2);
    CLSP_TRY(write_weights(directory, open_clip ? "open_clip_model" : "model", &p, err));
    CLSP_TRY((open_clip ? write_open_clip_config : write_huggingface_config)(directory, recipe, err));
    if (!recipe->no_tokenizer) CLSP_TRY(write_vocabulary(directory, err));
out:
    clsp_free(p.items);
    clsp_free(p.names);
    return status;
}
