/* Relevance, from the score to the pixels, against the rules written out one number at a time on a network in double
 * precision; and the exact pass, of which it divides by sums that nearly cancel.
 *
 * Observed, relative to the largest value: relevance 2.2e-6, pixels 3.2e-6; of the sums, each for itself, 2e-7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trace_fake.h"

static const double limit = 1e-5, sum_limit = 1e-6;

static void ok(clipspan_status status, const clipspan_error *err)
{
    if (status != CLIPSPAN_OK) fail_msg("%s", err->message);
}

/* ---- the network in double, everything kept ------------------------------------------------------------------------ */

enum { CELLS = EXACT_N * EXACT_WIDE, LAYERS = 3 };

typedef struct exact_layer {
    double x[CELLS], h1[CELLS], qkv[3 * CELLS], scores[EXACT_CELLS], a[EXACT_CELLS], z[CELLS], o[CELLS], mid[CELLS];
    double h2[CELLS], g[CELLS], f[CELLS], after[CELLS];
} exact_layer;

typedef struct exact_tower {
    size_t n, d, m, heads, head_dim, layers, embed;
    double eps, embedded[CELLS], position[CELLS], x0[CELLS], r[EXACT_WIDE];
    exact_layer layer[LAYERS];
} exact_tower;

static double dot_heads(const double *q, const double *k, size_t count)
{
    double sum = 0;
    for (size_t e = 0; e < count; e++) sum += q[e] * k[e];
    return sum;
}

static void sum_of_both(double *to, const double *a, const double *b, size_t count)
{
    for (size_t i = 0; i < count; i++) to[i] = a[i] + b[i];
}

static void run_layer(exact_tower *e, size_t l, const clsp_vision *v)
{
    exact_layer *y = &e->layer[l];
    const clsp_block_weights *b = &v->blocks[l];
    const clsp_weight *matrices[] = {&b->q, &b->k, &b->v}, *biases[] = {&b->q_bias, &b->k_bias, &b->v_bias};
    size_t n = e->n, d = e->d, m = e->m;
    exact_norm(y->h1, y->x, &b->ln1_gamma, &b->ln1_beta, e->eps, n, d);
    for (size_t i = 0; i < 3; i++) {
        exact_linear(y->o, y->h1, matrices[i], biases[i], n, d, d);
        for (size_t r = 0; r < n; r++) memcpy(y->qkv + (3 * r + i) * d, y->o + r * d, d * sizeof *y->o);
    }
    for (size_t c = 0; c < e->heads * n * n; c++) {
        const double *q = y->qkv + c / n % n * 3 * d + c / n / n * e->head_dim;
        y->scores[c] = dot_heads(q, y->qkv + c % n * 3 * d + d + c / n / n * e->head_dim, e->head_dim);
    }
    exact_attention(y->z, y->qkv, &v->config, n, NULL, y->a);
    exact_linear(y->o, y->z, &b->out, &b->out_bias, n, d, d);
    sum_of_both(y->mid, y->x, y->o, n * d);
    exact_norm(y->h2, y->mid, &b->ln2_gamma, &b->ln2_beta, e->eps, n, d);
    exact_linear(y->g, y->h2, &b->fc1, &b->fc1_bias, n, m, d);
    for (size_t i = 0; i < n * m; i++) y->g[i] = exact_activation(y->g[i], v->config.activation);
    exact_linear(y->f, y->g, &b->fc2, &b->fc2_bias, n, d, m);
    sum_of_both(y->after, y->mid, y->f, n * d);
}

static void run_tower(exact_tower *e, const fake *f)
{
    static double pixels[3 * 100];
    const clsp_vision *v = &f->model.vision;
    *e = (exact_tower){.n = (size_t)v->tokens, .d = (size_t)v->config.width, .m = (size_t)v->config.mlp_width,
                       .heads = (size_t)v->config.heads, .head_dim = (size_t)v->config.head_dim,
                       .layers = (size_t)v->config.layers, .embed = (size_t)f->model.embed_dim,
                       .eps = (double)v->config.ln_eps};
    size_t cells = e->n * e->d;
    for (size_t i = 0; i < 3 * (size_t)(v->image_size * v->image_size); i++) pixels[i] = (double)f->pixels[i];
    exact_embed(e->x0, &f->model, pixels);
    for (size_t i = 0; i < cells; i++) e->position[i] = fake_value(&v->position, i / e->d, i % e->d);
    for (size_t i = 0; i < cells; i++) e->embedded[i] = e->x0[i] - e->position[i];
    double *first = e->layer[0].x;
    memcpy(first, e->x0, cells * sizeof *first);
    if (v->has_ln_pre) exact_norm(first, e->x0, &v->ln_pre_gamma, &v->ln_pre_beta, e->eps, e->n, e->d);
    for (size_t l = 0; l < e->layers; l++) {
        if (l > 0) memcpy(e->layer[l].x, e->layer[l - 1].after, cells * sizeof *first);
        run_layer(e, l, v);
    }
    double h[EXACT_WIDE];
    exact_norm(h, e->layer[e->layers - 1].after, &v->ln_post_gamma, &v->ln_post_beta, e->eps, 1, e->d);
    exact_linear(e->r, h, &v->projection, NULL, 1, e->embed, e->d);
}

/* ---- sums that nearly cancel --------------------------------------------------------------------------------------- */

/* weight[row, column] += by, in fp32: what was to become nothing becomes what that rounds off. */
static void change(const clsp_weight *w, size_t row, size_t column, double by)
{
    float *data = (float *)(uintptr_t)w->tensor->data;
    data[(w->first + row) * w->columns + column] = (float)(fake_value(w, row, column) + by);
}

enum { CHANNEL = 2 };
static size_t token_of(const exact_tower *e, size_t l) { return l + 1 < e->layers ? 1 : 0; } /* one that relevance sees */

/* The score of the token and itself in head 0, by the query's bias where the key is largest. */
static void cancel_score(const exact_tower *e, size_t l, const clsp_vision *v)
{
    size_t token = token_of(e, l), best = 0;
    const double *k = e->layer[l].qkv + token * 3 * e->d + e->d;
    for (size_t i = 1; i < e->head_dim; i++) best = fabs(k[i]) > fabs(k[best]) ? i : best;
    change(&v->blocks[l].q_bias, best, 0, -e->layer[l].scores[token * e->n + token] / k[best]);
}

/* A sum of each kind in every layer, each in its turn: those behind it change with it. */
static void cancel_sums(exact_tower *e, const fake *f)
{
    const clsp_vision *v = &f->model.vision;
    run_tower(e, f);
    change(&v->position, 1, CHANNEL, -e->x0[e->d + CHANNEL]);
    for (size_t l = 0; l < e->layers; l++) {
        const clsp_block_weights *b = &v->blocks[l];
        size_t at = token_of(e, l) * e->d + CHANNEL;
        run_tower(e, f);
        cancel_score(e, l, v);
        run_tower(e, f);
        change(&b->v_bias, CHANNEL, 0, -e->layer[l].z[at]);
        run_tower(e, f);
        change(&b->out_bias, CHANNEL, 0, -e->layer[l].mid[at]);
        run_tower(e, f);
        change(&b->fc2_bias, CHANNEL, 0, -e->layer[l].after[at]);
    }
    run_tower(e, f);
}

/* The worst of all sums that relevance divides by, each compared for itself; below 1e-8 double precision has its own errors. */
static double worst_sum(const float *found, const double *expected, size_t count, double before)
{
    for (size_t i = 0; i < count; i++)
        before = worse(before, fabs((double)found[i] - expected[i]) / fmax(fabs(expected[i]), 1e-8));
    return before;
}

static double worst_sums(const clipspan_tracer *t, const exact_tower *e, bool scores)
{
    size_t cells = e->n * e->d;
    double worst = worst_sum(t->x0, e->x0, cells, 0);
    for (size_t l = 0; l < e->layers; l++) {
        worst = worst_sum(t->layer[l].z, e->layer[l].z, cells, worst);
        worst = worst_sum(t->layer[l].mid, e->layer[l].mid, cells, worst);
        worst = worst_sum(clsp_trace_after(t, l), e->layer[l].after, cells, worst);
        if (scores) worst = worst_sum(t->layer[l].scores, e->layer[l].scores, e->heads * e->n * e->n, worst);
    }
    return worst;
}

/* In fp32 some of them have the wrong sign, or half their value is rounding: else the test would prove nothing. */
static void sums_keep_their_signs(void **state)
{
    static exact_tower e;
    (void)state;
    for (size_t i = 0; i < FAKES; i++) {
        fake *f = fake_new(&fakes[i]);
        clipspan_error err;
        cancel_sums(&e, f);
        clipspan_tracer *t = fake_tracer(f);
        double plain = worst_sums(t, &e, false);
        ok(clsp_trace_exact(t, &err), &err);
        double exact = worst_sums(t, &e, true);
        printf("%s: worst sum %.1e, in fp32 %.1e\n", fakes[i].name, exact, plain);
        assert_true(exact < sum_limit && plain > 0.5);
        clipspan_tracer_free(t);
        fake_free(f);
    }
}

/* ---- the rules, one number at a time ------------------------------------------------------------------------------- */

static double held_off(double a, double b, double least) { return b == 0 ? 0 : a / (b + (b < 0 ? -least : least)); }
static double ratio(double a, double b) { return held_off(a, b, 1e-9); }

static double least_of(const double *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += fabs(x[i]);
    return 0.01 * sum / (double)count;
}

/* to [rows, in] += relevance of x; out: [rows, out] */
static void rule_linear(double *to, const double *x, const clsp_weight *w, const double *out, size_t rows, size_t in,
                        size_t outs)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < outs; o++) {
            double sum = 0;
            for (size_t i = 0; i < in; i++) sum += fmax(0, x[r * in + i] * fake_value(w, o, i));
            for (size_t i = 0; i < in; i++)
                to[r * in + i] += fmax(0, x[r * in + i] * fake_value(w, o, i)) * ratio(out[r * outs + o], sum);
        }
}

/* relevance of a + b -> of a (in place) and of b */
static void rule_sum(double *relevance, double *of_b, const double *a, const double *b, size_t count)
{
    double whole = 0, sum_a = 0, sum_b = 0, least = 0;
    for (size_t i = 0; i < count; i++) least += 0.01 * fabs(a[i] + b[i]) / (double)count;
    for (size_t i = 0; i < count; i++) {
        double share = held_off(relevance[i], a[i] + b[i], least);
        whole += relevance[i];
        sum_a += relevance[i] = a[i] * share;
        sum_b += of_b[i] = b[i] * share;
    }
    double both = fabs(sum_a) + fabs(sum_b);
    for (size_t i = 0; i < count; i++) {
        relevance[i] *= fabs(sum_a) / both * whole / sum_a;
        of_b[i] *= fabs(sum_b) / both * whole / sum_b;
    }
}

/* to [N, D]: of the stream after the last block */
static void rule_score(double *to, const exact_tower *e, const clsp_vision *v, const float *text)
{
    double h[EXACT_WIDE], parts[EXACT_WIDE], sum = 0;
    for (size_t i = 0; i < e->embed; i++) sum += parts[i] = fmax(0, e->r[i] * (double)text[i]);
    for (size_t i = 0; i < e->embed; i++) parts[i] /= sum;
    memset(to, 0, e->n * e->d * sizeof *to);
    exact_norm(h, e->layer[e->layers - 1].after, &v->ln_post_gamma, &v->ln_post_beta, e->eps, 1, e->d);
    rule_linear(to, h, &v->projection, parts, 1, e->d, e->embed);
}

static void rule_mlp(double *relevance, const exact_tower *e, size_t l, const clsp_vision *v)
{
    static double of_f[CELLS], of_g[CELLS];
    const exact_layer *y = &e->layer[l];
    rule_sum(relevance, of_f, y->mid, y->f, e->n * e->d);
    memset(of_g, 0, e->n * e->m * sizeof *of_g);
    rule_linear(of_g, y->g, &v->blocks[l].fc2, of_f, e->n, e->m, e->d);
    rule_linear(relevance, y->h2, &v->blocks[l].fc1, of_g, e->n, e->d, e->m);
}

/* z = A v of one head: ra [N, N] and rv (rows of qkv's relevance) */
static void rule_values(double *ra, double *rqkv, const double *rz, const exact_tower *e, size_t l, size_t h)
{
    const exact_layer *y = &e->layer[l];
    size_t n = e->n, d = e->d;
    double least = least_of(y->z, n * d);
    for (size_t i = 0; i < n; i++)
        for (size_t c = h * e->head_dim; c < (h + 1) * e->head_dim; c++)
            for (size_t j = 0; j < n; j++) {
                double share = held_off(rz[i * d + c], y->z[i * d + c], least) / 2;
                double part = y->a[(h * n + i) * n + j] * y->qkv[j * 3 * d + 2 * d + c] * share;
                ra[i * n + j] += part;
                rqkv[j * 3 * d + 2 * d + c] += part;
            }
}

static void rule_scores(double *rqkv, const double *ra, const exact_tower *e, size_t l, size_t h)
{
    const exact_layer *y = &e->layer[l];
    size_t n = e->n, d = e->d;
    double least = least_of(y->scores, e->heads * n * n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const double *q = y->qkv + i * 3 * d + h * e->head_dim, *k = y->qkv + j * 3 * d + d + h * e->head_dim;
            double share = held_off(ra[i * n + j], y->scores[(h * n + i) * n + j], least);
            for (size_t c = 0; c < e->head_dim; c++) {
                double half = q[c] * k[c] * share / 2;
                rqkv[i * 3 * d + h * e->head_dim + c] += half;
                rqkv[j * 3 * d + d + h * e->head_dim + c] += half;
            }
        }
}

static void rule_attention(double *relevance, double *ra, const exact_tower *e, size_t l, const clsp_vision *v)
{
    static double of_o[CELLS], rz[CELLS], rqkv[3 * CELLS], part[CELLS];
    const exact_layer *y = &e->layer[l];
    const clsp_weight *inputs[] = {&v->blocks[l].q, &v->blocks[l].k, &v->blocks[l].v};
    size_t n = e->n, d = e->d;
    rule_sum(relevance, of_o, y->x, y->o, n * d);
    memset(rz, 0, n * d * sizeof *rz), memset(rqkv, 0, 3 * n * d * sizeof *rqkv);
    memset(ra, 0, e->heads * n * n * sizeof *ra);
    rule_linear(rz, y->z, &v->blocks[l].out, of_o, n, d, d);
    for (size_t h = 0; h < e->heads; h++) {
        rule_values(ra + h * n * n, rqkv, rz, e, l, h);
        rule_scores(rqkv, ra + h * n * n, e, l, h);
    }
    for (size_t i = 0; i < 3; i++) {
        for (size_t r = 0; r < n; r++) memcpy(part + r * d, rqkv + (3 * r + i) * d, d * sizeof *part);
        rule_linear(relevance, y->h1, inputs[i], part, n, d, d);
    }
}

/* z^B: to [S, S], of the patches' relevance */
static void rule_pixels(double *to, const double *relevance, const clipspan_tracer *t, const clsp_vision *v)
{
    size_t side = t->side, s = t->image;
    memset(to, 0, s * s * sizeof *to);
    for (size_t p = 0; p + 1 < t->tokens; p++)
        for (size_t o = 0; o < t->width; o++) {
            double parts[3 * 25], sum = 0;
            for (size_t k = 0; k < t->patch_values; k++) {
                double w = fake_value(&v->patch, o, k), x = (double)t->patches[p * t->patch_values + k];
                sum += parts[k] = w * (x - (double)(w > 0 ? t->lowest : t->highest));
            }
            for (size_t k = 0; k < t->patch_values; k++)
                to[(p / t->grid * side + k / side % side) * s + p % t->grid * side + k % side] +=
                    parts[k] * ratio(relevance[(p + 1) * t->width + o], sum);
        }
}

/* ---- relevance ------------------------------------------------------------------------------------------------------ */

static double sum_of(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)values[i];
    return sum;
}

static void follow(clipspan_tracer *t, const exact_tower *e, const fake *f)
{
    static double relevance[CELLS], ra[EXACT_CELLS], of_position[CELLS], expected[100];
    clipspan_error err;
    float out[100];
    const clsp_vision *v = &f->model.vision;
    size_t cells = e->n * e->d, pixels = t->image * t->image;
    ok(clsp_trace_exact(t, &err), &err);
    ok(clsp_relevance_begin(t, f->texts, &err), &err);
    assert_float_equal(sum_of(t->relevance, cells), 1.0, 1e-5);
    rule_score(relevance, e, v, f->texts);
    for (size_t l = e->layers; l-- > 0;) {
        rule_mlp(relevance, e, l, v);
        rule_attention(relevance, ra, e, l, v);
        ok(clsp_relevance_attention(t, l, &err), &err);
        double attention = worst_of(t->relevance_attention, ra, e->heads * e->n * e->n);
        ok(clsp_relevance_block(t, l, &err), &err);
        double stream = worst_of(t->relevance, relevance, cells);
        printf("%s: layer %zu: attention %.1e, stream %.1e\n", f->model.info.name, l, attention, stream);
        assert_true(attention < limit && stream < limit);
    }
    rule_sum(relevance, of_position, e->embedded, e->position, cells);
    rule_pixels(expected, relevance, t, v);
    ok(clsp_relevance_pixels(t, out, &err), &err);
    double worst = worst_of(out, expected, pixels), had = sum_of(t->relevance + e->d, cells - e->d);
    printf("%s: pixels %.1e; they sum to %.6f, the patches to %.6f\n", f->model.info.name, worst, sum_of(out, pixels), had);
    assert_true(worst < limit && fabs(sum_of(out, pixels) - had) < 1e-5 * fmax(1, fabs(had)));
    ok(clipspan_tracer_map(t, CLIPSPAN_LRP, f->texts, 1, out, &err), &err);
    assert_true(worst_of(out, expected, pixels) == worst);
}

/* cancelled: with sums that nearly cancel */
static void follow_all(bool cancelled)
{
    static exact_tower e;
    for (size_t i = 0; i < FAKES; i++) {
        fake *f = fake_new(&fakes[i]);
        run_tower(&e, f);
        if (cancelled) cancel_sums(&e, f);
        clipspan_tracer *t = fake_tracer(f);
        follow(t, &e, f);
        clipspan_tracer_free(t);
        fake_free(f);
    }
}

static void relevance_follows_the_rules(void **state)
{
    (void)state;
    follow_all(false);
}

static void relevance_of_sums_that_nearly_cancel(void **state)
{
    (void)state;
    follow_all(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_keep_their_signs), cmocka_unit_test(relevance_follows_the_rules),
        cmocka_unit_test(relevance_of_sums_that_nearly_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
