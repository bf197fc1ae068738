/* Files: mapped, read whole, or written whole or not at all. */
#include "base/base.h"
#include "clipspan/inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static uint64_t nanoseconds(struct timespec time) { return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec; }

static void identify(clsp_map *map, const struct stat *about)
{
    enum { SETTLED = 2 }; /* seconds; the coarsest clocks of file systems tick so slowly */
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    map->file.device = (uint64_t)about->st_dev;
    map->file.inode = (uint64_t)about->st_ino;
    map->file.modified = nanoseconds(about->st_mtim);
    map->file.changed = nanoseconds(about->st_ctim);
    map->file.settled = now.tv_sec > about->st_ctim.tv_sec + SETTLED;
}

/* A pipe in a list of images must not hold the run up until someone writes to it: O_NONBLOCK, which a regular file
 * does not heed, lets open return and the pipe be refused. */
clipspan_status clsp_map_open(clsp_map *map, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    struct stat about;
    *map = (clsp_map){.bytes = (const unsigned char *)""};
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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
            map->mapping = NULL;
        } else
            map->bytes = map->mapping;
    }
    close(file);
    if (status == CLIPSPAN_OK) status = clsp_inputs_note(&about, err);
    if (status == CLIPSPAN_OK)
        identify(map, &about);
    else
        clsp_map_close(map);
    return status;
}

void clsp_map_close(clsp_map *map)
{
    if (map->mapping != NULL) munmap(map->mapping, map->size);
    *map = (clsp_map){0};
}

void clsp_map_ahead(const void *bytes, size_t length)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)bytes / page * page;
    unsigned char there = 0;
    if (length == 0 || (mincore((void *)begin, 1, &there) == 0 && (there & 1))) return;
    posix_madvise((void *)begin, (uintptr_t)bytes + length - begin, POSIX_MADV_WILLNEED);
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

/* Appends what is left behind `handle`. Full: one byte more than the maximum was there. */
static clipspan_status read_to_end(clsp_buffer *buffer, int handle, const char *path, clipspan_error *err)
{
    char block[1 << 16];
    for (;;) {
        ssize_t got = read(handle, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return clsp_fail_errno(err, "%s: cannot be read", path);
        if (got == 0) return CLIPSPAN_OK;
        if (clsp_buffer_append(buffer, block, (size_t)got)) continue;
        if ((size_t)got <= buffer->maximum - buffer->length) return clsp_fail_memory(err);
        return clsp_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: more than %zu bytes", path, buffer->maximum);
    }
}

clipspan_status clsp_stream_read(char **out, size_t *size, const char *path, size_t maximum, clipspan_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    clsp_buffer buffer;
    *out = NULL;
    if (!standard && clsp_file_exists(path)) return clsp_file_read(out, size, path, maximum, err);
    int handle = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (handle < 0) return clsp_fail_errno(err, "%s", path);
    clsp_buffer_init(&buffer, maximum);
    clipspan_status status = clsp_buffer_append(&buffer, "", 0) ? CLIPSPAN_OK : clsp_fail_memory(err);
    if (status == CLIPSPAN_OK) status = read_to_end(&buffer, handle, name, err);
    if (!standard) close(handle);
    if (status == CLIPSPAN_OK && (*out = clsp_strndup(buffer.data, buffer.length)) == NULL)
        status = clsp_fail_memory(err);
    if (status == CLIPSPAN_OK && size != NULL) *size = buffer.length;
    clsp_buffer_free(&buffer);
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

clipspan_status clsp_fail_absent(const char *path, clipspan_error *err)
{
    struct stat about;
    if (stat(path, &about) != 0) return clsp_fail_errno(err, "%s", path);
    return clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: neither a regular file nor a folder", path);
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
        int number = mkdir(copy, 0777) == 0 ? 0 : errno; /* the stat that follows sets errno anew */
        if (number != 0 && !clsp_directory_exists(copy)) {
            errno = number;
            status = clsp_fail_errno(err, "%s: cannot be made", copy);
        }
        if (end) break;
        *c = '/';
    }
    clsp_free(copy);
    return status;
}

char *clsp_cache_folder(void)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (base != NULL && base[0] == '/') return clsp_path_join(base, "clipspan"); /* relative ones are to be ignored */
    return home != NULL && home[0] != '\0' ? clsp_path_join(home, ".cache/clipspan") : NULL;
}

/* ---- output ------------------------------------------------------------------------------------------- */

/* Where `path` leads when its links are followed, also when nothing stands there yet. */
static clipspan_status follow_links(char **out, const char *path, clipspan_error *err)
{
    enum { MOST_LINKS = 40 };
    char target[PATH_MAX];
    *out = NULL;
    char *at = clsp_strdup(path);
    for (int links = 0; at != NULL; links++) {
        ssize_t length = readlink(at, target, sizeof target - 1);
        if (length < 0) break; /* not a link */
        if (links == MOST_LINKS) {
            clsp_free(at);
            errno = ELOOP;
            return clsp_fail_errno(err, "%s: cannot be written", path);
        }
        target[length] = '\0';
        const char *slash = target[0] == '/' ? NULL : strrchr(at, '/');
        char *next = clsp_format("%.*s%s", slash ? (int)(slash - at) + 1 : 0, at, target);
        clsp_free(at);
        at = next;
    }
    *out = at;
    return at != NULL ? CLIPSPAN_OK : clsp_fail_memory(err);
}

static clipspan_status open_temporary(clsp_output *output, clipspan_error *err)
{
    output->held = clsp_beside_make(&output->temporary, output->target, false);
    int handle = output->temporary ? fcntl(output->held, F_DUPFD_CLOEXEC, 0) : -1;
    output->stream = handle >= 0 ? fdopen(handle, "w+b") : NULL;
    if (output->stream != NULL) return CLIPSPAN_OK;
    clipspan_status status = errno == ENOMEM ? clsp_fail_memory(err) : clsp_fail_errno(err, "%s: cannot be written", output->path);
    if (handle >= 0) close(handle);
    return status;
}

/* Written beside its place; where a file stands already, with that file's mode and, if the system lets us, owner. */
static clipspan_status open_beside(clsp_output *output, const struct stat *old, clipspan_error *err)
{
    clipspan_status status = follow_links(&output->target, output->path, err);
    if (status != CLIPSPAN_OK) return status;
    if (old != NULL && access(output->target, W_OK) != 0)
        return clsp_fail_errno(err, "%s: cannot be written", output->path);
    status = open_temporary(output, err);
    if (status != CLIPSPAN_OK || old == NULL) return status;
    int handle = fileno(output->stream);
    int owner = fchown(handle, old->st_uid, old->st_gid), mode = fchmod(handle, old->st_mode & 0777);
    (void)owner, (void)mode; /* what the system refuses stays as a new file has it */
    return CLIPSPAN_OK;
}

/* /dev/stdout, /dev/fd/7 and their like: the number of the handle that is open already; -1: none of them. */
static int open_handle(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "/dev/stdout") == 0) return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0) return STDERR_FILENO;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const char *number = path + strlen(folders[i]);
        if (strncmp(path, folders[i], strlen(folders[i])) == 0 && *number >= '0' && *number <= '9' && strlen(number) < 6)
            return (int)strtol(number, NULL, 10);
    }
    return -1;
}

/* A pipe, a terminal or a device takes the bytes as they come: there is nothing to put in its place. A handle that is open
 * is written on as it stands: behind what `>>` has kept. */
static clipspan_status open_straight(clsp_output *output, clipspan_error *err)
{
    int given = open_handle(output->path), own = given >= 0 ? fcntl(given, F_DUPFD_CLOEXEC, 0) : -1;
    output->stream = own >= 0 ? fdopen(own, "wb") : given >= 0 ? NULL : fopen(output->path, "wbe");
    if (output->stream == NULL && own >= 0) close(own);
    return output->stream ? CLIPSPAN_OK : clsp_fail_errno(err, "%s: cannot be written", output->path);
}

static clipspan_status open_output(clsp_output *output, const char *path, clipspan_error *err)
{
    struct stat old;
    bool there = stat(path, &old) == 0;
    bool straight = (there && !S_ISREG(old.st_mode)) || open_handle(path) >= 0; /* of a folder fopen says so */
    output->path = clsp_strdup(path);
    if (output->path == NULL) return clsp_fail_memory(err);
    clipspan_status status = straight && output->own ? clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: not a regular file", path)
                             : straight              ? open_straight(output, err)
                                                     : open_beside(output, there ? &old : NULL, err);
    if (status != CLIPSPAN_OK) clsp_output_discard(output);
    return status;
}

clipspan_status clsp_output_open(clsp_output *output, const char *path, clipspan_error *err)
{
    *output = (clsp_output){0};
    if (!clsp_memory_file_exists(path)) {
        clipspan_status status = clipspan_inputs_check(path, err);
        return status == CLIPSPAN_OK ? open_output(output, path, err) : status;
    }
    output->path = clsp_strdup(path);
    if (output->path == NULL) return clsp_fail_memory(err);
    output->in_memory = true;
    clsp_buffer_init(&output->memory, SIZE_MAX / 4);
    return CLIPSPAN_OK;
}

clipspan_status clsp_output_open_file(clsp_output *output, const char *path, clipspan_error *err)
{
    *output = (clsp_output){.own = true};
    return open_output(output, path, err);
}

/* At multiples of 2 MB in the file: the system then keeps it in large pages, which are mapped at once. In pages of 4 KB,
 * reading a store takes twice as long. */
clipspan_status clsp_output_widen(clsp_output *output, clipspan_error *err)
{
    enum { WRITTEN = 1 << 21 };
    if (output->in_memory) return CLIPSPAN_OK;
    output->buffer = clsp_alloc(WRITTEN, 1);
    if (output->buffer == NULL) return clsp_fail_memory(err);
    setvbuf(output->stream, output->buffer, _IOFBF, WRITTEN); /* where it is refused the stream has a buffer of its own */
    return CLIPSPAN_OK;
}

clipspan_status clsp_output_write(clsp_output *output, const void *bytes, size_t length, clipspan_error *err)
{
    if (output->in_memory)
        return clsp_buffer_append(&output->memory, bytes, length) ? CLIPSPAN_OK : clsp_fail_memory(err);
    if (length == 0 || fwrite(bytes, 1, length, output->stream) == length) return CLIPSPAN_OK;
    return clsp_fail_errno(err, "%s: cannot be written", output->path);
}

clipspan_status clsp_output_seek(clsp_output *output, uint64_t offset, clipspan_error *err)
{
    if (output->temporary == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: not a regular file: this output needs one", output->path);
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

static clipspan_status commit_memory(clsp_output *output, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (!clsp_buffer_append(&output->memory, "", 0)) /* an empty file has bytes too: the NUL behind them */
        status = clsp_fail_memory(err);
    else if (!clsp_memory_file_put(output->path, &output->memory))
        status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: this file in memory was freed while it was written", output->path);
    clsp_output_discard(output);
    return status;
}

static clipspan_status flush_and_close(clsp_output *output, clipspan_error *err)
{
    bool straight = output->temporary == NULL;
    bool good = fflush(output->stream) == 0 && (straight || output->unsynced || fsync(fileno(output->stream)) == 0);
    int number = errno;
    if (fclose(output->stream) != 0 && good) {
        good = false;
        number = errno;
    }
    output->stream = NULL;
    errno = number;
    return good ? CLIPSPAN_OK : clsp_fail_errno(err, "%s: cannot be written", output->path);
}

/* What was read since the output was opened counts too. */
static clipspan_status put_in_place(clsp_output *output, clipspan_error *err)
{
    clipspan_status status = output->own ? CLIPSPAN_OK : clipspan_inputs_check(output->target, err);
    if (status != CLIPSPAN_OK) return status;
    if (rename(output->temporary, output->target) != 0) return clsp_fail_errno(err, "%s: cannot be written", output->path);
    if (!output->unsynced) sync_folder(output->target);
    close(output->held);
    clsp_free(output->temporary);
    output->temporary = NULL; /* nothing left to remove */
    return CLIPSPAN_OK;
}

clipspan_status clsp_output_commit(clsp_output *output, clipspan_error *err)
{
    if (output->in_memory) return commit_memory(output, err);
    clipspan_status status = flush_and_close(output, err);
    if (status == CLIPSPAN_OK && output->temporary != NULL) status = put_in_place(output, err);
    clsp_output_discard(output);
    return status;
}

void clsp_output_discard(clsp_output *output)
{
    if (output->stream != NULL) fclose(output->stream);
    if (output->temporary != NULL) {
        unlink(output->temporary);
        close(output->held);
    }
    if (output->in_memory) clsp_buffer_free(&output->memory);
    clsp_free(output->buffer);
    clsp_free(output->path);
    clsp_free(output->target);
    clsp_free(output->temporary);
    *output = (clsp_output){0};
}
