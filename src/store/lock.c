/* One writer a store, and the traces of earlier writers removed.
 *
 * The lock is the system's (flock), so it ends with its process, however that ends: there are no stale locks. The file
 * itself holds the writer's number, for the message, and is removed at the end.
 */
#include "store/store.h"

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
static clipspan_status try_lock(int *lock, const char *path, const char *directory, clipspan_error *err)
{
    struct stat held, there;
    char number[24];
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return clsp_fail_errno(err, "%s: cannot be written", path);
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
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

clipspan_status clsp_store_lock(int *lock, const char *directory, clipspan_error *err)
{
    char *path = clsp_path_join(directory, CLSP_STORE_LOCK);
    *lock = -1;
    if (path == NULL) return clsp_fail_memory(err);
    clipspan_status status = CLIPSPAN_OK;
    for (int tries = 0; status == CLIPSPAN_OK && *lock < 0 && tries < 100; tries++)
        status = try_lock(lock, path, directory, err);
    if (status == CLIPSPAN_OK && *lock < 0)
        status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: cannot be locked", path);
    clsp_free(path);
    return status;
}

void clsp_store_unlock(int lock, const char *directory)
{
    if (lock < 0) return;
    char *path = clsp_path_join(directory, CLSP_STORE_LOCK);
    if (path != NULL) unlink(path);
    clsp_free(path);
    close(lock);
}

/* ---- sweeping ------------------------------------------------------------------------------------------- */

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static bool is_ours(const char *name)
{
    return begins(name, "shard-") || begins(name, "moments-") || begins(name, CLSP_STORE_MOMENTS) ||
           begins(name, "neurons-") || begins(name, CLSP_STORE_NEURONS) ||
           begins(name, CLSP_STORE_MANIFEST) || begins(name, CLSP_STORE_BASIS) || begins(name, CLSP_STORE_LIST) ||
           strcmp(name, CLSP_STORE_LOCK) == 0;
}

static bool is_named(const clsp_manifest *m, const char *name)
{
    if (strcmp(name, CLSP_STORE_LOCK) == 0 || strcmp(name, CLSP_STORE_MANIFEST) == 0) return true;
    if (m == NULL) return false;
    if (strcmp(name, m->list.name) == 0 || strcmp(name, m->basis.name) == 0 || strcmp(name, m->moments.name) == 0 ||
        strcmp(name, m->neurons.name) == 0)
        return true;
    for (size_t s = m->shard_count; s-- > 0;)
        if (strcmp(name, m->shards[s].file.name) == 0) return true;
    return false;
}

/* What an earlier run left of this name: begun files, or files that no manifest names. */
static bool is_left_over(const clsp_manifest *m, const char *name)
{
    return is_ours(name) && (strstr(name, ".part-") != NULL || !is_named(m, name));
}

/* Looks at every entry of the folder: removes what was left over, or only checks that nothing is foreign. */
static clipspan_status walk(const clsp_manifest *manifest, const char *directory, bool removing, clipspan_error *err)
{
    DIR *folder = opendir(directory);
    if (folder == NULL) return clsp_fail_errno(err, "%s", directory);
    clipspan_status status = CLIPSPAN_OK;
    for (struct dirent *entry; status == CLIPSPAN_OK && (entry = readdir(folder)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (removing && is_left_over(manifest, name))
            unlinkat(dirfd(folder), name, 0);
        else if (!removing && !is_ours(name))
            status = clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT,
                               "%s holds other files (%s) and no store: choose an empty or a new folder", directory, name);
    }
    closedir(folder);
    return status;
}

clipspan_status clsp_store_sweep(const clsp_manifest *manifest, const char *directory, clipspan_error *err)
{
    clipspan_status status = manifest == NULL ? walk(manifest, directory, false, err) : CLIPSPAN_OK;
    return status == CLIPSPAN_OK ? walk(manifest, directory, true, err) : status;
}
