/* What was read: a set of files, open addressing over hashes of (device, inode). Two files of one hash, 1 in 2^64 a pair,
 * would refuse an output that is harmless. */
#include "clipspan/inputs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/base.h"

static atomic_bool remembering;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the set */
static uint64_t *slots; /* [capacity], a power of two; 0: free */
static size_t capacity, count;

/* The finalizer of MurmurHash3 (Appleby), which is one to one, over both numbers. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
    return x ^ (x >> 33);
}

static uint64_t key_of(const struct stat *about)
{
    uint64_t key = mix(mix((uint64_t)about->st_dev) + (uint64_t)about->st_ino);
    return key ? key : 1;
}

/* Where the key is, or would be; the set is never full. */
static size_t place_of(const uint64_t *in, size_t room, uint64_t key)
{
    size_t at = (size_t)key & (room - 1);
    while (in[at] != 0 && in[at] != key) at = (at + 1) & (room - 1);
    return at;
}

static bool grow(void)
{
    size_t room = capacity ? 2 * capacity : 256;
    uint64_t *wider = clsp_alloc_zero(room, sizeof *wider);
    if (wider == NULL) return false;
    for (size_t i = 0; i < capacity; i++)
        if (slots[i] != 0) wider[place_of(wider, room, slots[i])] = slots[i];
    clsp_free(slots);
    slots = wider;
    capacity = room;
    return true;
}

void clipspan_inputs_remember(int on)
{
    pthread_mutex_lock(&lock);
    clsp_free(slots);
    slots = NULL;
    capacity = count = 0;
    atomic_store(&remembering, on != 0);
    pthread_mutex_unlock(&lock);
}

clipspan_status clsp_inputs_note(const struct stat *about, clipspan_error *err)
{
    if (!atomic_load(&remembering) || !S_ISREG(about->st_mode)) return CLIPSPAN_OK;
    uint64_t key = key_of(about);
    pthread_mutex_lock(&lock);
    bool room = 2 * (count + 1) <= capacity || grow();
    if (room) {
        size_t at = place_of(slots, capacity, key);
        count += slots[at] == 0;
        slots[at] = key;
    }
    pthread_mutex_unlock(&lock);
    return room ? CLIPSPAN_OK : clsp_fail_memory(err);
}

clipspan_status clipspan_inputs_add(const char *path, clipspan_error *err)
{
    struct stat about;
    return atomic_load(&remembering) && stat(path, &about) == 0 ? clsp_inputs_note(&about, err) : CLIPSPAN_OK;
}

clipspan_status clipspan_inputs_check(const char *path, clipspan_error *err)
{
    struct stat about;
    if (!atomic_load(&remembering) || stat(path, &about) != 0 || !S_ISREG(about.st_mode)) return CLIPSPAN_OK;
    uint64_t key = key_of(&about);
    pthread_mutex_lock(&lock);
    bool found = count > 0 && slots[place_of(slots, capacity, key)] == key;
    pthread_mutex_unlock(&lock);
    if (!found) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: an input would be written over: name another file", path);
}
