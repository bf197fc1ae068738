/* One writer a store, or one a part of it, and the traces of earlier writers removed.
 *
 * Whoever writes the whole store holds `lock` alone; writers of parts share it, and each holds its `lock-3-of-8` alone. The
 * lock is the system's (flock), so it ends with its process, however that ends: there are no stale locks. The file
 * itself holds the writer's number, for the message, and is removed at the end.
 */
#include "store/store.h"
#include "store/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static clipspan_status locked_by(int file, const char *directory, clipspan_error *err)
{
    char number[24] = "";
    ssize_t length = pread(file, number, sizeof number - 1, 0);
    number[length > 0 ? length : 0] = '\0';
    return clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: process %ld is writing this store", directory,
                     strtol(number, NULL, 10));
}

/* Locks the file at `path`; *lock stays -1 where another process removed it between opening and locking. */
static clipspan_status try_lock(int *lock, const char *path, bool shared, const char *directory, clipspan_error *err)
{
    struct stat held, there;
    char number[24];
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return clsp_fail_errno(err, "%s: cannot be written", path);
    if (flock(file, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        /* A file system without locks (ENOLCK, EOPNOTSUPP) is worked on without one. */
        if (errno == EWOULDBLOCK) {
            clipspan_status status = locked_by(file, directory, err);
            close(file);
            return status;
        }
    }
    if (fstat(file, &held) != 0 || stat(path, &there) != 0 || held.st_ino != there.st_ino) {
        close(file);
        return CLIPSPAN_OK;
    }
    int length = snprintf(number, sizeof number, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) != 0 || pwrite(file, number, (size_t)length, 0) != length) {
        clipspan_status status = clsp_fail_errno(err, "%s: cannot be written", path);
        close(file);
        return status;
    }
    *lock = file;
    return CLIPSPAN_OK;
}

clipspan_status clsp_store_lock(int *lock, const char *directory, const char *name, bool shared, clipspan_error *err)
{
    char *path = clsp_path_join(directory, name);
    *lock = -1;
    if (path == NULL) return clsp_fail_memory(err);
    clipspan_status status = CLIPSPAN_OK;
    for (int tries = 0; status == CLIPSPAN_OK && *lock < 0 && tries < 100; tries++)
        status = try_lock(lock, path, shared, directory, err);
    if (status == CLIPSPAN_OK && *lock < 0)
        status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: cannot be locked", path);
    clsp_free(path);
    return status;
}

/* The last that shares it removes the file. */
void clsp_store_unlock(int lock, const char *directory, const char *name)
{
    if (lock < 0) return;
    char *path = clsp_path_join(directory, name);
    if (path != NULL && flock(lock, LOCK_EX | LOCK_NB) == 0) unlink(path);
    clsp_free(path);
    close(lock);
}

clipspan_status clsp_store_check_idle(const char *directory, clipspan_error *err)
{
    char *path = clsp_path_join(directory, CLSP_STORE_LOCK);
    if (path == NULL) return clsp_fail_memory(err);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    clsp_free(path);
    if (file < 0) return CLIPSPAN_OK;
    bool held = flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    clipspan_status status = held ? locked_by(file, directory, err) : CLIPSPAN_OK;
    close(file);
    return status;
}

/* ---- sweeping ------------------------------------------------------------------------------------------- */

/* A file of the folder itself, of this name. */
static bool is_file(const clsp_store_file *file, const char *name)
{
    return file->folder == NULL && strcmp(file->name, name) == 0;
}

static bool is_named(const clsp_manifest *m, const char *name)
{
    if (strcmp(name, CLSP_STORE_LOCK) == 0 || strcmp(name, CLSP_STORE_MANIFEST) == 0) return true;
    if (m == NULL) return false;
    if (is_file(&m->list, name) || is_file(&m->basis, name) || is_file(&m->moments, name) || is_file(&m->neurons, name))
        return true;
    for (size_t s = m->subtotal_count; s-- > 0;)
        if (is_file(&m->subtotals[s].moments, name) || is_file(&m->subtotals[s].neurons, name)) return true;
    for (size_t s = m->shard_count; s-- > 0;)
        if (is_file(&m->shards[s].file, name)) return true;
    return false;
}

/* Who looks at a folder, and what for. */
typedef struct sweep {
    const clsp_manifest *manifest; /* NULL: there is none */
    const unsigned char *ours;     /* of a part: [shards]; NULL: all */
    bool removing;                 /* else only checking that nothing is foreign */
} sweep;

static bool is_a_part_of_ours(const sweep *s, const char *name)
{
    unsigned long long first, last, shards = clsp_manifest_shards(s->manifest);
    if (clsp_name_is(name, s->manifest->name)) return true;
    return clsp_name_of_shards(name, &first, &last) && first <= last && last < shards && s->ours[first] && s->ours[last];
}

/* What an earlier run left of this name: begun files, or files that no manifest names. */
static bool is_left_over(const sweep *s, const char *name)
{
    if (s->ours != NULL && (!is_a_part_of_ours(s, name) || strcmp(name, s->manifest->name) == 0)) return false;
    return clsp_name_is_ours(name) && (clsp_is_beside(name) || !is_named(s->manifest, name));
}

/* The list is written before everything else but locks. */
static bool has_list(const char *directory)
{
    clsp_safetensors *file = NULL;
    char *path = clsp_path_join(directory, CLSP_STORE_LIST);
    bool found = path != NULL && clsp_safetensors_open(&file, path, NULL) == CLIPSPAN_OK &&
                 clsp_safetensors_find(file, "names.starts") != NULL && clsp_safetensors_find(file, "labels") != NULL;
    clsp_safetensors_free(file);
    clsp_free(path);
    return found;
}

/* In a folder without a manifest: what is called as a store's file is somebody's own where no store was begun. */
static bool is_foreign(const char *name, const char *directory)
{
    int number, of;
    if (!clsp_name_is_ours(name)) return true;
    bool first = strcmp(name, CLSP_STORE_LOCK) == 0 || clsp_part_parse(name, "lock", "", &number, &of) || clsp_is_beside(name);
    return !first && !has_list(directory);
}

static clipspan_status walk(const sweep *s, const char *directory, clipspan_error *err)
{
    DIR *folder = opendir(directory);
    if (folder == NULL) return clsp_fail_errno(err, "%s", directory);
    clipspan_status status = CLIPSPAN_OK;
    for (struct dirent *entry; status == CLIPSPAN_OK && (entry = readdir(folder)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (s->removing && is_left_over(s, name))
            unlinkat(dirfd(folder), name, 0);
        else if (!s->removing && is_foreign(name, directory))
            status = clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                               "%s holds other files (%s) and no store: choose an empty or a new folder", directory, name);
    }
    closedir(folder);
    return status;
}

clipspan_status clsp_store_sweep(const clsp_manifest *manifest, const char *directory, clipspan_error *err)
{
    const sweep checking = {manifest, NULL, false}, removing = {manifest, NULL, true};
    clipspan_status status = manifest == NULL ? walk(&checking, directory, err) : CLIPSPAN_OK;
    return status == CLIPSPAN_OK ? walk(&removing, directory, err) : status;
}

clipspan_status clsp_store_sweep_part(const clsp_manifest *manifest, const unsigned char *ours, const char *directory,
                                      clipspan_error *err)
{
    const sweep removing = {manifest, ours, true};
    return walk(&removing, directory, err);
}

clipspan_status clsp_store_check_foreign(const char *directory, clipspan_error *err)
{
    const sweep checking = {NULL, NULL, false};
    return walk(&checking, directory, err);
}

clipspan_status clsp_store_parts(const char *directory, clsp_part_fn fn, void *user, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    DIR *folder = opendir(directory);
    if (folder == NULL) return CLIPSPAN_OK;
    for (struct dirent *entry; status == CLIPSPAN_OK && (entry = readdir(folder)) != NULL;) {
        int number, of;
        if (clsp_part_parse(entry->d_name, "manifest", ".json", &number, &of))
            status = fn(user, entry->d_name, number, of, err);
    }
    closedir(folder);
    return status;
}
