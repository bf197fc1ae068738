/* make_model DIR [--layout huggingface|open_clip] [--layers N] [--width N] ... : a small random model directory, for
 * tests and for trying the command out. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_maker.h"

static const char usage[] =
    "usage: make_model DIR [--layout huggingface|open_clip] [--layers N] [--width N] [--heads N] [--mlp N]\n"
    "  [--image N] [--patch N] [--embed N] [--text-layers N] [--text-width N] [--text-heads N] [--text-mlp N]\n"
    "  [--context N] [--activation gelu|quick_gelu|gelu_tanh] [--dtype f32|f16|bf16] [--seed N] [--sharded]\n"
    "  [--no-ln-pre] [--custom-text] [--no-tokenizer] [--poison TENSOR] [--omit TENSOR]\n";

enum { LAYOUT = 1, ACTIVATION, DTYPE, SHARDED, NO_LN_PRE, CUSTOM_TEXT, NO_TOKENIZER, POISON, OMIT, SEED, NUMBERS = 100 };

static const struct option options[] = {
    {"layout", 1, NULL, LAYOUT}, {"activation", 1, NULL, ACTIVATION}, {"dtype", 1, NULL, DTYPE},
    {"sharded", 0, NULL, SHARDED}, {"no-ln-pre", 0, NULL, NO_LN_PRE}, {"custom-text", 0, NULL, CUSTOM_TEXT},
    {"no-tokenizer", 0, NULL, NO_TOKENIZER}, {"poison", 1, NULL, POISON}, {"omit", 1, NULL, OMIT}, {"seed", 1, NULL, SEED},
    {"layers", 1, NULL, NUMBERS}, {"width", 1, NULL, NUMBERS + 1}, {"heads", 1, NULL, NUMBERS + 2},
    {"mlp", 1, NULL, NUMBERS + 3}, {"image", 1, NULL, NUMBERS + 4}, {"patch", 1, NULL, NUMBERS + 5},
    {"embed", 1, NULL, NUMBERS + 6}, {"text-layers", 1, NULL, NUMBERS + 7}, {"text-width", 1, NULL, NUMBERS + 8},
    {"text-heads", 1, NULL, NUMBERS + 9}, {"text-mlp", 1, NULL, NUMBERS + 10}, {"context", 1, NULL, NUMBERS + 11},
    {NULL, 0, NULL, 0}};

static bool set_dtype(model_recipe *r, const char *name)
{
    if (strcmp(name, "f32") == 0) r->dtype = CLSP_F32;
    else if (strcmp(name, "f16") == 0) r->dtype = CLSP_F16;
    else if (strcmp(name, "bf16") == 0) r->dtype = CLSP_BF16;
    else return false;
    return true;
}

static bool set_number(model_recipe *r, int which, const char *text)
{
    int *const numbers[] = {&r->layers, &r->width, &r->heads, &r->mlp, &r->image, &r->patch, &r->embed,
                            &r->text_layers, &r->text_width, &r->text_heads, &r->text_mlp, &r->context};
    *numbers[which] = atoi(text);
    return *numbers[which] > 0;
}

static bool set(model_recipe *r, int option)
{
    switch (option) {
    case LAYOUT: r->layout = optarg; return strcmp(optarg, "huggingface") == 0 || strcmp(optarg, "open_clip") == 0;
    case ACTIVATION: r->activation = optarg; return true;
    case DTYPE: return set_dtype(r, optarg);
    case SHARDED: r->sharded = true; return true;
    case NO_LN_PRE: r->no_ln_pre = true; return true;
    case CUSTOM_TEXT: r->custom_text = true; return true;
    case NO_TOKENIZER: r->no_tokenizer = true; return true;
    case POISON: r->poison = optarg; r->poison_value = strtof("nan", NULL); return true;
    case OMIT: r->omit = optarg; return true;
    case SEED: r->seed = (unsigned)atoi(optarg); return true;
    default: return option >= NUMBERS && set_number(r, option - NUMBERS, optarg);
    }
}

int main(int argc, char **argv)
{
    model_recipe recipe = MODEL_RECIPE_INIT;
    clipspan_error err;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!set(&recipe, option)) {
            fputs(usage, stderr);
            return 2;
        }
    if (optind + 1 != argc) {
        fputs(usage, stderr);
        return 2;
    }
    if (model_make(argv[optind], &recipe, &err) == CLIPSPAN_OK) return 0;
    fprintf(stderr, "make_model: %s\n", err.message);
    return 1;
}
