/* WebP through libwebp's animation decoder, which Pillow uses for still pictures too: lossy, lossless, with alpha,
 * and the first frame of an animation on its canvas. */
#include "image/picture.h"

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

static int orientation(const WebPAnimDecoder *decoder)
{
    const WebPDemuxer *demuxer = WebPAnimDecoderGetDemuxer(decoder);
    WebPChunkIterator chunk;
    int found = 0;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        found = clsp_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    if (found == 0 && WebPDemuxGetChunk(demuxer, "XMP ", 1, &chunk)) {
        found = clsp_xmp_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    return found != 0 ? found : 1;
}

/* The canvas is RGBA; a picture without alpha is RGB to Pillow. */
static void take_canvas(clsp_picture *picture, const unsigned char *canvas)
{
    size_t pixels = (size_t)picture->width * (size_t)picture->height;
    if (picture->mode == CLSP_MODE_RGBA) {
        memcpy(picture->data, canvas, pixels * 4);
        return;
    }
    for (size_t i = 0; i < pixels; i++) memcpy(picture->data + 3 * i, canvas + 4 * i, 3);
}

static clipspan_status read_first_frame(clsp_picture *picture, WebPAnimDecoder *decoder, const clsp_encoded *encoded,
                                        bool alpha, clipspan_error *err)
{
    WebPAnimInfo about;
    uint8_t *canvas = NULL;
    int time = 0;
    if (!WebPAnimDecoderGetInfo(decoder, &about) || !WebPAnimDecoderGetNext(decoder, &canvas, &time))
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: broken WebP: its picture cannot be decoded", encoded->name);
    clipspan_status status = clsp_picture_allocate(picture, alpha ? CLSP_MODE_RGBA : CLSP_MODE_RGB,
                                                   (int)about.canvas_width, (int)about.canvas_height, err);
    if (status != CLIPSPAN_OK) return status;
    take_canvas(picture, canvas);
    if (encoded->exif) picture->orientation = orientation(decoder);
    return CLIPSPAN_OK;
}

clipspan_status clsp_decode_webp(clsp_picture *picture, const clsp_encoded *encoded, clipspan_error *err)
{
    WebPBitstreamFeatures features;
    VP8StatusCode code = WebPGetFeatures(encoded->bytes, encoded->length, &features);
    if (code != VP8_STATUS_OK)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %s", encoded->name,
                         code == VP8_STATUS_NOT_ENOUGH_DATA ? "the WebP is truncated" : "broken WebP: a bad header");
    clipspan_status status = clsp_decode_check_size(encoded, (uint64_t)features.width, (uint64_t)features.height, err);
    if (status != CLIPSPAN_OK) return status;
    WebPAnimDecoderOptions options;
    if (!WebPAnimDecoderOptionsInit(&options))
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "libwebp: its header and its library differ in version");
    options.color_mode = MODE_RGBA;
    WebPData data = {encoded->bytes, encoded->length};
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(&data, &options);
    if (decoder == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: the WebP is truncated or broken", encoded->name);
    status = read_first_frame(picture, decoder, encoded, features.has_alpha, err);
    WebPAnimDecoderDelete(decoder);
    return status;
}
