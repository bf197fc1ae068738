/* Ranks by bounds against ranks by every logit: the same, whatever the bounds leave open; and a study of many classes, with
 * ties, against ablated vectors scored one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "analysis_store.h"

#include "clipspan/ablation.h"

#include "analysis/ablation_limits.h"
#include "analysis/ablation_rank.h"
#include "analysis/bootstrap.h"

enum { CLASSES = 400, WIDE = 20 };

/* ---- one query ---------------------------------------------------------------------------------------------------- */

typedef struct problem {
    float base[CLASSES], mean[CLASSES], rows[CLASSES][WIDE], y[2][WIDE], moved[CLASSES], reach[CLASSES];
    clsp_term terms[2];
    clsp_top top;
    clsp_rank_query query;
} problem;

/* strength: of what the terms move; ties: classes are copies of one another. */
static void make_problem(problem *p, uint64_t seed, double strength, int ties)
{
    int32_t which[CLASSES];
    float least = INFINITY, most = -INFINITY;
    for (size_t c = 0; c < CLASSES; c++) {
        which[c] = (int32_t)c;
        p->base[c] = (float)world_normal(&seed);
        p->mean[c] = (float)(strength * world_normal(&seed));
        for (size_t j = 0; j < WIDE; j++) p->rows[c][j] = (float)(strength * world_normal(&seed));
    }
    for (size_t c = 0; ties && c < CLASSES; c++) {
        size_t from = c % (CLASSES / 8);
        p->base[c] = p->base[from];
        p->mean[c] = p->mean[from];
        memcpy(p->rows[c], p->rows[from], sizeof p->rows[c]);
    }
    for (size_t j = 0; j < 2 * WIDE; j++) p->y[j / WIDE][j % WIDE] = (float)world_normal(&seed);
    for (size_t t = 0; t < 2; t++)
        p->terms[t] = (clsp_term){.mean = p->mean, .weight = 0.5F, .y = p->y[t], .rows = p->rows[0], .n = WIDE,
                                  .segment = WIDE / 2, .stride = WIDE};
    clsp_terms_values(p->moved, p->terms, 2, which, CLASSES);
    for (size_t c = 0; c < CLASSES; c++) {
        least = fminf(least, p->moved[c]);
        most = fmaxf(most, p->moved[c]);
    }
    clsp_top_fill(&p->top, p->base, CLASSES);
    p->query = (clsp_rank_query){.base = p->base, .classes = CLASSES, .shift = (least + most) / 2,
                                 .radius = (most - least) / 2 * 1.001F + 1e-5F, .terms = p->terms, .term_count = 2};
    /* A class's own radius, where that is asked: what it is moved. */
    for (size_t c = 0; c < CLASSES; c++) p->reach[c] = fabsf(p->moved[c] - p->query.shift) + 1e-5F;
    p->query.most = p->query.radius;
    p->query.far = 1;
}

static size_t plain_rank(const problem *p, size_t right)
{
    size_t rank = 0;
    float value = p->base[right] + p->moved[right];
    for (size_t c = 0; c < CLASSES; c++) {
        float other = p->base[c] + p->moved[c];
        rank += c < right ? other >= value : c > right && other > value;
    }
    return clsp_min(rank, CLSP_RANK_MOST);
}

static void ranks_are_the_plain_ones(void **state)
{
    (void)state;
    static problem p;
    const double strengths[] = {0, 0.001, 0.02, 0.1, 1};
    size_t by_top = 0, near_top = 0, by_standing = 0;
    int32_t open[CLASSES];
    for (int s = 0; s < 5; s++)
        for (int ties = 0; ties <= 1; ties++) {
            make_problem(&p, 11 + (uint64_t)s, strengths[s], ties);
            for (size_t right = 0; right < CLASSES; right++) {
                size_t expected = plain_rank(&p, right);
                p.query.right = right;
                p.query.value = p.base[right] + p.moved[right];
                for (int own = 0; own <= 1; own++) {
                    p.query.reach = own ? p.reach : NULL;
                    assert_int_equal(clsp_rank_by_all(&p.query, p.base, open), expected);
                    for (size_t limit = 1; limit <= 64; limit *= 8) {
                        size_t rank = clsp_rank_by_top(&p.query, &p.top, limit - 1);
                        if (rank != CLSP_RANK_UNKNOWN) assert_int_equal(rank, expected);
                        by_top += rank != CLSP_RANK_UNKNOWN;
                    }
                }
                const clsp_standing standing = clsp_standing_of(&p.top, right, p.base[right]);
                size_t stood = clsp_rank_by_standing(&p.query, &standing);
                if (stood != CLSP_RANK_UNKNOWN) assert_int_equal(stood, expected);
                by_standing += stood != CLSP_RANK_UNKNOWN;
                near_top += expected < CLSP_RANK_MOST;
            }
        }
    printf("%zu of %d asked of the first classes, %zu of %d of the standing, %zu near the top\n", by_top, 6 * 10 * CLASSES,
           by_standing, 10 * CLASSES, near_top);
    assert_true(by_top > 10 * CLASSES && by_standing > 2 * CLASSES && near_top > 20);
}

/* What a sift says is before is, what it leaves out is not, and it leaves nothing open where enough are before. */
static void sifted(void **state)
{
    (void)state;
    static problem p;
    int32_t open[CLASSES];
    size_t left = 0, done = 0;
    make_problem(&p, 7, 0.02, 1);
    for (size_t right = 0; right < CLASSES; right++) {
        size_t count, before;
        p.query.right = right;
        p.query.value = p.base[right] + p.moved[right];
        before = clsp_rank_sift(&p.query, p.base, open, &count);
        for (size_t j = 0; j < count; j++) assert_true((size_t)open[j] != right && (j == 0 || open[j] > open[j - 1]));
        if (before == CLSP_RANK_MOST) assert_int_equal(count, 0);
        assert_int_equal(clsp_rank_evaluate(&p.query, before, open, count), plain_rank(&p, right));
        left += count > 0;
        done += before == CLSP_RANK_MOST;
    }
    assert_true(left > 10 && done > 10);
}

/* A number that is none is before nothing. */
static void no_numbers(void **state)
{
    (void)state;
    static problem p;
    int32_t open[CLASSES];
    make_problem(&p, 5, 0.1, 0);
    p.base[p.top.which[0]] = p.base[3] = NAN;
    clsp_top_fill(&p.top, p.base, CLASSES);
    p.query.right = (size_t)p.top.which[1];
    p.query.value = p.base[p.query.right] + p.moved[p.query.right];
    assert_int_equal(clsp_rank_by_all(&p.query, p.base, open), plain_rank(&p, p.query.right));
    p.query.radius = NAN;
    assert_int_equal(clsp_rank_by_all(&p.query, p.base, open), plain_rank(&p, p.query.right));
}

static void alike(void **state)
{
    (void)state;
    float same[CLASSES];
    static clsp_top top;
    for (size_t c = 0; c < CLASSES; c++) same[c] = 0.25F;
    clsp_top_fill(&top, same, CLASSES);
    assert_int_equal(top.count, 0);
    assert_true(top.below == 0.25F);
}

/* ---- a whole study -------------------------------------------------------------------------------------------------- */

enum { IMAGES = 150, LAYERS = 3, HEADS = 2, JOINT = 24 };

static world w;
static clipspan_store *store;
static float *classifier; /* the second half of the classes are copies of the first */
static int labels[IMAGES];

static void count_right(const unsigned char *heads, const clipspan_means *means, int zero, size_t *right, size_t *right5)
{
    static float vectors[IMAGES][JOINT];
    const clipspan_ablation a = {.heads = heads, .zero = zero};
    assert_int_equal(clipspan_ablate(vectors[0], store, &a, means, NULL, NULL), CLIPSPAN_OK);
    *right = *right5 = 0;
    for (size_t i = 0; i < IMAGES; i++) {
        double value[CLASSES];
        size_t rank = 0, y = (size_t)labels[i];
        for (size_t c = 0; c < CLASSES; c++) {
            value[c] = 0;
            for (size_t e = 0; e < JOINT; e++) value[c] += (double)vectors[i][e] * (double)classifier[c * JOINT + e];
        }
        for (size_t c = 0; c < CLASSES; c++) rank += value[c] > value[y] || (c < y && value[c] == value[y]);
        *right += rank == 0;
        *right5 += rank < 5;
    }
}

static void expect_counts(const clipspan_ablation_study *study, clipspan_ablated what, size_t index, const unsigned char *heads,
                          const clipspan_means *means, int zero, size_t *varied)
{
    size_t right, right5;
    count_right(heads, means, zero, &right, &right5);
    const clipspan_ablation_score *score = clipspan_ablation_study_direct(study, what, index);
    assert_int_equal(lround(score->top1.value * IMAGES), right);
    assert_int_equal(lround(score->top5.value * IMAGES), right5);
    *varied += right != 0 && right != IMAGES;
}

/* Labels are the nearest class, its copy, or the seventh. */
static void make_labels(void)
{
    for (size_t i = 0; i < IMAGES; i++) {
        double value[CLASSES];
        size_t order[8];
        for (size_t c = 0; c < CLASSES; c++) {
            value[c] = 0;
            for (size_t e = 0; e < JOINT; e++)
                value[c] += (double)w.batch.embedding[i * JOINT + e] * (double)classifier[c * JOINT + e];
        }
        for (size_t k = 0; k < 8; k++) {
            order[k] = 0;
            for (size_t c = 1; c < CLASSES; c++)
                if (value[c] > value[order[k]]) order[k] = c;
            value[order[k]] = -INFINITY;
        }
        labels[i] = (int)order[i % 4 == 3 ? 6 : i % 4 == 2];
    }
}

static void counts_are_plain(const clsp_ablation_limits *limits)
{
    size_t varied = 0;
    for (int zero = 0; zero <= 1; zero++) {
        clipspan_error err = {0};
        clipspan_ablation_study *study = NULL;
        clipspan_means *means = NULL;
        const clipspan_ablation_study_options options = {.zero = zero, .threads = 2};
        if (clsp_ablation_study_run(&study, store, classifier, CLASSES, labels, &options, limits, NULL, &err) != CLIPSPAN_OK)
            fail_msg("%s", err.message);
        assert_int_equal(clipspan_means_open(&means, store, CLIPSPAN_PAPER, 0, NULL, &err), CLIPSPAN_OK);
        unsigned char up_to[LAYERS * HEADS] = {0};
        for (size_t l = 0; l < LAYERS; l++) {
            unsigned char layer[LAYERS * HEADS] = {0};
            for (size_t h = 0; h < HEADS; h++) {
                unsigned char head[LAYERS * HEADS] = {0};
                head[l * HEADS + h] = layer[l * HEADS + h] = up_to[l * HEADS + h] = 1;
                expect_counts(study, CLIPSPAN_ABLATED_HEAD, l * HEADS + h, head, means, zero, &varied);
            }
            expect_counts(study, CLIPSPAN_ABLATED_LAYER, l, layer, means, zero, &varied);
            expect_counts(study, CLIPSPAN_ABLATED_UP_TO, l, up_to, means, zero, &varied);
        }
        clipspan_ablation_study_free(study);
        clipspan_means_free(means);
    }
    assert_int_equal(varied, 2 * LAYERS * (HEADS + 2));
}

static void many_classes(void **state)
{
    (void)state;
    const clsp_ablation_limits limits[] = {
        CLSP_ABLATION_LIMITS_INIT,
        {.maps = 0, .evaluated = 24},                 /* maps layer by layer */
        {.maps = (size_t)512 << 20, .evaluated = 0},  /* MLPs asked of a product, open classes evaluated at once */
        {.maps = 0, .evaluated = 0},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) counts_are_plain(&limits[i]);
}

static const clsp_ablation_limits *walked;

static clipspan_status walked_job(void)
{
    clipspan_ablation_study *study = NULL;
    const clipspan_ablation_study_options options = {.threads = 1};
    clipspan_error err = {0};
    clipspan_status status = clsp_ablation_study_run(&study, store, classifier, CLASSES, labels, &options, walked, NULL, &err);
    assert_true((status == CLIPSPAN_OK) == (study != NULL));
    clipspan_ablation_study_free(study);
    return status;
}

static void failed_allocations(void **state)
{
    (void)state;
    const clsp_ablation_limits limits[] = {CLSP_ABLATION_LIMITS_INIT, {.maps = 0, .evaluated = 0}};
    for (size_t i = 0; i < 2; i++) {
        walked = &limits[i];
        walk_failed_allocations(walked_job);
    }
}

static int open_world(void **state)
{
    (void)state;
    static char csv[64 * IMAGES];
    size_t at = (size_t)sprintf(csv, "path\n");
    const world_spec spec = {.layers = LAYERS, .heads = HEADS, .head_dim = 16, .embed_dim = JOINT, .images = IMAGES,
                             .factors = 8, .noise = 0.2, .seed = 3};
    world_open(&w, &spec);
    uint64_t seed = 17;
    w.batch.embedding = world_array(&w, IMAGES * JOINT, 0, 2, &seed);
    for (size_t i = 0; i < IMAGES; i++) at += (size_t)sprintf(csv + at, "%zu.png\n", i);
    store = world_store(&w, "many-classes", csv, 0);
    classifier = world_pool(CLASSES, JOINT, CLASSES / 2, 9);
    make_labels();
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    clipspan_store_free(store);
    world_close(&w);
    free(classifier);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_the_plain_ones), cmocka_unit_test(sifted), cmocka_unit_test(no_numbers),
        cmocka_unit_test(alike), cmocka_unit_test(many_classes), cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
