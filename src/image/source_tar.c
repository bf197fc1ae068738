/* A tar of images, in webdataset's layout: members that share a name up to its first dot are one sample; of each,
 * the image and the label in KEY.cls are taken. Plain ustar, GNU long names, and pax headers.
 *
 *     offset  size  of a 512-byte header
 *          0   100  name
 *        124    12  size, octal; or base 256 where the first bit is set
 *        148     8  checksum: the sum of the header's bytes, these eight counted as spaces
 *        156     1  type: '0' or 0 a file, 'L' a long name for the next member, 'x' pax records for the next
 *        257     6  "ustar"
 *        345   155  what stands before the name, and a slash
 * Data follows, padded to 512. Two blocks of zeros end the archive. */
#include "image/sources.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, NAME = 0, NAME_SIZE = 100, SIZE = 124, SIZE_SIZE = 12, SUM = 148, TYPE = 156, MAGIC = 257,
       PREFIX = 345, PREFIX_SIZE = 155 };

/* The text of a KEY.cls member, while the images are still being found. */
typedef struct tag {
    char *key, *text;
} tag;

typedef struct reader {
    clipspan_images *images;
    const unsigned char *bytes;
    size_t size, at;
    const char *path;
    char *next_name;     /* from a long name or pax header; NULL: the header's own */
    bool next_size_known; /* from a pax header */
    size_t next_size;
    tag *tags;
    size_t tag_count, tag_capacity;
} reader;

static bool parse_size(size_t *out, const unsigned char *field)
{
    size_t value = 0;
    if (field[0] & 0x80) {
        value = field[0] & 0x3f;
        for (int i = 1; i < SIZE_SIZE; i++) {
            if (value > SIZE_MAX >> 8) return false;
            value = value << 8 | field[i];
        }
        *out = value;
        return true;
    }
    int i = 0;
    while (i < SIZE_SIZE && field[i] == ' ') i++;
    for (; i < SIZE_SIZE && field[i] != '\0' && field[i] != ' '; i++) {
        if (field[i] < '0' || field[i] > '7') return false;
        value = value << 3 | (size_t)(field[i] - '0'); /* at most 36 bits */
    }
    *out = value;
    return true;
}

static bool checksum_holds(const unsigned char *header)
{
    unsigned long plain = 0, said = 0;
    long with_sign = 0; /* some old tars summed signed bytes */
    for (int i = 0; i < BLOCK; i++) {
        int byte = i >= SUM && i < SUM + 8 ? ' ' : header[i];
        plain += (unsigned long)byte;
        with_sign += byte < 128 ? byte : byte - 256;
    }
    for (int i = SUM; i < SUM + 8 && header[i] != '\0'; i++)
        if (header[i] >= '0' && header[i] <= '7') said = said << 3 | (unsigned long)(header[i] - '0');
    return said == plain || (long)said == with_sign;
}

static bool all_zero(const unsigned char *block)
{
    for (int i = 0; i < BLOCK; i++)
        if (block[i] != 0) return false;
    return true;
}

static size_t text_length(const unsigned char *field, size_t most)
{
    const unsigned char *end = memchr(field, '\0', most);
    return end != NULL ? (size_t)(end - field) : most;
}

static char *header_name(const unsigned char *header)
{
    int name = (int)text_length(header + NAME, NAME_SIZE), prefix = 0;
    if (memcmp(header + MAGIC, "ustar", 6) == 0) prefix = (int)text_length(header + PREFIX, PREFIX_SIZE);
    return clsp_format("%.*s%s%.*s", prefix, (const char *)header + PREFIX, prefix ? "/" : "", name,
                       (const char *)header + NAME);
}

static clipspan_status take_name(reader *in, const unsigned char *text, size_t length, clipspan_error *err)
{
    clsp_free(in->next_name);
    in->next_name = clsp_strndup((const char *)text, text_length(text, length));
    return in->next_name != NULL ? CLIPSPAN_OK : clsp_fail_memory(err);
}

static bool decimal(size_t *out, const unsigned char *at, const unsigned char *end)
{
    size_t value = 0;
    if (at == end) return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9' || value > (SIZE_MAX - 9) / 10) return false;
        value = value * 10 + (size_t)(*at - '0');
    }
    *out = value;
    return true;
}

/* One record: "LENGTH key=value\n", LENGTH counting itself and the newline. */
static clipspan_status pax_record(reader *in, const unsigned char *record, const unsigned char *end,
                                  clipspan_error *err)
{
    size_t length = (size_t)(end - record);
    if (length > 5 && memcmp(record, "path=", 5) == 0) return take_name(in, record + 5, length - 5, err);
    if (length > 5 && memcmp(record, "size=", 5) == 0)
        in->next_size_known = decimal(&in->next_size, record + 5, end);
    return CLIPSPAN_OK;
}

static clipspan_status take_pax(reader *in, const unsigned char *data, size_t size, clipspan_error *err)
{
    for (size_t at = 0; at < size;) {
        size_t length;
        const unsigned char *space = memchr(data + at, ' ', size - at);
        if (space == NULL || !decimal(&length, data + at, space) || length > size - at ||
            length < (size_t)(space - (data + at)) + 2)
            return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: a broken pax header at byte %zu", in->path, in->at);
        clipspan_status status = pax_record(in, space + 1, data + at + length - 1, err);
        if (status != CLIPSPAN_OK) return status;
        at += length;
    }
    return CLIPSPAN_OK;
}

/* Length of a name's key: all before the first dot of its last part. */
static size_t key_length(const char *name)
{
    const char *slash = strrchr(name, '/'), *dot = strchr(slash ? slash + 1 : name, '.');
    return dot != NULL ? (size_t)(dot - name) : strlen(name);
}

static clipspan_status add_tag(reader *in, const char *name, const unsigned char *data, size_t size,
                               clipspan_error *err)
{
    if (in->tag_count == in->tag_capacity) {
        size_t capacity = in->tag_capacity ? in->tag_capacity * 2 : 64;
        tag *tags = clsp_grow(in->tags, capacity, sizeof *tags);
        if (tags == NULL) return clsp_fail_memory(err);
        in->tags = tags;
        in->tag_capacity = capacity;
    }
    size = text_length(data, size);
    while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r' || data[size - 1] == ' ')) size--;
    while (size > 0 && *data == ' ') data++, size--;
    tag *added = &in->tags[in->tag_count];
    added->key = clsp_strndup(name, key_length(name));
    added->text = clsp_strndup((const char *)data, size);
    in->tag_count++;
    return added->key != NULL && added->text != NULL ? CLIPSPAN_OK : clsp_fail_memory(err);
}

static clipspan_status take_file(reader *in, const char *name, size_t data, size_t size, clipspan_error *err)
{
    clsp_entry *entry;
    while (strncmp(name, "./", 2) == 0) name += 2;
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
    size_t length = strlen(last);
    if (last[0] == '.') return CLIPSPAN_OK; /* hidden, as in a folder; also the "._" twins that some systems add */
    if (length > 4 && strcmp(last + length - 4, ".cls") == 0) return add_tag(in, name, in->bytes + data, size, err);
    if (!clsp_image_ending(last)) return CLIPSPAN_OK;
    clipspan_status status = clsp_images_add(in->images, &entry, clsp_strdup(name), NULL, err);
    if (status != CLIPSPAN_OK) return status;
    entry->offset = data;
    entry->length = size;
    return CLIPSPAN_OK;
}

/* The member at in->at, whose header is whole. */
static clipspan_status take_member(reader *in, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const unsigned char *header = in->bytes + in->at;
    size_t data = in->at + BLOCK, size;
    char *name = NULL;
    if (!checksum_holds(header) || !parse_size(&size, header + SIZE))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: no tar header at byte %zu", in->path, in->at);
    int type = header[TYPE];
    bool about_next = type == 'L' || type == 'x' || type == 'K' || type == 'g';
    if (!about_next && in->next_size_known) size = in->next_size;
    if (!clsp_range_ok(data, size, in->size))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: truncated: a member of %zu bytes at byte %zu of %zu",
                         in->path, size, data, in->size);
    if (type == 'L') CLSP_TRY(take_name(in, in->bytes + data, size, err));
    if (type == 'x') CLSP_TRY(take_pax(in, in->bytes + data, size, err));
    if (!about_next) {
        CLSP_ALLOC(name, in->next_name != NULL ? in->next_name : header_name(header));
        in->next_name = NULL;
        in->next_size_known = false;
        if (type == '0' || type == '\0' || type == '7') CLSP_TRY(take_file(in, name, data, size, err));
    }
    size_t padding = (BLOCK - size % BLOCK) % BLOCK;
    in->at = clsp_range_ok(data + size, padding, in->size) ? data + size + padding : in->size;
out:
    clsp_free(name);
    return status;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const tag *)a)->key, ((const tag *)b)->key);
}

static clipspan_status label_images(reader *in, clipspan_error *err)
{
    if (in->tag_count == 0) return CLIPSPAN_OK;
    qsort(in->tags, in->tag_count, sizeof *in->tags, by_key);
    for (size_t i = 0; i < in->images->count; i++) {
        clsp_entry *entry = &in->images->entries[i];
        tag wanted = {.key = clsp_strndup(entry->name, key_length(entry->name))};
        if (wanted.key == NULL) return clsp_fail_memory(err);
        const tag *found = bsearch(&wanted, in->tags, in->tag_count, sizeof wanted, by_key);
        clsp_free(wanted.key);
        if (found == NULL || found->text[0] == '\0') continue;
        entry->label_text = clsp_strdup(found->text);
        if (entry->label_text == NULL) return clsp_fail_memory(err);
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_tar_read(clipspan_images *images, const unsigned char *bytes, size_t size, const char *path,
                              clipspan_error *err)
{
    reader in = {.images = images, .bytes = bytes, .size = size, .path = path};
    clipspan_status status = CLIPSPAN_OK;
    while (status == CLIPSPAN_OK && in.at < size) {
        if (!clsp_range_ok(in.at, BLOCK, size))
            status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: truncated in a header at byte %zu", path, in.at);
        else if (all_zero(bytes + in.at))
            break;
        else
            status = take_member(&in, err);
    }
    if (status == CLIPSPAN_OK) status = label_images(&in, err);
    for (size_t i = 0; i < in.tag_count; i++) {
        clsp_free(in.tags[i].key);
        clsp_free(in.tags[i].text);
    }
    clsp_free(in.tags);
    clsp_free(in.next_name);
    return status;
}

clipspan_status clsp_source_tar(clipspan_images *images, const char *path, clipspan_error *err)
{
    clipspan_status status = clsp_map_open(&images->map, path, err);
    if (status != CLIPSPAN_OK) return status;
    return clsp_tar_read(images, images->map.bytes, images->map.size, path, err);
}
