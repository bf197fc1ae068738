/* What a model is, in one table. */
#include "report/table.h"

clipspan_status clipspan_report_model(const clipspan_model *model, clipspan_format format, const char *path,
                                      clipspan_error *err)
{
    const clipspan_model_info *m = clipspan_model_get_info(model);
    const clsp_entry entries[] = {
        CLSP_ENTRY_TEXT("name", "model", m->name),
        CLSP_ENTRY_TEXT("path", "path", m->path),
        CLSP_ENTRY_TEXT("family", "family", m->family),
        CLSP_ENTRY_TEXT("layout", "layout", m->layout),
        CLSP_ENTRY_TEXT("fingerprint", "fingerprint", m->fingerprint),
        CLSP_ENTRY_INT("parameters", "parameters", m->parameters),
        CLSP_ENTRY_TEXT("weight_type", "weights on disk", m->weight_type),
        CLSP_ENTRY_TEXT("activation", "activation", m->activation),
        CLSP_ENTRY_INT("image_size", "image side, pixels", m->image_size),
        CLSP_ENTRY_INT("patch_size", "patch side, pixels", m->patch_size),
        CLSP_ENTRY_INT("tokens", "image tokens", m->tokens),
        CLSP_ENTRY_INT("layers", "image layers", m->layers),
        CLSP_ENTRY_INT("heads", "heads a layer", m->heads),
        CLSP_ENTRY_INT("head_dim", "head width", m->head_dim),
        CLSP_ENTRY_INT("width", "image width", m->width),
        CLSP_ENTRY_INT("mlp_width", "MLP width", m->mlp_width),
        CLSP_ENTRY_INT("embed_dim", "joint dimension", m->embed_dim),
        CLSP_ENTRY_INT("text_layers", "text layers", m->text_layers),
        CLSP_ENTRY_INT("text_heads", "text heads", m->text_heads),
        CLSP_ENTRY_INT("text_width", "text width", m->text_width),
        CLSP_ENTRY_INT("text_mlp_width", "text MLP width", m->text_mlp_width),
        CLSP_ENTRY_INT("context_length", "context length", m->context_length),
        CLSP_ENTRY_INT("vocab_size", "vocabulary", m->vocab_size),
        CLSP_ENTRY_TEXT("tokenizer", "tokenizer", m->tokenizer),
        CLSP_ENTRY_NUMBER("logit_scale", "logit scale", m->logit_scale),
        CLSP_ENTRY_TEXT("preprocess", "preprocessing", m->preprocess),
    };
    return clsp_report_entries(entries, sizeof entries / sizeof *entries, format, path, err);
}
