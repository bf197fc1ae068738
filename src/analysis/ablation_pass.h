/* analysis/ablation_pass.h - one pass over a store that ranks every image's right class under every ablation, in logit space.
 *
 * With T the classifier, B = r T'/|r| an image's cosines and c a term, the cosines without the term are B + (mean(c) - c) T',
 * and a head's c T' is one product of its factors with the classes in their coordinates (ablation_maps.h). Differences add: a
 * layer's is the sum over its heads, those of layers 0 .. i the sum over layers.
 *
 * Most of those cosines need not be known (ablation_rank.h): of the right class the value is asked, of the others only how
 * many exceed it, and not even that beyond CLSP_RANK_MOST. Every value that is compared is a sum of floats in one order, so the
 * same is counted whichever way was taken.
 *
 *   ablation_vectors.c   the whole, x0, MLPs and the class token, which are vectors of the joint space
 *   ablation_heads.c     heads; what their bounds say of layers and of the layers up to one
 *   ablation_layers.c    layers that bounds leave open: products of all classes, off by a known bound
 *   ablation_open.c      classes that those leave open: evaluated, layer by layer for all images together
 *
 * The store is read a few images at a time, so that what was read is still in the cache when factors are made of it; those of
 * some hundred images are kept, a round, and threads take each a part of them through all layers. Where the maps of all layers
 * do not fit, they are made layer by layer for every round and the layers up to one are counted from sums of products alone. In the exact convention terms are divided by |r| too,
 * so that everything is a cosine.
 *
 * Letters: L layers, C classes, E joint dimension, W width of a layer's factors.
 */
#ifndef CLSP_ANALYSIS_ABLATION_PASS_H
#define CLSP_ANALYSIS_ABLATION_PASS_H

#ifndef CLSP_ROOM_ANALYSIS
#error "analysis/ablation_pass.h is private to the room analysis"
#endif

#include "analysis/ablation_maps.h"
#include "analysis/ablation_rank.h"
#include "analysis/ablation_study.h"

enum { CLSP_PASS_ROWS = 256 };
#define CLSP_ROUND 1.2e-7F /* 2^-23: twice what one float operation may lose */

/* What replacing something adds: `right` to the right class, to every class `shift` to within `radius` and `rounding`. */
typedef struct clsp_change {
    float right, shift, radius, rounding;
} clsp_change;

/* What an image is under one layer's ablation. */
typedef struct clsp_layer_state {
    clsp_change change;
    float common, square; /* |s (y - w a)| of the shared columns; |...|^2 of all (ablation_maps.h) */
    float common_right, common_mean; /* the shared columns' products with the right class and the mean class */
    float length;         /* |y| + |w a| */
    unsigned char ask;    /* CLSP_ASK_*: which ranks products must tell */
} clsp_layer_state;
enum { CLSP_ASK_LAYER = 1, CLSP_ASK_UP_TO = 2, CLSP_ASK_UP_TO_MLPS = 4 };

/* A class that a product leaves open: is it before the right one? */
typedef struct clsp_open_class {
    int32_t which;
    uint16_t row; /* of a thread's rows */
    unsigned char ask;
    uint32_t layer;
} clsp_open_class;

typedef struct clsp_pass {
    clipspan_ablation_study *study;
    clsp_outcomes *outcomes;
    clsp_ablation_maps maps;
    size_t layers, heads, classes, embed_dim, width; /* width: W */
    bool mlps, cls;    /* the store has them */
    size_t most, filled, rows; /* images of a round, and those that are there; rows: of a thread, at most */
    uint64_t *index;   /* [most]: of the images */
    float *norm;       /* [most] */
    int threads;
    float *mean_mlps;  /* [L + 1, C + 1] */
    float *mean_set;   /* [L, C + 1]: of the named heads together */
    float *mean_all_mlps, *mean_cls; /* [C + 1] sum over terms, over layers */
    float *mean_vectors;  /* [L + 1, E]: x0's and the MLPs'; zeros where terms are replaced by zero */
    float *mean_lengths;  /* [L + 1] of these */
    float *centre_lengths; /* [L]: |a| */
    clsp_packed classifier; /* [C, E], laid out once */
    void *packed;
    clsp_bound texts;
    float *y;          /* [L, most, W] */
    float *base, *with_mlps, *known, *set; /* [most, C]: B; B without the MLPs; what products say layers add; the named set */
    clsp_top *top, *top_mlps;       /* [most]: of base, of with_mlps */
    clsp_standing *standing, *standing_mlps; /* [most]: likewise */
    clsp_layer_state *state;        /* [most, L] */
    clsp_change *up_to;             /* [most]: of the layers so far */
    unsigned char *whole;           /* [most]: layers up to some one are asked of products */
    struct clsp_pass_scratch *scratch; /* [threads] */
} clsp_pass;

typedef struct clsp_pass_scratch {
    float *product;               /* [rows, C] */
    float *one;                   /* [C, W or E] */
    float *vectors, *vector_sum;  /* [rows, E] */
    float *gathered;              /* [rows, W] */
    float *heads;                 /* [rows, 3, H]: products with the right class, with the mean class, |s (y - w a)| */
    unsigned char *open_heads;    /* [rows, H]: those whose rank is not known yet */
    int32_t *classes;             /* [C] */
    clsp_term *terms;             /* [L] */
    clsp_open_class *open;        /* [CLSP_PASS_OPEN] */
    size_t open_count;
    clsp_workspace *workspace;    /* of the classifier's product */
    clsp_linear *classify;
    unsigned char *rounded;       /* [rows, rounded row of W or E] */
    clsp_whole_row *rounded_rows; /* [rows] */
} clsp_pass_scratch;
enum { CLSP_PASS_OPEN = 1 << 16 };

/* Rows [first, first + n) of a round, one thread. */
typedef struct clsp_pass_rows {
    clsp_pass *p;
    const clipspan_batch *batch; /* where they are images [from, from + n); NULL: it is gone */
    size_t from, first, n;
    clsp_pass_scratch *s;
} clsp_pass_rows;

/* The steps, in their order; heads, the set and layers for every layer. The first wants the batch. */
clipspan_status clsp_pass_vectors(const clsp_pass_rows *rows);
void clsp_pass_heads(const clsp_pass_rows *rows, size_t layer);
clipspan_status clsp_pass_set(const clsp_pass_rows *rows, size_t layer);
clipspan_status clsp_pass_layers(const clsp_pass_rows *rows, size_t layer);
/* Classes to be evaluated later, all of them by clsp_pass_answer, which counts those that are before. */
bool clsp_pass_ask(const clsp_pass_rows *rows, size_t i, size_t layer, unsigned char ask, const int32_t *classes, size_t count);
clipspan_status clsp_pass_answer(const clsp_pass_rows *rows);

/* ---- what the steps share ------------------------------------------------------------------------------------- */

static inline size_t clsp_pass_image(const clsp_pass_rows *r, size_t i)
{
    return (size_t)r->p->index[r->first + i];
}

static inline bool clsp_pass_scored(const clsp_pass_rows *r, size_t i)
{
    return r->p->study->labels[clsp_pass_image(r, i)] >= 0;
}

static inline size_t clsp_pass_right(const clsp_pass_rows *r, size_t i)
{
    return (size_t)r->p->study->labels[clsp_pass_image(r, i)];
}

/* What a mean is multiplied with to stand beside cosines. */
static inline float clsp_pass_weight(const clsp_pass_rows *r, size_t i)
{
    return r->p->maps.convention == CLIPSPAN_PAPER ? 1.0F : 1.0F / r->p->norm[r->first + i];
}

static inline clsp_layer_state *clsp_pass_state(const clsp_pass_rows *r, size_t i, size_t layer)
{
    return &r->p->state[(r->first + i) * r->p->layers + layer];
}

static inline const float *clsp_pass_factors(const clsp_pass_rows *r, size_t i, size_t layer)
{
    const clsp_pass *p = r->p;
    return p->y + (layer * p->most + r->first + i) * p->width;
}

/* Where what becomes of row i stands in the outcomes. */
static inline size_t clsp_pass_cell(const clsp_pass_rows *r, size_t i, clipspan_ablated what, size_t index)
{
    return r->p->study->place[clsp_pass_image(r, i)] * r->p->outcomes->count + r->p->study->first[what] + index;
}

static inline void clsp_pass_put(const clsp_pass_rows *r, size_t i, clipspan_ablated what, size_t index, size_t rank, float value)
{
    size_t cell = clsp_pass_cell(r, i, what, index);
    r->p->outcomes->rank[cell] = (unsigned char)rank;
    r->p->outcomes->logit[cell] = r->p->study->info.logit_scale * value;
}

/* Every class's cosine is there: [C]. */
static inline void clsp_pass_judge(const clsp_pass_rows *r, size_t i, clipspan_ablated what, size_t index, const float *cosines)
{
    if (clsp_pass_scored(r, i))
        clsp_ablation_judge(r->p->study, r->p->outcomes, clsp_pass_image(r, i), r->p->study->first[what] + index, cosines);
}

/* The rank of row i's right class where the cosines base [C] (top: the first of them) change so. */
static inline clsp_rank_query clsp_pass_query(const clsp_pass_rows *r, size_t i, const float *base, const clsp_top *top,
                                              const clsp_change *change, const clsp_term *terms, size_t term_count)
{
    size_t right = clsp_pass_right(r, i);
    float value = base[right] + change->right, shift = change->shift < 0 ? -change->shift : change->shift;
    float compared = 8 * CLSP_ROUND * (top->largest + shift + (value < 0 ? -value : value)); /* sums of a few such floats */
    return (clsp_rank_query){.base = base, .classes = r->p->classes, .right = right, .value = value, .shift = change->shift,
                             .radius = change->radius * (1 + 1e-5F) + change->rounding + compared, .terms = terms,
                             .term_count = term_count};
}

/* What the layers up to one add to: base, or with_mlps. */
static inline const float *clsp_pass_base(const clsp_pass_rows *r, size_t i, bool mlps)
{
    return (mlps ? r->p->with_mlps : r->p->base) + (r->first + i) * r->p->classes;
}

static inline void clsp_change_add(clsp_change *sum, const clsp_change *one)
{
    sum->right += one->right;
    sum->shift += one->shift;
    sum->radius += one->radius;
    sum->rounding += one->rounding;
}

/* x = s (y - w a), n numbers. */
void clsp_pass_centre(float *restrict x, const float *restrict y, const float *restrict a, float weight,
                      const float *restrict size, size_t n);
/* Rounds x [n], which is overwritten, as row `to` of what is multiplied. Returns how far a sum of up to `terms` such products
 * may be off for its part in it. */
float clsp_pass_round(const clsp_pass_rows *rows, size_t to, const clsp_ablation_product *product, float *x, size_t n, size_t terms);
clsp_term clsp_pass_layer_term(const clsp_pass_rows *rows, size_t i, size_t layer);
/* sum += x; x = weight mean - x: what replacing a term changes. */
void clsp_pass_add(float *restrict sum, const float *restrict x, size_t n);
void clsp_pass_differ(float *restrict x, const float *restrict mean, float weight, size_t n);

#endif
