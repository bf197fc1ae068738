/* Weight names: one table a layout, {place, role, name, shape}. A new family is one table more.
 *
 * A name is <prefix of the place><name>, and inside blocks <prefix>.<number>.<name>. A shape is a list of axes: a
 * letter, a number, or both ("3D"). Letters: D width and M MLP width of the tower at hand, E joint dimension, N
 * tokens, P patch side, C context length, V vocabulary. "" is a scalar, stored as [] or [1]. */
#include "model/parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum place { IN_VISION, IN_TEXT, IN_BLOCK } place; /* IN_BLOCK: in every block of both towers */
typedef enum when { ALWAYS, WITH_LN_PRE, WITH_PROJECTION_BIAS, WITHOUT_PROJECTION_BIAS } when;

typedef struct name_row {
    place place;
    size_t role; /* offset of the clsp_weight in clsp_vision, clsp_text or clsp_block_weights */
    const char *name, *shape;
    when when;
    unsigned char third; /* of a leading axis "3D" */
    bool transposed;     /* stored [in, out] */
} name_row;

typedef struct name_table {
    const char *vision, *text; /* prefixes */
    const char *vision_blocks, *text_blocks;
    const name_row *rows;
    size_t row_count;
    const char *const *tolerated; /* tensors that a file may hold and nothing reads; NULL-ended */
    const char *foreign, *hint;   /* a tensor of another layout, and what to say when it is met */
} name_table;

#define VISION(role) IN_VISION, offsetof(clsp_vision, role)
#define TEXT(role) IN_TEXT, offsetof(clsp_text, role)
#define BLOCK(role) IN_BLOCK, offsetof(clsp_block_weights, role)

static const name_row open_clip_rows[] = {
    {VISION(patch), "conv1.weight", "D 3 P P", .when = ALWAYS},
    {VISION(class_token), "class_embedding", "D", .when = ALWAYS},
    {VISION(position), "positional_embedding", "N D", .when = ALWAYS},
    {VISION(ln_pre_gamma), "ln_pre.weight", "D", .when = WITH_LN_PRE},
    {VISION(ln_pre_beta), "ln_pre.bias", "D", .when = WITH_LN_PRE},
    {VISION(ln_post_gamma), "ln_post.weight", "D", .when = ALWAYS},
    {VISION(ln_post_beta), "ln_post.bias", "D", .when = ALWAYS},
    {VISION(projection), "proj", "D E", .when = ALWAYS, .transposed = true},
    {TEXT(token), "token_embedding.weight", "V D", .when = ALWAYS},
    {TEXT(position), "positional_embedding", "C D", .when = ALWAYS},
    {TEXT(ln_final_gamma), "ln_final.weight", "D", .when = ALWAYS},
    {TEXT(ln_final_beta), "ln_final.bias", "D", .when = ALWAYS},
    {TEXT(projection), "text_projection", "D E", .when = WITHOUT_PROJECTION_BIAS, .transposed = true},
    {TEXT(projection), "text_projection.weight", "E D", .when = WITH_PROJECTION_BIAS},
    {TEXT(projection_bias), "text_projection.bias", "E", .when = WITH_PROJECTION_BIAS},
    {BLOCK(ln1_gamma), "ln_1.weight", "D", .when = ALWAYS},
    {BLOCK(ln1_beta), "ln_1.bias", "D", .when = ALWAYS},
    {BLOCK(q), "attn.in_proj_weight", "3D D", .third = 0},
    {BLOCK(k), "attn.in_proj_weight", "3D D", .third = 1},
    {BLOCK(v), "attn.in_proj_weight", "3D D", .third = 2},
    {BLOCK(q_bias), "attn.in_proj_bias", "3D", .third = 0},
    {BLOCK(k_bias), "attn.in_proj_bias", "3D", .third = 1},
    {BLOCK(v_bias), "attn.in_proj_bias", "3D", .third = 2},
    {BLOCK(out), "attn.out_proj.weight", "D D", .when = ALWAYS},
    {BLOCK(out_bias), "attn.out_proj.bias", "D", .when = ALWAYS},
    {BLOCK(ln2_gamma), "ln_2.weight", "D", .when = ALWAYS},
    {BLOCK(ln2_beta), "ln_2.bias", "D", .when = ALWAYS},
    {BLOCK(fc1), "mlp.c_fc.weight", "M D", .when = ALWAYS},
    {BLOCK(fc1_bias), "mlp.c_fc.bias", "M", .when = ALWAYS},
    {BLOCK(fc2), "mlp.c_proj.weight", "D M", .when = ALWAYS},
    {BLOCK(fc2_bias), "mlp.c_proj.bias", "D", .when = ALWAYS},
};
static const char *const open_clip_tolerated[] = {"logit_bias", "attn_mask", "text.attn_mask", "input_resolution",
                                                  "context_length", "vocab_size", NULL};

static const name_row huggingface_rows[] = {
    {VISION(patch), "embeddings.patch_embedding.weight", "D 3 P P", .when = ALWAYS},
    {VISION(class_token), "embeddings.class_embedding", "D", .when = ALWAYS},
    {VISION(position), "embeddings.position_embedding.weight", "N D", .when = ALWAYS},
    {VISION(ln_pre_gamma), "pre_layrnorm.weight", "D", .when = WITH_LN_PRE}, /* spelt so in the files */
    {VISION(ln_pre_beta), "pre_layrnorm.bias", "D", .when = WITH_LN_PRE},
    {VISION(ln_post_gamma), "post_layernorm.weight", "D", .when = ALWAYS},
    {VISION(ln_post_beta), "post_layernorm.bias", "D", .when = ALWAYS},
    {VISION(projection), "/visual_projection.weight", "E D", .when = ALWAYS},
    {TEXT(token), "embeddings.token_embedding.weight", "V D", .when = ALWAYS},
    {TEXT(position), "embeddings.position_embedding.weight", "C D", .when = ALWAYS},
    {TEXT(ln_final_gamma), "final_layer_norm.weight", "D", .when = ALWAYS},
    {TEXT(ln_final_beta), "final_layer_norm.bias", "D", .when = ALWAYS},
    {TEXT(projection), "/text_projection.weight", "E D", .when = ALWAYS},
    {BLOCK(ln1_gamma), "layer_norm1.weight", "D", .when = ALWAYS},
    {BLOCK(ln1_beta), "layer_norm1.bias", "D", .when = ALWAYS},
    {BLOCK(q), "self_attn.q_proj.weight", "D D", .when = ALWAYS},
    {BLOCK(k), "self_attn.k_proj.weight", "D D", .when = ALWAYS},
    {BLOCK(v), "self_attn.v_proj.weight", "D D", .when = ALWAYS},
    {BLOCK(q_bias), "self_attn.q_proj.bias", "D", .when = ALWAYS},
    {BLOCK(k_bias), "self_attn.k_proj.bias", "D", .when = ALWAYS},
    {BLOCK(v_bias), "self_attn.v_proj.bias", "D", .when = ALWAYS},
    {BLOCK(out), "self_attn.out_proj.weight", "D D", .when = ALWAYS},
    {BLOCK(out_bias), "self_attn.out_proj.bias", "D", .when = ALWAYS},
    {BLOCK(ln2_gamma), "layer_norm2.weight", "D", .when = ALWAYS},
    {BLOCK(ln2_beta), "layer_norm2.bias", "D", .when = ALWAYS},
    {BLOCK(fc1), "mlp.fc1.weight", "M D", .when = ALWAYS},
    {BLOCK(fc1_bias), "mlp.fc1.bias", "M", .when = ALWAYS},
    {BLOCK(fc2), "mlp.fc2.weight", "D M", .when = ALWAYS},
    {BLOCK(fc2_bias), "mlp.fc2.bias", "D", .when = ALWAYS},
};
static const char *const huggingface_tolerated[] = {"text_model.embeddings.position_ids",
                                                    "vision_model.embeddings.position_ids", "logit_bias", NULL};

#define ROWS(rows) rows, sizeof(rows) / sizeof *(rows)
#define HUGGINGFACE_PROBE "vision_model.embeddings.class_embedding"
#define OPEN_CLIP_PROBE "visual.class_embedding"

static const name_table open_clip_table = {
    "visual.", "", "visual.transformer.resblocks", "transformer.resblocks", ROWS(open_clip_rows), open_clip_tolerated,
    HUGGINGFACE_PROBE, "it holds Hugging Face's names: open its directory, with its config.json"};
static const name_table custom_text_table = { /* open_clip's CustomTextCLIP */
    "visual.", "text.", "visual.transformer.resblocks", "text.transformer.resblocks", ROWS(open_clip_rows),
    open_clip_tolerated, NULL, NULL};
static const name_table huggingface_table = {
    "vision_model.", "text_model.", "vision_model.encoder.layers", "text_model.encoder.layers",
    ROWS(huggingface_rows), huggingface_tolerated, OPEN_CLIP_PROBE,
    "it holds open_clip's names: open it with open_clip_config.json or a built-in configuration"};

/* What binding is about, and the letters of one tower. */
typedef struct binder {
    clipspan_model *model;
    const name_table *table;
    const char *root;   /* "module." in front of every name of a raw training checkpoint, else "" */
    const char *config; /* for messages */
    bool *used;
    const clsp_tower_config *tower;
} binder;

static size_t letter_value(const binder *b, char letter)
{
    switch (letter) {
    case 'D': return (size_t)b->tower->width;
    case 'M': return (size_t)b->tower->mlp_width;
    case 'E': return (size_t)b->model->embed_dim;
    case 'N': return (size_t)b->model->vision.tokens;
    case 'P': return (size_t)b->model->vision.patch_size;
    case 'C': return (size_t)b->model->text.context_length;
    case 'V': return (size_t)b->model->text.vocab_size;
    default: return 1;
    }
}

static const char *letter_word(char letter)
{
    switch (letter) {
    case 'D': return "width";
    case 'M': return "MLP width";
    case 'E': return "joint dimension";
    case 'N': return "patches + 1";
    case 'P': return "patch size";
    case 'C': return "context length";
    case 'V': return "vocabulary";
    default: return "";
    }
}

/* Reads one axis of a shape, "3D", into its size and letter; returns what follows. */
static const char *next_axis(const binder *b, const char *shape, size_t *size, char *letter)
{
    size_t factor = 0;
    while (*shape == ' ') shape++;
    while (*shape >= '0' && *shape <= '9') factor = factor * 10 + (size_t)(*shape++ - '0');
    *letter = *shape && *shape != ' ' ? *shape++ : '\0';
    *size = (factor ? factor : 1) * letter_value(b, *letter);
    return shape;
}

static int expected_shape(const binder *b, const char *text, size_t shape[CLSP_TENSOR_DIMS])
{
    int dims = 0;
    char letter;
    while (*text) text = next_axis(b, text, &shape[dims++], &letter);
    return dims;
}

static void print_shape(char *out, size_t room, const size_t *shape, int dims)
{
    int used = snprintf(out, room, "[");
    for (int i = 0; i < dims && used >= 0 && (size_t)used < room; i++)
        used += snprintf(out + used, room - (size_t)used, "%s%zu", i ? ", " : "", shape[i]);
    if (used >= 0 && (size_t)used < room) snprintf(out + used, room - (size_t)used, "]");
}

/* "width x joint dimension", the axes in words. */
static void print_axes(const binder *b, char *out, size_t room, const char *text)
{
    size_t size;
    char letter;
    int used = 0;
    out[0] = '\0';
    while (*text && (size_t)used < room) {
        const char *begin = text + (*text == ' ');
        text = next_axis(b, text, &size, &letter);
        int digits = (int)strspn(begin, "0123456789");
        used += snprintf(out + used, room - (size_t)used, "%s%.*s%s%s", used ? " x " : "", digits, begin,
                         digits && letter ? " " : "", letter_word(letter));
    }
}

static clipspan_status fail_missing(const binder *b, const char *name, const char *shape, clipspan_error *err)
{
    const clsp_safetensors *file = b->model->weights;
    const char *path = clsp_safetensors_path(file);
    size_t expected[CLSP_TENSOR_DIMS];
    char text[128];
    if (b->table->foreign && clsp_safetensors_find(file, b->table->foreign))
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s: tensor %s is missing; %s", path, name, b->table->hint);
    print_shape(text, sizeof text, expected, expected_shape(b, shape, expected));
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s: tensor %s is missing; %s asks for it, shape %s", path, name,
                     b->config, text);
}

static clipspan_status check_tensor(const binder *b, const clsp_tensor *tensor, const char *shape, clipspan_error *err)
{
    size_t expected[CLSP_TENSOR_DIMS];
    int dims = expected_shape(b, shape, expected);
    bool same = dims == tensor->dims || (dims == 0 && tensor->dims == 1 && tensor->count == 1);
    for (int i = 0; same && i < dims; i++) same = tensor->shape[i] == expected[i];
    if (!same) {
        char wanted[128], found[128], axes[128];
        print_shape(wanted, sizeof wanted, expected, dims);
        print_shape(found, sizeof found, tensor->shape, tensor->dims);
        print_axes(b, axes, sizeof axes, shape);
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s: tensor %s: expected shape %s (%s) as %s says, found %s",
                         tensor->file, tensor->name, wanted, axes, b->config, found);
    }
    if (tensor->dtype != CLSP_F32 && tensor->dtype != CLSP_F16 && tensor->dtype != CLSP_BF16)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: tensor %s: expected type F32, F16 or BF16, found %s",
                         tensor->file, tensor->name, clsp_dtype_name(tensor->dtype));
    return CLIPSPAN_OK;
}

/* Index of a name among the sorted tensors; count if absent. */
static size_t index_of(const clsp_safetensors *file, const char *name)
{
    size_t count = clsp_safetensors_count(file), low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(clsp_safetensors_at(file, middle)->name, name);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return count;
}

static clipspan_status take(const binder *b, const char *name, const char *shape, const clsp_tensor **out,
                            clipspan_error *err)
{
    const clsp_safetensors *file = b->model->weights;
    size_t i = index_of(file, name);
    if (i == clsp_safetensors_count(file)) return fail_missing(b, name, shape, err);
    *out = clsp_safetensors_at(file, i);
    b->used[i] = true;
    return check_tensor(b, *out, shape, err);
}

static bool applies(const binder *b, const name_row *row)
{
    switch (row->when) {
    case WITH_LN_PRE: return b->model->vision.has_ln_pre;
    case WITH_PROJECTION_BIAS: return b->model->text.has_projection_bias;
    case WITHOUT_PROJECTION_BIAS: return !b->model->text.has_projection_bias;
    default: return true;
    }
}

/* prefix: with its dot; a row's name that begins with '/' stands outside it. */
static clipspan_status bind_row(const binder *b, const name_row *row, const char *prefix, void *owner,
                                clipspan_error *err)
{
    char name[256];
    const clsp_tensor *tensor;
    bool outside = row->name[0] == '/';
    snprintf(name, sizeof name, "%s%s%s", b->root, outside ? "" : prefix, row->name + outside);
    clipspan_status status = take(b, name, row->shape, &tensor, err);
    if (status != CLIPSPAN_OK) return status;
    size_t rows = tensor->shape[0], parts = row->shape[0] == '3' ? 3 : 1;
    clsp_weight weight = {.tensor = tensor, .first = row->third * (rows / parts), .rows = rows / parts,
                          .columns = tensor->count / rows, .transposed = row->transposed};
    memcpy((char *)owner + row->role, &weight, sizeof weight);
    return CLIPSPAN_OK;
}

static clipspan_status bind_place(const binder *b, place where, const char *prefix, void *owner, clipspan_error *err)
{
    for (size_t i = 0; i < b->table->row_count; i++) {
        const name_row *row = &b->table->rows[i];
        if (row->place != where || !applies(b, row)) continue;
        clipspan_status status = bind_row(b, row, prefix, owner, err);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

static clipspan_status bind_tower(binder *b, place where, void *owner, clsp_block_weights *blocks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    bool vision = where == IN_VISION;
    b->tower = vision ? &b->model->vision.config : &b->model->text.config;
    CLSP_TRY(bind_place(b, where, vision ? b->table->vision : b->table->text, owner, err));
    for (int i = 0; i < b->tower->layers; i++) {
        char prefix[128];
        snprintf(prefix, sizeof prefix, "%s.%d.", vision ? b->table->vision_blocks : b->table->text_blocks, i);
        CLSP_TRY(bind_place(b, IN_BLOCK, prefix, &blocks[i], err));
    }
out:
    return status;
}

static clipspan_status bind_logit_scale(binder *b, clipspan_error *err)
{
    char name[32];
    const clsp_tensor *tensor;
    float value;
    snprintf(name, sizeof name, "%slogit_scale", b->root);
    clipspan_status status = take(b, name, "", &tensor, err);
    if (status == CLIPSPAN_OK) status = clsp_tensor_floats(tensor, 0, 1, &value, err);
    if (status != CLIPSPAN_OK) return status;
    b->model->logit_scale = expf(value);
    if (!isfinite(b->model->logit_scale))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: tensor %s: %g is no logarithm of a scale", tensor->file,
                         tensor->name, (double)value);
    return CLIPSPAN_OK;
}

static bool is_tolerated(const binder *b, const char *name)
{
    size_t root = strlen(b->root);
    if (strncmp(name, b->root, root) != 0) return false;
    for (const char *const *t = b->table->tolerated; *t; t++)
        if (strcmp(name + root, *t) == 0) return true;
    return false;
}

/* A tensor that no role takes is most likely a piece of network that the configuration does not mention. */
static clipspan_status check_extra(const binder *b, clipspan_error *err)
{
    const clsp_safetensors *file = b->model->weights;
    const clsp_tensor *first = NULL;
    size_t unknown = 0;
    for (size_t i = 0; i < clsp_safetensors_count(file); i++) {
        const clsp_tensor *tensor = clsp_safetensors_at(file, i);
        if (b->used[i] || is_tolerated(b, tensor->name)) continue;
        if (unknown++ == 0) first = tensor;
    }
    if (unknown == 0) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                     "%s: tensor %s has no place in the network of %s (unknown tensors: %zu)", first->file,
                     first->name, b->config, unknown);
}

static const name_table *choose_table(const clsp_safetensors *file, clsp_layout layout, const char *root)
{
    if (layout == CLSP_LAYOUT_HUGGINGFACE) return &huggingface_table;
    char name[64];
    snprintf(name, sizeof name, "%stext.positional_embedding", root);
    return clsp_safetensors_find(file, name) ? &custom_text_table : &open_clip_table;
}

clipspan_status clsp_names_bind(clipspan_model *model, clsp_layout layout, const char *config, bool *used,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    bool module = clsp_safetensors_find(model->weights, "module." OPEN_CLIP_PROBE) != NULL;
    binder b = {.model = model, .root = module ? "module." : "", .config = config, .used = used};
    b.table = choose_table(model->weights, layout, b.root);
    CLSP_ALLOC(model->vision.blocks, clsp_alloc_zero((size_t)model->vision.config.layers, sizeof(clsp_block_weights)));
    CLSP_ALLOC(model->text.blocks, clsp_alloc_zero((size_t)model->text.config.layers, sizeof(clsp_block_weights)));
    CLSP_TRY(bind_tower(&b, IN_VISION, &model->vision, model->vision.blocks, err));
    CLSP_TRY(bind_tower(&b, IN_TEXT, &model->text, model->text.blocks, err));
    CLSP_TRY(bind_logit_scale(&b, err));
    CLSP_TRY(check_extra(&b, err));
out:
    return status;
}
