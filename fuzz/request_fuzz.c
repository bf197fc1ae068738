/* Any bytes as the JSON of a request to the viewer's server: every field is asked for as if it were each kind. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const known[] = {"image", "texts", "row", "run", "by", "heads", NULL};
static const char *const choices[] = {"mean", "zero", NULL};

static void ask(const serve_body *body, const char *name)
{
    const char *text = NULL, **texts = NULL;
    size_t number = 0, count = 0;
    bool flag = false;
    int choice = 0;
    clipspan_error err;
    if (serve_body_text(body, name, 100, NULL, &text, &err) == CLIPSPAN_OK && text != NULL)
        if (strlen(text) > 100 || !serve_is_utf8(text, strlen(text))) abort();
    if (serve_body_number(body, name, 3, 1000, 7, &number, &err) == CLIPSPAN_OK && (number < 3 || number > 1000)) abort();
    serve_body_flag(body, name, &flag, &err);
    if (serve_body_choice(body, name, choices, &choice, &err) == CLIPSPAN_OK && (choice < 0 || choice > 1)) abort();
    if (serve_body_texts(body, name, 4, 100, &texts, &count, &err) == CLIPSPAN_OK && (count < 1 || count > 4)) abort();
    for (size_t i = 0; i < count; i++)
        if (texts[i][0] == '\0' || strlen(texts[i]) > 100) abort();
    free(texts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    serve_body *body = NULL;
    serve_answer answer = {0};
    clipspan_error err;
    if (serve_body_open(&body, (const char *)data, size, known, &err) == CLIPSPAN_OK)
        for (size_t i = 0; known[i] != NULL; i++) ask(body, known[i]);
    else
        serve_answer_error(&answer, err.status, err.message); /* whatever the message quotes is JSON again */
    if (answer.bytes != NULL) {
        serve_body *again = NULL;
        static const char *const fields[] = {"error", NULL};
        if (serve_body_open(&again, answer.bytes, answer.length, fields, &err) != CLIPSPAN_OK) abort();
        serve_body_free(again);
    }
    serve_answer_free(&answer);
    serve_body_free(body);
    return 0;
}
