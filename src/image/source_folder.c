/* A folder of images, read recursively. Hidden names are passed over; links are followed, but not into a folder that
 * is being read already. */
#include "image/sources.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* A folder and those it lies in, innermost first. */
typedef struct level {
    const struct level *above;
    dev_t device;
    ino_t number;
    const char *path;
    const char *name; /* relative to the source; "" at the top */
} level;

static bool inside_itself(const level *at)
{
    for (const level *above = at->above; above != NULL; above = above->above)
        if (above->device == at->device && above->number == at->number) return true;
    return false;
}

static clipspan_status read_level(clipspan_images *images, const level *at, clipspan_error *err);

static clipspan_status read_entry(clipspan_images *images, const level *at, const char *entry, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    struct stat about;
    char *path = NULL, *name = NULL;
    CLSP_ALLOC(path, clsp_path_join(at->path, entry));
    CLSP_ALLOC(name, at->name[0] ? clsp_path_join(at->name, entry) : clsp_strdup(entry));
    bool known = stat(path, &about) == 0;
    if (known && S_ISDIR(about.st_mode)) {
        level below = {at, about.st_dev, about.st_ino, path, name};
        if (!inside_itself(&below)) CLSP_TRY(read_level(images, &below, err));
    } else if ((!known || S_ISREG(about.st_mode)) && clsp_image_ending(entry)) {
        /* a dangling link is kept too: it is found bad when it is read */
        status = clsp_images_add(images, NULL, name, path, err);
        name = path = NULL;
    }
out:
    clsp_free(path);
    clsp_free(name);
    return status;
}

static clipspan_status read_level(clipspan_images *images, const level *at, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    DIR *directory = opendir(at->path);
    if (directory == NULL) return clsp_fail_errno(err, "%s: the folder cannot be read", at->path);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) break;
        if (entry->d_name[0] == '.') continue;
        CLSP_TRY(read_entry(images, at, entry->d_name, err));
    }
    if (errno != 0) status = clsp_fail_errno(err, "%s: the folder cannot be read", at->path);
out:
    closedir(directory);
    return status;
}

clipspan_status clsp_source_folder(clipspan_images *images, const char *path, clipspan_error *err)
{
    struct stat about;
    if (stat(path, &about) != 0) return clsp_fail_errno(err, "%s", path);
    level top = {NULL, about.st_dev, about.st_ino, path, ""};
    return read_level(images, &top, err);
}
