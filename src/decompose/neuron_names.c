/* Names of neurons: "L10.N345", comma-separated; "@file" with such names, line by line. */
#include "decompose/decompose.h"

#include <string.h>

enum { NEURONS_FILE_MAXIMUM = 1 << 24 };

typedef struct parsing {
    int layers, width;
    clipspan_neuron *found;
    size_t count, capacity;
    unsigned char *seen; /* [L * M] */
    clipspan_error *err;
} parsing;

static bool read_number(const char **at, const char *end, char letter, int limit, int *out)
{
    long value = 0;
    if (*at >= end || (**at != letter && **at != letter + ('a' - 'A'))) return false;
    const char *start = ++*at;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        value = value * 10 + (**at - '0');
        if (value >= limit) return false;
    }
    *out = (int)value;
    return *at > start;
}

static clipspan_status add(parsing *p, int layer, int neuron)
{
    unsigned char *seen = &p->seen[(size_t)layer * (size_t)p->width + (size_t)neuron];
    if (*seen) return CLIPSPAN_OK;
    *seen = 1;
    if (p->count == p->capacity) {
        size_t capacity = clsp_max(16, 2 * p->capacity);
        clipspan_neuron *grown = clsp_grow(p->found, capacity, sizeof *grown);
        if (grown == NULL) return clsp_fail_memory(p->err);
        p->found = grown;
        p->capacity = capacity;
    }
    p->found[p->count++] = (clipspan_neuron){.layer = layer, .neuron = neuron};
    return CLIPSPAN_OK;
}

static clipspan_status parse_name(parsing *p, const char *name, size_t length, const char *where)
{
    const char *at = name, *end = name + length;
    int layer = 0, neuron = 0;
    bool good = read_number(&at, end, 'L', p->layers, &layer) && at < end && *at++ == '.' &&
                read_number(&at, end, 'N', p->width, &neuron) && at == end;
    if (good) return add(p, layer, neuron);
    return clsp_fail(p->err, CLIPSPAN_ERROR_ARGUMENT, "%s%sunknown neuron \"%.*s\": expected L0.N0 to L%d.N%d", where,
                     where[0] ? ": " : "", (int)clsp_min(length, 80), name, p->layers - 1, p->width - 1);
}

static clipspan_status parse_list(parsing *p, const char *text, const char *where);

static clipspan_status parse_file(parsing *p, const char *name, size_t length)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_error *err = p->err;
    char *path = NULL, *text = NULL;
    CLSP_ALLOC(path, clsp_strndup(name, length));
    CLSP_TRY(clsp_file_read(&text, NULL, path, NEURONS_FILE_MAXIMUM, err));
    CLSP_TRY(parse_list(p, text, path));
out:
    clsp_free(path);
    clsp_free(text);
    return status;
}

/* Names between commas and line ends; blanks around them and lines that begin with # are passed over. */
static clipspan_status parse_list(parsing *p, const char *text, const char *where)
{
    static const char blanks[] = " \t\r";
    while (*text != '\0') {
        size_t length = strcspn(text, ",\n"), skip = strspn(text, blanks);
        const char *name = text + clsp_min(skip, length), *next = text + length + (text[length] != '\0');
        length -= clsp_min(skip, length);
        while (length > 0 && strchr(blanks, name[length - 1]) != NULL) length--;
        clipspan_status status = CLIPSPAN_OK;
        if (length > 0 && name[0] == '#' && where[0] != '\0') {
            name += strcspn(name, "\n");
            next = name + (*name != '\0');
        } else if (length > 0 && name[0] == '@' && where[0] == '\0')
            status = parse_file(p, name + 1, length - 1);
        else if (length > 0)
            status = parse_name(p, name, length, where);
        if (status != CLIPSPAN_OK) return status;
        text = next;
    }
    return CLIPSPAN_OK;
}

clipspan_status clipspan_neurons_parse(clipspan_neuron **out, size_t *count, const char *text, int layers, int width,
                                       clipspan_error *err)
{
    parsing p = {.layers = layers, .width = width, .err = err};
    *out = NULL;
    *count = 0;
    if (text == NULL || layers < 1 || width < 1)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "neurons cannot be chosen from a model without neurons");
    p.seen = clsp_alloc_zero((size_t)layers * (size_t)width, 1);
    if (p.seen == NULL) return clsp_fail_memory(err);
    clipspan_status status = parse_list(&p, text, "");
    clsp_free(p.seen);
    if (status == CLIPSPAN_OK && p.count == 0)
        status = clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "\"%.80s\" names no neuron", text);
    if (status != CLIPSPAN_OK) {
        clsp_free(p.found);
        return status;
    }
    *out = p.found;
    *count = p.count;
    return CLIPSPAN_OK;
}

void clipspan_neurons_parse_free(clipspan_neuron *parsed) { clsp_free(parsed); }
