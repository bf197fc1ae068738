/* model/parts.h - the stages of opening a model, each in the file of its name. */
#ifndef CLSP_MODEL_PARTS_H
#define CLSP_MODEL_PARTS_H

#ifndef CLSP_ROOM_MODEL
#error "model/parts.h belongs to the model room"
#endif

#include "model/model.h"
#include "model/section.h"

typedef enum clsp_layout { CLSP_LAYOUT_HUGGINGFACE, CLSP_LAYOUT_OPEN_CLIP } clsp_layout;

/* files.c: which of a path's files are read. */
typedef struct clsp_model_files {
    clsp_layout layout;
    char *name;      /* of the directory, or the built-in configuration */
    char *directory; /* where tokenizer and preprocessing files are looked for */
    char *config;    /* NULL: a built-in configuration */
    char *weights;   /* one safetensors file, or the index of shards */
    bool sharded;
} clsp_model_files;
clipspan_status clsp_files_find(clsp_model_files *out, const char *path, const clipspan_model_options *options,
                                clipspan_error *err);
bool clsp_ends_with(const char *text, const char *ending);
void clsp_files_free(clsp_model_files *files);
/* Hugging Face's files in a directory that is read as open_clip's; out->weights NULL: there are none. */
clipspan_status clsp_files_beside(clsp_model_files *out, const char *directory, clipspan_error *err);
char *clsp_files_absolute(const char *path); /* caller frees; the path itself where it does not resolve */
/* The vocabulary beside the model, NULL: none. Caller frees. */
clipspan_status clsp_files_vocab(char **out, const clsp_model_files *files, clipspan_error *err);

/* model.c: the model that those files make. `path` is what the caller named; options may be NULL. */
clipspan_status clsp_model_open_files(clipspan_model **out, const char *path, const clsp_model_files *files,
                                      const clipspan_model_options *options, clipspan_error *err);

/* config_*.c and builtin.c: fill vision.config, text.config, sizes, embed_dim and preprocess; no weights. */
clipspan_status clsp_config_huggingface(clipspan_model *model, const char *path, clipspan_error *err);
clipspan_status clsp_config_open_clip(clipspan_model *model, const char *path, clipspan_error *err);
clipspan_status clsp_config_builtin(clipspan_model *model, const char *name, clipspan_error *err);
const char *clsp_builtin_names(void); /* for messages */
/* grid, tokens and head widths from the rest. The reader has checked that heads divide the width, and that there is
 * a patch. */
void clsp_config_finish(clipspan_model *model);

/* preprocess_config.c. `note` is set to what the words of a model's preprocessing end in (static). */
clipspan_status clsp_preprocess_open_clip(clsp_preprocess *out, const clsp_section *section, int image_size,
                                          clipspan_error *err); /* section NULL: defaults */
clipspan_status clsp_preprocess_huggingface(clsp_preprocess *out, const char *directory, int image_size,
                                            const char **note, clipspan_error *err);

/* names.c: every weight by its role, shapes checked. used: [tensors of the file] out, true where a role took it.
 * `config` stands for the configuration in messages. */
clipspan_status clsp_names_bind(clipspan_model *model, clsp_layout layout, const char *config, bool *used,
                                clipspan_error *err);

/* fingerprint.c: model->fingerprint; refuses values that are not finite in the used tensors. */
clipspan_status clsp_fingerprint_make(clipspan_model *model, const bool *used, clipspan_error *err);
/* Everything of the configuration that a result depends on, into the hasher. */
clipspan_status clsp_fingerprint_configuration(clsp_hasher *hasher, const clipspan_model *model, clipspan_error *err);

/* recall.c: the fingerprint from the run before, kept in model->cache for as long as the system says that the files are
 * those of then; else made anew. */
clipspan_status clsp_fingerprint_recall(clipspan_model *model, const bool *used, clipspan_error *err);

#endif
