/* The one door to the heap: checked products, and a switch that lets tests walk every allocation failure. */
#include "base/base.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, LARGE_PAGE = 1 << 21 };

static atomic_ulong allocation_count;
static atomic_ulong allocation_fails_at;

unsigned long clsp_alloc_fail_at(unsigned long n)
{
    unsigned long seen = atomic_exchange(&allocation_count, 0);
    atomic_store(&allocation_fails_at, n);
    return seen;
}

static bool refused(void)
{
    unsigned long now = atomic_fetch_add(&allocation_count, 1) + 1;
    return now == atomic_load(&allocation_fails_at);
}

bool clsp_mul(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool clsp_add(size_t *out, size_t a, size_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

void *clsp_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (!clsp_mul(&bytes, count, size) || refused()) return NULL;
    return malloc(bytes ? bytes : 1);
}

void *clsp_alloc_zero(size_t count, size_t size)
{
    size_t bytes;
    if (!clsp_mul(&bytes, count, size) || refused()) return NULL;
    return calloc(bytes ? bytes : 1, 1);
}

void *clsp_alloc_aligned(size_t count, size_t size)
{
    size_t bytes;
    if (!clsp_mul(&bytes, count, size) || !clsp_add(&bytes, bytes, ALIGNMENT) || refused()) return NULL;
    return aligned_alloc(ALIGNMENT, bytes / ALIGNMENT * ALIGNMENT);
}

void *clsp_alloc_large(size_t bytes)
{
    size_t whole;
    if (bytes < LARGE_PAGE) return clsp_alloc_aligned(bytes, 1);
    if (!clsp_add(&whole, bytes, LARGE_PAGE - 1) || refused()) return NULL;
    whole = whole / LARGE_PAGE * LARGE_PAGE;
    void *block = aligned_alloc(LARGE_PAGE, whole);
#if defined(MADV_HUGEPAGE)
    if (block != NULL) madvise(block, whole, MADV_HUGEPAGE); /* a wish: ordinary pages do as well */
#endif
    return block;
}

void *clsp_grow(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    if (!clsp_mul(&bytes, count, size) || refused()) return NULL;
    return realloc(pointer, bytes ? bytes : 1);
}

void clsp_free(void *pointer)
{
    free(pointer);
}

char *clsp_strndup(const char *text, size_t length)
{
    char *copy = clsp_alloc(length + 1, 1);
    if (copy == NULL) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *clsp_strdup(const char *text)
{
    return clsp_strndup(text, strlen(text));
}

char *clsp_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : clsp_alloc((size_t)length + 1, 1);
    if (text == NULL) return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

char *clsp_path_join(const char *directory, const char *name)
{
    size_t length = strlen(directory);
    bool bare = length == 0 || name[0] == '/';
    bool slash = length > 0 && directory[length - 1] == '/';
    return bare ? clsp_strdup(name) : clsp_format("%s%s%s", directory, slash ? "" : "/", name);
}
