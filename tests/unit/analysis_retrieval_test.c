/* Retrieval against the unfactored formula: terms made as vectors of the joint space, dot products in double, sorted. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis_store.h"
#include "clipspan/retrieval.h"
#include "compute/compute.h"
#include "store/view.h"
#include "worse.h"

enum { IMAGES = 150, HEAD = 10, EMBED = 14, ALL = 6 };
static const world_spec spec = {.layers = 2, .heads = 3, .head_dim = HEAD, .embed_dim = EMBED, .images = IMAGES,
                                .factors = 4, .noise = 0.2, .seed = 11};

static char *plain_csv(void)
{
    static char csv[IMAGES * 40 + 64];
    static const char *const colours[] = {"red", "green", "blue", ""};
    size_t at = (size_t)snprintf(csv, sizeof csv, "path,colour,label\n");
    for (int i = 0; i < IMAGES; i++)
        at += (size_t)snprintf(csv + at, sizeof csv - at, "image%03d.png,%s,%s\n", i, colours[i % 4], i % 3 ? "cat" : "dog");
    return csv;
}

/* out: [IMAGES, E]: summed terms of the chosen heads (NULL: r), centred if asked. */
static void terms_of(const world *w, const unsigned char *heads, clipspan_convention convention, int centred, double *out)
{
    float *one = malloc(IMAGES * EMBED * sizeof *one);
    memset(out, 0, IMAGES * EMBED * sizeof *out);
    for (int h = 0; h < ALL; h++) {
        if (!heads[h]) continue;
        assert_int_equal(clipspan_batch_head(&w->batch, convention, h / 3, h % 3, one, NULL), CLIPSPAN_OK);
        for (size_t i = 0; i < IMAGES * EMBED; i++) out[i] += (double)one[i];
    }
    for (size_t e = 0; centred && e < EMBED; e++) {
        double mean = 0;
        for (size_t i = 0; i < IMAGES; i++) mean += out[i * EMBED + e] / IMAGES;
        for (size_t i = 0; i < IMAGES; i++) out[i * EMBED + e] -= mean;
    }
    free(one);
}

static double dot(const double *a, const double *b)
{
    double sum = 0;
    for (int e = 0; e < EMBED; e++) sum += a[e] * b[e];
    return sum;
}

static double similarity_of(const double *a, const double *b, clipspan_similarity similarity)
{
    double length = sqrt(dot(a, a) * dot(b, b));
    return similarity == CLIPSPAN_INNER ? dot(a, b) : length > 0 ? dot(a, b) / length : 0;
}

/* The list must be ordered, hold no image twice, and leave out none that is better; returns the largest difference. */
static double check_hits(const clipspan_retrieval_hit *hits, size_t found, const double *c, const double *q, uint64_t without,
                         clipspan_similarity similarity)
{
    double worst = 0;
    unsigned char seen[IMAGES] = {0};
    for (size_t k = 0; k < found; k++) {
        assert_true(hits[k].row < IMAGES && hits[k].row != without && !seen[hits[k].row]);
        seen[hits[k].row] = 1;
        worst = worse(worst, fabs(hits[k].score - similarity_of(c + hits[k].row * EMBED, q, similarity)));
        if (k > 0)
            assert_true(hits[k].score < hits[k - 1].score ||
                        (hits[k].score == hits[k - 1].score && hits[k].row > hits[k - 1].row));
    }
    for (uint64_t row = 0; row < IMAGES; row++)
        if (!seen[row] && row != without)
            assert_true(similarity_of(c + row * EMBED, q, similarity) <= hits[found - 1].score + 1e-5);
    return worst;
}

static clipspan_retrieval *opened(const clipspan_store *store, const clipspan_retrieval_options *options)
{
    clipspan_error err;
    clipspan_retrieval *retrieval = NULL;
    if (clipspan_retrieval_open(&retrieval, store, options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return retrieval;
}

static void test_rows(void **state)
{
    (void)state;
    static const unsigned char sets[3][ALL] = {{0, 0, 0, 0, 1, 0}, {1, 0, 0, 0, 1, 1}, {1, 1, 1, 1, 1, 1}};
    world w;
    double worst = 0, spread = 0, *c = malloc(IMAGES * EMBED * sizeof *c);
    world_open(&w, &spec);
    clipspan_store *store = world_store(&w, "retrieval_store", plain_csv(), 0);
    for (int variant = 0; variant < 24; variant++) {
        clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
        options.heads = sets[variant / 8];
        options.convention = variant & 1 ? CLIPSPAN_EXACT : CLIPSPAN_PAPER;
        options.similarity = variant & 2 ? CLIPSPAN_INNER : CLIPSPAN_COSINE;
        options.centred = variant & 4;
        options.threads = 1 + variant % 3;
        clipspan_retrieval *retrieval = opened(store, &options);
        clipspan_retrieval_hit hits[IMAGES];
        terms_of(&w, options.heads, options.convention, options.centred, c);
        for (uint64_t row = 3; row < IMAGES; row += 40) {
            size_t found = 0;
            const double *q = c + row * EMBED;
            assert_int_equal(clipspan_retrieval_row(retrieval, row, 0, 9, hits, &found, NULL), CLIPSPAN_OK);
            assert_int_equal(found, 9);
            worst = worse(worst, check_hits(hits, found, c, q, row, options.similarity) / fmax(1, dot(q, q)));
            assert_int_equal(clipspan_retrieval_row(retrieval, row, 1, 1000, hits, &found, NULL), CLIPSPAN_OK);
            assert_int_equal(found, IMAGES);
            check_hits(hits, found, c, q, UINT64_MAX, options.similarity);
            if (options.similarity == CLIPSPAN_COSINE) {
                assert_int_equal(hits[0].row, row);
                assert_true(fabs(hits[0].score - 1) < 1e-5);
                spread = fmax(spread, hits[0].score - hits[IMAGES - 1].score);
            }
        }
        clipspan_retrieval_free(retrieval);
    }
    printf("rows: largest difference of a score %.1e; cosines spread over %.2f\n", worst, spread);
    assert_true(worst < 5e-6); /* observed 1.3e-6: factors and scores are sums in float32 */
    assert_true(spread > 0.5);
    free(c);
    clipspan_store_free(store);
    world_close(&w);
}

/* A query from a batch and one from the same row of the store, and a direction. */
static void test_other_queries(void **state)
{
    (void)state;
    static const unsigned char heads[ALL] = {0, 1, 0, 0, 1, 0};
    world w;
    double *c = malloc(IMAGES * EMBED * sizeof *c);
    world_open(&w, &spec);
    clipspan_store *store = world_store(&w, "queries_store", plain_csv(), 0);
    for (int centred = 0; centred < 2; centred++) {
        clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
        clipspan_retrieval_hit hits[12], same[12];
        float direction[EMBED];
        double wide[EMBED];
        size_t found, other;
        options.heads = heads;
        options.centred = centred;
        clipspan_retrieval *retrieval = opened(store, &options);
        assert_int_equal(clipspan_retrieval_batch(retrieval, &w.batch, 77, 12, hits, &found, NULL), CLIPSPAN_OK);
        assert_int_equal(clipspan_retrieval_row(retrieval, 77, 1, 12, same, &other, NULL), CLIPSPAN_OK);
        assert_int_equal(found, other);
        for (size_t k = 0; k < found; k++) {
            assert_int_equal(hits[k].row, same[k].row);
            assert_true(fabs(hits[k].score - same[k].score) < 1e-6);
        }
        for (size_t e = 0; e < EMBED; e++) wide[e] = direction[e] = (float)cos((double)e);
        terms_of(&w, heads, CLIPSPAN_PAPER, centred, c);
        assert_int_equal(clipspan_retrieval_direction(retrieval, direction, 12, hits, &found, NULL), CLIPSPAN_OK);
        double worst = check_hits(hits, found, c, wide, UINT64_MAX, CLIPSPAN_COSINE);
        printf("direction: largest difference %.1e, best %.3f\n", worst, hits[0].score);
        assert_true(worst < 2e-6 && fabs(hits[0].score) > 0.05); /* observed 2e-7 */
        clipspan_retrieval_free(retrieval);
    }
    free(c);
    clipspan_store_free(store);
    world_close(&w);
}

/* Copies of an image in other shards: equal scores, lower row first, whatever the threads. */
static void test_ties(void **state)
{
    (void)state;
    world w;
    world_open(&w, &spec);
    const int copies[] = {40, 100, 149};
    for (int k = 0; k < 3; k++) {
        for (int h = 0; h < ALL; h++)
            memcpy((float *)(uintptr_t)w.batch.z + (h * IMAGES + copies[k]) * HEAD, w.batch.z + (h * IMAGES + 7) * HEAD,
                   HEAD * sizeof(float));
        ((float *)(uintptr_t)w.batch.mu)[copies[k]] = w.batch.mu[7];
        ((float *)(uintptr_t)w.batch.sigma)[copies[k]] = w.batch.sigma[7];
        ((float *)(uintptr_t)w.batch.norm)[copies[k]] = w.batch.norm[7];
    }
    clipspan_store *store = world_store(&w, "ties_store", plain_csv(), 0);
    clipspan_retrieval_hit first[30], again[30];
    for (int threads = 1; threads <= 4; threads++) {
        clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
        size_t found;
        options.threads = threads;
        clipspan_retrieval *retrieval = opened(store, &options);
        assert_int_equal(clipspan_retrieval_row(retrieval, 100, 1, 30, threads == 1 ? first : again, &found, NULL), CLIPSPAN_OK);
        clipspan_retrieval_free(retrieval);
        if (threads > 1) assert_memory_equal(first, again, sizeof first);
    }
    assert_int_equal(first[0].row, 7);
    assert_int_equal(first[1].row, 40);
    assert_int_equal(first[2].row, 100);
    assert_int_equal(first[3].row, 149);
    assert_true(first[0].score == first[3].score && first[4].score < first[3].score);
    clipspan_store_free(store);
    world_close(&w);
}

/* The three ways of reading f16, and f32, from an odd address and with a tail: the same bits as float by float. */
static void test_kernel(void **state)
{
    (void)state;
    enum { ROWS = 53, MOST = 100 };
    static const size_t widths[] = {1, 15, 16, 17, 64, 80, 88, 100};
    uint64_t random = 5;
    static unsigned char bytes[ROWS * MOST * 2 + 1];
    for (size_t n = 0; n < sizeof widths / sizeof *widths; n++) {
        size_t d = widths[n];
        float g[112] = {0}, wide[ROWS * MOST], expected[ROWS], got[ROWS];
        for (size_t c = 0; c < d; c++) g[c] = (float)world_normal(&random);
        for (size_t i = 0; i < ROWS * d; i++) {
            uint16_t half = clsp_f32_to_f16((float)world_normal(&random));
            memcpy(bytes + 1 + 2 * i, &half, 2);
            wide[i] = clsp_f16_to_f32(half);
        }
        for (size_t i = 0; i < ROWS; i++) expected[i] = 0.5F;
        clsp_rows_dot(expected, wide, false, ROWS, d, g);
        for (size_t i = 0; i < ROWS; i++) {
            double sum = 0.5;
            for (size_t c = 0; c < d; c++) sum += (double)wide[i * d + c] * (double)g[c];
            assert_true(fabs(sum - (double)expected[i]) < 2e-5);
        }
        for (int way = 0; way <= 2; way++) {
            float back[ROWS * MOST];
            int before = clsp_f16_way(way);
            for (size_t i = 0; i < ROWS; i++) got[i] = 0.5F;
            clsp_rows_dot(got, bytes + 1, true, ROWS, d, g);
            clsp_widen(back, bytes + 1, true, ROWS * d);
            clsp_f16_way(before);
            assert_memory_equal(got, expected, sizeof got);
            assert_memory_equal(back, wide, ROWS * d * sizeof *back);
        }
    }
}

static void test_kept_norms(void **state)
{
    (void)state;
    static const unsigned char heads[ALL] = {0, 0, 1, 0, 0, 0}, others[ALL] = {0, 0, 0, 1, 0, 0};
    world w;
    clipspan_error err;
    clipspan_retrieval *retrieval = NULL;
    clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    world_open(&w, &spec);
    clipspan_store *store = world_store(&w, "norms_store", plain_csv(), 0);
    char path[4200];
    snprintf(path, sizeof path, "%s", scratch("norms.safetensors"));
    remove(path);
    options.heads = heads;
    options.norms = path;
    for (int turn = 0; turn < 5; turn++) {
        clipspan_retrieval_hit hits[5];
        static clipspan_retrieval_hit first[5];
        size_t found;
        options.heads = turn == 2 ? others : heads; /* another space: made anew, and again for the first one */
        if (turn == 4) { /* damaged: made anew */
            FILE *file = fopen(path, "r+b");
            assert_int_equal(fseek(file, -2, SEEK_END), 0);
            fputc(0x55, file);
            fclose(file);
        }
        retrieval = opened(store, &options);
        assert_int_equal(clipspan_retrieval_get_info(retrieval).norms_read, turn == 1);
        assert_int_equal(clipspan_retrieval_row(retrieval, 9, 0, 5, hits, &found, NULL), CLIPSPAN_OK);
        if (turn == 0) memcpy(first, hits, sizeof hits);
        if (turn != 2) assert_memory_equal(first, hits, sizeof hits);
        clipspan_retrieval_free(retrieval);
    }
    scratch_write("norms.safetensors", "my notes", 8);
    assert_int_equal(clipspan_retrieval_open(&retrieval, store, &options, NULL, &err), CLIPSPAN_ERROR_FORMAT);
    assert_message(err, "not written over");
    clipspan_store_free(store);
    world_close(&w);
}

/* A head that says the same for every image has no direction once its mean is taken away; and what else is refused. */
static void test_refused(void **state)
{
    (void)state;
    static const unsigned char none[ALL] = {0}, one[ALL] = {1};
    world w, same;
    world_spec constant = spec;
    clipspan_error err;
    clipspan_retrieval *retrieval = NULL;
    clipspan_retrieval_hit hits[3];
    size_t found;
    float direction[EMBED] = {0};
    clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    constant.constant = 1;
    world_open(&w, &spec);
    world_open(&same, &constant);
    clipspan_store *store = world_store(&w, "plain_store", plain_csv(), 0);
    clipspan_store *moments = world_store(&w, "only_moments", plain_csv(), 1);
    clipspan_store *equal = world_store(&same, "equal_store", plain_csv(), 0);
    options.heads = none;
    assert_int_equal(clipspan_retrieval_open(&retrieval, store, &options, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "no head");
    options.heads = one;
    assert_int_equal(clipspan_retrieval_open(&retrieval, moments, &options, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "moments alone");
    retrieval = opened(store, &options);
    assert_int_equal(clipspan_retrieval_row(retrieval, IMAGES, 0, 3, hits, &found, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "rows are 0 to 149");
    assert_int_equal(clipspan_retrieval_row(retrieval, 0, 0, 0, hits, &found, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_retrieval_direction(retrieval, direction, 3, hits, &found, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "zero");
    direction[3] = NAN;
    assert_int_equal(clipspan_retrieval_direction(retrieval, direction, 3, hits, &found, &err), CLIPSPAN_ERROR_ARGUMENT);
    clipspan_retrieval_free(retrieval);
    options.centred = 1;
    retrieval = opened(equal, &options);
    direction[3] = 1;
    assert_int_equal(clipspan_retrieval_direction(retrieval, direction, 3, hits, &found, &err), CLIPSPAN_OK);
    for (uint64_t k = 0; k < found; k++) assert_true(hits[k].score == 0 && hits[k].row == k);
    assert_int_equal(clipspan_retrieval_row(retrieval, 5, 0, 3, hits, &found, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "image005.png: its vector in this space is zero");
    assert_int_equal(clipspan_retrieval_batch(retrieval, &same.batch, 5, 3, hits, &found, &err), CLIPSPAN_ERROR_ARGUMENT);
    clipspan_retrieval_free(retrieval);
    clipspan_store_free(store);
    clipspan_store_free(moments);
    clipspan_store_free(equal);
    world_close(&w);
    world_close(&same);
}

/* Damage: read at opening where checksums are asked for; else a number that is none is found by the scan. */
static void test_damage(void **state)
{
    (void)state;
    world w;
    clipspan_error err;
    clipspan_retrieval *retrieval = NULL;
    clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    clipspan_retrieval_hit hits[3];
    size_t found;
    float nan = NAN;
    world_open(&w, &spec);
    clipspan_store *store = world_store(&w, "damaged_store", plain_csv(), 0);
    clsp_view *view = NULL;
    assert_int_equal(clsp_view_open(&view, store, NULL), CLIPSPAN_OK);
    const char *path = clsp_view_path(view, 1);
    FILE *file = fopen(path, "r+b");
    clsp_map map;
    assert_int_equal(clsp_map_open(&map, path, NULL), CLIPSPAN_OK);
    const float *z = clsp_view_z(view, 1, 1, 2);
    size_t at = 0;
    while (memcmp(map.bytes + at, z + 5 * HEAD, HEAD * sizeof *z) != 0) at++;
    clsp_map_close(&map);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(&nan, sizeof nan, 1, file), 1);
    fclose(file);
    clsp_view_free(view);
    assert_int_equal(clipspan_retrieval_open(&retrieval, store, &options, NULL, &err), CLIPSPAN_ERROR_FORMAT);
    assert_message(err, "checksum"); /* a small store is checked */
    options.verify = CLIPSPAN_VERIFY_NEVER;
    assert_int_equal(clipspan_retrieval_open(&retrieval, store, &options, NULL, &err), CLIPSPAN_ERROR_FORMAT);
    assert_message(err, "image 69 (image069.png) are not finite");
    options.similarity = CLIPSPAN_INNER;
    retrieval = opened(store, &options);
    assert_int_equal(clipspan_retrieval_row(retrieval, 3, 0, 3, hits, &found, &err), CLIPSPAN_ERROR_FORMAT);
    assert_message(err, "image 69 (image069.png) are not finite");
    clipspan_retrieval_free(retrieval);
    clipspan_store_free(store);
    world_close(&w);
}

/* Head 4 knows the colour: its first numbers are the colour's. */
static void tell_colour(world *w)
{
    for (size_t i = 0; i < IMAGES; i++)
        if (i % 4 < 3) ((float *)(uintptr_t)w->batch.z)[(4 * IMAGES + i) * HEAD + i % 4] += 1.0F;
}

/* Two conditions on a neighbour: not the query itself, and a value in the column. */
static double expected_precision(const double *c, const char *const *values, const unsigned char *asked, size_t k)
{
    double sum = 0, queries = 0;
    for (size_t q = 0; q < IMAGES; q++) {
        double score[IMAGES];
        size_t same = 0;
        if (!asked[q] || !values[q][0]) continue;
        for (size_t i = 0; i < IMAGES; i++)
            score[i] = i == q || !values[i][0] ? -INFINITY : similarity_of(c + i * EMBED, c + q * EMBED, CLIPSPAN_COSINE);
        for (size_t n = 0; n < k; n++) {
            size_t best = 0;
            for (size_t i = 1; i < IMAGES; i++)
                if (score[i] > score[best]) best = i;
            same += strcmp(values[best], values[q]) == 0;
            score[best] = -INFINITY;
        }
        sum += (double)same / (double)k;
        queries++;
    }
    return sum / queries;
}

/* ---- scikit-learn's figures: tests/golden/analysis/make_retrieval.py -------------------------------------------- */

enum { GOLDEN_HITS = 4 };
static const unsigned char golden_sets[2][ALL] = {{0, 0, 0, 0, 1, 0}, {0, 1, 0, 0, 1, 0}};

/* A query and its nearest: relative to the best score. Negative: no more queries. */
static double golden_hits(FILE *golden, const clipspan_store *store)
{
    int convention, similarity, set;
    clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    clipspan_retrieval_hit hits[GOLDEN_HITS];
    uint64_t query, row;
    size_t found;
    double score, worst = 0;
    assert_int_equal(fscanf(golden, "%d", &convention), 1);
    if (convention < 0) return -1;
    assert_int_equal(fscanf(golden, "%d %d %d %" SCNu64, &similarity, &options.centred, &set, &query), 4);
    options.convention = (clipspan_convention)convention;
    options.similarity = (clipspan_similarity)similarity;
    options.heads = golden_sets[set];
    clipspan_retrieval *retrieval = opened(store, &options);
    assert_int_equal(clipspan_retrieval_row(retrieval, query, 0, GOLDEN_HITS, hits, &found, NULL), CLIPSPAN_OK);
    for (size_t k = 0; k < GOLDEN_HITS; k++) {
        assert_int_equal(fscanf(golden, "%" SCNu64 " %lf", &row, &score), 2);
        assert_int_equal(hits[k].row, row);
        worst = worse(worst, fabs(hits[k].score - score) / fmax(1, fabs(hits[0].score)));
    }
    clipspan_retrieval_free(retrieval);
    return worst;
}

static double golden_precisions(FILE *golden, const clipspan_store *store, clipspan_convention convention)
{
    static const char *const columns[] = {"colour", "label"};
    clipspan_error err;
    clipspan_precision *result = NULL;
    clipspan_precision_options options = CLIPSPAN_PRECISION_OPTIONS_INIT;
    clipspan_retrieval_options how = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    double worst = 0;
    how.heads = golden_sets[1];
    how.convention = convention;
    options.k = 7;
    options.columns = columns;
    options.column_count = 2;
    if (clipspan_precision_run(&result, store, &how, &options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    for (size_t space = 0; space < 3; space++) /* each head, both */
        for (size_t column = 0; column < 2; column++) {
            double expected;
            assert_int_equal(fscanf(golden, "%lf", &expected), 1);
            worst = worse(worst, fabs(clipspan_precision_of(result, space, column) - expected));
        }
    clipspan_precision_free(result);
    return worst;
}

static void test_equals_the_golden(void **state)
{
    (void)state;
    world w;
    char line[256];
    double worst = 0, now;
    int queries = 0;
    world_open(&w, &spec);
    tell_colour(&w);
    clipspan_store *store = world_store(&w, "golden_store", plain_csv(), 0);
    FILE *golden = fopen("golden/analysis/retrieval.txt", "r");
    assert_non_null(golden);
    assert_non_null(fgets(line, sizeof line, golden)); /* the command */
    for (; (now = golden_hits(golden, store)) >= 0; queries++) worst = worse(worst, now);
    double precisions = golden_precisions(golden, store, CLIPSPAN_PAPER);
    precisions = fmax(precisions, golden_precisions(golden, store, CLIPSPAN_EXACT));
    fclose(golden);
    printf("golden: scores differ by %.1e of the best, precisions by %.1e\n", worst, precisions);
    assert_int_equal(queries, 32);
    assert_true(worst < 2e-6 && precisions < 1e-9); /* observed 1.9e-7 and 5e-11: ten digits are written */
    clipspan_store_free(store);
    world_close(&w);
}

static void test_precision(void **state)
{
    (void)state;
    world w;
    clipspan_error err;
    clipspan_precision *result = NULL;
    clipspan_precision_options options = CLIPSPAN_PRECISION_OPTIONS_INIT;
    clipspan_retrieval_options how = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    static const unsigned char heads[ALL] = {0, 1, 0, 0, 1, 0};
    unsigned char one[ALL] = {0}, asked[IMAGES];
    const char *values[2][IMAGES];
    static const char *const colours[] = {"red", "green", "blue", ""};
    double worst = 0, largest = 0, *c = malloc(IMAGES * EMBED * sizeof *c);
    world_open(&w, &spec);
    tell_colour(&w);
    for (size_t i = 0; i < IMAGES; i++) {
        values[0][i] = colours[i % 4];
        values[1][i] = i % 3 ? "cat" : "dog";
    }
    clipspan_store *store = world_store(&w, "precision_store", plain_csv(), 0);
    how.heads = heads;
    how.threads = 2;
    options.k = 7;
    const char *columns[] = {"colour", "label"};
    options.columns = columns;
    options.column_count = 2;
    memset(asked, 1, sizeof asked);
    if (clipspan_precision_run(&result, store, &how, &options, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    const clipspan_precision_info info = clipspan_precision_get_info(result);
    assert_int_equal(info.spaces, 4); /* two heads, both, whole */
    assert_int_equal(info.queries, IMAGES);
    assert_int_equal(clipspan_precision_queries(result, 0), 113);
    assert_int_equal(clipspan_precision_values(result, 0), 3);
    assert_true(fabs(clipspan_precision_chance(result, 1) - (50 * 49.0 + 100 * 99.0) / 150 / 149) < 1e-12);
    for (size_t s = 0; s < 3; s++) {
        const clipspan_space space = clipspan_precision_space(result, s);
        if (space.kind == CLIPSPAN_SPACE_HEAD) one[space.layer * 3 + space.head] = 1;
        terms_of(&w, space.kind == CLIPSPAN_SPACE_SET ? heads : one, CLIPSPAN_PAPER, 0, c);
        memset(one, 0, sizeof one);
        for (size_t column = 0; column < 2; column++) {
            double expected = expected_precision(c, values[column], asked, 7);
            worst = worse(worst, fabs(expected - clipspan_precision_of(result, s, column)));
            if (column == 0) largest = fmax(largest, expected);
        }
    }
    printf("precision: largest difference %.1e; the head that knows the colour %.2f, chance %.2f\n", worst, largest,
           clipspan_precision_chance(result, 0));
    assert_true(worst < 1e-12);
    assert_true(largest > 0.45 && clipspan_precision_of(result, 1, 0) == largest);
    clipspan_precision_free(result);
    /* A draw: as many as asked for, the same for the same seed. */
    double drawn[3];
    for (int turn = 0; turn < 3; turn++) {
        options.queries = 40;
        options.seed = turn == 2;
        how.threads = 1 + turn;
        assert_int_equal(clipspan_precision_run(&result, store, &how, &options, NULL, &err), CLIPSPAN_OK);
        assert_int_equal(clipspan_precision_get_info(result).queries, 40);
        drawn[turn] = clipspan_precision_of(result, 1, 0);
        clipspan_precision_free(result);
    }
    assert_true(drawn[0] == drawn[1] && drawn[0] != drawn[2]);
    free(c);
    clipspan_store_free(store);
    world_close(&w);
}

static clipspan_store *walked;
static clipspan_status walk_job(void)
{
    clipspan_retrieval *retrieval = NULL;
    clipspan_precision *precision = NULL;
    clipspan_retrieval_options options = CLIPSPAN_RETRIEVAL_OPTIONS_INIT;
    clipspan_retrieval_hit hits[4];
    static const unsigned char heads[ALL] = {1, 0, 1};
    size_t found;
    options.heads = heads;
    options.centred = 1;
    options.threads = 2;
    clipspan_status status = clipspan_retrieval_open(&retrieval, walked, &options, NULL, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_retrieval_row(retrieval, 2, 0, 4, hits, &found, NULL);
    if (status == CLIPSPAN_OK) status = clipspan_precision_run(&precision, walked, &options, NULL, NULL, NULL);
    clipspan_precision_free(precision);
    clipspan_retrieval_free(retrieval);
    return status;
}

static void test_allocation_failures(void **state)
{
    (void)state;
    world w;
    world_open(&w, &spec);
    walked = world_store(&w, "walked_store", plain_csv(), 0);
    walk_failed_allocations(walk_job);
    clipspan_store_free(walked);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_other_queries), cmocka_unit_test(test_ties),
        cmocka_unit_test(test_kernel),     cmocka_unit_test(test_kept_norms),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_precision), cmocka_unit_test(test_equals_the_golden),     cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
