/* Unpacking gzip. The only door to zlib. */
#include <string.h>
#include <zlib.h>

#include "formats/arrays.h"

enum { BLOCK = 1 << 16, INPUT_STEP = 1 << 30, GZIP_ONLY = 16 + MAX_WBITS };

static void *allocate(void *user, unsigned count, unsigned size)
{
    (void)user;
    return clsp_alloc(count, size);
}

static void release(void *user, void *pointer)
{
    (void)user;
    clsp_free(pointer);
}

static clipspan_status inflate_failed(const z_stream *stream, int code, const char *path, clipspan_error *err)
{
    if (code == Z_MEM_ERROR) return clsp_fail_memory(err);
    if (code == Z_BUF_ERROR || code == Z_OK)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: truncated gzip file", path);
    return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: damaged gzip file: %s", path,
                     stream->msg ? stream->msg : "wrong content");
}

static clipspan_status keep(clsp_buffer *out, const unsigned char *block, size_t length, const char *path,
                            clipspan_error *err)
{
    if (length > out->maximum - out->length)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: unpacks to more than %zu bytes", path, out->maximum);
    return clsp_buffer_append(out, block, length) ? CLIPSPAN_OK : clsp_fail_memory(err);
}

/* Unpacks every member of the file (a gzip file may be several, one behind the other). */
static clipspan_status unpack(clsp_buffer *out, z_stream *stream, const clsp_map *map, unsigned char *block,
                              const char *path, clipspan_error *err)
{
    size_t used = 0;
    int code = Z_OK;
    while (code != Z_STREAM_END || used < map->size) {
        if (code == Z_STREAM_END) inflateReset(stream);
        size_t step = clsp_min(map->size - used, INPUT_STEP);
        stream->next_in = (z_const unsigned char *)map->bytes + used;
        stream->avail_in = (unsigned)step;
        stream->next_out = block;
        stream->avail_out = BLOCK;
        code = inflate(stream, Z_NO_FLUSH);
        used += step - stream->avail_in;
        bool stuck = code == Z_OK && used == map->size && stream->avail_out == BLOCK;
        if ((code != Z_OK && code != Z_STREAM_END) || stuck) return inflate_failed(stream, code, path, err);
        clipspan_status status = keep(out, block, BLOCK - stream->avail_out, path, err);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

clipspan_status clsp_gzip_read(char **out, size_t *size, const char *path, size_t maximum, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_map map = {0};
    clsp_buffer buffer;
    unsigned char *block = NULL;
    z_stream stream = {.zalloc = allocate, .zfree = release};
    *out = NULL;
    clsp_buffer_init(&buffer, maximum);
    CLSP_TRY(clsp_map_open(&map, path, err));
    CLSP_ALLOC(block, clsp_alloc(BLOCK, 1));
    int code = inflateInit2(&stream, GZIP_ONLY);
    status = code == Z_OK ? unpack(&buffer, &stream, &map, block, path, err) : inflate_failed(&stream, code, path, err);
    inflateEnd(&stream);
    if (status != CLIPSPAN_OK) goto out;
    CLSP_TRY(keep(&buffer, block, 0, path, err)); /* an empty text is a text: the NUL */
    *out = buffer.data;
    if (size != NULL) *size = buffer.length;
    buffer.data = NULL;
out:
    clsp_free(block);
    clsp_buffer_free(&buffer);
    clsp_map_close(&map);
    return status;
}

clipspan_status clsp_inflated_length(size_t *out, const unsigned char *bytes, size_t size, size_t maximum,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    unsigned char *block = NULL;
    z_stream stream = {.zalloc = allocate, .zfree = release};
    size_t length = 0;
    *out = 0;
    if (size > INPUT_STEP) return CLIPSPAN_OK;
    CLSP_ALLOC(block, clsp_alloc(BLOCK, 1));
    int code = inflateInit2(&stream, MAX_WBITS);
    stream.next_in = (z_const unsigned char *)bytes;
    stream.avail_in = (unsigned)size;
    while (code == Z_OK && length <= maximum) {
        stream.next_out = block;
        stream.avail_out = BLOCK;
        code = inflate(&stream, Z_NO_FLUSH);
        length += BLOCK - stream.avail_out;
    }
    inflateEnd(&stream);
    if (code == Z_MEM_ERROR) CLSP_TRY(clsp_fail_memory(err));
    if (code == Z_STREAM_END && length <= maximum) *out = length;
out:
    clsp_free(block);
    return status;
}
