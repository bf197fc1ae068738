/* report/heads.h - a table of heads, with what belongs to each head at hand. */
#ifndef CLSP_REPORT_HEADS_H
#define CLSP_REPORT_HEADS_H

#include "clipspan/heads.h"
#include "report/output.h"

typedef struct clsp_head_place {
    int layer, head;
    const clipspan_head_spread *spread;
    size_t texts;                          /* its place in the textspan; SIZE_MAX: none of it */
    const clipspan_activation *activation; /* NULL: none */
    size_t role;                           /* the attribute it tells best; SIZE_MAX: none above chance, or not known */
    double excess;                         /* of it; NaN: not known */
    double effect;                         /* NaN: not known */
} clsp_head_place;

typedef struct clsp_heads {
    const clipspan_heads_table *table;
    const clipspan_heads_look *look;
    const clipspan_store_info *info;
    clsp_head_place *places; /* [count]: every head, by layer and head */
    size_t count;
} clsp_heads;

const clipspan_textspan_head *clsp_heads_texts(const clsp_heads *heads, const clsp_head_place *at); /* NULL: none */
const char *clsp_heads_text(const clsp_heads *heads, const clsp_head_place *at, int m);
const char *clsp_heads_role(const clsp_heads *heads, const clsp_head_place *at); /* NULL: none */
int clsp_heads_resamples(const clsp_heads *heads);

/* heads_text.c: a clsp_report_fn, for a clsp_heads. */
void clsp_heads_as_text(const void *heads, clsp_report *report);

#endif
