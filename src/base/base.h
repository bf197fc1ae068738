/* base/base.h - what every room may use: errors, memory, checked sizes, buffers, files, threads, hashes.
 * Includes nothing of ours but the public error header. */
#ifndef CLSP_BASE_H
#define CLSP_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "clipspan/error.h"

#if defined(__GNUC__)
#define CLSP_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define CLSP_PRINTF(f, a)
#endif

/* A loop compiled for several processors, the best one picked when the program starts. Contraction into fused multiply-add
 * is off (cmake/warnings.cmake), so that with sums in a fixed order every clone gives the same bits. Sanitizers instrument
 * the functions that pick a clone, which run before the sanitizer is ready. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLSP_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLSP_CLONES
#endif

/* ---- errors ------------------------------------------------------------------------------------------- */

/* Writes the message (err may be NULL) and returns `status`, so that `return clsp_fail(err, ...)` reads well. */
clipspan_status clsp_fail(clipspan_error *err, clipspan_status status, const char *format, ...) CLSP_PRINTF(3, 4);
/* The same with ": <strerror(errno)>" behind the message; status is CLIPSPAN_ERROR_IO. */
clipspan_status clsp_fail_errno(clipspan_error *err, const char *format, ...) CLSP_PRINTF(2, 3);
clipspan_status clsp_fail_memory(clipspan_error *err);

/* Two macros, one label: the function has `clipspan_status status = CLIPSPAN_OK;` and a label `out:`. */
#define CLSP_TRY(expression)                                                                                 \
    do {                                                                                                     \
        status = (expression);                                                                               \
        if (status != CLIPSPAN_OK) goto out;                                                                 \
    } while (0)
#define CLSP_ALLOC(pointer, expression)                                                                      \
    do {                                                                                                     \
        (pointer) = (expression);                                                                            \
        if ((pointer) == NULL) {                                                                             \
            status = clsp_fail_memory(err);                                                                  \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)

/* ---- memory ------------------------------------------------------------------------------------------- */

/* All of src/ allocates here. Sizes of 0 give a valid pointer. `count * size` is checked. */
void *clsp_alloc(size_t count, size_t size);         /* uninitialised */
void *clsp_alloc_zero(size_t count, size_t size);    /* zeroed */
void *clsp_alloc_aligned(size_t count, size_t size); /* 64-byte aligned, uninitialised; freed by clsp_free too */
/* 64-byte aligned, in large pages where the system has them: for what is read again and again in no order, since they are
 * slow to get; clsp_free. */
void *clsp_alloc_large(size_t bytes);
void *clsp_grow(void *pointer, size_t count, size_t size); /* realloc; on NULL the old block stays valid */
void clsp_free(void *pointer);
char *clsp_strdup(const char *text);
char *clsp_strndup(const char *text, size_t length);
char *clsp_format(const char *format, ...) CLSP_PRINTF(1, 2); /* caller frees; NULL: out of memory */
char *clsp_path_join(const char *directory, const char *name);

/* For tests alone: the n-th allocation from now fails (n >= 1); 0 switches it off. Returns the count so far. */
unsigned long clsp_alloc_fail_at(unsigned long n);

/* ---- checked sizes ------------------------------------------------------------------------------------ */

bool clsp_mul(size_t *out, size_t a, size_t b); /* false: overflow */
bool clsp_add(size_t *out, size_t a, size_t b);
static inline bool clsp_range_ok(size_t offset, size_t length, size_t size)
{
    return offset <= size && length <= size - offset;
}
static inline size_t clsp_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t clsp_max(size_t a, size_t b) { return a > b ? a : b; }

/* ---- a growable buffer, born with a maximum ----------------------------------------------------------- */

typedef struct clsp_buffer {
    char *data; /* always NUL-terminated once anything was appended */
    size_t length, capacity, maximum;
} clsp_buffer;

void clsp_buffer_init(clsp_buffer *buffer, size_t maximum);
bool clsp_buffer_append(clsp_buffer *buffer, const void *bytes, size_t length); /* false: full or no memory */
bool clsp_buffer_text(clsp_buffer *buffer, const char *text);
bool clsp_buffer_format(clsp_buffer *buffer, const char *format, ...) CLSP_PRINTF(2, 3);
void clsp_buffer_free(clsp_buffer *buffer);

/* ---- files -------------------------------------------------------------------------------------------- */

/* A file read through a mapping. Bytes stay valid until clsp_map_close. An empty file maps to size 0. */
typedef struct clsp_map {
    const unsigned char *bytes;
    size_t size;
    void *mapping; /* what munmap needs; NULL for an empty file */
    struct {
        uint64_t device, inode, modified, changed; /* times in nanoseconds */
        bool settled; /* unchanged for some seconds when it was opened, so that a later change shows in `changed` */
    } file;           /* what was mapped: one that has the same still holds the same bytes */
} clsp_map;
clipspan_status clsp_map_open(clsp_map *map, const char *path, clipspan_error *err);
void clsp_map_close(clsp_map *map);
/* Tells the system that these mapped bytes are wanted soon; it reads from the disk meanwhile. Nothing where it has the
 * first of them in memory. */
void clsp_map_ahead(const void *bytes, size_t length);

/* Reads a whole file (at most `maximum` bytes) into a NUL-terminated block; the caller frees it. */
clipspan_status clsp_file_read(char **out, size_t *size, const char *path, size_t maximum, clipspan_error *err);
/* The same, also of a pipe or a device, read to its end; "-" is standard input. */
clipspan_status clsp_stream_read(char **out, size_t *size, const char *path, size_t maximum, clipspan_error *err);
bool clsp_file_exists(const char *path);      /* a regular file (links followed) */
bool clsp_directory_exists(const char *path);
clipspan_status clsp_fail_absent(const char *path, clipspan_error *err); /* where neither exists: why */
clipspan_status clsp_directory_make(const char *path, clipspan_error *err); /* and its parents */

/* A file that is opened to be read, for clipspan/inputs.h. */
struct stat;
clipspan_status clsp_inputs_note(const struct stat *about, clipspan_error *err);

/* Where this user's caches lie: $XDG_CACHE_HOME/clipspan, or ~/.cache/clipspan. Caller frees; NULL: there is no such
 * place, or no memory. */
char *clsp_cache_folder(void);

/* A new file (folder: a folder) beside `target`, of a name that no other writer has while the handle that is returned is
 * open: neither another process nor another thread. What killed writers of the same target left there is removed first.
 * The caller renames or removes it, then closes the handle, then frees *name. -1: *name is NULL, and errno says why. */
int clsp_beside_make(char **name, const char *target, bool folder);
bool clsp_is_beside(const char *name); /* a name as those are */
/* With all that is in it; links inside are removed, not followed. */
void clsp_remove_folder(const char *path);

/* A file that is whole or absent: written beside its place, synced and renamed by _commit; _discard (also
 * safe after _commit and on a zeroed struct) removes what was begun. Writes are buffered. A link is followed and
 * what it leads to replaced; a file that is replaced keeps its mode, and one without write permission is refused.
 * A pipe or device is written straight through; _seek refuses it. A path of clipspan/memory_file.h leads to memory. */
typedef struct clsp_output {
    char *path;      /* as asked for: for messages */
    bool in_memory;  /* what is written gathers in `memory`, and stream is NULL */
    clsp_buffer memory;
    char *target;    /* where it leads; NULL: not a regular file */
    char *temporary; /* beside the target; NULL with it */
    int held;        /* with a temporary: the handle that holds it */
    void *stream;
    char *buffer;    /* the stream's; NULL: its own */
    bool own;        /* of a name that clipspan gives: may replace what was read (clipspan/inputs.h) */
    bool unsynced;   /* set between _open and _commit: not waited for the disk; a power cut may leave any bytes */
} clsp_output;
clipspan_status clsp_output_open(clsp_output *output, const char *path, clipspan_error *err);
/* The same for files that clipspan names, such as a cache's or a store's: a pipe or device there is refused, and one that
 * was read may be replaced. */
clipspan_status clsp_output_open_file(clsp_output *output, const char *path, clipspan_error *err);
/* Right after _open: writes 2 MB at a time, for files that are mapped later; not where there is _seek, which would read as much. */
clipspan_status clsp_output_widen(clsp_output *output, clipspan_error *err);
clipspan_status clsp_output_write(clsp_output *output, const void *bytes, size_t length, clipspan_error *err);
clipspan_status clsp_output_seek(clsp_output *output, uint64_t offset, clipspan_error *err);
clipspan_status clsp_output_commit(clsp_output *output, clipspan_error *err);
void clsp_output_discard(clsp_output *output);
/* Files of clipspan/memory_file.h: whether one of that path is open; gives it its bytes (taken over), false: none is. */
bool clsp_memory_file_exists(const char *path);
bool clsp_memory_file_put(const char *path, clsp_buffer *bytes);

/* ---- hashes (XXH3, 128 bits) -------------------------------------------------------------------------- */

enum { CLSP_HASH_HEX = 33, CLSP_HASH_BYTES = 16 /* in the order of the hex digits */ };
typedef struct clsp_hasher clsp_hasher;
clsp_hasher *clsp_hasher_new(void);
void clsp_hasher_add(clsp_hasher *hasher, const void *bytes, size_t length);
void clsp_hasher_hex(const clsp_hasher *hasher, char out[CLSP_HASH_HEX]); /* 32 hex digits and NUL */
void clsp_hasher_take(clsp_hasher *hasher, unsigned char out[CLSP_HASH_BYTES]); /* and begins anew */
void clsp_hasher_free(clsp_hasher *hasher);
void clsp_hash_hex(char out[CLSP_HASH_HEX], const void *bytes, size_t length);
void clsp_hash_bytes(unsigned char out[CLSP_HASH_BYTES], const void *bytes, size_t length);

/* ---- threads ------------------------------------------------------------------------------------------ */

int clsp_cpu_count(void); /* processors this process may use, at least 1 */
/* Keeps the calling thread, and threads that it starts, to `count` of the processors it may use, from the first-th on. Where
 * the system refuses, it runs where it ran. */
void clsp_cpu_pin(int first, int count);

/* Orders finished work: `count` items are worked on by `threads` workers at most `ahead` items in front of
 * the consumer, who takes them in order. One pool, one consumer. Used by the image decoder. */
typedef struct clsp_pipeline clsp_pipeline;
/* Fills `slot` (one of `ahead` slots, 0-based) with item `index`. Runs on a worker thread; must not fail: it
 * writes its outcome into the slot. */
typedef void (*clsp_pipeline_fn)(void *user, size_t index, size_t slot);
clipspan_status clsp_pipeline_start(clsp_pipeline **out, int threads, size_t ahead, size_t count,
                                    clsp_pipeline_fn work, void *user, clipspan_error *err);
/* Waits for the next item in order; returns its slot, or SIZE_MAX when all were taken. */
size_t clsp_pipeline_take(clsp_pipeline *pipeline);
/* Gives the slot of the oldest taken item back to the workers. Call it once for every take, in order. */
void clsp_pipeline_release(clsp_pipeline *pipeline);
/* Stops the workers (running items are finished, the rest dropped) and frees. NULL is fine. */
void clsp_pipeline_free(clsp_pipeline *pipeline);

/* ---- numbers ------------------------------------------------------------------------------------------ */

/* The same 32 bits, read as the other. */
static inline float clsp_float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t clsp_bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float clsp_f16_to_f32(uint16_t half);
uint16_t clsp_f32_to_f16(float value); /* nearest even; beyond the range gives infinity */
float clsp_bf16_to_f32(uint16_t value);
uint16_t clsp_f32_to_bf16(float value);
/* `count` values of f16, unaligned little-endian, to float32, with the same bits. */
void clsp_f16_widen(float *out, const void *halves, size_t count);
/* And back; false: a value beyond the range of f16 (NaN passes), its position in *where. */
bool clsp_f16_narrow(uint16_t *out, const float *values, size_t count, size_t *where);
/* For tests alone: the widest instructions that f16 is read with: 0 none, 1 AVX2, 2 AVX-512 (where there). Returns what
 * was set before. */
int clsp_f16_way(int most);
int clsp_f16_ways(void); /* those that are used here: 0, 1 or 2, as above */

#endif
