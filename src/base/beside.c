/* What is written beside its place, to be renamed: a file or a folder of a name that one writer has and that its death
 * gives back.
 *
 * The names are TARGET.part-clipspan-1, -2 and so on. Whoever makes one holds it with flock until it is renamed or removed,
 * so one that is there and not held was left by a writer that was killed: the next writer of the same target removes it.
 * On a file system without locks nothing can be told, and nothing is removed. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDING ".part-clipspan-"

bool clsp_is_beside(const char *name)
{
    return strstr(name, ENDING) != NULL;
}

void clsp_remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char *inside = clsp_path_join(path, entry->d_name);
        bool dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (inside != NULL && !dots && unlink(inside) != 0) clsp_remove_folder(inside);
        clsp_free(inside);
    }
    if (folder != NULL) closedir(folder);
    rmdir(path);
}

/* The name still leads to what was opened. */
static bool is_still_there(int handle, const char *name, struct stat *about)
{
    struct stat there;
    return fstat(handle, about) == 0 && lstat(name, &there) == 0 && about->st_dev == there.st_dev &&
           about->st_ino == there.st_ino;
}

static int open_there(const char *name, bool folder)
{
    return open(name, O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (folder ? O_RDONLY | O_DIRECTORY : O_RDWR));
}

/* Removes what a writer that is gone left of this name: our own, of the right kind, and held by nobody. */
static bool remove_left(const char *name, bool folder)
{
    struct stat about;
    int handle = open_there(name, folder);
    if (handle < 0) return false;
    bool gone = flock(handle, LOCK_EX | LOCK_NB) == 0 && is_still_there(handle, name, &about) &&
                about.st_uid == geteuid() && (folder || (S_ISREG(about.st_mode) && about.st_nlink == 1));
    if (gone && folder) clsp_remove_folder(name);
    if (gone && !folder) gone = unlink(name) == 0;
    close(handle);
    return gone;
}

/* -1 with errno; EAGAIN: another writer took it for left in the moment before it was held. */
static int make(const char *name, bool folder)
{
    struct stat about;
    if (folder && mkdir(name, 0777) != 0) return -1;
    int handle = folder ? open_there(name, true) : open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (handle < 0) {
        int why = errno;
        if (folder) rmdir(name);
        errno = folder && why == ENOENT ? EAGAIN : why;
        return -1;
    }
    bool held = flock(handle, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; /* no locks here: none is needed */
    if (held && is_still_there(handle, name, &about)) return handle;
    close(handle);
    errno = EAGAIN;
    return -1;
}

int clsp_beside_make(char **out, const char *target, bool folder)
{
    enum { MOST = 1000, LOOKED_AT = 8 }; /* few write one target at once, so few are left */
    *out = NULL;
    for (unsigned number = 1; number <= MOST + LOOKED_AT; number++) {
        bool making = number > LOOKED_AT; /* first what is left, then the first name that is free */
        char *name = clsp_format("%s" ENDING "%u", target, making ? number - LOOKED_AT : number);
        if (name == NULL) {
            errno = ENOMEM;
            return -1;
        }
        int handle = making ? make(name, folder) : -1, why = errno;
        if (handle >= 0) {
            *out = name;
            return handle;
        }
        if (!making) remove_left(name, folder);
        clsp_free(name);
        errno = why;
        if (making && why != EEXIST && why != EINTR && why != EAGAIN) return -1;
    }
    return -1;
}
