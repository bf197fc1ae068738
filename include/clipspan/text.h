/* clipspan/text.h - tokens, text lists and prompt templates.
 *
 *     int32_t ids[77];
 *     size_t count;
 *     clipspan_tokenize(model, "a red square", ids, 77, &count, &err);
 *
 * The tokenizer is the model's: open_clip's for that layout, Hugging Face's for the other. Safe from several
 * threads. open_clip's cleaning is followed (HTML entities, NFC, quotes, ligatures, widths, control characters)
 * except ftfy's repair of wrongly decoded text (U+00C3 U+00A9 where U+00E9 was meant stays as it is).
 * Characters younger than the installed utf8proc's Unicode version are neither letters nor digits here.
 */
#ifndef CLIPSPAN_TEXT_H
#define CLIPSPAN_TEXT_H

#include "clipspan/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Token ids of one text, start and end included, cut to `capacity` and to the context length with the end token
 * kept last. `text` is UTF-8; invalid bytes are read as U+FFFD, as Python's errors="replace" does. capacity: at least 2. */
CLIPSPAN_API clipspan_status clipspan_tokenize(const clipspan_model *model, const char *text, int32_t *ids,
                                               size_t capacity, size_t *count, clipspan_error *err);

/* An ordered list of texts. */
typedef struct clipspan_texts clipspan_texts;

/* Lines of a UTF-8 file, without their line ends (a BOM and "\r" are dropped). With skip_blank, lines of nothing but
 * spaces and lines that repeat an earlier one are left out (what a pool wants); without it every line counts. A file that
 * holds a zero byte or a line of more than 1 MB is refused. A pipe is read to its end; "-" is standard input. */
CLIPSPAN_API clipspan_status clipspan_texts_open(clipspan_texts **out, const char *path, int skip_blank,
                                                 clipspan_error *err);
/* Copies `count` strings. */
CLIPSPAN_API clipspan_status clipspan_texts_copy(clipspan_texts **out, const char *const *texts, size_t count,
                                                 clipspan_error *err);
/* The project's own prompt templates ("a photo of a {}." and others like it), for class names without an article. */
CLIPSPAN_API clipspan_status clipspan_texts_templates(clipspan_texts **out, clipspan_error *err);
CLIPSPAN_API void clipspan_texts_free(clipspan_texts *texts);
CLIPSPAN_API size_t clipspan_texts_count(const clipspan_texts *texts);
CLIPSPAN_API const char *clipspan_texts_get(const clipspan_texts *texts, size_t i);
/* The lines of the file, those counted that were left out; and on which of them (from 0) text i stood. Of copies: the texts. */
CLIPSPAN_API size_t clipspan_texts_lines(const clipspan_texts *texts);
CLIPSPAN_API size_t clipspan_texts_line(const clipspan_texts *texts, size_t i);

#ifdef __cplusplus
}
#endif

#endif
