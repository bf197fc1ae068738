/* What a store holds, in one table. */
#include "report/table.h"

#include <string.h>

#include "formats/json.h"

static const char *parts_words(unsigned parts)
{
    static const char *const words[8] = {
        "heads", "heads, MLPs", "heads, class token", "heads, MLPs, class token", "heads, tokens", "heads, MLPs, tokens",
        "heads, class token, tokens", "heads, MLPs, class token, tokens",
    };
    return words[parts & 7];
}

static clsp_json *parts_list(unsigned parts)
{
    clsp_json *list = clsp_json_new_array();
    bool good = list != NULL;
    if (parts & CLIPSPAN_PART_MLP) good &= clsp_json_push(list, clsp_json_new_string("mlp"));
    if (parts & CLIPSPAN_PART_CLS) good &= clsp_json_push(list, clsp_json_new_string("cls"));
    if (parts & CLIPSPAN_PART_TOKENS) good &= clsp_json_push(list, clsp_json_new_string("tokens"));
    if (good) return list;
    clsp_json_free(list);
    return NULL;
}

/* What the table says in words is a list and booleans here. */
static bool put(clsp_json *root, const clsp_entry *e, const clipspan_store_info *s)
{
    if (strcmp(e->key, "parts") == 0) return clsp_json_put(root, "parts", parts_list(s->parts));
    if (strcmp(e->key, "state") == 0) return clsp_json_put(root, "complete", clsp_json_new_bool(s->complete));
    if (strcmp(e->key, "kind") == 0) return clsp_json_put(root, "moments_only", clsp_json_new_bool(s->moments_only));
    if (strcmp(e->key, "exif") == 0) return clsp_json_put(root, "exif", clsp_json_new_bool(s->exif));
    if (e->text != NULL) return clsp_json_put(root, e->key, clsp_json_new_string(e->text));
    return clsp_json_put(root, e->key,
                         e->whole ? clsp_json_new_int((int64_t)e->number) : clsp_json_new_number(e->number));
}

static clipspan_status as_json(const clsp_entry *entries, size_t count, const clipspan_store_info *s, const char *path,
                               clipspan_error *err)
{
    clsp_json *root = clsp_json_new_object();
    bool good = root != NULL;
    for (size_t i = 0; i < count; i++) good &= put(root, &entries[i], s);
    clipspan_status status = good ? clsp_json_write(root, path, err) : clsp_fail_memory(err);
    clsp_json_free(root);
    return status;
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
        CLSP_ENTRY_TEXT("exif", "EXIF orientation", s->exif ? "followed" : "ignored"),
        CLSP_ENTRY_INT("images", "images", s->images),
        CLSP_ENTRY_INT("skipped", "skipped, unreadable", s->skipped),
        CLSP_ENTRY_INT("listed", "listed", s->listed),
        CLSP_ENTRY_TEXT("state", "state", s->complete ? "complete" : "unfinished: the same command goes on with it"),
        CLSP_ENTRY_TEXT("kind", "kind", s->moments_only ? "moments alone" : "contributions and moments"),
        CLSP_ENTRY_TEXT("parts", "parts", s->moments_only ? "" : parts_words(s->parts)),
        CLSP_ENTRY_INT("neurons", "top images a neuron", s->neurons),
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
    if (format == CLIPSPAN_JSON) return as_json(entries, sizeof entries / sizeof *entries, s, path, err);
    return clsp_report_entries(entries, sizeof entries / sizeof *entries, format, path, err);
}
