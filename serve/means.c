/* What stands in place of heads that are switched off: worked out of the store once, when it is first asked for. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

clipspan_status serve_means_of(serve_subject *subject, const clipspan_means **out, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    pthread_mutex_lock(&subject->once);
    if (subject->means == NULL)
        status = clipspan_means_open_heads(&subject->means, subject->side->store, CLIPSPAN_PAPER, err);
    *out = subject->means;
    pthread_mutex_unlock(&subject->once);
    return status;
}

/* Heads' outputs summed over the images of a store. */
typedef struct sums {
    double *z; /* [L * H, d] */
    uint64_t images;
} sums;

static clipspan_status add_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    sums *s = user;
    size_t heads = (size_t)batch->basis->layers * (size_t)batch->basis->heads, d = (size_t)batch->basis->head_dim;
    (void)err;
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < batch->images; i++)
            for (size_t k = 0; k < d; k++) s->z[h * d + k] += (double)batch->z[(h * batch->images + i) * d + k];
    s->images += batch->images;
    return CLIPSPAN_OK;
}

static clipspan_status find_class_means(serve_subject *subject, const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_store_selection select = CLIPSPAN_STORE_SELECTION_INIT;
    size_t values = serve_head_count(subject) * (size_t)subject->info->head_dim;
    sums s = {calloc(values, sizeof *s.z), 0};
    float *means = calloc(values, sizeof *means);
    select.parts = 0;
    clipspan_status status = s.z && means ? CLIPSPAN_OK : serve_no_memory(err);
    if (status == CLIPSPAN_OK) status = clipspan_store_each(subject->side->store, &select, add_batch, &s, hooks, err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < values; i++) means[i] = (float)(s.z[i] / (double)s.images);
    free(s.z);
    if (status == CLIPSPAN_OK)
        subject->class_means = means;
    else
        free(means);
    return status;
}

clipspan_status serve_class_means_of(serve_subject *subject, const clipspan_hooks *hooks, const float **out,
                                     clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    pthread_mutex_lock(&subject->passing);
    if (subject->class_means == NULL) status = find_class_means(subject, hooks, err);
    *out = subject->class_means;
    pthread_mutex_unlock(&subject->passing);
    return status;
}
