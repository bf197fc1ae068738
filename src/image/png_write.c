/* PNG through libpng, by way of our own output. */
#include "image/png_write.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

typedef struct job {
    png_structp png;
    png_infop info;
    jmp_buf escape;
    clsp_output output;
    const char *path;
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
    leave(self, clsp_fail(self->err, CLIPSPAN_ERROR_INTERNAL, "%s: libpng: %s", self->path, why));
}

static void on_warning(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static void on_write(png_structp png, png_bytep bytes, size_t length)
{
    job *self = png_get_io_ptr(png);
    clipspan_status status = clsp_output_write(&self->output, bytes, length, self->err);
    if (status != CLIPSPAN_OK) leave(self, status);
}

static void on_flush(png_structp png)
{
    (void)png;
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

/* samples: [height, width], indices into the palette; or [height, width, 3] where that is NULL. */
static void encode(job *self, const unsigned char *samples, int width, int height, const unsigned char (*palette)[3])
{
    png_color colours[256];
    size_t row = (size_t)width * (palette ? 1 : 3);
    self->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, self, on_error, on_warning, self, on_allocate, on_free);
    if (self->png != NULL) self->info = png_create_info_struct(self->png);
    if (self->info == NULL) leave(self, clsp_fail_memory(self->err));
    png_set_write_fn(self->png, self, on_write, on_flush);
    png_set_IHDR(self->png, self->info, (png_uint_32)width, (png_uint_32)height, 8,
                 palette ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    for (int i = 0; palette != NULL && i < 256; i++)
        colours[i] = (png_color){palette[i][0], palette[i][1], palette[i][2]};
    if (palette != NULL) png_set_PLTE(self->png, self->info, colours, 256);
    png_write_info(self->png, self->info);
    for (int y = 0; y < height; y++) png_write_row(self->png, samples + (size_t)y * row);
    png_write_end(self->png, NULL);
}

static clipspan_status write_file(const unsigned char *samples, int width, int height, const unsigned char (*palette)[3],
                                  const char *path, clipspan_error *err)
{
    job self = {.path = path, .err = err, .status = CLIPSPAN_OK};
    if (width < 1 || height < 1)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: a picture of %d x %d pixels", path, width, height);
    if (strcmp(path, "-") == 0)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "-: a picture goes to a file, not to standard output");
    clipspan_status status = clsp_output_open(&self.output, path, err);
    if (status != CLIPSPAN_OK) return status;
    if (setjmp(self.escape) == 0) encode(&self, samples, width, height, palette);
    png_destroy_write_struct(&self.png, &self.info);
    if (self.status == CLIPSPAN_OK) return clsp_output_commit(&self.output, err);
    clsp_output_discard(&self.output);
    return self.status;
}

clipspan_status clsp_png_write_indexed(const unsigned char *indices, int width, int height,
                                       const unsigned char (*palette)[3], const char *path, clipspan_error *err)
{
    return write_file(indices, width, height, palette, path, err);
}

clipspan_status clsp_png_write_rgb(const unsigned char *rgb, int width, int height, const char *path, clipspan_error *err)
{
    return write_file(rgb, width, height, NULL, path, err);
}
