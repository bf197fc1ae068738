/* clipspan/engine.h - the two towers, running.
 *
 *     clipspan_engine_options options = CLIPSPAN_ENGINE_OPTIONS_INIT;
 *     options.batch = 16;
 *     clipspan_engine *engine = NULL;
 *     clipspan_engine_open(&engine, model, &options, &err);
 *     clipspan_engine_embed_images(engine, pixels, n, 1, embeddings, &err);
 *     clipspan_engine_free(engine);
 *
 * An engine borrows its model and is used by one thread at a time; it runs its own worker threads. The same
 * input gives the same bits on the same machine, thread count and batch size.
 */
#ifndef CLIPSPAN_ENGINE_H
#define CLIPSPAN_ENGINE_H

#include "clipspan/image.h"
#include "clipspan/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct clipspan_engine clipspan_engine;

typedef enum clipspan_dtype { CLIPSPAN_F32 = 0, CLIPSPAN_BF16 = 1 } clipspan_dtype;

typedef struct clipspan_engine_options {
    clipspan_dtype dtype; /* type of the weights and products; the residual stream is fp32 in both */
    int threads;          /* 0: every processor this process may use */
    int batch;            /* images in one forward pass; 0: chosen from the model's size */
    /* Lists of images are shared among so many engines inside this one, each with its part of the threads and, where all
     * processors are used, on processors of its own; batches, their order and their bits stay those of one engine. 0 or
     * 1: one. CLIPSPAN_ENGINES_AUTO: one for each 8 threads. At most one a thread. */
    int engines;
} clipspan_engine_options;
enum { CLIPSPAN_ENGINES_AUTO = -1 };
#define CLIPSPAN_ENGINE_OPTIONS_INIT { CLIPSPAN_F32, 0, 0, 0 }

/* Packs the weights once (per tower, at its first use), or takes them from the model's cache (clipspan/model.h). Engines
 * of one model and type, on whatever threads, share one copy, which goes with the last of them. options may be NULL. */
CLIPSPAN_API clipspan_status clipspan_engine_open(clipspan_engine **out, const clipspan_model *model,
                                                  const clipspan_engine_options *options, clipspan_error *err);
CLIPSPAN_API void clipspan_engine_free(clipspan_engine *engine);
CLIPSPAN_API const clipspan_model *clipspan_engine_model(const clipspan_engine *engine);
CLIPSPAN_API int clipspan_engine_threads(const clipspan_engine *engine);
CLIPSPAN_API int clipspan_engine_batch(const clipspan_engine *engine);
CLIPSPAN_API clipspan_dtype clipspan_engine_dtype(const clipspan_engine *engine);
CLIPSPAN_API int clipspan_engine_engines(const clipspan_engine *engine);

/* Bytes held; activations, captures and decoded pixels of a job come and go with it. */
typedef struct clipspan_engine_memory {
    uint64_t weights;     /* packed, of the towers used so far; all engines of the model and type share them */
    uint64_t mapped;      /* of those, what lies in the cache's files, which other processes share too */
    uint64_t each_engine; /* rows and scratch of one of the engines inside, at most: what one more would cost */
    uint64_t all_engines; /* the same of all of them */
} clipspan_engine_memory;
CLIPSPAN_API void clipspan_engine_get_memory(const clipspan_engine *engine, clipspan_engine_memory *out);
/* How many times faster bf16 products are than fp32 ones on this processor (a short measurement of some
 * milliseconds on matrices of this model's width; 1 or less: no gain). */
CLIPSPAN_API double clipspan_engine_bf16_gain(const clipspan_engine *engine);

/* pixels: float32 [n, 3, S, S] from clipspan_images_preprocess; embeddings: [n, E], unit length if normalize. */
CLIPSPAN_API clipspan_status clipspan_engine_embed_images(clipspan_engine *engine, const float *pixels, size_t n,
                                                          int normalize, float *embeddings, clipspan_error *err);
/* texts: n UTF-8 strings; embeddings: [n, E]. */
CLIPSPAN_API clipspan_status clipspan_engine_embed_texts(clipspan_engine *engine, const char *const *texts,
                                                         size_t n, int normalize, float *embeddings,
                                                         clipspan_error *err);
/* The same for a list, unit length, with a cache file beside other users' caches ($XDG_CACHE_HOME/clipspan or
 * ~/.cache/clipspan; cache = 0: none), keyed by model, type and text. embeddings: [count, E]. */
CLIPSPAN_API clipspan_status clipspan_engine_embed_pool(clipspan_engine *engine, const clipspan_texts *texts,
                                                        int cache, float *embeddings, const clipspan_hooks *hooks,
                                                        clipspan_error *err);

/* What embed_list hands over: rows [first, first + n) of the list; ok[i] is 0 for an image that could not be
 * read (its row is zero). Borrowed, valid during the call. */
typedef clipspan_status (*clipspan_embed_fn)(void *user, size_t first, size_t n, const float *embeddings,
                                             const unsigned char *ok, clipspan_error *err);
/* Decodes ahead on a thread pool, embeds every image of the list in order. strict: the first bad image stops
 * the run; else it is warned about and skipped. */
CLIPSPAN_API clipspan_status clipspan_engine_embed_list(clipspan_engine *engine, const clipspan_images *images,
                                                        int normalize, int strict, clipspan_embed_fn fn,
                                                        void *user, const clipspan_hooks *hooks,
                                                        clipspan_error *err);

/* ---- heads replaced inside ------------------------------------------------------------------------------- */

/* What some heads write in place of their own output z (before the out-projection). Later layers then run on it, so what
 * the engine yields is the total effect of the replacement; what a store's terms say is the direct effect. */
typedef struct clipspan_intervention {
    const unsigned char *heads; /* [L * H] of 0 and 1: the replaced ones */
    const float *values;        /* [L, H, T, d]: rows of other heads are not read; NULL: zeros */
    int tokens; /* T. 1: at the class token alone; the model's N: at every token (class token first), by position */
} clipspan_intervention;
/* From now on, for images, until the next call; NULL: none. Copied. Captured and decomposed terms are those of the
 * changed network: a replaced head's z is what replaced it. Parts cls and tokens are refused meanwhile
 * (CLIPSPAN_ERROR_ARGUMENT), and so are stores, which speak of the model as it is. Texts are not touched. heads must be
 * 0 or 1, and values that are read finite; where a call fails, what stood before stands on. In the last layer only the
 * class token's value is read, whatever T is. */
CLIPSPAN_API clipspan_status clipspan_engine_intervene(clipspan_engine *engine, const clipspan_intervention *intervention,
                                                       clipspan_error *err);
/* Every head's mean output over the images of the list, by token: out [L, H, N, d], as an intervention's values; summed in
 * double precision, image by image. The last layer has the class token's alone (its other rows are zero: nothing reads
 * them). Images that cannot be read are warned about and left out (strict: end the run); none at all is an error. */
CLIPSPAN_API clipspan_status clipspan_engine_head_means(clipspan_engine *engine, const clipspan_images *images,
                                                        int strict, float *out, const clipspan_hooks *hooks,
                                                        clipspan_error *err);

#ifdef __cplusplus
}
#endif

#endif
