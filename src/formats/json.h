/* formats/json.h - JSON in and out. The only door to jansson.
 *
 *     clsp_json *root = NULL;
 *     CLSP_TRY(clsp_json_open(&root, path, CLSP_JSON_MAXIMUM, err));
 *     int64_t width;
 *     if (!clsp_json_int(clsp_json_get(root, "width"), &width)) ...
 *     clsp_json_free(root);
 *
 * A node is borrowed from its root; the root is the caller's. Getters take NULL and answer "absent". Depth and
 * size are bounded; duplicate keys are refused. Member order is kept.
 */
#ifndef CLSP_FORMATS_JSON_H
#define CLSP_FORMATS_JSON_H

#include "base/base.h"

enum { CLSP_JSON_MAXIMUM = 256 << 20 };
typedef struct clsp_json clsp_json;

/* Errors name the file, line and column. */
clipspan_status clsp_json_open(clsp_json **out, const char *path, size_t maximum, clipspan_error *err);
/* `name` stands for the file in messages. */
clipspan_status clsp_json_parse(clsp_json **out, const char *bytes, size_t length, const char *name,
                                clipspan_error *err);
void clsp_json_free(clsp_json *root);
clsp_json *clsp_json_share(clsp_json *root); /* root once more: each has to be freed */

const clsp_json *clsp_json_get(const clsp_json *object, const char *key); /* NULL: absent, null, or no object */
bool clsp_json_int(const clsp_json *node, int64_t *out);     /* integers, and reals with an integer value */
bool clsp_json_number(const clsp_json *node, double *out);
bool clsp_json_bool(const clsp_json *node, bool *out);
const char *clsp_json_string(const clsp_json *node);         /* NULL: no string */
const char *clsp_json_string_n(const clsp_json *node, size_t *length); /* may hold NUL bytes */
bool clsp_json_is_object(const clsp_json *node);
bool clsp_json_is_array(const clsp_json *node);
size_t clsp_json_length(const clsp_json *node);              /* of an array or object; 0 else */
const clsp_json *clsp_json_at(const clsp_json *array, size_t i);
/* Walks an object's members in order: `for (void *m = clsp_json_first(o); m; m = clsp_json_next(o, m))`. */
void *clsp_json_first(const clsp_json *object);
void *clsp_json_next(const clsp_json *object, void *member);
const char *clsp_json_key(void *member);
const clsp_json *clsp_json_value(void *member);

/* Building. A new_ result is the caller's until it is put somewhere; put takes it over (also on failure, also
 * NULL, which then reports false), so that `ok &= clsp_json_put(o, "k", clsp_json_new_int(3))` never leaks. */
clsp_json *clsp_json_new_object(void);
clsp_json *clsp_json_new_array(void);
clsp_json *clsp_json_new_string(const char *text); /* invalid UTF-8 becomes U+FFFD */
clsp_json *clsp_json_new_int(int64_t value);
clsp_json *clsp_json_new_number(double value);     /* a value that is not finite becomes null */
clsp_json *clsp_json_new_bool(bool value);
clsp_json *clsp_json_new_null(void);
bool clsp_json_put(clsp_json *object, const char *key, clsp_json *value);
bool clsp_json_push(clsp_json *array, clsp_json *value);

/* Indented by 2, a newline at the end. path "-" is standard output; else whole or absent. */
clipspan_status clsp_json_write(const clsp_json *root, const char *path, clipspan_error *err);
clipspan_status clsp_json_write_own(const clsp_json *root, const char *path, clipspan_error *err); /* as clsp_output_open_file */
char *clsp_json_text(const clsp_json *root); /* compact; caller frees with clsp_free; NULL: no memory */

#endif
