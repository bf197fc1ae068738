/* Configurations known by name, for bare state dicts. Facts from open_clip's model_configs. */
#include "model/parts.h"

#include <string.h>

typedef struct builtin {
    const char *name;
    int embed, image, patch, width, layers, head_width, mlp; /* image tower */
    int text_width, text_heads, text_layers;                 /* its MLP is 4 wide, its head width 64 */
} builtin;

static const builtin builtins[] = {
    {"ViT-B-32", 512, 224, 32, 768, 12, 64, 3072, 512, 8, 12},
    {"ViT-B-16", 512, 224, 16, 768, 12, 64, 3072, 512, 8, 12},
    {"ViT-L-14", 768, 224, 14, 1024, 24, 64, 4096, 768, 12, 12},
    {"ViT-L-14-336", 768, 336, 14, 1024, 24, 64, 4096, 768, 12, 12},
    {"ViT-H-14", 1024, 224, 14, 1280, 32, 80, 5120, 1024, 16, 24},
    {"ViT-g-14", 1024, 224, 14, 1408, 40, 88, 6144, 1024, 16, 24},
    {"ViT-bigG-14", 1280, 224, 14, 1664, 48, 104, 8192, 1280, 20, 32},
};
static const char quick_suffix[] = "-quickgelu";

const char *clsp_builtin_names(void)
{
    return "ViT-B-32, ViT-B-16, ViT-L-14, ViT-L-14-336, ViT-H-14, ViT-g-14, ViT-bigG-14, each also with -quickgelu "
           "(OpenAI's own weights need -quickgelu)";
}

/* "ViT-B-16-quickgelu" and, as open_clip allows, "ViT-B/16". */
static const builtin *find(const char *name, bool *quick)
{
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++) {
        const char *known = builtins[i].name, *given = name;
        while (*known && (*known == *given || (*known == '-' && *given == '/'))) known++, given++;
        if (*known) continue;
        *quick = strcmp(given, quick_suffix) == 0;
        if (*quick || *given == '\0') return &builtins[i];
    }
    return NULL;
}

clipspan_status clsp_config_builtin(clipspan_model *model, const char *name, clipspan_error *err)
{
    bool quick;
    const builtin *b = find(name, &quick);
    if (b == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "'%s' is no built-in configuration; there are: %s", name,
                         clsp_builtin_names());
    clsp_activation activation = quick ? CLSP_QUICK_GELU : CLSP_GELU;
    model->embed_dim = b->embed;
    clsp_vision *vision = &model->vision;
    vision->config = (clsp_tower_config){.width = b->width, .layers = b->layers, .heads = b->width / b->head_width,
                                         .mlp_width = b->mlp, .activation = activation, .ln_eps = 1e-5f};
    vision->image_size = b->image;
    vision->patch_size = b->patch;
    vision->has_ln_pre = true;
    clsp_text *text = &model->text;
    text->config = (clsp_tower_config){.width = b->text_width, .layers = b->text_layers, .heads = b->text_heads,
                                       .mlp_width = 4 * b->text_width, .activation = activation, .ln_eps = 1e-5f};
    text->context_length = 77;
    text->vocab_size = 49408;
    text->eot_id = -1;
    clsp_config_finish(model);
    return clsp_preprocess_open_clip(&model->preprocess, NULL, b->image, err);
}

void clsp_config_finish(clipspan_model *model)
{
    clsp_vision *vision = &model->vision;
    vision->grid = vision->image_size / vision->patch_size;
    vision->tokens = vision->grid * vision->grid + 1;
    vision->config.head_dim = vision->config.width / vision->config.heads;
    model->text.config.head_dim = model->text.config.width / model->text.config.heads;
}
