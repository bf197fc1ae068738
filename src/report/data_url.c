/* Bytes inside a text. */
#include "report/data_url.h"

#include "clipspan/memory_file.h"
#include "image/jpeg_write.h"
#include "image/png_write.h"

enum { QUALITY = 80 };
static const size_t URL_MAXIMUM = (size_t)1 << 30;

bool clsp_base64(clsp_buffer *out, const void *bytes, size_t length)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes;
    bool good = true;
    for (size_t i = 0; good && i < length; i += 3) {
        size_t left = length - i;
        unsigned word = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0u);
        const char four[4] = {DIGITS[word >> 18], DIGITS[word >> 12 & 63], left > 1 ? DIGITS[word >> 6 & 63] : '=',
                              left > 2 ? DIGITS[word & 63] : '='};
        good = clsp_buffer_append(out, four, sizeof four);
    }
    return good;
}

static clipspan_status url_of(char **out, const char *head, const void *bytes, size_t length, clipspan_error *err)
{
    clsp_buffer text;
    clsp_buffer_init(&text, URL_MAXIMUM);
    if (clsp_buffer_text(&text, head) && clsp_base64(&text, bytes, length)) {
        *out = text.data;
        return CLIPSPAN_OK;
    }
    clsp_buffer_free(&text);
    return clsp_fail_memory(err);
}

clipspan_status clsp_jpeg_url(char **out, const unsigned char *rgb, int width, int height, clipspan_error *err)
{
    clsp_buffer jpeg;
    clsp_buffer_init(&jpeg, URL_MAXIMUM / 2);
    *out = NULL;
    clipspan_status status = clsp_jpeg_encode(&jpeg, rgb, width, height, QUALITY, err);
    if (status == CLIPSPAN_OK) status = url_of(out, "data:image/jpeg;base64,", jpeg.data, jpeg.length, err);
    clsp_buffer_free(&jpeg);
    return status;
}

clipspan_status clsp_mask_url(char **out, const unsigned char *mask, int width, int height, clipspan_error *err)
{
    static const unsigned char PALETTE[256][3] = {[1] = {255, 255, 255}}; /* all others black */
    clipspan_memory_file *file = NULL;
    size_t length = 0;
    *out = NULL;
    clipspan_status status = clipspan_memory_file_new(&file, err);
    if (status == CLIPSPAN_OK)
        status = clsp_png_write_indexed(mask, width, height, PALETTE, clipspan_memory_file_path(file), err);
    if (status == CLIPSPAN_OK) {
        const char *png = clipspan_memory_file_bytes(file, &length);
        status = url_of(out, "data:image/png;base64,", png, length, err);
    }
    clipspan_memory_file_free(file);
    return status;
}
