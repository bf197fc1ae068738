/* Reading vocabularies: tokenizer.json, vocab.json with merges.txt, and open_clip's merges file.
 *
 * All three write bytes as printable characters (GPT-2's way): bytes that are printable in Latin-1 stand for
 * themselves, the others for U+0100 and on, in order. "</w>" behind a token says that it ends a word.
 */
#include "text/vocabulary.h"

#include <string.h>

#include "formats/arrays.h"
#include "formats/json.h"
#include "text/names.h"

enum { FILE_MAXIMUM = 64 << 20, OPEN_CLIP_MERGES = 49152 - 256 - 2 };
#define WORD_END "</w>"
#define WORD_END_LENGTH 4

/* Everything a reader needs while it reads. */
typedef struct reader {
    clsp_vocabulary *out;
    const char *path; /* of the file that messages name */
    clsp_names names;
    clsp_buffer joined;   /* scratch for left + right */
    clsp_buffer spelling; /* the token strings that no file spells out */
    int vocab_size;
    int32_t rank;
    clipspan_error *err;
} reader;

/* ---- merges ------------------------------------------------------------------------------------------- */

static size_t merge_slot(const clsp_merge *merges, size_t capacity, int32_t left, int32_t right)
{
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(hash >> 32) & (capacity - 1);
    while (merges[i].left >= 0 && (merges[i].left != left || merges[i].right != right)) i = (i + 1) & (capacity - 1);
    return i;
}

const clsp_merge *clsp_vocabulary_merge(const clsp_vocabulary *vocabulary, int32_t left, int32_t right)
{
    if (vocabulary->merge_capacity == 0) return NULL;
    const clsp_merge *merge =
        &vocabulary->merges[merge_slot(vocabulary->merges, vocabulary->merge_capacity, left, right)];
    return merge->left >= 0 ? merge : NULL;
}

static clipspan_status widen(reader *r)
{
    clsp_vocabulary *out = r->out;
    size_t capacity = out->merge_capacity ? out->merge_capacity * 2 : 1024;
    clsp_merge *wider = clsp_alloc(capacity, sizeof *wider);
    if (wider == NULL) return clsp_fail_memory(r->err);
    for (size_t i = 0; i < capacity; i++) wider[i].left = -1;
    for (size_t i = 0; i < out->merge_capacity; i++) {
        const clsp_merge *old = &out->merges[i];
        if (old->left >= 0) wider[merge_slot(wider, capacity, old->left, old->right)] = *old;
    }
    clsp_free(out->merges);
    out->merges = wider;
    out->merge_capacity = capacity;
    return CLIPSPAN_OK;
}

static clipspan_status fail_merge(const reader *r, const char *left, size_t left_length, const char *right,
                                  size_t right_length)
{
    return clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT,
                     "%s: merge %d joins '%.*s' and '%.*s', but these or their union are not in the vocabulary",
                     r->path, (int)r->rank, (int)clsp_min(left_length, 64), left, (int)clsp_min(right_length, 64),
                     right);
}

/* A pair that is listed twice keeps its last rank, as both Python programs do. */
static clipspan_status add_merge(reader *r, const char *left, size_t left_length, const char *right,
                                 size_t right_length)
{
    clsp_vocabulary *out = r->out;
    r->joined.length = 0;
    if (!clsp_buffer_append(&r->joined, left, left_length) || !clsp_buffer_append(&r->joined, right, right_length))
        return clsp_fail_memory(r->err);
    clsp_merge merge = {.left = clsp_names_find(&r->names, left, left_length),
                        .right = clsp_names_find(&r->names, right, right_length),
                        .rank = r->rank,
                        .id = clsp_names_find(&r->names, r->joined.data, r->joined.length)};
    if (merge.left < 0 || merge.right < 0 || merge.id < 0)
        return fail_merge(r, left, left_length, right, right_length);
    r->rank++;
    if (out->merge_count * 2 >= out->merge_capacity) {
        clipspan_status status = widen(r);
        if (status != CLIPSPAN_OK) return status;
    }
    clsp_merge *slot = &out->merges[merge_slot(out->merges, out->merge_capacity, merge.left, merge.right)];
    out->merge_count += slot->left < 0;
    *slot = merge;
    return CLIPSPAN_OK;
}

/* "left right" */
static clipspan_status add_merge_line(reader *r, const char *line, size_t length)
{
    const char *gap = memchr(line, ' ', length);
    size_t left = gap == NULL ? 0 : (size_t)(gap - line);
    if (left == 0 || left + 1 >= length || memchr(gap + 1, ' ', length - left - 1) != NULL)
        return clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT, "%s: merge %d, '%.*s': expected two tokens and one space",
                         r->path, (int)r->rank, (int)clsp_min(length, 64), line);
    return add_merge(r, line, left, gap + 1, length - left - 1);
}

/* ---- tokens ------------------------------------------------------------------------------------------- */

static clipspan_status add_token(reader *r, const char *text, size_t length, int64_t id)
{
    if (id < 0 || id >= INT32_MAX)
        return clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT, "%s: token '%.64s' has the id %lld", r->path, text,
                         (long long)id);
    if (r->vocab_size > 0 && id >= r->vocab_size)
        return clsp_fail(r->err, CLIPSPAN_ERROR_MISMATCH,
                         "%s: token '%.64s' has the id %lld, but the model's vocabulary has %d entries", r->path, text,
                         (long long)id, r->vocab_size);
    if (id >= r->out->size) r->out->size = (int)id + 1;
    return clsp_names_put(&r->names, text, length, (int32_t)id) ? CLIPSPAN_OK : clsp_fail_memory(r->err);
}

/* The character that stands for a byte in vocabulary files. */
static uint32_t byte_symbol(unsigned byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173)) return byte;
    if (byte <= 32) return 256 + byte;
    return byte == 173 ? 256 + 67 : 256 + 33 + (byte - 127);
}

static clipspan_status find_bytes(reader *r)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[4 + WORD_END_LENGTH + 1] = {0};
        size_t length = clsp_rune_encode(byte_symbol(byte), (unsigned char *)name);
        memcpy(name + length, WORD_END, WORD_END_LENGTH);
        r->out->byte[byte] = clsp_names_find(&r->names, name, length);
        r->out->byte_end[byte] = clsp_names_find(&r->names, name, length + WORD_END_LENGTH);
        if (r->out->byte[byte] >= 0 && r->out->byte_end[byte] >= 0) continue;
        if (r->out->byte[byte] < 0) name[length] = '\0';
        return clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT,
                         "%s: no token '%s' for byte 0x%02x; a byte-level vocabulary needs all 256, each also with %s",
                         r->path, name, byte, WORD_END);
    }
    return CLIPSPAN_OK;
}

static clipspan_status find_special(reader *r, int32_t *id, const char *name, const char *other)
{
    *id = clsp_names_find(&r->names, name, strlen(name));
    if (*id < 0) *id = clsp_names_find(&r->names, other, strlen(other));
    if (*id >= 0) return CLIPSPAN_OK;
    return clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT, "%s: neither '%s' nor '%s' is among the tokens", r->path, name,
                     other);
}

static clipspan_status add_added(reader *r, const char *text, size_t length, int32_t id, bool normalized)
{
    clsp_vocabulary *out = r->out;
    clsp_added *added = clsp_grow(out->added, out->added_count + 1, sizeof *added);
    if (added == NULL) return clsp_fail_memory(r->err);
    out->added = added;
    added[out->added_count] = (clsp_added){.id = id, .normalized = normalized};
    clsp_runes_decode(&added[out->added_count++].text, text, length);
    return added[out->added_count - 1].text.failed ? clsp_fail_memory(r->err) : CLIPSPAN_OK;
}

/* Both special tokens, and unless the file listed its own added tokens, those as such. */
static clipspan_status finish(reader *r)
{
    static const char *const names[2] = {"<|startoftext|>", "<|endoftext|>"};
    static const char *const others[2] = {"<start_of_text>", "<end_of_text>"};
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(find_bytes(r));
    CLSP_TRY(find_special(r, &r->out->start, names[0], others[0]));
    CLSP_TRY(find_special(r, &r->out->end, names[1], others[1]));
    if (r->out->added_count > 0) return CLIPSPAN_OK;
    CLSP_TRY(add_added(r, names[0], strlen(names[0]), r->out->start, false));
    CLSP_TRY(add_added(r, names[1], strlen(names[1]), r->out->end, false));
out:
    return status;
}

/* ---- the JSON files ----------------------------------------------------------------------------------- */

static clipspan_status read_tokens(reader *r, const clsp_json *vocab)
{
    for (void *m = clsp_json_first(vocab); m != NULL; m = clsp_json_next(vocab, m)) {
        int64_t id;
        const char *text = clsp_json_key(m);
        if (!clsp_json_int(clsp_json_value(m), &id))
            return clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT, "%s: token '%.64s': the id is no integer", r->path, text);
        clipspan_status status = add_token(r, text, strlen(text), id);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

/* A merge is "a b" or ["a", "b"]. */
static clipspan_status read_merges(reader *r, const clsp_json *merges)
{
    for (size_t i = 0; i < clsp_json_length(merges); i++) {
        const clsp_json *merge = clsp_json_at(merges, i);
        const char *line = clsp_json_string(merge);
        const char *left = clsp_json_string(clsp_json_at(merge, 0)), *right = clsp_json_string(clsp_json_at(merge, 1));
        clipspan_status status;
        if (line != NULL) status = add_merge_line(r, line, strlen(line));
        else if (clsp_json_length(merge) == 2 && left != NULL && right != NULL)
            status = add_merge(r, left, strlen(left), right, strlen(right));
        else
            status = clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT, "%s: model.merges[%zu] is neither \"a b\" nor [\"a\", \"b\"]",
                               r->path, i);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

static clipspan_status read_added(reader *r, const clsp_json *list)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; i < clsp_json_length(list); i++) {
        const clsp_json *token = clsp_json_at(list, i);
        const char *text = clsp_json_string(clsp_json_get(token, "content"));
        int64_t id;
        bool flag = false, special = false, normalized, odd = false;
        if (text == NULL || text[0] == '\0' || !clsp_json_int(clsp_json_get(token, "id"), &id))
            return clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT, "%s: added_tokens[%zu] has no content or no id", r->path, i);
        static const char *const unknown[] = {"single_word", "lstrip", "rstrip"};
        for (size_t k = 0; k < 3; k++) odd |= clsp_json_bool(clsp_json_get(token, unknown[k]), &flag) && flag;
        if (odd)
            return clsp_fail(r->err, CLIPSPAN_ERROR_UNSUPPORTED,
                             "%s: added token '%.64s' asks for single_word, lstrip or rstrip", r->path, text);
        (void)clsp_json_bool(clsp_json_get(token, "special"), &special);
        if (!clsp_json_bool(clsp_json_get(token, "normalized"), &normalized)) normalized = !special;
        CLSP_TRY(add_token(r, text, strlen(text), id));
        CLSP_TRY(add_added(r, text, strlen(text), (int32_t)id, normalized));
    }
out:
    return status;
}

static clipspan_status read_tokenizer_json(reader *r, const clsp_json *root, const clsp_json *model)
{
    const char *type = clsp_json_string(clsp_json_get(model, "type"));
    const char *suffix = clsp_json_string(clsp_json_get(model, "end_of_word_suffix"));
    clipspan_status status = CLIPSPAN_OK;
    if (type != NULL && strcmp(type, "BPE") != 0)
        return clsp_fail(r->err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: the model is of type '%.32s', expected 'BPE'",
                         r->path, type);
    if (suffix == NULL || strcmp(suffix, WORD_END) != 0)
        return clsp_fail(r->err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: end_of_word_suffix is '%.32s', CLIP's is '%s'",
                         r->path, suffix ? suffix : "", WORD_END);
    if (!clsp_json_is_object(clsp_json_get(model, "vocab")) || !clsp_json_is_array(clsp_json_get(model, "merges")))
        return clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT, "%s: no model.vocab object or no model.merges array", r->path);
    CLSP_TRY(read_tokens(r, clsp_json_get(model, "vocab")));
    CLSP_TRY(read_added(r, clsp_json_get(root, "added_tokens")));
    CLSP_TRY(read_merges(r, clsp_json_get(model, "merges")));
    CLSP_TRY(finish(r));
out:
    return status;
}

/* The next line of [*at, end), without its end; false: no more. */
static bool next_line(const char **at, const char *end, const char **line, size_t *length)
{
    if (*at > end) return false;
    const char *stop = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (stop == NULL) stop = end;
    *line = *at;
    *length = (size_t)(stop - *at);
    *at = stop + 1;
    return true;
}

/* merges.txt beside vocab.json: "#version" lines and empty ones say nothing. */
static clipspan_status read_merges_txt(reader *r, const char *bytes, size_t size)
{
    const char *at = bytes, *line;
    size_t length;
    while (next_line(&at, bytes + size, &line, &length)) {
        if (length > 0 && line[length - 1] == '\r') length--;
        if (length == 0 || (length >= 8 && memcmp(line, "#version", 8) == 0)) continue;
        clipspan_status status = add_merge_line(r, line, length);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

static clipspan_status read_vocab_json(reader *r, const clsp_json *root)
{
    clipspan_status status = CLIPSPAN_OK;
    const char *path = r->path, *slash = strrchr(path, '/');
    char *folder = NULL, *merges_path = NULL, *bytes = NULL;
    size_t size = 0;
    if (!clsp_json_is_object(root))
        return clsp_fail(r->err, CLIPSPAN_ERROR_FORMAT, "%s: neither a tokenizer.json nor a vocab.json", path);
    clipspan_error *err = r->err;
    CLSP_ALLOC(folder, slash ? clsp_strndup(path, (size_t)(slash - path)) : clsp_strdup("."));
    CLSP_ALLOC(merges_path, slash == path ? clsp_strdup("/merges.txt") : clsp_path_join(folder, "merges.txt"));
    CLSP_TRY(read_tokens(r, root));
    CLSP_TRY(clsp_file_read(&bytes, &size, merges_path, FILE_MAXIMUM, err));
    r->path = merges_path;
    CLSP_TRY(read_merges_txt(r, bytes, size));
    r->path = path;
    CLSP_TRY(finish(r));
out:
    r->path = path;
    clsp_free(bytes);
    clsp_free(merges_path);
    clsp_free(folder);
    return status;
}

static clipspan_status read_json(reader *r)
{
    clsp_json *root = NULL;
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clsp_json_open(&root, r->path, FILE_MAXIMUM, r->err));
    const clsp_json *model = clsp_json_get(root, "model");
    if (clsp_json_is_object(model)) CLSP_TRY(read_tokenizer_json(r, root, model));
    else CLSP_TRY(read_vocab_json(r, root));
out:
    clsp_json_free(root);
    return status;
}

/* ---- open_clip's merges file -------------------------------------------------------------------------- */

/* Spells a token out in r->spelling, and puts it in under the next id. The buffer never moves: it was born with room
 * for all (reserve_spelling). */
static clipspan_status spell(reader *r, const char *left, size_t left_length, const char *right, size_t right_length)
{
    size_t first = r->spelling.length;
    if (!clsp_buffer_append(&r->spelling, left, left_length) ||
        !clsp_buffer_append(&r->spelling, right, right_length))
        return clsp_fail_memory(r->err);
    return add_token(r, r->spelling.data + first, left_length + right_length, r->out->size);
}

static clipspan_status reserve_spelling(reader *r, size_t size)
{
    size_t needed = size + 512 * (4 + WORD_END_LENGTH) + 64;
    clsp_buffer_init(&r->spelling, needed);
    r->spelling.data = clsp_alloc(needed + 1, 1);
    if (r->spelling.data == NULL) return clsp_fail_memory(r->err);
    r->spelling.capacity = needed + 1;
    return CLIPSPAN_OK;
}

/* All bytes in open_clip's order, the printable ones first, each followed by `ending`. */
static clipspan_status spell_bytes(reader *r, const char *ending)
{
    for (int printable = 1; printable >= 0; printable--) {
        for (unsigned byte = 0; byte < 256; byte++) {
            unsigned char symbol[4];
            if ((byte_symbol(byte) < 256) != printable) continue;
            size_t length = clsp_rune_encode(byte_symbol(byte), symbol);
            clipspan_status status = spell(r, (const char *)symbol, length, ending, strlen(ending));
            if (status != CLIPSPAN_OK) return status;
        }
    }
    return CLIPSPAN_OK;
}

/* One pass over the merges: first for the tokens they make (ids follow the lines, also empty ones), then for the
 * pairs. open_clip skips the first line and reads at most 48,894 more. */
static clipspan_status each_merge(reader *r, const char *bytes, size_t size, bool pairs)
{
    const char *at = bytes, *line;
    size_t length;
    next_line(&at, bytes + size, &line, &length);
    for (int i = 0; i < OPEN_CLIP_MERGES && next_line(&at, bytes + size, &line, &length); i++) {
        clipspan_status status = CLIPSPAN_OK;
        if (length > 0 && line[length - 1] == '\r') length--;
        const char *gap = length > 0 ? memchr(line, ' ', length) : NULL;
        size_t left = gap ? (size_t)(gap - line) : 0;
        if (length == 0) r->out->size += !pairs;
        else if (pairs || gap == NULL) status = add_merge_line(r, line, length);
        else status = spell(r, line, left, gap + 1, length - left - 1);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

static clipspan_status read_open_clip(reader *r)
{
    char *bytes = NULL;
    size_t size = 0;
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(clsp_file_read(&bytes, &size, r->path, FILE_MAXIMUM, r->err));
    if (size >= 2 && (unsigned char)bytes[0] == 0x1f && (unsigned char)bytes[1] == 0x8b) {
        clsp_free(bytes);
        bytes = NULL;
        CLSP_TRY(clsp_gzip_read(&bytes, &size, r->path, FILE_MAXIMUM, r->err));
    }
    CLSP_TRY(reserve_spelling(r, size));
    CLSP_TRY(spell_bytes(r, ""));
    CLSP_TRY(spell_bytes(r, WORD_END));
    CLSP_TRY(each_merge(r, bytes, size, false));
    CLSP_TRY(spell(r, "<start_of", 9, "_text>", 6));
    CLSP_TRY(spell(r, "<end_of", 7, "_text>", 6));
    CLSP_TRY(each_merge(r, bytes, size, true));
    CLSP_TRY(finish(r));
out:
    clsp_free(bytes);
    return status;
}

/* ---- the door ----------------------------------------------------------------------------------------- */

void clsp_vocabulary_free(clsp_vocabulary *vocabulary)
{
    for (size_t i = 0; i < vocabulary->added_count; i++) clsp_runes_free(&vocabulary->added[i].text);
    clsp_free(vocabulary->added);
    clsp_free(vocabulary->merges);
    *vocabulary = (clsp_vocabulary){0};
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

clipspan_status clsp_vocabulary_read(clsp_vocabulary *vocabulary, const char *path, int vocab_size,
                                     clipspan_error *err)
{
    *vocabulary = (clsp_vocabulary){0};
    reader r = {.out = vocabulary, .path = path, .vocab_size = vocab_size, .err = err};
    clsp_buffer_init(&r.joined, FILE_MAXIMUM);
    clipspan_status status = ends_with(path, ".json") ? read_json(&r) : read_open_clip(&r);
    clsp_names_free(&r.names);
    clsp_buffer_free(&r.joined);
    clsp_buffer_free(&r.spelling);
    if (status != CLIPSPAN_OK) clsp_vocabulary_free(vocabulary);
    return status;
}
