/* Which files of a path make a model.
 *
 * A directory that holds both layouts (as many published ones do) is read as open_clip's when open_clip's own
 * weights are there, because the published figures were made with it; else as Hugging Face's. */
#include "clipspan/inputs.h"
#include "model/parts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const open_clip_weights[] = {"open_clip_model.safetensors", "open_clip_model.safetensors.index.json",
                                                "open_clip_pytorch_model.safetensors", NULL};
static const char *const plain_weights[] = {"model.safetensors", "model.safetensors.index.json", NULL};
static const char *const pickles[] = {"open_clip_pytorch_model.bin", "pytorch_model.bin",
                                      "pytorch_model.bin.index.json", "open_clip_pytorch_model.pth", "pytorch_model.pth",
                                      "model.pth", "model.pt", NULL};
static const char *const others[] = {"open_clip_config.json", "config.json", "preprocessor_config.json", "processor_config.json",
                                     "merges.txt", "tokenizer_config.json", "special_tokens_map.json", NULL};
static const char *const vocabularies[] = {"tokenizer.json", "vocab.json", "bpe_simple_vocab_16e6.txt.gz", NULL};

bool clsp_ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

/* The first of `names` that is a file of `directory`; *out NULL: none. */
static clipspan_status first_file(char **out, const char *directory, const char *const *names, clipspan_error *err)
{
    *out = NULL;
    for (size_t i = 0; names[i]; i++) {
        char *path = clsp_path_join(directory, names[i]);
        if (path == NULL) return clsp_fail_memory(err);
        if (clsp_file_exists(path)) {
            *out = path;
            return CLIPSPAN_OK;
        }
        clsp_free(path);
    }
    return CLIPSPAN_OK;
}

static clipspan_status first_of_two(char **out, const char *directory, const char *const *names,
                                    const char *const *then, clipspan_error *err)
{
    clipspan_status status = first_file(out, directory, names, err);
    if (status == CLIPSPAN_OK && *out == NULL) status = first_file(out, directory, then, err);
    return status;
}

static clipspan_status fail_pickle(const char *path, clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                     "%s: PyTorch's pickled weights are not read; convert them once: python3 -c 'import sys, torch; "
                     "from safetensors.torch import save_file; w = torch.load(sys.argv[1], map_location=\"cpu\", "
                     "weights_only=True); save_file({k: v.clone().contiguous() for k, v in w.get(\"state_dict\", "
                     "w).items()}, sys.argv[2])' IN.bin open_clip_model.safetensors (or model.safetensors, for a "
                     "Hugging Face directory)",
                     path);
}

/* No weights: the pickles, if they are there, are what the user has. */
static clipspan_status fail_no_weights(const char *directory, const char *wanted, clipspan_error *err)
{
    char *pickle;
    clipspan_status status = first_file(&pickle, directory, pickles, err);
    if (status != CLIPSPAN_OK) return status;
    if (pickle)
        status = fail_pickle(pickle, err);
    else
        status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: no weights here: expected %s", directory, wanted);
    clsp_free(pickle);
    return status;
}

static clipspan_status find_builtin(clsp_model_files *files, const char *directory, clipspan_error *err)
{
    clipspan_status status = first_of_two(&files->weights, directory, open_clip_weights, plain_weights, err);
    if (status == CLIPSPAN_OK && files->weights == NULL)
        status = fail_no_weights(directory, "open_clip_model.safetensors", err);
    return status;
}

static clipspan_status find_in_directory(clsp_model_files *files, const char *directory, clipspan_error *err)
{
    static const char *const open_clip_config[] = {"open_clip_config.json", NULL};
    static const char *const huggingface_config[] = {"config.json", NULL};
    clipspan_status status = CLIPSPAN_OK;
    char *theirs = NULL, *plain = NULL;
    CLSP_TRY(first_file(&files->config, directory, open_clip_config, err));
    CLSP_TRY(first_file(&theirs, directory, huggingface_config, err));
    CLSP_TRY(first_file(&plain, directory, plain_weights, err));
    if (files->config) CLSP_TRY(first_file(&files->weights, directory, open_clip_weights, err));
    if (files->config && (files->weights || !theirs || !plain)) {
        if (files->weights == NULL) files->weights = plain, plain = NULL;
        if (files->weights == NULL) status = fail_no_weights(directory, "open_clip_model.safetensors", err);
        goto out;
    }
    if (theirs == NULL) {
        status = clsp_fail(err, CLIPSPAN_ERROR_IO,
                           "%s: no config.json and no open_clip_config.json here; for a bare state dict name a built-in "
                           "configuration: %s", directory, clsp_builtin_names());
        goto out;
    }
    clsp_free(files->config);
    files->config = theirs, theirs = NULL;
    files->layout = CLSP_LAYOUT_HUGGINGFACE;
    files->weights = plain, plain = NULL;
    if (files->weights == NULL) status = fail_no_weights(directory, "model.safetensors", err);
out:
    clsp_free(theirs);
    clsp_free(plain);
    return status;
}

static clipspan_status find_file(clsp_model_files *files, const char *path, const char *config, clipspan_error *err)
{
    if (clsp_ends_with(path, ".bin") || clsp_ends_with(path, ".pt") || clsp_ends_with(path, ".pth") || clsp_ends_with(path, ".ckpt"))
        return fail_pickle(path, err);
    if (!clsp_ends_with(path, ".safetensors") && !clsp_ends_with(path, ".safetensors.index.json"))
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "%s: neither a model directory nor a .safetensors file", path);
    if (config == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                         "%s: a bare state dict says nothing of its network: open its directory, or name a built-in "
                         "configuration: %s", path, clsp_builtin_names());
    files->weights = clsp_strdup(path);
    return files->weights ? CLIPSPAN_OK : clsp_fail_memory(err);
}

char *clsp_files_absolute(const char *path)
{
    char resolved[PATH_MAX];
    return clsp_strdup(realpath(path, resolved) ? resolved : path);
}

/* The directory's own name, also where the path is "." or ends in a slash. */
static char *base_name(const char *path)
{
    char *absolute = clsp_files_absolute(path);
    const char *slash = absolute ? strrchr(absolute, '/') : NULL;
    char *name = slash && slash[1] ? clsp_strdup(slash + 1) : absolute ? clsp_strdup(path) : NULL;
    clsp_free(absolute);
    return name;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return clsp_strdup(".");
    return slash == path ? clsp_strdup("/") : clsp_strndup(path, (size_t)(slash - path));
}

/* Of a folder that holds a model in both layouts one is read, but none shall be written over. */
static clipspan_status note_files(const char *directory, clipspan_error *err)
{
    static const char *const *const lists[] = {open_clip_weights, plain_weights, pickles, vocabularies, others};
    clipspan_status status = CLIPSPAN_OK;
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (const char *const *name = lists[l]; *name != NULL; name++) {
            char *path = clsp_path_join(directory, *name);
            if (path == NULL) return clsp_fail_memory(err);
            status = clipspan_inputs_add(path, err);
            clsp_free(path);
            if (status != CLIPSPAN_OK) return status;
        }
    return CLIPSPAN_OK;
}

clipspan_status clsp_files_find(clsp_model_files *out, const char *path, const clipspan_model_options *options,
                                clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const char *config = options ? options->config : NULL;
    bool directory = clsp_directory_exists(path);
    *out = (clsp_model_files){.layout = CLSP_LAYOUT_OPEN_CLIP};
    if (!directory && !clsp_file_exists(path)) {
        status = clsp_fail_absent(path, err);
        goto out;
    }
    if (directory && access(path, X_OK) != 0) CLSP_TRY(clsp_fail_errno(err, "%s", path));
    CLSP_TRY(directory ? note_files(path, err) : CLIPSPAN_OK);
    CLSP_ALLOC(out->directory, directory ? clsp_strdup(path) : folder_of(path));
    CLSP_ALLOC(out->name, config ? clsp_strdup(config) : base_name(path));
    if (!directory)
        CLSP_TRY(find_file(out, path, config, err));
    else if (config)
        CLSP_TRY(find_builtin(out, path, err));
    else
        CLSP_TRY(find_in_directory(out, path, err));
    out->sharded = clsp_ends_with(out->weights, ".index.json");
out:
    if (status != CLIPSPAN_OK) clsp_files_free(out);
    return status;
}

clipspan_status clsp_files_beside(clsp_model_files *out, const char *directory, clipspan_error *err)
{
    static const char *const configuration[] = {"config.json", NULL};
    clipspan_status status = CLIPSPAN_OK;
    *out = (clsp_model_files){.layout = CLSP_LAYOUT_HUGGINGFACE};
    CLSP_TRY(first_file(&out->config, directory, configuration, err));
    if (out->config != NULL) CLSP_TRY(first_file(&out->weights, directory, plain_weights, err));
    CLSP_ALLOC(out->directory, clsp_strdup(directory));
    CLSP_ALLOC(out->name, base_name(directory));
    out->sharded = out->weights != NULL && clsp_ends_with(out->weights, ".index.json");
out:
    if (status != CLIPSPAN_OK) clsp_files_free(out);
    return status;
}

void clsp_files_free(clsp_model_files *files)
{
    clsp_free(files->name);
    clsp_free(files->directory);
    clsp_free(files->config);
    clsp_free(files->weights);
    *files = (clsp_model_files){.layout = CLSP_LAYOUT_OPEN_CLIP};
}

clipspan_status clsp_files_vocab(char **out, const clsp_model_files *files, clipspan_error *err)
{
    return first_file(out, files->directory, vocabularies, err);
}
