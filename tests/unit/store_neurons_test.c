/* Neurons in a store: what comes back is what a plain pass gives, a run killed at any step ends with the bytes of one in
 * one go, shards are those of a store without them, and stores without them stay what they were. */
#include "store_fake.h"

#include <sys/wait.h>

#include "analysis_fake.h"
#include "compute/compute.h"
#include "scratch.h"
#include "worse.h"

enum { TOP = 3, READABLE = 40 };

static void run_to_end(store_fake *s)
{
    clipspan_error err = {0};
    clipspan_store_summary summary;
    s->steps_until_death = 0;
    if (store_fake_run(s, &summary, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(summary.images, READABLE);
}

/* true: the run was killed. */
static bool run_and_die(store_fake *s)
{
    int how = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(store_fake_run(s, NULL, NULL, NULL) == CLIPSPAN_OK ? 0 : 1);
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFEXITED(how)) assert_int_equal(WEXITSTATUS(how), 0);
    return WIFSIGNALED(how);
}

static void same_files(const char *a, const char *b, const char *pattern, bool wanted)
{
    char command[1400];
    snprintf(command, sizeof command, "cd '%s' && for f in %s; do cmp -s $f '%s'/$f || exit 1; done", a, pattern, b);
    if ((system(command) == 0) != wanted) fail_msg("%s of %s and %s", pattern, a, b);
}

static void init(store_fake *s, const char *name, int moments_only)
{
    store_fake_init(s, name);
    s->options.neurons = TOP;
    s->options.moments_only = moments_only;
    if (moments_only) s->options.decompose.parts = 0;
}

static void killed_at_every_step(void **state)
{
    (void)state;
    for (int moments_only = 0; moments_only < 2; moments_only++) {
        store_fake whole, s;
        int deaths = 0;
        init(&whole, "whole", moments_only);
        run_to_end(&whole);
        for (int k = 1;; k++) {
            init(&s, "killed", moments_only);
            s.steps_until_death = k;
            bool died = run_and_die(&s);
            run_to_end(&s);
            char command[1300];
            snprintf(command, sizeof command, "diff -r '%s' '%s' > /dev/null", whole.directory, s.directory);
            if (system(command) != 0) fail_msg("killed at step %d: other bytes", k);
            store_fake_clear(&s);
            if (!died) break;
            deaths++;
        }
        assert_int_equal(deaths, 3 + 4 * (moments_only ? 3 : 4)); /* sums, shard, manifest, removal */
        store_fake_clear(&whole);
    }
}

/* Their factors and terms again, straight from the source. */
typedef struct plain {
    double sum[2][FAKE_LAYERS][FAKE_MLP], squares[2][FAKE_LAYERS][FAKE_MLP], mlp[2][FAKE_LAYERS];
    float a[FAKE_LAYERS][READABLE][FAKE_MLP];
    size_t images;
} plain;

static clipspan_status gather_plain(void *user, uint64_t first, size_t n, const clipspan_batch *b, clipspan_error *err)
{
    plain *p = user;
    float term[64 * FAKE_EMBED];
    (void)first, (void)n;
    for (size_t l = 0; l < FAKE_LAYERS; l++)
        for (int c = 0; c < 2; c++) {
            if (b->images > 0) assert_int_equal(clipspan_batch_mlp(b, c, (int)l + 1, term, err), CLIPSPAN_OK);
            for (size_t i = 0; i < b->images; i++) {
                double scale = 1.0 / (double)b->sigma[i] / (c == CLIPSPAN_PAPER ? (double)b->norm[i] : 1.0);
                for (size_t e = 0; e < FAKE_EMBED; e++) p->mlp[c][l] += pow((double)term[i * FAKE_EMBED + e], 2);
                for (size_t j = 0; j < FAKE_MLP; j++) {
                    float a = p->a[l][p->images + i][j] = b->hidden[(l * b->images + i) * FAKE_MLP + j];
                    p->sum[c][l][j] += (double)a * scale;
                    p->squares[c][l][j] += pow((double)a * scale, 2);
                }
            }
        }
    p->images += b->images;
    return CLIPSPAN_OK;
}

static void compare_tops(const clipspan_neurons *n, const plain *p, int l, int j, int lowest)
{
    clipspan_neuron_image found[TOP];
    assert_int_equal(clipspan_neuron_images(n, l, j, lowest, found), TOP);
    for (size_t k = 0; k < TOP; k++) {
        size_t before = 0, row = (size_t)found[k].image;
        assert_true(row < READABLE && p->a[l][row][j] == found[k].activation);
        for (size_t i = 0; i < READABLE; i++) {
            float other = p->a[l][i][j], own = found[k].activation;
            before += (lowest ? other < own : other > own) || (other == own && i < row);
        }
        assert_int_equal(before, k); /* many activations are equal: the tie rule is at work */
    }
}

static void what_comes_back(void **state)
{
    (void)state;
    for (int moments_only = 0; moments_only < 2; moments_only++) {
        store_fake s;
        plain *p = calloc(1, sizeof *p);
        clipspan_store *store = NULL;
        clipspan_neurons *n = NULL;
        init(&s, "back", moments_only);
        run_to_end(&s);
        assert_int_equal(fake_source(&s, 0, FAKE_IMAGES, gather_plain, p, NULL, NULL), CLIPSPAN_OK);
        assert_int_equal(p->images, READABLE);
        assert_int_equal(clipspan_store_open(&store, s.directory, NULL), CLIPSPAN_OK);
        assert_int_equal(clipspan_store_get_info(store)->neurons, TOP);
        assert_int_equal(clipspan_store_get_info(store)->mlp_width, FAKE_MLP);
        assert_int_equal(clipspan_store_get_info(store)->parts, moments_only ? 0 : CLIPSPAN_PART_MLP | CLIPSPAN_PART_CLS);
        assert_int_equal(clipspan_store_neurons(store, &n, NULL), CLIPSPAN_OK);
        for (int l = 0; l < FAKE_LAYERS; l++)
            for (int j = 0; j < FAKE_MLP; j++) {
                for (int c = 0; c < 2; c++) {
                    clipspan_neuron one;
                    assert_int_equal(clipspan_neuron_get(n, c, l, j, &one, NULL), CLIPSPAN_OK);
                    assert_true(fabs(one.mean - p->sum[c][l][j] / READABLE) < 1e-12);
                    double rms = one.length * sqrt(p->squares[c][l][j] / READABLE);
                    assert_true(rms > 1e-3 && fabs(one.rms - rms) < 1e-12);
                }
                compare_tops(n, p, l, j, 0);
                compare_tops(n, p, l, j, 1);
            }
        clipspan_mlp_spread mlp;
        assert_int_equal(clipspan_neurons_mlp(n, CLIPSPAN_PAPER, 1, &mlp, NULL), CLIPSPAN_OK);
        assert_true(fabs(mlp.rms - sqrt(p->mlp[CLIPSPAN_PAPER][1] / READABLE)) < 1e-9);
        clipspan_neurons_free(n);
        clipspan_store_free(store);
        store_fake_clear(&s);
        free(p);
    }
}

/* ---- NumPy's and scikit-learn's figures: tests/golden/analysis/make_neurons.py ----------------------------------- */

enum { ALL = FAKE_LAYERS * FAKE_MLP, GOLDEN_TEXTS = 20, SHOWN = 3 };

/* The next `count` numbers of the golden: largest difference, relative where a number is above 1. */
static double next_golden(FILE *golden, const double *got, size_t count)
{
    double expected, worst = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(fscanf(golden, "%lf", &expected), 1);
        assert_true(isfinite(got[i]));
        worst = worse(worst, fabs(got[i] - expected) / fmax(1, fabs(expected)));
    }
    return worst;
}

static double golden_moments(FILE *golden, const clipspan_neurons *neurons, int convention)
{
    double worst = 0;
    int layer, neuron;
    for (size_t i = 0; i < ALL; i++) {
        clipspan_neuron n;
        assert_int_equal(fscanf(golden, "%d %d", &layer, &neuron), 2);
        assert_int_equal(clipspan_neuron_get(neurons, convention, layer, neuron, &n, NULL), CLIPSPAN_OK);
        const double got[] = {n.length, n.mean, n.deviation, n.active, n.rms, n.variance, n.share};
        worst = worse(worst, next_golden(golden, got, sizeof got / sizeof *got));
    }
    for (int l = 0; l < FAKE_LAYERS; l++) {
        clipspan_mlp_spread spread;
        assert_int_equal(clipspan_neurons_mlp(neurons, convention, l, &spread, NULL), CLIPSPAN_OK);
        const double got[] = {spread.mean_length, spread.rms, spread.variance};
        worst = worse(worst, next_golden(golden, got, sizeof got / sizeof *got));
    }
    return worst;
}

static void golden_ranks(FILE *golden, const clipspan_neurons *neurons, int convention)
{
    for (int order = CLIPSPAN_NEURONS_BY_RMS; order <= CLIPSPAN_NEURONS_BY_SHARE; order++) {
        clipspan_neuron ranked[ALL];
        size_t found;
        int expected;
        assert_int_equal(clipspan_neurons_rank(neurons, convention, order, NULL, ranked, ALL, &found, NULL), CLIPSPAN_OK);
        assert_int_equal(found, ALL);
        for (size_t i = 0; i < ALL; i++) {
            assert_int_equal(fscanf(golden, "%d", &expected), 1);
            assert_int_equal(ranked[i].layer * FAKE_MLP + ranked[i].neuron, expected);
        }
    }
}

static double golden_texts(FILE *golden, const clipspan_model *model)
{
    clipspan_error err = {0};
    clipspan_neuron asked[ALL];
    clipspan_neuron_text most[ALL][SHOWN], least[ALL][SHOWN];
    double worst = 0;
    int text;
    float *pool = world_pool(GOLDEN_TEXTS, FAKE_EMBED, 0, 31);
    for (int i = 0; i < ALL; i++) asked[i] = (clipspan_neuron){.layer = i / FAKE_MLP, .neuron = i % FAKE_MLP};
    if (clipspan_neurons_describe(model, asked, ALL, pool, GOLDEN_TEXTS, SHOWN, most[0], least[0], 1, NULL, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < ALL; i++)
        for (size_t k = 0; k < 2 * SHOWN; k++) {
            const clipspan_neuron_text *got = k < SHOWN ? &most[i][k] : &least[i][k - SHOWN];
            assert_int_equal(fscanf(golden, "%d", &text), 1);
            assert_int_equal(got->text, text);
            worst = worse(worst, next_golden(golden, &got->cosine, 1));
        }
    free(pool);
    return worst;
}

static void equals_the_golden(void **state)
{
    (void)state;
    store_fake s;
    clipspan_error err = {0};
    clipspan_store *store = NULL;
    clipspan_neurons *neurons = NULL;
    char line[256];
    double moments = 0;
    init(&s, "golden", 0);
    run_to_end(&s);
    assert_int_equal(clipspan_store_open(&store, s.directory, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_store_neurons(store, &neurons, &err), CLIPSPAN_OK);
    FILE *golden = fopen("golden/analysis/neurons.txt", "r");
    assert_non_null(golden);
    assert_non_null(fgets(line, sizeof line, golden)); /* the command */
    for (int convention = CLIPSPAN_PAPER; convention <= CLIPSPAN_EXACT; convention++) {
        moments = fmax(moments, golden_moments(golden, neurons, convention));
        golden_ranks(golden, neurons, convention);
    }
    double cosines = golden_texts(golden, &s.model.model);
    fclose(golden);
    printf("golden: moments differ by %.1e, cosines by %.1e\n", moments, cosines);
    assert_true(moments < 1e-6 && cosines < 1e-6); /* observed 7.7e-8 and 1.1e-7 */
    clipspan_neurons_free(neurons);
    clipspan_store_free(store);
    store_fake_clear(&s);
}

/* A store without neurons says nothing of them, and its shards and moments are those of one with them. */
static void without_neurons(void **state)
{
    (void)state;
    store_fake with, without;
    char command[1400];
    clipspan_error err;
    clipspan_store *store = NULL;
    clipspan_neurons *none = NULL;
    init(&with, "with", 0);
    run_to_end(&with);
    init(&without, "without", 0);
    without.options.neurons = 0;
    run_to_end(&without);
    same_files(without.directory, with.directory, "shard-*.safetensors moments.safetensors basis.safetensors", true);
    snprintf(command, sizeof command, "! grep -q -e '\"neurons' -e mlp_width '%s/manifest.json' && ! ls '%s' | grep -q neuron",
             without.directory, without.directory);
    assert_int_equal(system(command), 0);
    assert_int_equal(clipspan_store_open(&store, without.directory, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_store_neurons(store, &none, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "keeps no neurons");
    assert_null(none);
    clipspan_store_free(store);
    without.options.neurons = TOP;
    assert_int_equal(store_fake_run(&without, NULL, NULL, &err), CLIPSPAN_ERROR_MISMATCH);
    assert_message(err, "was begun with top images a neuron (0: no neurons): 0, asked for now is 3");
    without.options.neurons = 65;
    assert_int_equal(store_fake_run(&without, NULL, NULL, &err), CLIPSPAN_ERROR_ARGUMENT);
    assert_message(err, "65 top images a neuron, expected 0 to 64");
    store_fake_clear(&with);
    store_fake_clear(&without);
}

static void edit(const store_fake *s, const char *how)
{
    char command[1400];
    snprintf(command, sizeof command, "cd '%s' && %s", s->directory, how);
    assert_int_equal(system(command), 0);
}

static void damage(void **state)
{
    (void)state;
    static const struct {
        const char *how, *message;
    } cases[] = {
        {"printf X | dd of=neurons.safetensors bs=1 seek=3000 conv=notrunc status=none", "neurons.safetensors is damaged"},
        {"rm neurons.safetensors", "neurons.safetensors is missing"},
        {"truncate -s -1 neurons.safetensors", "neurons.safetensors is damaged"},
        {"sed -i 's/\"neurons\": 3/\"neurons\": 4/' manifest.json", "tensor 'top.activation' is F32 [3, 6, 2, 3], expected F32 [3, 6, 2, 4]"},
        {"sed -i 's/\"mlp_width\": 6/\"mlp_width\": 60000/' manifest.json", "tensor 'length' is F32 [3, 6], expected F32 [3, 60000]"},
        {"sed -i 's/\"neurons\": 3/\"neurons\": 0/' manifest.json", "\"neurons\" of options"},
        {"sed -i '/mlp_width/d; s/\\(\"logit_scale\": [0-9.]*\\),/\\1/' manifest.json", "\"neurons\" of options"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        store_fake s;
        clipspan_store *store = NULL;
        clipspan_neurons *n = NULL;
        clipspan_error err = {0};
        init(&s, "damaged", 0);
        run_to_end(&s);
        edit(&s, cases[i].how);
        clipspan_status status = clipspan_store_open(&store, s.directory, &err);
        if (status == CLIPSPAN_OK) status = clipspan_store_neurons(store, &n, &err);
        assert_int_equal(status, CLIPSPAN_ERROR_FORMAT);
        assert_message(err, cases[i].message);
        assert_null(n);
        clipspan_store_free(store);
        store_fake_clear(&s);
    }
}

static clipspan_store *walked;
static clipspan_status walk(void)
{
    clipspan_neurons *n = NULL;
    clipspan_status status = clipspan_store_neurons(walked, &n, NULL);
    clipspan_neurons_free(n);
    return status;
}

static void allocation_failures(void **state)
{
    (void)state;
    store_fake s;
    init(&s, "walked", 0);
    run_to_end(&s);
    assert_int_equal(clipspan_store_open(&walked, s.directory, NULL), CLIPSPAN_OK);
    walk_failed_allocations(walk);
    clipspan_store_free(walked);
    store_fake_clear(&s);
}

int main(void)
{
    clsp_threads(1); /* children are forked, and libgomp's threads do not come along */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_every_step), cmocka_unit_test(what_comes_back), cmocka_unit_test(without_neurons),
        cmocka_unit_test(equals_the_golden), cmocka_unit_test(damage), cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
