/* Accuracy by group with heads taken out, against the definition in the joint space; halves, rules, what is refused. */
#include "ablation_terms.h"

#include "clipspan/groups.h"
#include "decompose/decompose.h"
#include "scratch.h"
#include "worse.h"

static ablation_terms terms; /* its column label (cat, dog or empty) is the attribute here */
enum { EVERYTHING = CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS, CLASSES = 3 };

/* Images of the store with a class and a value that are scored, by brute force. */
typedef struct brute {
    int labels[ABLATION_ROWS];
    int values[ABLATION_ROWS]; /* 0, 1; -1: none */
    float classifier[CLASSES * FAKE_EMBED];
    clipspan_texts *classes;
} brute;
static brute given;

/* Three classes, so that a margin has rivals; dealt at random, so that every group has images. */
static void make_problem(void)
{
    static const char *const NAMES[] = {"ant", "bee", "eel"};
    uint64_t random = 17;
    for (size_t i = 0; i < ABLATION_ROWS; i++) {
        given.labels[i] = i % 11 == 10 ? -1 : (int)(fake_next(&random) % CLASSES);
        given.values[i] = clipspan_store_image_label(terms.store, i); /* cat, dog or none */
    }
    for (size_t c = 0; c < CLASSES; c++) {
        double square = 0;
        float *row = given.classifier + c * FAKE_EMBED;
        for (size_t e = 0; e < FAKE_EMBED; e++) {
            row[e] = (float)(fake_next(&random) % 2000) / 1000.0F - 1.0F;
            square += (double)row[e] * (double)row[e];
        }
        for (size_t e = 0; e < FAKE_EMBED; e++) row[e] /= (float)sqrt(square);
    }
    assert_int_equal(clipspan_texts_copy(&given.classes, NAMES, CLASSES, NULL), CLIPSPAN_OK);
}

static clipspan_groups *opened(const clipspan_groups_options *options)
{
    clipspan_error err = {0};
    clipspan_groups *groups = NULL;
    if (clipspan_groups_open(&groups, terms.store, given.labels, given.classes, given.classifier, options, NULL, &err) !=
        CLIPSPAN_OK)
        fail_msg("%s", err.message);
    return groups;
}

static clipspan_groups_options by_animal(int halves)
{
    clipspan_groups_options options = CLIPSPAN_GROUPS_OPTIONS_INIT;
    options.attribute = "label";
    options.halves = halves;
    return options;
}

/* Is image i looked at? Those without class or value are not, so means over "the images that are looked at" differ from the store's. */
static int looked_at(size_t i)
{
    return given.labels[i] >= 0 && given.values[i] >= 0;
}

/* Share right of each class x value from `out`: [rows, E]. Returns the smallest; average: of all. */
static double brute_worst(double out[][FAKE_EMBED], double *average, double *margin)
{
    double right[CLASSES][2] = {{0}}, size[CLASSES][2] = {{0}}, worst = 1, all = 0, n = 0;
    for (size_t i = 0; i < ABLATION_ROWS; i++) {
        double logit[CLASSES] = {0};
        int best = 0, second = -1;
        if (!looked_at(i)) continue;
        for (int c = 0; c < CLASSES; c++)
            for (size_t e = 0; e < FAKE_EMBED; e++) logit[c] += out[i][e] * (double)given.classifier[c * FAKE_EMBED + (int)e];
        for (int c = 1; c < CLASSES; c++)
            if (logit[c] > logit[best]) best = c;
        for (int c = 0; c < CLASSES; c++)
            if (c != best && (second < 0 || logit[c] > logit[second])) second = c;
        *margin = fmin(*margin, logit[best] - logit[second]);
        right[given.labels[i]][given.values[i]] += best == given.labels[i];
        size[given.labels[i]][given.values[i]]++;
        all += best == given.labels[i];
        n++;
    }
    for (int c = 0; c < CLASSES; c++)
        for (int v = 0; v < 2; v++) worst = fmin(worst, right[c][v] / size[c][v]);
    *average = all / n;
    return worst;
}

/* The mean of a term over the images that are looked at. */
static double mean_of(float rows[][FAKE_EMBED], size_t e)
{
    double sum = 0, n = 0;
    for (size_t i = 0; i < ABLATION_ROWS; i++) {
        if (!looked_at(i)) continue;
        sum += (double)rows[i][e];
        n++;
    }
    return sum / n;
}

static void replace(double out[][FAKE_EMBED], float rows[][FAKE_EMBED])
{
    for (size_t e = 0; e < FAKE_EMBED; e++) {
        double mean = mean_of(rows, e);
        for (size_t i = 0; i < ABLATION_ROWS; i++) out[i][e] += mean - (double)rows[i][e];
    }
}

static void ablated(double out[][FAKE_EMBED], const unsigned char *heads, int paper, size_t last)
{
    for (size_t i = 0; i < ABLATION_ROWS; i++)
        for (size_t e = 0; e < FAKE_EMBED; e++) out[i][e] = (double)terms.whole[i][e];
    for (size_t m = 0; paper && m < ABLATION_MLPS; m++) replace(out, terms.mlps[m]);
    for (size_t h = 0; h < ABLATION_HEADS; h++)
        if ((heads != NULL && heads[h]) || (paper && h / FAKE_HEADS + last < FAKE_LAYERS)) replace(out, terms.heads[h]);
}

static void accuracies(void **state)
{
    (void)state;
    static double out[ABLATION_ROWS][FAKE_EMBED];
    double seen[2] = {2, -1}, margin = 1;
    for (int way = 0; way < 4; way++) {
        clipspan_groups_options options = by_animal(0);
        options.convention = (clipspan_convention)(way % 2);
        options.paper = way / 2;
        options.last = 2;
        ablation_terms_read(&terms, options.convention);
        clipspan_groups *groups = opened(&options);
        assert_int_equal(clipspan_groups_get_info(groups).groups, 2 * CLASSES);
        for (unsigned set = 0; set < 1U << ABLATION_HEADS; set += 3) {
            unsigned char heads[ABLATION_HEADS];
            for (size_t h = 0; h < ABLATION_HEADS; h++) heads[h] = set >> h & 1;
            size_t row = clipspan_groups_get_info(groups).rows;
            double average, worst;
            assert_int_equal(clipspan_groups_add(groups, "set", heads, NULL), CLIPSPAN_OK);
            ablated(out, heads, options.paper, 2);
            worst = brute_worst(out, &average, &margin);
            const clipspan_groups_row *got = clipspan_groups_row_get(groups, row);
            assert_true(fabs(got->average.value - average) < 1e-12);
            assert_true(fabs(got->worst.value - worst) < 1e-12);
            assert_true(got->average.low <= average && average <= got->average.high);
            seen[0] = fmin(seen[0], average);
            seen[1] = fmax(seen[1], average);
        }
        ablated(out, NULL, 0, 0);
        double average, worst = brute_worst(out, &average, &margin);
        assert_true(fabs(clipspan_groups_row_get(groups, 0)->worst.value - worst) < 1e-12);
        assert_true(fabs(clipspan_groups_row_get(groups, 0)->average.value - average) < 1e-12);
        clipspan_groups_free(groups);
    }
    printf("averages from %.2f to %.2f, smallest margin %.1e\n", seen[0], seen[1], margin);
    assert_true(seen[1] - seen[0] > 0.1); /* sets differ */
    assert_true(margin > 2e-6);           /* else float32 would decide */
}

/* The same from another store's means: here the store itself, whose means are over every row. */
static void means_from_a_store(void **state)
{
    (void)state;
    clipspan_groups_options options = by_animal(0);
    unsigned char heads[ABLATION_HEADS] = {1, 0, 1, 1, 0, 0};
    float *out = malloc(ABLATION_ROWS * FAKE_EMBED * sizeof *out);
    static double wide[ABLATION_ROWS][FAKE_EMBED];
    clipspan_means *means = NULL;
    clipspan_ablation ablation = {.heads = heads};
    double average, margin = 1;
    ablation_terms_read(&terms, CLIPSPAN_PAPER);
    options.mean_from = terms.store;
    clipspan_groups *groups = opened(&options);
    assert_int_equal(clipspan_groups_get_info(groups).mean_images, ABLATION_ROWS);
    assert_int_equal(clipspan_groups_add(groups, "set", heads, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_means_open(&means, terms.store, CLIPSPAN_PAPER, 0, NULL, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_ablate(out, terms.store, &ablation, means, NULL, NULL), CLIPSPAN_OK);
    for (size_t i = 0; i < ABLATION_ROWS; i++)
        for (size_t e = 0; e < FAKE_EMBED; e++) wide[i][e] = (double)out[i * FAKE_EMBED + e];
    double worst = brute_worst(wide, &average, &margin);
    assert_true(fabs(clipspan_groups_row_get(groups, 1)->worst.value - worst) < 1e-12);
    assert_true(fabs(clipspan_groups_row_get(groups, 1)->average.value - average) < 1e-12);
    clipspan_means_free(means);
    clipspan_groups_free(groups);
    free(out);
}

static double sum_of(const clipspan_groups *groups, int searched)
{
    double sum = 0;
    for (size_t g = 0; g < clipspan_groups_get_info(groups).groups; g++) {
        const clipspan_group *group = clipspan_groups_get(groups, g);
        sum += (double)(searched ? group->searched : group->images - group->searched);
        assert_int_equal(group->searched, group->images / 2);
    }
    return sum;
}

/* Halves are of each group; greedy's choice is the best single head on the searched half where one is asked for. */
static void halves_and_greedy(void **state)
{
    (void)state;
    clipspan_groups_options options = by_animal(1);
    clipspan_groups *groups = opened(&options);
    clipspan_groups_info info = clipspan_groups_get_info(groups);
    double best = clipspan_groups_row_get(groups, 0)->search_worst, first = best;
    assert_true(sum_of(groups, 1) == (double)info.searched && sum_of(groups, 0) == (double)(info.images - info.searched));
    for (size_t h = 0; h < ABLATION_HEADS; h++) {
        unsigned char heads[ABLATION_HEADS] = {0};
        heads[h] = 1;
        assert_int_equal(clipspan_groups_add(groups, "one", heads, NULL), CLIPSPAN_OK);
        best = fmax(best, clipspan_groups_row_get(groups, h + 1)->search_worst);
    }
    assert_int_equal(clipspan_groups_add_greedy(groups, "greedy", 1, NULL, NULL), CLIPSPAN_OK);
    const clipspan_groups_row *greedy = clipspan_groups_row_get(groups, ABLATION_HEADS + 1);
    assert_true(greedy->searched && greedy->count == (best > first));
    assert_true(greedy->search_worst == best);
    clipspan_groups_free(groups);
}

/* A ranking is cut where the searched half likes it best; heads of no score are never taken; two threads agree with one. */
static void rankings(void **state)
{
    (void)state;
    double score[ABLATION_HEADS] = {0.1, -3, (double)NAN, 0.7, 0.2, 0};
    static const size_t ORDER[] = {3, 4, 0};
    clipspan_groups_options options = by_animal(1);
    options.threads = 1;
    clipspan_groups *groups = opened(&options);
    double best = clipspan_groups_row_get(groups, 0)->search_worst;
    size_t length = 0;
    for (size_t n = 1; n <= 3; n++) {
        unsigned char heads[ABLATION_HEADS] = {0};
        for (size_t i = 0; i < n; i++) heads[ORDER[i]] = 1;
        assert_int_equal(clipspan_groups_add(groups, "prefix", heads, NULL), CLIPSPAN_OK);
        double worst = clipspan_groups_row_get(groups, n)->search_worst;
        if (worst > best) length = n;
        best = fmax(best, worst);
    }
    assert_int_equal(clipspan_groups_add_ranked(groups, "ranked", score, 10, NULL), CLIPSPAN_OK);
    const clipspan_groups_row *row = clipspan_groups_row_get(groups, 4);
    assert_int_equal(row->count, length);
    for (size_t i = 0; i < length; i++) assert_int_equal(row->heads[i], ORDER[i]);
    options.threads = 2;
    clipspan_groups *again = opened(&options);
    assert_int_equal(clipspan_groups_add_ranked(again, "ranked", score, 10, NULL), CLIPSPAN_OK);
    const clipspan_groups_row *other = clipspan_groups_row_get(again, 1);
    assert_memory_equal(&row->worst, &other->worst, sizeof row->worst);
    assert_memory_equal(&row->balanced, &other->balanced, sizeof row->balanced);
    clipspan_groups_free(again);
    clipspan_groups_free(groups);
}

/* trace of the covariance of a and b over the searched rows: [rows, E] on orthonormal axes [q, E]. */
static double covariance(const clipspan_groups *groups, const unsigned char *rows, float a[][FAKE_EMBED],
                         float b[][FAKE_EMBED], double axes[][FAKE_EMBED], size_t q)
{
    double trace = 0;
    (void)groups;
    for (size_t k = 0; k < q; k++) {
        double n = 0, sa = 0, sb = 0, sab = 0;
        for (size_t i = 0; i < ABLATION_ROWS; i++) {
            double x = 0, y = 0;
            if (!rows[i]) continue;
            for (size_t e = 0; e < FAKE_EMBED; e++) {
                x += (double)a[i][e] * axes[k][e];
                y += (double)b[i][e] * axes[k][e];
            }
            n++;
            sa += x;
            sb += y;
            sab += x * y;
        }
        trace += sab / n - sa / n * (sb / n);
    }
    return trace;
}

/* Without halves every image that is looked at is searched: the formulas, from vectors. */
static void cue_scores(void **state)
{
    (void)state;
    double axes[2][FAKE_EMBED] = {{0}}, all[FAKE_EMBED][FAKE_EMBED] = {{0}}, largest = 0, worst = 0;
    unsigned char rows[ABLATION_ROWS];
    float texts[3][FAKE_EMBED] = {{0.6F, 0.8F}, {0, 0, 1}, {0.6F, 0.8F}}; /* the third adds nothing */
    axes[0][0] = 0.6, axes[0][1] = 0.8, axes[1][2] = 1;
    for (size_t e = 0; e < FAKE_EMBED; e++) all[e][e] = 1;
    for (size_t i = 0; i < ABLATION_ROWS; i++) rows[i] = (unsigned char)looked_at(i);
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        double span[ABLATION_HEADS], passing[ABLATION_HEADS], correlation[ABLATION_HEADS];
        clipspan_groups_options options = by_animal(0);
        options.convention = (clipspan_convention)c;
        ablation_terms_read(&terms, options.convention);
        clipspan_groups *groups = opened(&options);
        assert_int_equal(clipspan_groups_cue(groups, terms.store, texts[0], 3, span, passing, correlation, NULL, NULL),
                         CLIPSPAN_OK);
        double whole = covariance(groups, rows, terms.whole, terms.whole, axes, 2);
        for (size_t h = 0; h < ABLATION_HEADS; h++) {
            double own = covariance(groups, rows, terms.heads[h], terms.heads[h], axes, 2);
            double total = covariance(groups, rows, terms.heads[h], terms.heads[h], all, FAKE_EMBED);
            double cross = covariance(groups, rows, terms.heads[h], terms.whole, axes, 2);
            worst = worse(worst, fabs(span[h] - own / total));
            worst = worse(worst, fabs(passing[h] - cross / whole));
            worst = worse(worst, fabs(correlation[h] - cross / sqrt(own * whole)));
            largest = fmax(largest, fabs(correlation[h]));
        }
        clipspan_groups_free(groups);
    }
    printf("cue scores: largest difference %.1e, largest correlation %.2f\n", worst, largest);
    assert_true(worst < 2e-7 && largest > 0.2); /* observed 1.4e-8 */
}

/* Dealt by the definition: image i is searched if less than half of its group come before it by the hash of the name. */
static int is_searched(size_t i)
{
    char own[CLSP_HASH_HEX], other[CLSP_HASH_HEX];
    const char *name = clipspan_store_image_name(terms.store, i);
    size_t before = 0, group = 0;
    clsp_hash_hex(own, name, strlen(name));
    for (size_t j = 0; j < ABLATION_ROWS; j++) {
        if (!looked_at(j) || given.labels[j] != given.labels[i] || given.values[j] != given.values[i]) continue;
        name = clipspan_store_image_name(terms.store, j);
        clsp_hash_hex(other, name, strlen(name));
        before += strcmp(other, own) < 0;
        group++;
    }
    return looked_at(i) && before < group / 2;
}

/* Largest difference of a head's mean in the moments from its mean over the searched images; apart: from that over the
 * scored ones. */
static double mean_off(const clipspan_moments *moments, int head, double *apart)
{
    enum { WIDEST = 64 };
    double y[WIDEST], worst = 0;
    float map[WIDEST * FAKE_EMBED];
    size_t k = clsp_head_width(clipspan_store_basis(terms.store), CLIPSPAN_PAPER);
    assert_true(k <= WIDEST);
    clsp_moments_head(moments, CLIPSPAN_PAPER, head / FAKE_HEADS, head % FAKE_HEADS, y, NULL);
    clsp_head_map(clipspan_store_basis(terms.store), CLIPSPAN_PAPER, head / FAKE_HEADS, head % FAKE_HEADS, map);
    for (size_t e = 0; e < FAKE_EMBED; e++) {
        double sum[2] = {0}, images[2] = {0}, mean = 0;
        for (size_t i = 0; i < k; i++) mean += y[i] * (double)map[i * FAKE_EMBED + e];
        for (size_t i = 0; i < ABLATION_ROWS; i++) {
            if (!looked_at(i)) continue;
            sum[is_searched(i)] += (double)terms.heads[head][i][e];
            images[is_searched(i)]++;
        }
        worst = worse(worst, fabs(mean - sum[1] / images[1]));
        *apart = fmax(*apart, fabs(mean - sum[0] / images[0]));
    }
    return worst;
}

/* A moment of the searched half is that of its images alone: nothing of those that are scored is in it. */
static void half_moments(void **state)
{
    (void)state;
    clipspan_groups_options options = by_animal(1);
    ablation_terms_read(&terms, CLIPSPAN_PAPER);
    clipspan_groups *groups = opened(&options);
    clipspan_moments *moments = NULL;
    double worst = 0, apart = 0;
    assert_int_equal(clipspan_groups_moments(groups, terms.store, &moments, NULL, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_images(moments), clipspan_groups_get_info(groups).searched);
    for (int h = 0; h < ABLATION_HEADS; h++) worst = worse(worst, mean_off(moments, h, &apart));
    printf("means of the searched half: off by %.1e; from those of the scored one by %.1e\n", worst, apart);
    assert_true(worst < 1e-7 && apart > 1e-3);
    clipspan_moments_free(moments);
    clipspan_groups_free(groups);
}

/* Against SciPy's figures: tests/golden/analysis/make_wilson.py. */
static void intervals_of_groups(void **state)
{
    (void)state;
    enum { MOST = 20 };
    static double golden[MOST + 1][MOST + 1][2];
    clipspan_groups_options options = by_animal(0);
    clipspan_groups *groups = opened(&options);
    double worst = 0;
    int right, n, compared = 0;
    double low, high;
    FILE *file = fopen("golden/analysis/wilson.txt", "r");
    assert_non_null(file);
    while (fscanf(file, "%d %d %lf %lf", &right, &n, &low, &high) == 4) golden[n][right][0] = low, golden[n][right][1] = high;
    fclose(file);
    for (unsigned set = 0; set < 1U << ABLATION_HEADS; set += 2) {
        unsigned char heads[ABLATION_HEADS];
        for (size_t h = 0; h < ABLATION_HEADS; h++) heads[h] = set >> h & 1;
        assert_int_equal(clipspan_groups_add(groups, "set", heads, NULL), CLIPSPAN_OK);
        for (size_t g = 0; g < clipspan_groups_get_info(groups).groups; g++) {
            const clipspan_share *share = &clipspan_groups_row_get(groups, set / 2)->group[g];
            n = (int)clipspan_groups_get(groups, g)->images;
            right = (int)lround(share->value * n);
            worst = worse(worst, fabs(share->low - golden[n][right][0]));
            worst = worse(worst, fabs(share->high - golden[n][right][1]));
            compared += right > 0 && right < n;
        }
    }
    printf("Wilson's intervals: largest difference %.1e, %d of them inside\n", worst, compared);
    assert_true(worst < 1e-14 && compared > 20); /* observed 1.7e-16 */
    clipspan_groups_free(groups);
}

/* ---- scikit-learn's and NumPy's figures: tests/golden/analysis/make_groups.py ------------------------------------ */

/* The class that the model chooses; every third image is of the next one. */
static void golden_labels(int labels[ABLATION_ROWS])
{
    for (size_t i = 0; i < ABLATION_ROWS; i++) {
        double best = -INFINITY;
        for (int c = 0; c < CLASSES; c++) {
            double logit = 0;
            for (size_t e = 0; e < FAKE_EMBED; e++)
                logit += (double)terms.whole[i][e] * (double)given.classifier[(size_t)c * FAKE_EMBED + e];
            if (logit > best) best = logit, labels[i] = c;
        }
        if (i % 3 == 1) labels[i] = (labels[i] + 1) % CLASSES;
        if (given.labels[i] < 0) labels[i] = -1;
    }
}

static clipspan_groups *golden_groups(int convention, int paper)
{
    int labels[ABLATION_ROWS];
    clipspan_error err = {0};
    clipspan_groups *groups = NULL;
    clipspan_groups_options options = by_animal(0);
    options.convention = (clipspan_convention)convention;
    options.paper = paper;
    options.last = 2;
    golden_labels(labels);
    if (clipspan_groups_open(&groups, terms.store, labels, given.classes, given.classifier, &options, NULL, &err) !=
        CLIPSPAN_OK)
        fail_msg("%s", err.message);
    return groups;
}

/* One row of the golden; false: there are no more. */
static bool golden_row(FILE *golden, double *worst)
{
    int convention, paper, set;
    double average, balanced, least;
    size_t least_group, at = 0, right;
    assert_int_equal(fscanf(golden, "%d", &convention), 1);
    if (convention < 0) return false;
    assert_int_equal(fscanf(golden, "%d %d %lf %lf %lf %zu", &paper, &set, &average, &balanced, &least, &least_group), 6);
    clipspan_groups *groups = golden_groups(convention, paper);
    if (set >= 0) {
        unsigned char heads[ABLATION_HEADS];
        for (size_t h = 0; h < ABLATION_HEADS; h++) heads[h] = set >> h & 1;
        at = clipspan_groups_get_info(groups).rows;
        assert_int_equal(clipspan_groups_add(groups, "set", heads, NULL), CLIPSPAN_OK);
    }
    const clipspan_groups_row *row = clipspan_groups_row_get(groups, at);
    *worst = worse(*worst, fabs(row->average.value - average));
    *worst = worse(*worst, fabs(row->balanced.value - balanced));
    *worst = worse(*worst, fabs(row->worst.value - least));
    assert_int_equal(row->worst_group, least_group);
    for (size_t g = 0; g < 2 * CLASSES; g++) {
        assert_int_equal(fscanf(golden, "%zu", &right), 1);
        assert_int_equal(lround(row->group[g].value * (double)clipspan_groups_get(groups, g)->images), right);
    }
    clipspan_groups_free(groups);
    return true;
}

/* Returns the largest score of all. */
static double golden_scores(FILE *golden, int convention, double *worst)
{
    enum { SCORES = 5 };
    const float texts[2][FAKE_EMBED] = {{0.6F, 0.8F}, {0, 0, 1}};
    double score[SCORES][ABLATION_HEADS], expected, largest = 0;
    clipspan_groups *groups = golden_groups(convention, 0);
    assert_int_equal(clipspan_groups_contrast(groups, score[0], NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_groups_mistakes(groups, score[1], NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_groups_cue(groups, terms.store, texts[0], 2, score[2], score[3], score[4], NULL, NULL),
                     CLIPSPAN_OK);
    for (size_t h = 0; h < ABLATION_HEADS; h++)
        for (size_t s = 0; s < SCORES; s++) {
            assert_int_equal(fscanf(golden, "%lf", &expected), 1);
            *worst = worse(*worst, fabs(score[s][h] - expected));
            largest = fmax(largest, fabs(expected));
        }
    clipspan_groups_free(groups);
    return largest;
}

static void equals_the_golden(void **state)
{
    (void)state;
    char line[256];
    double accuracy = 0, score = 0;
    int rows = 0;
    FILE *golden = fopen("golden/analysis/groups.txt", "r");
    assert_non_null(golden);
    assert_non_null(fgets(line, sizeof line, golden)); /* the command */
    while (golden_row(golden, &accuracy)) rows++;
    for (int convention = 0; convention < 2; convention++) assert_true(golden_scores(golden, convention, &score) > 0.2);
    fclose(golden);
    printf("golden: accuracies differ by %.1e, scores by %.1e\n", accuracy, score);
    assert_int_equal(rows, 16);
    assert_true(accuracy < 1e-11 && score < 5e-7); /* observed 4.3e-13 (twelve digits are written) and 3.6e-8 */
}

static void refused(const clipspan_groups_options *options, const int *labels, const char *words)
{
    clipspan_error err = {0};
    clipspan_groups *groups = (clipspan_groups *)&err;
    clipspan_status status =
        clipspan_groups_open(&groups, terms.store, labels, given.classes, given.classifier, options, NULL, &err);
    assert_int_equal(status, CLIPSPAN_ERROR_ARGUMENT);
    assert_null(groups);
    if (strstr(err.message, words) == NULL) fail_msg("'%s' does not say '%s'", err.message, words);
}

static void what_is_refused(void **state)
{
    (void)state;
    clipspan_groups_options options = by_animal(1);
    int labels[ABLATION_ROWS];
    unsigned char one[ABLATION_HEADS] = {1}, other[ABLATION_HEADS] = {0, 1};
    double score[ABLATION_HEADS] = {1, 1, 1, 1, 1, 1};
    clipspan_error err = {0};
    options.attribute = NULL;
    refused(&options, given.labels, "no attribute");
    options.attribute = "weight";
    refused(&options, given.labels, "no column \"weight\"");
    options = by_animal(1);
    const char *where[] = {"label=nowhere"};
    options.where = where;
    options.where_count = 1;
    refused(&options, given.labels, "no image of the store has label=nowhere");
    where[0] = "label";
    refused(&options, given.labels, "expected COLUMN=VALUE");
    where[0] = "weight=3";
    refused(&options, given.labels, "no column \"weight\"");
    options = by_animal(1);
    memcpy(labels, given.labels, sizeof labels);
    labels[3] = CLASSES;
    refused(&options, labels, "label 3 of row 3");
    for (size_t i = 0; i < ABLATION_ROWS; i++) labels[i] = given.values[i] == 1 ? 0 : given.labels[i];
    refused(&options, labels, "a group with no image");
    for (size_t i = 0; i < ABLATION_ROWS; i++) labels[i] = -1;
    refused(&options, labels, "0 groups");
    options.skip_empty = 1;
    for (size_t i = 0; i < ABLATION_ROWS; i++) labels[i] = given.values[i] == 1 ? 0 : given.labels[i];
    clipspan_groups *groups = NULL;
    assert_int_equal(clipspan_groups_open(&groups, terms.store, labels, given.classes, given.classifier, &options, NULL,
                                          NULL), CLIPSPAN_OK);
    assert_true(clipspan_groups_get_info(groups).groups < 2 * CLASSES);
    clipspan_groups_free(groups);
    options = by_animal(0);
    options.heads = one;
    groups = opened(&options);
    assert_int_equal(clipspan_groups_add(groups, "set", other, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "L0.H1 is not among the heads that were read"));
    assert_int_equal(clipspan_groups_add_ranked(groups, "r", score, 3, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "halves are needed"));
    assert_int_equal(clipspan_groups_add_greedy(groups, "g", 3, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    const char *found = "";
    assert_int_equal(clipspan_heads_published(&found, terms.store, NULL, one, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_heads_published(&found, terms.store, "ViT-L-14", one, &err), CLIPSPAN_ERROR_MISMATCH);
    assert_null(found);
    clipspan_groups_free(groups);
}

static void allocation_failures(void **state)
{
    (void)state;
    clipspan_groups_options options = by_animal(1);
    float texts[FAKE_EMBED] = {1};
    double score[ABLATION_HEADS];
    unsigned long n = 0;
    clipspan_status status;
    options.paper = options.threads = 1;
    options.last = 2;
    options.mean_from = terms.store;
    do {
        clipspan_groups *groups = NULL;
        clipspan_moments *moments = NULL;
        clipspan_error err;
        clsp_alloc_fail_at(++n);
        status = clipspan_groups_open(&groups, terms.store, given.labels, given.classes, given.classifier, &options, NULL,
                                      &err);
        if (status == CLIPSPAN_OK) status = clipspan_groups_contrast(groups, score, &err);
        if (status == CLIPSPAN_OK) status = clipspan_groups_add_ranked(groups, "ranked", score, 3, &err);
        if (status == CLIPSPAN_OK) status = clipspan_groups_add_greedy(groups, "greedy", 2, NULL, &err);
        if (status == CLIPSPAN_OK)
            status = clipspan_groups_cue(groups, terms.store, texts, 1, score, NULL, NULL, NULL, &err);
        if (status == CLIPSPAN_OK) status = clipspan_groups_moments(groups, terms.store, &moments, NULL, &err);
        clsp_alloc_fail_at(0);
        if (status != CLIPSPAN_OK) assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        clipspan_moments_free(moments);
        clipspan_groups_free(groups);
    } while (status != CLIPSPAN_OK && n < 3000);
    assert_true(n > 60 && n < 3000);
}

static int open_store(void **state)
{
    (void)state;
    ablation_terms_open(&terms, "groups_store", EVERYTHING);
    make_problem();
    return 0;
}

static int close_store(void **state)
{
    (void)state;
    clipspan_texts_free(given.classes);
    ablation_terms_close(&terms);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracies),    cmocka_unit_test(means_from_a_store), cmocka_unit_test(halves_and_greedy),
        cmocka_unit_test(rankings),      cmocka_unit_test(cue_scores),         cmocka_unit_test(half_moments),
        cmocka_unit_test(intervals_of_groups), cmocka_unit_test(equals_the_golden),
        cmocka_unit_test(what_is_refused),    cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, open_store, close_store);
}
