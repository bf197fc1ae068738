/* model/section.h - one object of a configuration file, read key by key with messages that name file and key. */
#ifndef CLSP_MODEL_SECTION_H
#define CLSP_MODEL_SECTION_H

#ifndef CLSP_ROOM_MODEL
#error "model/section.h belongs to the model room"
#endif

#include "base/base.h"
#include "formats/json.h"

typedef struct clsp_section {
    const char *file;      /* path of the configuration, for messages */
    const char *name;      /* "vision_config"; "" for the file's root */
    const clsp_json *node; /* an object */
} clsp_section;

enum { CLSP_REQUIRED = INT32_MIN }; /* as a fallback: the key must be there */

/* Member `name` of `parent`, which must be an object; `parent_name` is "" or the parent's own name. */
clipspan_status clsp_section_open(clsp_section *out, const clsp_section *parent, const char *name, clipspan_error *err);

/* "FILE: SECTION.KEY: <message>". */
clipspan_status clsp_section_fail(const clsp_section *section, const char *key, clipspan_error *err,
                                  clipspan_status status, const char *format, ...) CLSP_PRINTF(5, 6);
/* "FILE: SECTION.KEY: expected <wanted>, found <value>". */
clipspan_status clsp_section_unfit(const clsp_section *section, const char *key, const char *wanted,
                                   clipspan_error *err);

/* An absent key (or null) gives the fallback. */
clipspan_status clsp_section_int(const clsp_section *section, const char *key, int fallback, int minimum, int maximum,
                                 int *out, clipspan_error *err);
clipspan_status clsp_section_number(const clsp_section *section, const char *key, double fallback, double *out,
                                    clipspan_error *err);
clipspan_status clsp_section_bool(const clsp_section *section, const char *key, bool fallback, bool *out,
                                  clipspan_error *err);
clipspan_status clsp_section_string(const clsp_section *section, const char *key, const char *fallback,
                                    const char **out, clipspan_error *err); /* borrowed */
/* An integer, or a list of two equal ones. Unequal sides are unsupported. */
clipspan_status clsp_section_square(const clsp_section *section, const char *key, int fallback, int maximum, int *out,
                                    clipspan_error *err);
/* Three numbers, or one that stands for three. Absent: out keeps its values. */
clipspan_status clsp_section_triple(const clsp_section *section, const char *key, double out[3], clipspan_error *err);

/* Fails as unsupported when the key is there and neither null, false, 0, "" nor empty. */
clipspan_status clsp_section_refuse(const clsp_section *section, const char *key, const char *why, clipspan_error *err);
/* Fails as unsupported at the first member that `known` (ending in NULL) does not list. */
clipspan_status clsp_section_known(const clsp_section *section, const char *const *known, clipspan_error *err);

#endif
