/* Files: mapped, read whole, or written whole or not at all. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

clipspan_status clsp_map_open(clsp_map *map, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    struct stat about;
    *map = (clsp_map){.bytes = (const unsigned char *)""};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return clsp_fail_errno(err, "%s", path);
    if (fstat(file, &about) != 0)
        status = clsp_fail_errno(err, "%s", path);
    else if (!S_ISREG(about.st_mode))
        status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: not a regular file", path);
    else if (about.st_size > 0) {
        map->size = (size_t)about.st_size;
        map->mapping = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, file, 0);
        if (map->mapping == MAP_FAILED) {
            status = clsp_fail_errno(err, "%s: cannot be mapped", path);
            *map = (clsp_map){0};
        } else
            map->bytes = map->mapping;
    }
    close(file);
    return status;
}

void clsp_map_close(clsp_map *map)
{
    if (map->mapping != NULL) munmap(map->mapping, map->size);
    *map = (clsp_map){0};
}

clipspan_status clsp_file_read(char **out, size_t *size, const char *path, size_t maximum, clipspan_error *err)
{
    clsp_map map;
    *out = NULL;
    clipspan_status status = clsp_map_open(&map, path, err);
    if (status != CLIPSPAN_OK) return status;
    if (map.size > maximum)
        status = clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: %zu bytes, expected at most %zu", path, map.size, maximum);
    else if ((*out = clsp_strndup((const char *)map.bytes, map.size)) == NULL)
        status = clsp_fail_memory(err);
    else if (size != NULL)
        *size = map.size;
    clsp_map_close(&map);
    return status;
}

bool clsp_file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

bool clsp_directory_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

clipspan_status clsp_directory_make(const char *path, clipspan_error *err)
{
    char *copy = clsp_strdup(path);
    if (copy == NULL) return clsp_fail_memory(err);
    clipspan_status status = CLIPSPAN_OK;
    for (char *c = copy + 1; status == CLIPSPAN_OK && *copy; c++) {
        bool end = *c == '\0';
        if (!end && *c != '/') continue;
        *c = '\0';
        if (mkdir(copy, 0777) != 0 && !clsp_directory_exists(copy))
            status = clsp_fail_errno(err, "%s: cannot be made", copy);
        if (end) break;
        *c = '/';
    }
    clsp_free(copy);
    return status;
}

clipspan_status clsp_output_open(clsp_output *output, const char *path, clipspan_error *err)
{
    *output = (clsp_output){.path = clsp_strdup(path), .temporary = clsp_format("%s.part-%ld", path, (long)getpid())};
    if (output->path == NULL || output->temporary == NULL) {
        clsp_output_discard(output);
        return clsp_fail_memory(err);
    }
    output->stream = fopen(output->temporary, "w+be");
    if (output->stream != NULL) return CLIPSPAN_OK;
    clipspan_status status = clsp_fail_errno(err, "%s: cannot be written", path);
    clsp_output_discard(output);
    return status;
}

clipspan_status clsp_output_write(clsp_output *output, const void *bytes, size_t length, clipspan_error *err)
{
    if (length == 0 || fwrite(bytes, 1, length, output->stream) == length) return CLIPSPAN_OK;
    return clsp_fail_errno(err, "%s: cannot be written", output->path);
}

clipspan_status clsp_output_seek(clsp_output *output, uint64_t offset, clipspan_error *err)
{
    if (fseeko(output->stream, (off_t)offset, SEEK_SET) == 0) return CLIPSPAN_OK;
    return clsp_fail_errno(err, "%s: cannot be written", output->path);
}

/* After a rename, so that the new name outlasts a power cut too. A folder that cannot be synced is no failure. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash != NULL && (size_t)(slash - path) + 2 > sizeof folder) return;
    if (slash != NULL) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    int handle = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (handle < 0) return;
    fsync(handle);
    close(handle);
}

clipspan_status clsp_output_commit(clsp_output *output, clipspan_error *err)
{
    bool good = fflush(output->stream) == 0 && fsync(fileno(output->stream)) == 0;
    int number = errno;
    if (fclose(output->stream) != 0 && good) {
        good = false;
        number = errno;
    }
    output->stream = NULL;
    if (good && rename(output->temporary, output->path) == 0) {
        sync_folder(output->path);
        clsp_free(output->temporary);
        output->temporary = NULL; /* nothing left to remove */
        clsp_output_discard(output);
        return CLIPSPAN_OK;
    }
    if (!good) errno = number;
    clipspan_status status = clsp_fail_errno(err, "%s: cannot be written", output->path);
    clsp_output_discard(output);
    return status;
}

void clsp_output_discard(clsp_output *output)
{
    if (output->stream != NULL) fclose(output->stream);
    if (output->temporary != NULL) unlink(output->temporary);
    clsp_free(output->path);
    clsp_free(output->temporary);
    *output = (clsp_output){0};
}
