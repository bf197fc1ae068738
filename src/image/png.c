/* PNG through libpng: every bit depth and colour type, as Pillow opens them.
 *
 *     bits    grey    colour   palette   grey + alpha   colour + alpha
 *        1     1        -         P           -               -
 *      2, 4    L        -         P           -               -
 *        8     L       RGB        P           LA             RGBA
 *       16    I;16     RGB        -          RGBA            RGBA
 *
 * 16-bit colours keep their high byte. Gamma and colour profiles are left alone, as Pillow leaves them. */
#include "image/picture.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

typedef struct job {
    png_structp png;
    png_infop info;
    jmp_buf escape;
    const clsp_encoded *encoded;
    size_t position;
    clsp_picture *picture;
    clipspan_error *err;
    clipspan_status status;
    bool starved; /* an allocation failed */
} job;

static _Noreturn void leave(job *self, clipspan_status status)
{
    self->status = status;
    longjmp(self->escape, 1);
}

static _Noreturn void on_error(png_structp png, png_const_charp why)
{
    job *self = png_get_error_ptr(png);
    if (self->starved) leave(self, clsp_fail_memory(self->err));
    leave(self, clsp_fail(self->err, CLIPSPAN_ERROR_FORMAT, "%s: broken PNG: %s", self->encoded->name, why));
}

static void on_warning(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static void on_read(png_structp png, png_bytep out, size_t length)
{
    job *self = png_get_io_ptr(png);
    if (!clsp_range_ok(self->position, length, self->encoded->length))
        leave(self, clsp_fail(self->err, CLIPSPAN_ERROR_FORMAT, "%s: the PNG is truncated", self->encoded->name));
    memcpy(out, self->encoded->bytes + self->position, length);
    self->position += length;
}

static png_voidp on_allocate(png_structp png, png_alloc_size_t size)
{
    job *self = png_get_mem_ptr(png);
    void *block = clsp_alloc(size, 1);
    if (block == NULL) self->starved = true;
    return block;
}

static void on_free(png_structp png, png_voidp pointer)
{
    (void)png;
    clsp_free(pointer);
}

static void set_up(job *self)
{
    self->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, self, on_error, on_warning, self, on_allocate, on_free);
    if (self->png != NULL) self->info = png_create_info_struct(self->png);
    if (self->info == NULL) leave(self, clsp_fail_memory(self->err));
    png_set_read_fn(self->png, self, on_read);
    png_set_user_limits(self->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* max_pixels is the limit */
    /* text, profiles, times: neither needed nor trusted; -1 names every ancillary chunk but tRNS */
    png_set_keep_unknown_chunks(self->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
}

/* tRNS of a palette. Pillow keeps a lone zero among 255s as "this index is transparent"; its pattern for that also
 * overlooks one trailing byte 10 (a newline to the regular expression), and so do we. */
static void palette_alphas(clsp_picture *picture, const unsigned char *alphas, int count)
{
    int zeros = 0, others = 0;
    int body = count > 1 && alphas[count - 1] == '\n' ? count - 1 : count;
    for (int i = 0; i < body; i++) {
        zeros += alphas[i] == 0;
        others += alphas[i] != 0 && alphas[i] != 255;
    }
    if (zeros == 1 && others == 0) count = body;
    for (int i = 0; i < count && i < 256; i++) picture->palette[i][3] = alphas[i];
}

static void read_palette(job *self)
{
    clsp_picture *picture = self->picture;
    png_colorp colours = NULL;
    int count = 0;
    png_get_PLTE(self->png, self->info, &colours, &count);
    for (int i = 0; i < 256; i++) {
        bool given = i < count;
        picture->palette[i][0] = given ? colours[i].red : 0;
        picture->palette[i][1] = given ? colours[i].green : 0;
        picture->palette[i][2] = given ? colours[i].blue : 0;
        picture->palette[i][3] = 255;
    }
}

static void read_transparency(job *self, clsp_mode mode)
{
    png_bytep alphas = NULL;
    png_color_16p colour = NULL;
    int count = 0;
    clsp_picture *picture = self->picture;
    if (!png_get_valid(self->png, self->info, PNG_INFO_tRNS)) return;
    png_get_tRNS(self->png, self->info, &alphas, &count, &colour);
    picture->transparent = mode != CLSP_MODE_LA && mode != CLSP_MODE_RGBA;
    if (mode == CLSP_MODE_P && alphas != NULL) palette_alphas(picture, alphas, count);
    if (mode == CLSP_MODE_P || colour == NULL) return;
    bool grey = mode != CLSP_MODE_RGB;
    int value = mode == CLSP_MODE_1 ? (colour->gray ? 255 : 0) : colour->gray; /* raw: Pillow does not scale it */
    picture->key[0] = grey ? value : colour->red;
    picture->key[1] = grey ? value : colour->green;
    picture->key[2] = grey ? value : colour->blue;
}

static clsp_mode mode_of(int bits, int colours)
{
    switch (colours) {
    case PNG_COLOR_TYPE_GRAY: return bits == 1 ? CLSP_MODE_1 : bits == 16 ? CLSP_MODE_I16 : CLSP_MODE_L;
    case PNG_COLOR_TYPE_PALETTE: return CLSP_MODE_P;
    case PNG_COLOR_TYPE_GRAY_ALPHA: return bits == 16 ? CLSP_MODE_RGBA : CLSP_MODE_LA;
    case PNG_COLOR_TYPE_RGB: return CLSP_MODE_RGB;
    default: return CLSP_MODE_RGBA;
    }
}

static void set_transforms(job *self, int bits, int colours)
{
    uint16_t one = 1;
    unsigned char little;
    memcpy(&little, &one, 1);
    if (bits < 8) {
        if (colours == PNG_COLOR_TYPE_GRAY)
            png_set_expand_gray_1_2_4_to_8(self->png);
        else
            png_set_packing(self->png);
    }
    if (bits == 16 && colours == PNG_COLOR_TYPE_GRAY && little) png_set_swap(self->png);
    if (bits == 16 && colours != PNG_COLOR_TYPE_GRAY) png_set_strip_16(self->png);
    if (bits == 16 && colours == PNG_COLOR_TYPE_GRAY_ALPHA) png_set_gray_to_rgb(self->png);
}

static void decode(job *self)
{
    set_up(self);
    png_read_info(self->png, self->info);
    png_uint_32 width = png_get_image_width(self->png, self->info);
    png_uint_32 height = png_get_image_height(self->png, self->info);
    int bits = png_get_bit_depth(self->png, self->info), colours = png_get_color_type(self->png, self->info);
    clipspan_status status = clsp_decode_check_size(self->encoded, width, height, self->err);
    if (status != CLIPSPAN_OK) leave(self, status);
    clsp_mode mode = mode_of(bits, colours);
    if (mode == CLSP_MODE_P) read_palette(self);
    read_transparency(self, mode);
    set_transforms(self, bits, colours);
    int passes = png_set_interlace_handling(self->png);
    png_read_update_info(self->png, self->info);
    status = clsp_picture_allocate(self->picture, mode, (int)width, (int)height, self->err);
    if (status != CLIPSPAN_OK) leave(self, status);
    size_t row = clsp_picture_row(self->picture);
    if (png_get_rowbytes(self->png, self->info) != row)
        leave(self, clsp_fail(self->err, CLIPSPAN_ERROR_INTERNAL, "%s: libpng gives rows of %zu bytes, expected %zu",
                              self->encoded->name, (size_t)png_get_rowbytes(self->png, self->info), row));
    for (int pass = 0; pass < passes; pass++)
        for (png_uint_32 y = 0; y < height; y++) png_read_row(self->png, self->picture->data + y * row, NULL);
}

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Chunks: length (4), name (4), data, checksum (4). eXIf may stand on either side of the pixels. */
static int orientation(const clsp_encoded *encoded)
{
    static const char XMP[] = "XML:com.adobe.xmp";
    int xmp = 1;
    for (size_t at = 8; clsp_range_ok(at, 12, encoded->length);) {
        const unsigned char *chunk = encoded->bytes + at;
        size_t length = big_endian(chunk);
        if (!clsp_range_ok(at + 8, length, encoded->length)) break;
        if (memcmp(chunk + 4, "eXIf", 4) == 0) {
            int exif = clsp_exif_orientation(chunk + 8, length);
            if (exif != 0) return exif;
        } else if (memcmp(chunk + 4, "iTXt", 4) == 0 && length > sizeof XMP &&
                   memcmp(chunk + 8, XMP, sizeof XMP) == 0) {
            int said = clsp_xmp_orientation(chunk + 8, length);
            if (said != 0) xmp = said;
        }
        at += 12 + length;
    }
    return xmp;
}

clipspan_status clsp_decode_png(clsp_picture *picture, const clsp_encoded *encoded, clipspan_error *err)
{
    job self = {.encoded = encoded, .picture = picture, .err = err, .status = CLIPSPAN_OK};
    if (setjmp(self.escape) == 0) decode(&self);
    png_destroy_read_struct(&self.png, &self.info, NULL);
    if (self.status == CLIPSPAN_OK && encoded->exif) picture->orientation = orientation(encoded);
    return self.status;
}
