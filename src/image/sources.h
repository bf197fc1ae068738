/* image/sources.h - private to the image room: a list of images while it is being filled, and who fills it. */
#ifndef CLSP_IMAGE_SOURCES_H
#define CLSP_IMAGE_SOURCES_H

#if !defined(CLSP_ROOM_IMAGE) && !defined(CLSP_TESTS)
#error "image/sources.h is private to src/image"
#endif

#include "formats/matlab.h"
#include "image/picture.h"

typedef struct clsp_entry {
    char *name;           /* relative to the source */
    char *path;           /* the file; NULL for a member of a tar, or bytes in memory */
    size_t offset, length; /* of the member's bytes in the mapping */
    char *label_text;     /* NULL: none */
    int label;            /* class, or -1 */
    char **values;        /* [column_count]; NULL where the source has no columns */
} clsp_entry;

struct clipspan_images {
    char *kind, *root;
    clsp_entry *entries;
    size_t count, capacity;
    char **classes; /* sorted by bytes */
    size_t class_count;
    char **columns;
    size_t column_count;
    clsp_map map; /* of a tar */
    unsigned char *memory; /* a picture's bytes; NULL elsewhere */
    clsp_matlab *matlab; /* of a MATLAB file; NULL elsewhere */
    uint64_t *cells;     /* its pictures' references */
    clsp_decoded_options decode;
    bool borrowed; /* some of another list: entries and cells are its own, what they point to is the other's */
};

/* The new entry's name and path become the list's, whatever comes of it; either may be NULL for want of memory,
 * which fails here. `out` may be NULL. */
clipspan_status clsp_images_add(clipspan_images *images, clsp_entry **out, char *name, char *path, clipspan_error *err);
/* Ends in jpg, jpeg, png or webp, in any case. */
bool clsp_image_ending(const char *name);
/* Path of `name` as seen from the folder that holds `file`; the caller frees it. NULL: out of memory. */
char *clsp_path_beside(const char *file, const char *name);

/* Each fills the list from one kind of source; order is theirs, but for folders, which are sorted later. */
clipspan_status clsp_source_folder(clipspan_images *images, const char *path, clipspan_error *err);
clipspan_status clsp_source_list(clipspan_images *images, const char *path, clipspan_error *err);
clipspan_status clsp_source_csv(clipspan_images *images, const char *path, clipspan_error *err);
/* A folder with Waterbirds' metadata.csv, or that file. */
clipspan_status clsp_source_waterbirds(clipspan_images *images, const char *path, clipspan_error *err);
clipspan_status clsp_waterbirds_found(bool *found, const char *folder, clipspan_error *err);
clipspan_status clsp_source_tar(clipspan_images *images, const char *path, clipspan_error *err);
clipspan_status clsp_source_matlab(clipspan_images *images, const char *path, clipspan_error *err);

/* Image i, decoded; on failure the picture is empty. */
clipspan_status clsp_images_picture(const clipspan_images *images, size_t i, clsp_picture *picture, clipspan_error *err);
clipspan_status clsp_source_matlab_picture(const clipspan_images *images, size_t i, clsp_picture *picture,
                                           clipspan_error *err);
/* A cell's array as MATLAB shows it: RGB, or L where it has one plane. */
clipspan_status clsp_matlab_to_picture(clsp_picture *picture, const clsp_matlab *file, uint64_t cell, const char *name,
                                       clipspan_error *err);
void clsp_images_keep_first(clipspan_images *images, size_t limit); /* 0: all */
/* SIZE_MAX: none of that name. */
size_t clsp_images_column(const clipspan_images *images, const char *name);
/* A list that was filled elsewhere gets its kind, root and labels; what clipspan_images_open does last. */
clipspan_status clsp_images_finish(clipspan_images *images, const char *path, const char *kind, size_t limit,
                                   clipspan_error *err);

/* The readers behind the last two; `path` for messages and for what is relative to it. */
clipspan_status clsp_csv_read(clipspan_images *images, const char *text, size_t size, const char *path,
                              clipspan_error *err);
/* `bytes` must be those of images->map, or outlive the list. */
clipspan_status clsp_tar_read(clipspan_images *images, const unsigned char *bytes, size_t size, const char *path,
                              clipspan_error *err);

#endif
