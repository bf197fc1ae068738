/* Files in memory: a list of those that are open, and the end of an output that goes to one. */
#include "base/base.h"

#include <pthread.h>
#include <stdio.h>

#include "clipspan/memory_file.h"

struct clipspan_memory_file {
    char path[40];
    char *bytes; /* NULL: nothing yet */
    size_t length;
    clipspan_memory_file *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the list, and of what hangs on it */
static clipspan_memory_file *open_files;
static unsigned long long numbers;

clipspan_status clipspan_memory_file_new(clipspan_memory_file **out, clipspan_error *err)
{
    *out = NULL;
    clipspan_memory_file *file = clsp_alloc_zero(1, sizeof *file);
    if (file == NULL) return clsp_fail_memory(err);
    pthread_mutex_lock(&lock);
    snprintf(file->path, sizeof file->path, "memory:%llu", ++numbers);
    file->next = open_files;
    open_files = file;
    pthread_mutex_unlock(&lock);
    *out = file;
    return CLIPSPAN_OK;
}

void clipspan_memory_file_free(clipspan_memory_file *file)
{
    if (file == NULL) return;
    pthread_mutex_lock(&lock);
    for (clipspan_memory_file **at = &open_files; *at != NULL; at = &(*at)->next)
        if (*at == file) {
            *at = file->next;
            break;
        }
    pthread_mutex_unlock(&lock);
    clsp_free(file->bytes);
    clsp_free(file);
}

const char *clipspan_memory_file_path(const clipspan_memory_file *file)
{
    return file->path;
}

const char *clipspan_memory_file_bytes(const clipspan_memory_file *file, size_t *length)
{
    if (length != NULL) *length = file->length;
    return file->bytes;
}

static clipspan_memory_file *find(const char *path)
{
    clipspan_memory_file *file = open_files;
    while (file != NULL && strcmp(file->path, path) != 0) file = file->next;
    return file;
}

bool clsp_memory_file_exists(const char *path)
{
    if (strncmp(path, "memory:", strlen("memory:")) != 0) return false;
    pthread_mutex_lock(&lock);
    bool found = find(path) != NULL;
    pthread_mutex_unlock(&lock);
    return found;
}

bool clsp_memory_file_put(const char *path, clsp_buffer *bytes)
{
    pthread_mutex_lock(&lock);
    clipspan_memory_file *file = find(path);
    if (file != NULL) {
        clsp_free(file->bytes);
        file->bytes = bytes->data;
        file->length = bytes->length;
        *bytes = (clsp_buffer){0};
    }
    pthread_mutex_unlock(&lock);
    return file != NULL;
}
