/* The project's own prompt templates, compiled in from models/pools/templates.txt. */
#include "clipspan/text.h"

static const char *const lines[] = {
#include "text/templates.inc"
};

clipspan_status clipspan_texts_templates(clipspan_texts **out, clipspan_error *err)
{
    return clipspan_texts_copy(out, lines, sizeof lines / sizeof *lines, err);
}
