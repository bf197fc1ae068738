/* serve/body.h - the JSON of a request, checked: what is missing, of another kind, too long or unknown is said by its name. */
#ifndef CLIPSPAN_SERVE_BODY_H
#define CLIPSPAN_SERVE_BODY_H

#include "exchange.h"

typedef struct serve_body serve_body;
/* known: names of the fields that there are, ends with NULL. An object of others is refused, one that is too deep unread. */
clipspan_status serve_body_open(serve_body **out, const char *bytes, size_t length, const char *const *known,
                                clipspan_error *err);
void serve_body_free(serve_body *body); /* NULL is fine */
bool serve_body_has(const serve_body *body, const char *name); /* given, and not null */

/* Each leaves `otherwise` in *out where the field is not given, or is an empty text. Texts are borrowed from the body. */
clipspan_status serve_body_text(const serve_body *body, const char *name, size_t most, const char *otherwise,
                                const char **out, clipspan_error *err);
clipspan_status serve_body_number(const serve_body *body, const char *name, size_t least, size_t most, size_t otherwise,
                                  size_t *out, clipspan_error *err);
clipspan_status serve_body_flag(const serve_body *body, const char *name, bool *out, clipspan_error *err);
/* One of `choices` (NULL behind the last), by position; 0 where it is not given. */
clipspan_status serve_body_choice(const serve_body *body, const char *name, const char *const *choices, int *out,
                                  clipspan_error *err);
/* An array of 1 to `most` texts, none of them blank, each of at most `bytes`. *out: [count], the caller frees the array. */
clipspan_status serve_body_texts(const serve_body *body, const char *name, size_t most, size_t bytes, const char ***out,
                                 size_t *count, clipspan_error *err);

#endif
