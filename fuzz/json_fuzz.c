/* Any bytes as JSON: what is read must be written as text that reads to the same text again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    clsp_json *root = NULL, *again = NULL;
    clipspan_error err;
    if (clsp_json_parse(&root, (const char *)data, size, "fuzz", &err) != CLIPSPAN_OK) return 0;
    char *text = clsp_json_text(root);
    if (text == NULL || clsp_json_parse(&again, text, strlen(text), "again", &err) != CLIPSPAN_OK) abort();
    char *second = clsp_json_text(again);
    if (second == NULL || strcmp(text, second) != 0) abort();
    clsp_free(text);
    clsp_free(second);
    clsp_json_free(again);
    clsp_json_free(root);
    return 0;
}
