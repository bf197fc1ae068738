/* analysis/ablation_maps.h - what an ablation of heads needs of a model and its classes, whatever the image.
 *
 * A layer's factors are one row y of width W: z of its heads side by side, divided as the convention says, then what all of
 * them share (s entries: 3 in the paper's convention, none in the exact one), zeros up to a multiple of 16. With U [C, W]
 * the classes in those coordinates, the cosines of the layer's terms are y U', and a head's are its own d columns and
 * 1 / H of the shared ones. One row more, number C, is the mean over the classes: where all classes move alike, ranks stay.
 *
 * Bounds (Cauchy-Schwarz). With a the mean of y and m the terms' mean, replacing moves class c by
 *
 *     w m[c] - y . U[c] = (the same of row C) + w (e[c] - e[C]) - (y - w a) . (U[c] - U[C]),      e = m - a U'
 *     |...| <= w max |e[c] - e[C]| + |s (y - w a)| max |(U[c] - U[C]) / s|
 *
 * where s, the root of a column of U's size over the classes by y's over the images, makes the second product tight: it is
 * the s for which the product of the lengths, on the whole, is least.
 *
 * Products. V[c] = (U[C] - U[c]) / s, rounded to whole numbers, is packed for products with x = s (y - w a): they are off by
 * no more than |x - x~| |V~[c]| + |x| |V[c] - V~[c]|, with ~ for what is rounded (compute.h). Where one layer's rows are there
 * at a time, products are of V itself.
 *
 * Letters: L layers, H heads, d head width, E joint dimension, C classes, k factors of a head.
 */
#ifndef CLSP_ANALYSIS_ABLATION_MAPS_H
#define CLSP_ANALYSIS_ABLATION_MAPS_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/ablation_maps.h is private to the room analysis"
#endif

#include "analysis/means.h"
#include "compute/compute.h"

typedef struct clsp_bound {
    float most; /* max |(U[c] - U[C]) / s| */
    float left; /* max |e[c] - e[C]| */
    float norm; /* max |U[c]|, for rounding */
} clsp_bound;

typedef struct clsp_ablation_product {
    clsp_whole whole; /* V~: [C, W] */
    float most, lost; /* max |V~[c]|; max |V[c] - V~[c]| */
    size_t at;        /* of its bytes in `packed` */
    double reach;     /* how far the layer moves classes, by reckoning */
} clsp_ablation_product;

typedef struct clsp_ablation_maps {
    const clipspan_basis *basis;
    clipspan_convention convention;
    size_t layers, heads, head_dim, embed_dim, classes, shared, width; /* shared: s, width: W */
    bool all;            /* every layer's rows are there; else the last that was made */
    int threads;
    float *texts;        /* [C + 1, E] */
    float *rows;         /* [L or 1, C + 1, W]: U */
    float *mean_heads;   /* [L, H, C + 1]; zeros where terms are replaced by zero */
    float *mean_layers;  /* [L, C + 1] */
    float *centre, *size; /* [L, W]: a, s */
    float *spread;       /* [L, W]: y's, for s; 1 where it is not known */
    clsp_bound *head;    /* [L, H]: of a head's own columns */
    float *reach;        /* [L, H, C]: |(U[c] - U[C]) / s| of them, whose largest is `most` */
    clsp_bound *common;  /* [L]: of the shared ones */
    clsp_bound *layer;   /* [L] */
    clsp_ablation_product *products; /* [L], where every layer's rows are there */
    unsigned char *packed, *rounded; /* their bytes; [C, rounded row] scratch */
    float *factors;                  /* [L, C] of the rounded rows */
    float *exact;                    /* [C, W]: V of the layer that was made last */
    clsp_ablation_product texts_product; /* of [C, E], for vectors of the joint space: clsp_ablation_maps_texts */
    unsigned char *texts_packed;
    float *texts_factors, *texts_size;   /* [C], [E] */
    float *map;                      /* [threads, k, E] scratch */
} clsp_ablation_maps;

/* classifier: [C, E]; means NULL: terms are replaced by zero; most: bytes of the rows of all layers, above which one layer's
 * are there at a time. */
clipspan_status clsp_ablation_maps_open(clsp_ablation_maps *maps, const clipspan_basis *basis,
                                        clipspan_convention convention, const float *classifier, size_t classes,
                                        const clipspan_means *means, size_t most, int threads, clipspan_error *err);
void clsp_ablation_maps_close(clsp_ablation_maps *maps);
/* Makes the layer's rows, where they are not there already. */
clipspan_status clsp_ablation_maps_layer(clsp_ablation_maps *maps, size_t layer, clipspan_error *err);
const float *clsp_ablation_maps_rows(const clsp_ablation_maps *maps, size_t layer);
/* out: [count, C + 1] = vectors [count, E] by the classes and their mean. vectors NULL: zeros. The caller's to free. */
clipspan_status clsp_ablation_maps_cosines(const clsp_ablation_maps *maps, float **out, const float *vectors, size_t count,
                                           clipspan_error *err);
/* A bound on vectors of the joint space against the classes themselves, their sizes and their product. */
clipspan_status clsp_ablation_maps_texts(clsp_ablation_maps *maps, clsp_bound *bound, clipspan_error *err);

#endif
