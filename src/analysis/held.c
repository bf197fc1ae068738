/* Images kept for texts that come later: one block a image, in the order of a batch's fields. */
#include <string.h>

#include "clipspan/map.h"
#include "decompose/decompose.h"

typedef struct held_image {
    clipspan_batch batch; /* of one image */
    uint64_t index;
    float *block;
    int *token_layers;
} held_image;

struct clipspan_held {
    clipspan_basis basis;
    float *basis_block; /* NULL: nothing was taken yet */
    held_image **images;
    size_t count;
};

clipspan_status clipspan_held_new(clipspan_held **out, clipspan_error *err)
{
    *out = clsp_alloc_zero(1, sizeof **out);
    return *out != NULL ? CLIPSPAN_OK : clsp_fail_memory(err);
}

static void image_free(held_image *image)
{
    if (image == NULL) return;
    clsp_free(image->block);
    clsp_free(image->token_layers);
    clsp_free(image);
}

static void drop(clipspan_held *held, size_t count)
{
    while (held->count > count) image_free(held->images[--held->count]);
}

void clipspan_held_free(clipspan_held *held)
{
    if (held == NULL) return;
    drop(held, 0);
    clsp_free(held->images);
    clsp_free(held->basis_block);
    clsp_free(held);
}

/* Image i of values [outer, images, inner] to [outer, 1, inner] at *at, which moves on. NULL stays NULL. */
static const float *copy(float **at, const float *values, size_t outer, size_t images, size_t i, size_t inner)
{
    float *to = *at;
    if (values == NULL) return NULL;
    for (size_t o = 0; o < outer; o++) memcpy(to + o * inner, values + (o * images + i) * inner, inner * sizeof *to);
    *at += outer * inner;
    return to;
}

/* Points into block, or where block is NULL only says how many floats there are. */
static size_t fill(clipspan_batch *one, float *block, const clipspan_batch *from, size_t i)
{
    const clipspan_basis *b = from->basis;
    size_t l = (size_t)b->layers, h = (size_t)b->heads, d = (size_t)b->head_dim, e = (size_t)b->embed_dim;
    size_t n = (size_t)b->tokens, t = (size_t)from->token_layer_count;
    const struct {
        const float *values, **field;
        size_t outer, inner;
    } fields[] = {{from->z, &one->z, l * h, d},          {from->mu, &one->mu, 1, 1},
                  {from->sigma, &one->sigma, 1, 1},      {from->norm, &one->norm, 1, 1},
                  {from->embedding, &one->embedding, 1, e}, {from->mlp, &one->mlp, l + 1, e},
                  {from->mlp_mean, &one->mlp_mean, l + 1, 1}, {from->cls, &one->cls, l, e},
                  {from->cls_mean, &one->cls_mean, l, 1}, {from->tokens, &one->tokens, t * h, n * d}};
    size_t floats = 0;
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
        if (fields[f].values != NULL) floats += fields[f].outer * fields[f].inner;
        if (block != NULL) *fields[f].field = copy(&block, fields[f].values, fields[f].outer, from->images, i, fields[f].inner);
    }
    return floats;
}

static clipspan_status hold(held_image **out, const clipspan_held *held, const clipspan_batch *batch, size_t i,
                            clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t layers = (size_t)batch->token_layer_count;
    held_image *image = NULL;
    CLSP_ALLOC(image, clsp_alloc_zero(1, sizeof *image));
    image->index = batch->index[i];
    image->batch = (clipspan_batch){.basis = &held->basis, .images = 1, .index = &image->index};
    CLSP_ALLOC(image->block, clsp_alloc_aligned(fill(&image->batch, NULL, batch, i), sizeof *image->block));
    fill(&image->batch, image->block, batch, i);
    if (batch->tokens != NULL) {
        CLSP_ALLOC(image->token_layers, clsp_alloc(layers, sizeof *image->token_layers));
        memcpy(image->token_layers, batch->token_layers, layers * sizeof *image->token_layers);
        image->batch.token_layers = image->token_layers;
        image->batch.token_layer_count = batch->token_layer_count;
    }
    *out = image;
    image = NULL;
out:
    image_free(image);
    return status;
}

static bool same_shape(const clipspan_basis *a, const clipspan_basis *b)
{
    return a->layers == b->layers && a->heads == b->heads && a->head_dim == b->head_dim && a->embed_dim == b->embed_dim &&
           a->tokens == b->tokens;
}

/* For `more` images behind those there are. */
static clipspan_status make_room(clipspan_held *held, size_t more, clipspan_error *err)
{
    held_image **images = clsp_alloc(held->count + more, sizeof *images);
    if (images == NULL) return clsp_fail_memory(err);
    if (held->count > 0) memcpy(images, held->images, held->count * sizeof *images);
    clsp_free(held->images);
    held->images = images;
    return CLIPSPAN_OK;
}

clipspan_status clipspan_held_take(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_held *held = user;
    size_t before = held->count;
    if (held->basis_block == NULL) CLSP_TRY(clsp_basis_copy(&held->basis, &held->basis_block, batch->basis, err));
    if (!same_shape(&held->basis, batch->basis))
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "the images are of a model of another shape than those held already");
    CLSP_TRY(make_room(held, batch->images, err));
    for (size_t i = 0; i < batch->images; i++) {
        CLSP_TRY(hold(&held->images[held->count], held, batch, i, err));
        held->count++;
    }
out:
    if (status != CLIPSPAN_OK) drop(held, before);
    return status;
}

void clipspan_held_drop(clipspan_held *held, size_t image)
{
    if (image >= held->count) return;
    image_free(held->images[image]);
    held->count--;
    memmove(held->images + image, held->images + image + 1, (held->count - image) * sizeof *held->images);
}

size_t clipspan_held_images(const clipspan_held *held)
{
    return held->count;
}

const clipspan_batch *clipspan_held_batch(const clipspan_held *held, size_t image)
{
    return image < held->count ? &held->images[image]->batch : NULL;
}
