/* clipspan/image.h - lists of images, and what enters the network.
 *
 *     clipspan_images *images = NULL;
 *     clipspan_images_open(&images, "photos/", NULL, &err);
 *     float *pixels = malloc(3 * info->image_size * info->image_size * sizeof(float));
 *     clipspan_images_preprocess(images, 0, model, pixels, &err);
 *     clipspan_images_free(images);
 *
 * A list is immutable once open and may be shared by threads; names are borrowed from it.
 */
#ifndef CLIPSPAN_IMAGE_H
#define CLIPSPAN_IMAGE_H

#include "clipspan/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_images clipspan_images;

typedef struct clipspan_images_options {
    /* "folder", "imagefolder", "list", "csv", "waterbirds", "tar", "matlab"; NULL: found from the path (a directory with
     * Waterbirds' metadata.csv is that data set; one of directories that hold images and no images of its own is an
     * ImageFolder tree; .txt, .csv, .tar and .mat by their endings; a single image file is a list of one). */
    const char *kind;
    int exif;          /* 1: turn pictures as their EXIF orientation says (neither open_clip nor HF does) */
    size_t limit;      /* keep the first `limit` images; 0: all */
    uint64_t max_pixels; /* larger pictures are refused unread; 0: the default, 178,956,970 as in Pillow */
} clipspan_images_options;
#define CLIPSPAN_IMAGES_OPTIONS_INIT { NULL, 0, 0, 0 }

/* Reads the list, not the pictures. Paths inside a text list or a CSV are relative to that file's folder. A
 * folder is read recursively, sorted by the bytes of the relative path. An empty list is an error. */
CLIPSPAN_API clipspan_status clipspan_images_open(clipspan_images **out, const char *path,
                                                  const clipspan_images_options *options, clipspan_error *err);
/* A list of one: the picture whose encoded bytes (JPEG, PNG, WebP) are at hand. They are copied, and looked at when pixels
 * are asked for. name: as messages and clipspan_images_name say it. Of the options `exif` and `max_pixels` count. */
CLIPSPAN_API clipspan_status clipspan_images_open_memory(clipspan_images **out, const char *name, const void *bytes,
                                                         size_t length, const clipspan_images_options *options,
                                                         clipspan_error *err);
CLIPSPAN_API void clipspan_images_free(clipspan_images *images);
/* A list of some of another's images, in this order: places: [count], each below the other's count. Names and pictures stay
 * the other's, which must outlive it; it has no classes, labels or columns. Freed by clipspan_images_free. */
CLIPSPAN_API clipspan_status clipspan_images_some(clipspan_images **out, const clipspan_images *images,
                                                  const size_t *places, size_t count, clipspan_error *err);

CLIPSPAN_API size_t clipspan_images_count(const clipspan_images *images);
CLIPSPAN_API const char *clipspan_images_kind(const clipspan_images *images);
CLIPSPAN_API const char *clipspan_images_root(const clipspan_images *images); /* absolute path as opened */
CLIPSPAN_API int clipspan_images_exif(const clipspan_images *images); /* 1: pictures are turned as EXIF says */
/* Name of image i: its path relative to the source, '/' between folders. */
CLIPSPAN_API const char *clipspan_images_name(const clipspan_images *images, size_t i);

/* Labels: ImageFolder's folder names, or the CSV's `label` column; classes are sorted by bytes. */
CLIPSPAN_API size_t clipspan_images_class_count(const clipspan_images *images); /* 0: no labels */
CLIPSPAN_API const char *clipspan_images_class(const clipspan_images *images, size_t c);
CLIPSPAN_API int clipspan_images_label(const clipspan_images *images, size_t i); /* class, or -1: none */

/* Columns of a CSV (all but the path, `label` among them); 0 elsewhere. Values are "" where a cell is empty. */
CLIPSPAN_API size_t clipspan_images_column_count(const clipspan_images *images);
CLIPSPAN_API const char *clipspan_images_column(const clipspan_images *images, size_t column);
CLIPSPAN_API const char *clipspan_images_value(const clipspan_images *images, size_t i, size_t column);

/* Decodes image i and prepares it as the model's own files say: pixels is float32 [3, S, S] (red, green, blue
 * planes; S = image_size), normalised; bit-exact with Pillow and open_clip's or Hugging Face's transform, by the
 * model's layout. The caller owns pixels. Safe from several threads. */
CLIPSPAN_API clipspan_status clipspan_images_preprocess(const clipspan_images *images, size_t i,
                                                        const clipspan_model *model, float *pixels,
                                                        clipspan_error *err);

/* The same picture for people: resized and cropped as the model sees it, before normalising. rgb: [S, S, 3] bytes. */
CLIPSPAN_API clipspan_status clipspan_images_view(const clipspan_images *images, size_t i, const clipspan_model *model,
                                                  unsigned char *rgb, clipspan_error *err);
/* The whole picture in RGB, shrunk (never grown) to fit a square of `side` pixels, aspect kept: for contact sheets.
 * rgb: [side, side, 3] bytes of room, of which [height, width, 3] are filled. Needs no model. */
CLIPSPAN_API clipspan_status clipspan_images_thumbnail(const clipspan_images *images, size_t i, int side,
                                                       unsigned char *rgb, int *width, int *height,
                                                       clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
