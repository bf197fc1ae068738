/* Objects made from a model once and shared by all its engines: packed weights. The one part of an open model that
 * changes, behind one lock, which is also held while an object is made, so that nothing is made twice. */
#include "model/model.h"

#include <pthread.h>

struct clsp_shared {
    pthread_mutex_t lock;
    struct {
        void *object;
        void (*release)(void *object);
        size_t users;
    } slots[CLSP_SHARED_SLOTS];
};

clsp_shared *clsp_shared_new(void)
{
    clsp_shared *shared = clsp_alloc_zero(1, sizeof *shared);
    if (shared != NULL) pthread_mutex_init(&shared->lock, NULL);
    return shared;
}

void clsp_shared_free(clsp_shared *shared)
{
    if (shared == NULL) return;
    pthread_mutex_destroy(&shared->lock);
    clsp_free(shared);
}

clipspan_status clsp_shared_take(void **out, const clipspan_model *model, size_t slot, const clsp_shared_making *making,
                                 clipspan_error *err)
{
    clsp_shared *shared = model->shared;
    clipspan_status status = CLIPSPAN_OK;
    pthread_mutex_lock(&shared->lock);
    if (shared->slots[slot].users == 0) {
        status = making->make(&shared->slots[slot].object, model, making->user, err);
        shared->slots[slot].release = making->release;
    }
    *out = status == CLIPSPAN_OK ? shared->slots[slot].object : NULL;
    shared->slots[slot].users += status == CLIPSPAN_OK;
    pthread_mutex_unlock(&shared->lock);
    return status;
}

void clsp_shared_drop(const clipspan_model *model, size_t slot)
{
    clsp_shared *shared = model->shared;
    pthread_mutex_lock(&shared->lock);
    if (--shared->slots[slot].users == 0) {
        shared->slots[slot].release(shared->slots[slot].object);
        shared->slots[slot].object = NULL;
    }
    pthread_mutex_unlock(&shared->lock);
}
