/* The one door to jansson. */
#include "body.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

struct serve_body {
    json_t *root;
};

/* Brackets outside of strings; what is not JSON is found later. The parser itself would go 2,048 deep. */
static bool too_deep(const char *bytes, size_t length)
{
    size_t depth = 0;
    bool inside = false;
    for (size_t i = 0; i < length && depth <= SERVE_JSON_DEPTH; i++) {
        char c = bytes[i];
        if (inside && c == '\\')
            i++;
        else if (c == '"')
            inside = !inside;
        else if (!inside && (c == '{' || c == '['))
            depth++;
        else if (!inside && (c == '}' || c == ']') && depth > 0)
            depth--;
    }
    return depth > SERVE_JSON_DEPTH;
}

static clipspan_status check_fields(const json_t *root, const char *const *known, clipspan_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(root)) return serve_wrong(err, "the request is no JSON object");
    json_object_foreach((json_t *)(void *)root, key, value)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0) i++;
        if (known[i] == NULL) return serve_wrong(err, "\"%.100s\" is no field of this request", key);
    }
    return CLIPSPAN_OK;
}

clipspan_status serve_body_open(serve_body **out, const char *bytes, size_t length, const char *const *known,
                                clipspan_error *err)
{
    json_error_t problem;
    *out = NULL;
    if (too_deep(bytes, length)) return serve_wrong(err, "the request is nested deeper than %d", (int)SERVE_JSON_DEPTH);
    serve_body *body = calloc(1, sizeof *body);
    if (body == NULL) return serve_no_memory(err);
    body->root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &problem);
    clipspan_status status = body->root ? check_fields(body->root, known, err)
                                        : serve_wrong(err, "the request is no JSON: line %d, column %d: %s", problem.line,
                                                      problem.column, problem.text);
    if (status == CLIPSPAN_OK)
        *out = body;
    else
        serve_body_free(body);
    return status;
}

void serve_body_free(serve_body *body)
{
    if (body == NULL) return;
    json_decref(body->root);
    free(body);
}

static const json_t *field(const serve_body *body, const char *name)
{
    const json_t *value = json_object_get(body->root, name);
    return json_is_null(value) ? NULL : value;
}

bool serve_body_has(const serve_body *body, const char *name)
{
    return field(body, name) != NULL;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

clipspan_status serve_body_text(const serve_body *body, const char *name, size_t most, const char *otherwise,
                                const char **out, clipspan_error *err)
{
    const json_t *value = field(body, name);
    *out = otherwise;
    if (value == NULL) return CLIPSPAN_OK;
    if (!json_is_string(value)) return serve_wrong(err, "%s: expected a text", name);
    if (json_string_length(value) == 0) return CLIPSPAN_OK;
    if (json_string_length(value) > most)
        return serve_wrong(err, "%s: %zu bytes, expected at most %zu", name, json_string_length(value), most);
    if (is_blank(json_string_value(value))) return serve_wrong(err, "%s is empty", name);
    *out = json_string_value(value);
    return CLIPSPAN_OK;
}

clipspan_status serve_body_number(const serve_body *body, const char *name, size_t least, size_t most, size_t otherwise,
                                  size_t *out, clipspan_error *err)
{
    const json_t *value = field(body, name);
    *out = otherwise;
    if (value == NULL) return CLIPSPAN_OK;
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < 0 || (unsigned long long)number < least || (unsigned long long)number > most)
        return serve_wrong(err, "%s: expected a whole number from %zu to %zu", name, least, most);
    *out = (size_t)number;
    return CLIPSPAN_OK;
}

clipspan_status serve_body_flag(const serve_body *body, const char *name, bool *out, clipspan_error *err)
{
    const json_t *value = field(body, name);
    *out = value != NULL && json_is_true(value);
    return value == NULL || json_is_boolean(value) ? CLIPSPAN_OK : serve_wrong(err, "%s: expected true or false", name);
}

clipspan_status serve_body_choice(const serve_body *body, const char *name, const char *const *choices, int *out,
                                  clipspan_error *err)
{
    const json_t *value = field(body, name);
    *out = 0;
    if (value == NULL) return CLIPSPAN_OK;
    for (int i = 0; json_is_string(value) && choices[i] != NULL; i++)
        if (strcmp(json_string_value(value), choices[i]) == 0) {
            *out = i;
            return CLIPSPAN_OK;
        }
    serve_wrong(err, "%s: expected", name);
    for (size_t i = 0, used = strlen(err->message); choices[i] != NULL && used < sizeof err->message; i++)
        used += (size_t)snprintf(err->message + used, sizeof err->message - used, "%s \"%s\"", i ? " or" : "", choices[i]);
    return err->status;
}

static clipspan_status check_text(const json_t *value, const char *name, size_t i, size_t bytes, clipspan_error *err)
{
    if (!json_is_string(value)) return serve_wrong(err, "%s: number %zu (from 0) is no text", name, i);
    if (json_string_length(value) > bytes)
        return serve_wrong(err, "%s: number %zu (from 0) has %zu bytes, expected at most %zu", name, i,
                           json_string_length(value), bytes);
    if (is_blank(json_string_value(value))) return serve_wrong(err, "%s: number %zu (from 0) is empty", name, i);
    return CLIPSPAN_OK;
}

clipspan_status serve_body_texts(const serve_body *body, const char *name, size_t most, size_t bytes, const char ***out,
                                 size_t *count, clipspan_error *err)
{
    const json_t *list = field(body, name);
    size_t size = json_array_size(list);
    clipspan_status status = CLIPSPAN_OK;
    *out = NULL;
    *count = 0;
    if (!json_is_array(list)) return serve_wrong(err, "%s: expected an array of texts", name);
    if (size < 1 || size > most) return serve_wrong(err, "%s: %zu texts, expected 1 to %zu", name, size, most);
    const char **texts = calloc(size, sizeof *texts);
    if (texts == NULL) return serve_no_memory(err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < size; i++) {
        status = check_text(json_array_get(list, i), name, i, bytes, err);
        texts[i] = json_string_value(json_array_get(list, i));
    }
    if (status == CLIPSPAN_OK) {
        *out = texts;
        *count = size;
    } else {
        free(texts);
    }
    return status;
}
