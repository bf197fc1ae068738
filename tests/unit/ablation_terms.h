/* A small store with every part, and all its terms as vectors: what ablations are held against. */
#ifndef ABLATION_TERMS_H
#define ABLATION_TERMS_H

#include "store_fake.h"

#include "clipspan/ablation.h"

enum { ABLATION_HEADS = FAKE_LAYERS * FAKE_HEADS, ABLATION_MLPS = FAKE_LAYERS + 1, ABLATION_ROWS = 40 };

typedef struct ablation_terms {
    store_fake fake;
    clipspan_store *store;
    size_t images;
    float heads[ABLATION_HEADS][ABLATION_ROWS][FAKE_EMBED];
    float mlps[ABLATION_MLPS][ABLATION_ROWS][FAKE_EMBED];
    float cls[FAKE_LAYERS][ABLATION_ROWS][FAKE_EMBED];
    float whole[ABLATION_ROWS][FAKE_EMBED]; /* r / |r|, or r */
    float norm[ABLATION_ROWS];
    clipspan_convention convention;
} ablation_terms;

static inline clipspan_status ablation_gather(void *user, const clipspan_batch *b, clipspan_error *err)
{
    ablation_terms *t = user;
    (void)err;
    size_t row = (size_t)b->index[0];
    for (int h = 0; h < ABLATION_HEADS; h++)
        clipspan_batch_head(b, t->convention, h / FAKE_HEADS, h % FAKE_HEADS, t->heads[h][row], NULL);
    for (int m = 0; b->mlp && m < ABLATION_MLPS; m++) clipspan_batch_mlp(b, t->convention, m, t->mlps[m][row], NULL);
    for (int l = 0; b->cls && l < FAKE_LAYERS; l++) clipspan_batch_cls(b, t->convention, l, t->cls[l][row], NULL);
    for (size_t i = 0; i < b->images; i++) {
        t->norm[row + i] = b->norm[i];
        for (size_t e = 0; e < FAKE_EMBED; e++)
            t->whole[row + i][e] = b->embedding[i * FAKE_EMBED + e] / (t->convention == CLIPSPAN_PAPER ? b->norm[i] : 1);
    }
    t->images = row + b->images;
    return CLIPSPAN_OK;
}

static inline void ablation_terms_read(ablation_terms *t, clipspan_convention convention)
{
    t->convention = convention;
    assert_int_equal(clipspan_store_each(t->store, NULL, ablation_gather, t, NULL, NULL), CLIPSPAN_OK);
    assert_int_equal(t->images, ABLATION_ROWS);
}

static inline void ablation_terms_open(ablation_terms *t, const char *name, unsigned parts)
{
    clipspan_error err = {0};
    memset(t, 0, sizeof *t);
    store_fake_init(&t->fake, name);
    t->fake.options.decompose.parts = parts;
    if (store_fake_run(&t->fake, NULL, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    if (clipspan_store_open(&t->store, t->fake.directory, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    ablation_terms_read(t, CLIPSPAN_PAPER);
}

static inline void ablation_terms_close(ablation_terms *t)
{
    clipspan_store_free(t->store);
    store_fake_clear(&t->fake);
}

static inline double ablation_mean(const ablation_terms *t, float rows[][FAKE_EMBED], size_t e)
{
    double sum = 0;
    for (size_t i = 0; i < t->images; i++) sum += (double)rows[i][e];
    return sum / (double)t->images;
}

/* out: [rows, E] by the definition: the whole, and for each replaced term its mean (or nothing) in its place. */
static inline void ablation_by_hand(ablation_terms *t, const clipspan_ablation *a, double out[][FAKE_EMBED])
{
    for (size_t i = 0; i < t->images; i++)
        for (size_t e = 0; e < FAKE_EMBED; e++) out[i][e] = (double)t->whole[i][e];
    for (size_t e = 0; e < FAKE_EMBED; e++) {
        for (size_t h = 0; h < ABLATION_HEADS; h++) {
            double mean = a->zero ? 0 : ablation_mean(t, t->heads[h], e);
            for (size_t i = 0; a->heads && a->heads[h] && i < t->images; i++) out[i][e] += mean - (double)t->heads[h][i][e];
        }
        for (size_t m = 0; m < ABLATION_MLPS; m++) {
            double mean = a->zero ? 0 : ablation_mean(t, t->mlps[m], e);
            for (size_t i = 0; a->mlps && a->mlps[m] && i < t->images; i++) out[i][e] += mean - (double)t->mlps[m][i][e];
        }
        for (size_t l = 0; l < FAKE_LAYERS; l++) {
            double mean = a->zero ? 0 : ablation_mean(t, t->cls[l], e);
            for (size_t i = 0; a->cls && a->cls[l] && i < t->images; i++) out[i][e] += mean - (double)t->cls[l][i][e];
        }
    }
}

#endif
