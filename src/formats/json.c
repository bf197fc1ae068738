/* Reading and building JSON on jansson's tree. A clsp_json is a json_t under another name.
 *
 * jansson bounds the depth (2048), checks UTF-8 and keeps member order; its hash table makes the check for
 * duplicate keys cheap also for a vocabulary of 50,000 keys. */
#include "formats/json.h"

#include <string.h>

#include "formats/json_tree.h"

/* ---- reading ------------------------------------------------------------------------------------------ */

clipspan_status clsp_json_parse(clsp_json **out, const char *bytes, size_t length, const char *name,
                                clipspan_error *err)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_error_t problem;
    *out = NULL;
    json_t *root = json_loadb(bytes, length, flags, &problem);
    /* Tokenizer configurations write "no limit" as the integer 10^30: then read integers as reals. */
    if (root == NULL && json_error_code(&problem) == json_error_numeric_overflow)
        root = json_loadb(bytes, length, flags | JSON_DECODE_INT_AS_REAL, &problem);
    if (root == NULL) {
        /* jansson has a code for it, but most of its own allocation failures leave no word at all */
        if (json_error_code(&problem) == json_error_out_of_memory || problem.text[0] == '\0')
            return clsp_fail_memory(err);
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s:%d:%d: not valid JSON: %s", name, problem.line,
                         problem.column, problem.text);
    }
    *out = clsp_json_of(root);
    return CLIPSPAN_OK;
}

clipspan_status clsp_json_open(clsp_json **out, const char *path, size_t maximum, clipspan_error *err)
{
    clsp_map map;
    *out = NULL;
    clipspan_status status = clsp_map_open(&map, path, err);
    if (status != CLIPSPAN_OK) return status;
    if (map.size > maximum)
        status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %zu bytes of JSON, expected at most %zu", path, map.size,
                           maximum);
    else
        status = clsp_json_parse(out, (const char *)map.bytes, map.size, path, err);
    clsp_map_close(&map);
    return status;
}

void clsp_json_free(clsp_json *root)
{
    json_decref(clsp_json_tree(root));
}

clsp_json *clsp_json_share(clsp_json *root)
{
    json_incref(clsp_json_tree(root));
    return root;
}

const clsp_json *clsp_json_get(const clsp_json *object, const char *key)
{
    json_t *value = json_object_get(clsp_json_tree(object), key);
    return json_is_null(value) ? NULL : clsp_json_of(value);
}

bool clsp_json_int(const clsp_json *node, int64_t *out)
{
    const json_t *tree = clsp_json_tree(node);
    if (json_is_integer(tree)) {
        *out = json_integer_value(tree);
        return true;
    }
    if (!json_is_real(tree)) return false;
    double value = json_real_value(tree);
    if (!(value >= -0x1p63 && value < 0x1p63) || (double)(int64_t)value != value) return false;
    *out = (int64_t)value;
    return true;
}

bool clsp_json_number(const clsp_json *node, double *out)
{
    const json_t *tree = clsp_json_tree(node);
    if (!json_is_number(tree)) return false;
    *out = json_number_value(tree);
    return true;
}

bool clsp_json_bool(const clsp_json *node, bool *out)
{
    const json_t *tree = clsp_json_tree(node);
    if (!json_is_boolean(tree)) return false;
    *out = json_is_true(tree);
    return true;
}

/* A string that holds a NUL byte is none here: as a C string it would silently become another one. */
const char *clsp_json_string(const clsp_json *node)
{
    size_t length;
    const char *text = clsp_json_string_n(node, &length);
    return text != NULL && strlen(text) == length ? text : NULL;
}

const char *clsp_json_string_n(const clsp_json *node, size_t *length)
{
    const json_t *tree = clsp_json_tree(node);
    *length = json_string_length(tree);
    return json_string_value(tree);
}

bool clsp_json_is_object(const clsp_json *node)
{
    return json_is_object(clsp_json_tree(node));
}

bool clsp_json_is_array(const clsp_json *node)
{
    return json_is_array(clsp_json_tree(node));
}

size_t clsp_json_length(const clsp_json *node)
{
    const json_t *tree = clsp_json_tree(node);
    return json_is_array(tree) ? json_array_size(tree) : json_object_size(tree);
}

const clsp_json *clsp_json_at(const clsp_json *array, size_t i)
{
    return clsp_json_of(json_array_get(clsp_json_tree(array), i));
}

void *clsp_json_first(const clsp_json *object)
{
    return json_object_iter(clsp_json_tree(object));
}

void *clsp_json_next(const clsp_json *object, void *member)
{
    return json_object_iter_next(clsp_json_tree(object), member);
}

const char *clsp_json_key(void *member)
{
    return json_object_iter_key(member);
}

const clsp_json *clsp_json_value(void *member)
{
    return clsp_json_of(json_object_iter_value(member));
}

/* ---- building ----------------------------------------------------------------------------------------- */

/* Length of the well-formed UTF-8 sequence at `c` (Unicode 15, table 3-7), 0 if there is none. NUL-terminated. */
static size_t sequence_length(const unsigned char *c)
{
    if (c[0] < 0x80) return 1;
    size_t length = c[0] >= 0xc2 && c[0] <= 0xdf ? 2 : (c[0] & 0xf0) == 0xe0 ? 3 : c[0] >= 0xf0 && c[0] <= 0xf4 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    if (c[0] == 0xe0 && c[1] < 0xa0) return 0; /* overlong */
    if (c[0] == 0xed && c[1] > 0x9f) return 0; /* surrogate */
    if (c[0] == 0xf0 && c[1] < 0x90) return 0; /* overlong */
    if (c[0] == 0xf4 && c[1] > 0x8f) return 0; /* beyond U+10FFFF */
    return length;
}

/* A copy with every byte that is not part of valid UTF-8 replaced by U+FFFD; false: no memory. */
static bool repair(clsp_buffer *out, const char *text)
{
    clsp_buffer_init(out, SIZE_MAX / 4);
    bool good = clsp_buffer_append(out, "", 0);
    while (good && *text) {
        size_t length = sequence_length((const unsigned char *)text);
        good = length ? clsp_buffer_append(out, text, length) : clsp_buffer_text(out, "\xef\xbf\xbd");
        text += length ? length : 1;
    }
    return good;
}

clsp_json *clsp_json_new_object(void)
{
    return clsp_json_of(json_object());
}

clsp_json *clsp_json_new_array(void)
{
    return clsp_json_of(json_array());
}

clsp_json *clsp_json_new_string(const char *text)
{
    clsp_buffer fixed;
    json_t *string = NULL;
    if (text != NULL && repair(&fixed, text)) string = json_stringn(fixed.data, fixed.length);
    if (text != NULL) clsp_buffer_free(&fixed);
    return clsp_json_of(string);
}

clsp_json *clsp_json_new_int(int64_t value)
{
    return clsp_json_of(json_integer(value));
}

clsp_json *clsp_json_new_number(double value)
{
    json_t *real = json_real(value); /* NULL for what is not finite */
    bool finite = value - value == 0.0;
    return clsp_json_of(finite ? real : json_null());
}

clsp_json *clsp_json_new_bool(bool value)
{
    return clsp_json_of(json_boolean(value));
}

clsp_json *clsp_json_new_null(void)
{
    return clsp_json_of(json_null());
}

bool clsp_json_put(clsp_json *object, const char *key, clsp_json *value)
{
    json_t *tree = clsp_json_tree(object), *item = clsp_json_tree(value);
    clsp_buffer fixed;
    if (tree == NULL || item == NULL || !repair(&fixed, key)) {
        json_decref(item);
        return false;
    }
    bool done = json_object_set_new(tree, fixed.data, item) == 0; /* frees the item on failure */
    clsp_buffer_free(&fixed);
    return done;
}

bool clsp_json_push(clsp_json *array, clsp_json *value)
{
    return json_array_append_new(clsp_json_tree(array), clsp_json_tree(value)) == 0;
}
