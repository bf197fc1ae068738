/* What a store holds, in one table. */
#include "report/table.h"

static const char *parts_words(unsigned parts)
{
    static const char *const words[8] = {
        "heads", "heads, MLPs", "heads, class token", "heads, MLPs, class token", "heads, tokens", "heads, MLPs, tokens",
        "heads, class token, tokens", "heads, MLPs, class token, tokens",
    };
    return words[parts & 7];
}

clipspan_status clipspan_report_store(const clipspan_store *store, clipspan_format format, const char *path,
                                      clipspan_error *err)
{
    const clipspan_store_info *s = clipspan_store_get_info(store);
    const clsp_entry entries[] = {
        CLSP_ENTRY_TEXT("model", "model", s->model_name),
        CLSP_ENTRY_TEXT("model_path", "model's path", s->model_path),
        CLSP_ENTRY_TEXT("model_fingerprint", "model's fingerprint", s->model_fingerprint),
        CLSP_ENTRY_TEXT("model_config", "model's configuration", s->model_config),
        CLSP_ENTRY_TEXT("model_vocab", "model's vocabulary", s->model_vocab),
        CLSP_ENTRY_TEXT("images_path", "images from", s->images_path),
        CLSP_ENTRY_TEXT("images_kind", "images as", s->images_kind),
        CLSP_ENTRY_INT("images", "images", s->images),
        CLSP_ENTRY_INT("skipped", "skipped, unreadable", s->skipped),
        CLSP_ENTRY_INT("listed", "listed", s->listed),
        CLSP_ENTRY_TEXT("state", "state", s->complete ? "complete" : "unfinished: the same command goes on with it"),
        CLSP_ENTRY_TEXT("kind", "kind", s->moments_only ? "moments alone" : "contributions and moments"),
        CLSP_ENTRY_TEXT("parts", "parts", s->moments_only ? "" : parts_words(s->parts)),
        CLSP_ENTRY_TEXT("dtype", "type", s->dtype),
        CLSP_ENTRY_TEXT("compute", "products in", s->compute),
        CLSP_ENTRY_INT("shards", "shards", s->shards),
        CLSP_ENTRY_INT("bytes", "bytes", s->bytes),
        CLSP_ENTRY_INT("layers", "layers", s->layers),
        CLSP_ENTRY_INT("heads", "heads a layer", s->heads),
        CLSP_ENTRY_INT("head_dim", "head width", s->head_dim),
        CLSP_ENTRY_INT("embed_dim", "joint dimension", s->embed_dim),
        CLSP_ENTRY_INT("tokens", "image tokens", s->tokens),
        CLSP_ENTRY_INT("image_size", "image side, pixels", s->image_size),
        CLSP_ENTRY_INT("patch_size", "patch side, pixels", s->patch_size),
        CLSP_ENTRY_NUMBER("logit_scale", "logit scale", s->logit_scale),
    };
    return clsp_report_entries(entries, sizeof entries / sizeof *entries, format, path, err);
}
