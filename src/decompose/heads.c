/* Names of heads: "L22.H13", "L22", "last:4", "all", comma-separated; "@file" with such names, line by line. */
#include "decompose/decompose.h"

#include <string.h>

enum { HEADS_FILE_MAXIMUM = 1 << 20 };

typedef struct selection {
    int layers, heads;
    unsigned char *chosen; /* [L * H] */
    clipspan_error *err;
} selection;

static clipspan_status unknown(const selection *s, const char *name, size_t length, const char *where)
{
    return clsp_fail(s->err, CLIPSPAN_ERROR_ARGUMENT,
                     "%s%sunknown head \"%.*s\": expected L0 to L%d, L0.H0 to L%d.H%d, last:1 to last:%d, or all", where,
                     where[0] ? ": " : "", (int)clsp_min(length, 80), name, s->layers - 1, s->layers - 1, s->heads - 1,
                     s->layers);
}

/* Decimal digits up to `end`; false where there are none or the number is not below `limit`. */
static bool read_number(const char **at, const char *end, int limit, int *out)
{
    const char *start = *at;
    long value = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        value = value * 10 + (**at - '0');
        if (value >= limit) return false;
    }
    *out = (int)value;
    return *at > start;
}

static bool read_letter(const char **at, const char *end, char upper)
{
    if (*at >= end || (**at != upper && **at != upper + ('a' - 'A'))) return false;
    (*at)++;
    return true;
}

static void choose(const selection *s, int first_layer, int last_layer, int first_head, int last_head)
{
    for (int l = first_layer; l <= last_layer; l++)
        for (int h = first_head; h <= last_head; h++) s->chosen[l * s->heads + h] = 1;
}

static clipspan_status choose_name(const selection *s, const char *name, size_t length, const char *where)
{
    const char *at = name, *end = name + length;
    int layer = 0, head = 0, count = 0;
    if (length == 3 && memcmp(name, "all", 3) == 0) {
        choose(s, 0, s->layers - 1, 0, s->heads - 1);
        return CLIPSPAN_OK;
    }
    if (length > 5 && memcmp(name, "last:", 5) == 0) {
        at += 5;
        if (!read_number(&at, end, s->layers + 1, &count) || at != end || count == 0)
            return unknown(s, name, length, where);
        choose(s, s->layers - count, s->layers - 1, 0, s->heads - 1);
        return CLIPSPAN_OK;
    }
    if (!read_letter(&at, end, 'L') || !read_number(&at, end, s->layers, &layer)) return unknown(s, name, length, where);
    if (at == end) {
        choose(s, layer, layer, 0, s->heads - 1);
        return CLIPSPAN_OK;
    }
    if (*at++ != '.' || !read_letter(&at, end, 'H') || !read_number(&at, end, s->heads, &head) || at != end)
        return unknown(s, name, length, where);
    choose(s, layer, layer, head, head);
    return CLIPSPAN_OK;
}

static clipspan_status choose_list(const selection *s, const char *text, const char *where);

static clipspan_status choose_file(const selection *s, const char *name, size_t length, const char *where)
{
    char *path = NULL, *text = NULL;
    if (where[0] != '\0')
        return clsp_fail(s->err, CLIPSPAN_ERROR_ARGUMENT, "%s: names another file, \"%.*s\"", where, (int)length, name);
    clipspan_status status = CLIPSPAN_OK;
    clipspan_error *err = s->err;
    CLSP_ALLOC(path, clsp_strndup(name + 1, length - 1));
    CLSP_TRY(clsp_file_read(&text, NULL, path, HEADS_FILE_MAXIMUM, err));
    CLSP_TRY(choose_list(s, text, path));
out:
    clsp_free(path);
    clsp_free(text);
    return status;
}

/* Names between commas and line ends; blanks around them and lines that begin with # are passed over. */
static clipspan_status choose_list(const selection *s, const char *text, const char *where)
{
    static const char separators[] = ",\n\r", blanks[] = " \t";
    while (*text != '\0') {
        size_t length = strcspn(text, separators);
        const char *next = text + length + (text[length] != '\0');
        size_t skip = strspn(text, blanks);
        const char *name = text + clsp_min(skip, length);
        length -= clsp_min(skip, length);
        while (length > 0 && strchr(blanks, name[length - 1]) != NULL) length--;
        if (length > 0 && name[0] == '#' && where[0] != '\0') {
            name += strcspn(name, "\n");
            next = name + (*name != '\0');
        } else if (length > 0) {
            clipspan_status status =
                name[0] == '@' ? choose_file(s, name, length, where) : choose_name(s, name, length, where);
            if (status != CLIPSPAN_OK) return status;
        }
        text = next;
    }
    return CLIPSPAN_OK;
}

clipspan_status clipspan_heads_parse(const char *text, int layers, int heads, unsigned char *chosen,
                                     clipspan_error *err)
{
    if (text == NULL || layers < 1 || heads < 1)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "heads cannot be chosen from a model without heads");
    selection s = {layers, heads, chosen, err};
    size_t all = (size_t)layers * (size_t)heads;
    memset(chosen, 0, all);
    clipspan_status status = choose_list(&s, text, "");
    if (status != CLIPSPAN_OK) return status;
    if (memchr(chosen, 1, all) != NULL) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "\"%.80s\" names no head", text);
}
