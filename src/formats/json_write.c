/* JSON as text. Not jansson's own writer, for two reasons: a real is written with the fewest digits that read
 * back as the same double (0.1, where a fixed precision gives 0.10000000000000001), and every allocation goes
 * through base. The C locale's decimal point is undone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json_tree.h"

typedef struct emitter {
    clsp_buffer *out;
    bool indented;
} emitter;

static bool emit(const emitter *e, json_t *node, int depth);

static bool emit_string(clsp_buffer *out, const char *text, size_t length)
{
    bool good = clsp_buffer_text(out, "\"");
    size_t begin = 0;
    for (size_t i = 0; good && i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        good = clsp_buffer_append(out, text + begin, i - begin);
        const char *named = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : c == '"' ? "\\\"" :
                            c == '\\' ? "\\\\" : NULL;
        if (good) good = named ? clsp_buffer_text(out, named) : clsp_buffer_format(out, "\\u%04x", c);
        begin = i + 1;
    }
    return good && clsp_buffer_append(out, text + begin, length - begin) && clsp_buffer_text(out, "\"");
}

/* The shortest decimal that strtod reads back as `value`; both follow the same locale. */
static bool emit_real(clsp_buffer *out, double value)
{
    char text[64], clean[64];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    size_t length = 0;
    for (const char *c = text; *c; c++) { /* a locale's decimal point, one byte or several, becomes "." */
        if (strchr("0123456789+-e", *c) != NULL)
            clean[length++] = *c;
        else if (length == 0 || clean[length - 1] != '.')
            clean[length++] = '.';
    }
    clean[length] = '\0';
    return clsp_buffer_text(out, clean) && (strpbrk(clean, ".e") != NULL || clsp_buffer_text(out, ".0"));
}

static bool new_line(const emitter *e, int depth)
{
    if (!e->indented) return true;
    bool good = clsp_buffer_text(e->out, "\n");
    for (int i = 0; good && i < depth; i++) good = clsp_buffer_text(e->out, "  ");
    return good;
}

static bool emit_object(const emitter *e, json_t *object, int depth)
{
    const char *separator = "{";
    for (void *m = json_object_iter(object); m; m = json_object_iter_next(object, m)) {
        const char *key = json_object_iter_key(m);
        if (!clsp_buffer_text(e->out, separator) || !new_line(e, depth + 1) ||
            !emit_string(e->out, key, strlen(key)) || !clsp_buffer_text(e->out, e->indented ? ": " : ":") ||
            !emit(e, json_object_iter_value(m), depth + 1))
            return false;
        separator = ",";
    }
    if (json_object_size(object) == 0) return clsp_buffer_text(e->out, "{}");
    return new_line(e, depth) && clsp_buffer_text(e->out, "}");
}

/* Arrays of plain numbers (shapes, vectors) stay on one line. */
static bool all_scalar(json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        if (json_is_object(item) || json_is_array(item) || json_is_string(item)) return false;
    }
    return true;
}

static bool emit_array(const emitter *e, json_t *array, int depth)
{
    bool flat = !e->indented || all_scalar(array);
    bool good = clsp_buffer_text(e->out, "[");
    for (size_t i = 0; good && i < json_array_size(array); i++) {
        if (i > 0) good = clsp_buffer_text(e->out, flat && e->indented ? ", " : ",");
        if (good && !flat) good = new_line(e, depth + 1);
        if (good) good = emit(e, json_array_get(array, i), depth + 1);
    }
    if (good && !flat) good = new_line(e, depth);
    return good && clsp_buffer_text(e->out, "]");
}

static bool emit(const emitter *e, json_t *node, int depth)
{
    switch (json_typeof(node)) {
    case JSON_OBJECT: return emit_object(e, node, depth);
    case JSON_ARRAY: return emit_array(e, node, depth);
    case JSON_STRING: return emit_string(e->out, json_string_value(node), json_string_length(node));
    case JSON_INTEGER: return clsp_buffer_format(e->out, "%lld", (long long)json_integer_value(node));
    case JSON_REAL: return emit_real(e->out, json_real_value(node));
    case JSON_TRUE: return clsp_buffer_text(e->out, "true");
    case JSON_FALSE: return clsp_buffer_text(e->out, "false");
    case JSON_NULL: break;
    }
    return clsp_buffer_text(e->out, "null");
}

static bool emit_root(clsp_buffer *out, const clsp_json *root, bool indented)
{
    clsp_buffer_init(out, SIZE_MAX / 4);
    return root != NULL && emit(&(emitter){out, indented}, clsp_json_tree(root), 0);
}

char *clsp_json_text(const clsp_json *root)
{
    clsp_buffer out;
    if (emit_root(&out, root, false)) return out.data;
    clsp_buffer_free(&out);
    return NULL;
}

static clipspan_status write_file(const clsp_buffer *text, const char *path, bool own, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_output output = {0};
    CLSP_TRY(own ? clsp_output_open_file(&output, path, err) : clsp_output_open(&output, path, err));
    CLSP_TRY(clsp_output_write(&output, text->data, text->length, err));
    CLSP_TRY(clsp_output_commit(&output, err));
out:
    clsp_output_discard(&output);
    return status;
}

static clipspan_status write_any(const clsp_json *root, const char *path, bool own, clipspan_error *err)
{
    clsp_buffer text;
    clipspan_status status = CLIPSPAN_OK;
    if (!emit_root(&text, root, true) || !clsp_buffer_text(&text, "\n"))
        status = clsp_fail_memory(err);
    else if (own || strcmp(path, "-") != 0)
        status = write_file(&text, path, own, err);
    else if (fwrite(text.data, 1, text.length, stdout) != text.length || fflush(stdout) != 0)
        status = clsp_fail_errno(err, "standard output: cannot be written");
    clsp_buffer_free(&text);
    return status;
}

clipspan_status clsp_json_write(const clsp_json *root, const char *path, clipspan_error *err)
{
    return write_any(root, path, false, err);
}

clipspan_status clsp_json_write_own(const clsp_json *root, const char *path, clipspan_error *err)
{
    return write_any(root, path, true, err);
}
