/* JPEG through libjpeg-turbo: greyscale, colour, and four inks, sequential and progressive.
 *
 * Settings are the library's own, which are also Pillow's: the accurate integer DCT (ISLOW), smooth ("fancy")
 * upsampling, no scaled decoding. libjpeg-turbo keeps these bit for bit across its versions and SIMD paths. Where
 * bytes run out the library would invent an end marker and grey pixels; Pillow refuses such a file, and so does the
 * source below. */
#include "image/picture.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* A small file can ask for endless progressive scans; real ones have about ten. */
enum { MAX_SCANS = 100, APP1 = JPEG_APP0 + 1 };

typedef struct job {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const clsp_encoded *encoded;
    clsp_picture *picture;
    clipspan_error *err;
    clipspan_status status;
} job;

static job *job_of(j_common_ptr cinfo)
{
    return cinfo->client_data;
}

static _Noreturn void leave(job *self, clipspan_status status)
{
    self->status = status;
    longjmp(self->escape, 1);
}

static void on_error(j_common_ptr cinfo)
{
    job *self = job_of(cinfo);
    if (cinfo->err->msg_code == JERR_OUT_OF_MEMORY) leave(self, clsp_fail_memory(self->err));
    char why[JMSG_LENGTH_MAX];
    cinfo->err->format_message(cinfo, why);
    leave(self, clsp_fail(self->err, CLIPSPAN_ERROR_FORMAT, "%s: broken JPEG: %s", self->encoded->name, why));
}

/* Warnings: the picture is still what every other libjpeg program would show. */
static void on_message(j_common_ptr cinfo, int level)
{
    (void)cinfo;
    (void)level;
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo;
}

static void on_progress(j_common_ptr cinfo)
{
    job *self = job_of(cinfo);
    if (self->cinfo.input_scan_number > MAX_SCANS)
        leave(self, clsp_fail(self->err, CLIPSPAN_ERROR_FORMAT, "%s: broken JPEG: more than %d scans",
                              self->encoded->name, MAX_SCANS));
}

static void source_nothing(j_decompress_ptr cinfo)
{
    (void)cinfo;
}

static boolean source_ends(j_decompress_ptr cinfo)
{
    job *self = job_of((j_common_ptr)cinfo);
    leave(self, clsp_fail(self->err, CLIPSPAN_ERROR_FORMAT, "%s: the JPEG is truncated", self->encoded->name));
}

static void source_skip(j_decompress_ptr cinfo, long count)
{
    if (count <= 0) return;
    if ((size_t)count > cinfo->src->bytes_in_buffer) source_ends(cinfo);
    cinfo->src->next_input_byte += count;
    cinfo->src->bytes_in_buffer -= (size_t)count;
}

static void set_up(job *self)
{
    struct jpeg_decompress_struct *cinfo = &self->cinfo;
    self->source = (struct jpeg_source_mgr){
        .next_input_byte = self->encoded->bytes,
        .bytes_in_buffer = self->encoded->length,
        .init_source = source_nothing,
        .fill_input_buffer = source_ends,
        .skip_input_data = source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_nothing,
    };
    jpeg_create_decompress(cinfo);
    cinfo->client_data = self;
    cinfo->src = &self->source;
    self->progress.progress_monitor = on_progress;
    cinfo->progress = &self->progress;
    if (self->encoded->exif) jpeg_save_markers(cinfo, APP1, 0xffff);
}

static int orientation(const struct jpeg_decompress_struct *cinfo)
{
    static const char XMP[] = "http://ns.adobe.com/xap/1.0/";
    int exif = 0, xmp = 0;
    for (jpeg_saved_marker_ptr marker = cinfo->marker_list; marker != NULL; marker = marker->next) {
        size_t length = marker->data_length;
        if (exif == 0 && length > 6 && memcmp(marker->data, "Exif\0\0", 6) == 0)
            exif = clsp_exif_orientation(marker->data, length);
        else if (length > sizeof XMP && memcmp(marker->data, XMP, sizeof XMP) == 0)
            xmp = clsp_xmp_orientation(marker->data + sizeof XMP, length - sizeof XMP);
    }
    if (exif != 0) return exif;
    return xmp != 0 ? xmp : 1;
}

/* Mode by the number of components, as Pillow does. */
static clsp_mode mode_and_colours(job *self)
{
    switch (self->cinfo.num_components) {
    case 1: self->cinfo.out_color_space = JCS_GRAYSCALE; return CLSP_MODE_L;
    case 3: self->cinfo.out_color_space = JCS_RGB; return CLSP_MODE_RGB;
    case 4: self->cinfo.out_color_space = JCS_CMYK; return CLSP_MODE_CMYK;
    default:
        leave(self, clsp_fail(self->err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: a JPEG of %d components, expected 1, 3 or 4",
                              self->encoded->name, self->cinfo.num_components));
    }
}

/* Four-ink JPEGs keep the inks inverted (Adobe's way), whatever their markers say; Pillow holds that too. */
static void invert(clsp_picture *picture)
{
    size_t size = clsp_picture_row(picture) * (size_t)picture->height;
    for (size_t i = 0; i < size; i++) picture->data[i] = (unsigned char)~picture->data[i];
}

static void decode(job *self)
{
    struct jpeg_decompress_struct *cinfo = &self->cinfo;
    set_up(self);
    jpeg_read_header(cinfo, TRUE);
    clipspan_status status = clsp_decode_check_size(self->encoded, cinfo->image_width, cinfo->image_height, self->err);
    if (status != CLIPSPAN_OK) leave(self, status);
    clsp_mode mode = mode_and_colours(self);
    jpeg_start_decompress(cinfo);
    clsp_picture *picture = self->picture;
    status = clsp_picture_allocate(picture, mode, (int)cinfo->output_width, (int)cinfo->output_height, self->err);
    if (status != CLIPSPAN_OK) leave(self, status);
    size_t row = clsp_picture_row(picture);
    while (cinfo->output_scanline < cinfo->output_height) {
        JSAMPROW line = picture->data + cinfo->output_scanline * row;
        jpeg_read_scanlines(cinfo, &line, 1);
    }
    /* jpeg_finish_decompress would ask for an end marker that Pillow does without */
    if (self->encoded->exif) picture->orientation = orientation(cinfo);
}

clipspan_status clsp_decode_jpeg(clsp_picture *picture, const clsp_encoded *encoded, clipspan_error *err)
{
    job self = {.encoded = encoded, .picture = picture, .err = err, .status = CLIPSPAN_OK};
    self.cinfo.err = jpeg_std_error(&self.errors);
    self.cinfo.client_data = &self;
    self.errors.error_exit = on_error;
    self.errors.emit_message = on_message;
    self.errors.output_message = on_output;
    if (setjmp(self.escape) == 0) decode(&self);
    jpeg_destroy_decompress(&self.cinfo);
    if (self.status == CLIPSPAN_OK && picture->mode == CLSP_MODE_CMYK) invert(picture);
    return self.status;
}
