/* JPEG through libjpeg-turbo, into a buffer. */
#include "image/jpeg_write.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

enum { CHUNK = 1 << 14 };

typedef struct job {
    struct jpeg_compress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    jmp_buf escape;
    clsp_buffer *out;
    clipspan_error *err;
    clipspan_status status;
    unsigned char chunk[CHUNK];
} job;

static _Noreturn void leave(job *self, clipspan_status status)
{
    self->status = status;
    longjmp(self->escape, 1);
}

static void on_error(j_common_ptr cinfo)
{
    job *self = cinfo->client_data;
    char why[JMSG_LENGTH_MAX];
    cinfo->err->format_message(cinfo, why);
    leave(self, clsp_fail(self->err, CLIPSPAN_ERROR_INTERNAL, "a picture cannot be kept as JPEG: %s", why));
}

static void on_message(j_common_ptr cinfo, int level)
{
    (void)cinfo;
    (void)level;
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo;
}

static void begin(j_compress_ptr cinfo)
{
    job *self = cinfo->client_data;
    self->destination.next_output_byte = self->chunk;
    self->destination.free_in_buffer = CHUNK;
}

static void take(job *self, size_t length)
{
    if (!clsp_buffer_append(self->out, self->chunk, length)) leave(self, clsp_fail_memory(self->err));
}

static boolean full(j_compress_ptr cinfo)
{
    take(cinfo->client_data, CHUNK); /* the whole chunk, whatever next_output_byte says */
    begin(cinfo);
    return TRUE;
}

static void end(j_compress_ptr cinfo)
{
    job *self = cinfo->client_data;
    take(self, CHUNK - self->destination.free_in_buffer);
}

static void encode(job *self, const unsigned char *rgb, int width, int height, int quality)
{
    struct jpeg_compress_struct *cinfo = &self->cinfo;
    jpeg_create_compress(cinfo);
    self->destination = (struct jpeg_destination_mgr){.init_destination = begin, .empty_output_buffer = full,
                                                      .term_destination = end};
    cinfo->dest = &self->destination;
    cinfo->image_width = (JDIMENSION)width;
    cinfo->image_height = (JDIMENSION)height;
    cinfo->input_components = 3;
    cinfo->in_color_space = JCS_RGB;
    jpeg_set_defaults(cinfo);
    jpeg_set_quality(cinfo, quality, TRUE);
    cinfo->optimize_coding = TRUE;
    jpeg_start_compress(cinfo, TRUE);
    while (cinfo->next_scanline < cinfo->image_height) {
        JSAMPROW line = (JSAMPROW)(uintptr_t)(rgb + (size_t)cinfo->next_scanline * (size_t)width * 3);
        jpeg_write_scanlines(cinfo, &line, 1);
    }
    jpeg_finish_compress(cinfo);
}

clipspan_status clsp_jpeg_encode(clsp_buffer *out, const unsigned char *rgb, int width, int height, int quality,
                                 clipspan_error *err)
{
    if (width < 1 || height < 1 || width > JPEG_MAX_DIMENSION || height > JPEG_MAX_DIMENSION)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a picture of %d x %d pixels cannot be kept as JPEG", width, height);
    job self = {.out = out, .err = err, .status = CLIPSPAN_OK};
    self.cinfo.err = jpeg_std_error(&self.errors);
    self.cinfo.client_data = &self;
    self.errors.error_exit = on_error;
    self.errors.emit_message = on_message;
    self.errors.output_message = on_output;
    if (setjmp(self.escape) == 0) encode(&self, rgb, width, height, quality);
    jpeg_destroy_compress(&self.cinfo);
    return self.status;
}
