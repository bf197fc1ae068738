/* Configuration objects, key by key. */
#include "model/section.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { VALUE_SHOWN = 80 }; /* bytes of a wrong value that a message quotes */

clipspan_status clsp_section_fail(const clsp_section *section, const char *key, clipspan_error *err,
                                  clipspan_status status, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return clsp_fail(err, status, "%s: %s%s%s: %s", section->file, section->name, *section->name ? "." : "", key, text);
}

clipspan_status clsp_section_unfit(const clsp_section *section, const char *key, const char *wanted,
                                   clipspan_error *err)
{
    const clsp_json *node = clsp_json_get(section->node, key);
    if (node == NULL)
        return clsp_section_fail(section, key, err, CLIPSPAN_ERROR_MISMATCH, "missing; expected %s", wanted);
    char *value = clsp_json_text(node);
    clipspan_status status = clsp_section_fail(section, key, err, CLIPSPAN_ERROR_MISMATCH, "expected %s, found %.*s",
                                               wanted, VALUE_SHOWN, value ? value : "?");
    clsp_free(value);
    return status;
}

clipspan_status clsp_section_open(clsp_section *out, const clsp_section *parent, const char *name, clipspan_error *err)
{
    const clsp_json *node = clsp_json_get(parent->node, name);
    if (!clsp_json_is_object(node)) return clsp_section_unfit(parent, name, "an object", err);
    *out = (clsp_section){parent->file, name, node};
    return CLIPSPAN_OK;
}

clipspan_status clsp_section_int(const clsp_section *section, const char *key, int fallback, int minimum, int maximum,
                                 int *out, clipspan_error *err)
{
    const clsp_json *node = clsp_json_get(section->node, key);
    *out = fallback;
    if (node == NULL && fallback != CLSP_REQUIRED) return CLIPSPAN_OK;
    int64_t value;
    if (!clsp_json_int(node, &value) || value < minimum || value > maximum) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "an integer from %d to %d", minimum, maximum);
        return clsp_section_unfit(section, key, wanted, err);
    }
    *out = (int)value;
    return CLIPSPAN_OK;
}

clipspan_status clsp_section_number(const clsp_section *section, const char *key, double fallback, double *out,
                                    clipspan_error *err)
{
    const clsp_json *node = clsp_json_get(section->node, key);
    *out = fallback;
    if (node == NULL) return CLIPSPAN_OK;
    if (!clsp_json_number(node, out) || !isfinite(*out)) return clsp_section_unfit(section, key, "a number", err);
    return CLIPSPAN_OK;
}

clipspan_status clsp_section_bool(const clsp_section *section, const char *key, bool fallback, bool *out,
                                  clipspan_error *err)
{
    const clsp_json *node = clsp_json_get(section->node, key);
    *out = fallback;
    if (node == NULL) return CLIPSPAN_OK;
    if (!clsp_json_bool(node, out)) return clsp_section_unfit(section, key, "true or false", err);
    return CLIPSPAN_OK;
}

clipspan_status clsp_section_string(const clsp_section *section, const char *key, const char *fallback,
                                    const char **out, clipspan_error *err)
{
    const clsp_json *node = clsp_json_get(section->node, key);
    *out = fallback;
    if (node == NULL) return CLIPSPAN_OK;
    *out = clsp_json_string(node);
    return *out ? CLIPSPAN_OK : clsp_section_unfit(section, key, "a string", err);
}

clipspan_status clsp_section_square(const clsp_section *section, const char *key, int fallback, int maximum, int *out,
                                    clipspan_error *err)
{
    const clsp_json *node = clsp_json_get(section->node, key);
    if (!clsp_json_is_array(node)) return clsp_section_int(section, key, fallback, 1, maximum, out, err);
    int64_t sides[2] = {0, 0};
    if (clsp_json_length(node) != 2 || !clsp_json_int(clsp_json_at(node, 0), &sides[0]) ||
        !clsp_json_int(clsp_json_at(node, 1), &sides[1]) || sides[0] < 1 || sides[0] > maximum)
        return clsp_section_unfit(section, key, "an integer or a list of two", err);
    if (sides[0] != sides[1])
        return clsp_section_fail(section, key, err, CLIPSPAN_ERROR_UNSUPPORTED,
                                 "unequal sides are not supported: %lld and %lld", (long long)sides[0],
                                 (long long)sides[1]);
    *out = (int)sides[0];
    return CLIPSPAN_OK;
}

clipspan_status clsp_section_triple(const clsp_section *section, const char *key, double out[3], clipspan_error *err)
{
    const clsp_json *node = clsp_json_get(section->node, key);
    if (node == NULL) return CLIPSPAN_OK;
    bool fits = true;
    if (clsp_json_is_array(node)) {
        fits = clsp_json_length(node) == 3;
        for (size_t i = 0; fits && i < 3; i++) fits = clsp_json_number(clsp_json_at(node, i), &out[i]);
    } else {
        fits = clsp_json_number(node, &out[0]);
        out[1] = out[2] = out[0];
    }
    for (size_t i = 0; fits && i < 3; i++) fits = isfinite(out[i]);
    return fits ? CLIPSPAN_OK : clsp_section_unfit(section, key, "three numbers", err);
}

static bool is_off(const clsp_json *node)
{
    bool flag;
    double number;
    const char *text = clsp_json_string(node);
    if (text) return *text == '\0';
    if (clsp_json_bool(node, &flag)) return !flag;
    if (clsp_json_number(node, &number)) return number == 0;
    return clsp_json_length(node) == 0;
}

clipspan_status clsp_section_refuse(const clsp_section *section, const char *key, const char *why, clipspan_error *err)
{
    const clsp_json *node = clsp_json_get(section->node, key);
    if (node == NULL || is_off(node)) return CLIPSPAN_OK;
    char *value = clsp_json_text(node);
    clipspan_status status = clsp_section_fail(section, key, err, CLIPSPAN_ERROR_UNSUPPORTED, "%.*s: %s", VALUE_SHOWN,
                                               value ? value : "?", why);
    clsp_free(value);
    return status;
}

clipspan_status clsp_section_known(const clsp_section *section, const char *const *known, clipspan_error *err)
{
    for (void *m = clsp_json_first(section->node); m; m = clsp_json_next(section->node, m)) {
        const char *key = clsp_json_key(m);
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0) i++;
        if (known[i] == NULL)
            return clsp_section_fail(section, key, err, CLIPSPAN_ERROR_UNSUPPORTED,
                                     "unknown key: it may change the network, so it is not passed over");
    }
    return CLIPSPAN_OK;
}
