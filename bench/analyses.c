/* What the analyses cost on a store of ViT-L-14's shape (24 layers of 16 heads, 64 wide, 768 joint dimensions, f16). The
 * store is synthetic, written by the real writer where DIR holds none: 2.6 GB for 50,000 images, 4.5 GB with the MLPs'
 * terms. Its images are random numbers with what matters for speed made alike to a real one: z has a mean and a falling
 * spectrum, late layers weigh more (--even: all the same), MLPs are mostly their means, x0 is the same for all images, an
 * image's representation is the sum of its terms, and classes have half of their direction in common. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "programs.h"
#include "clipspan/ablation.h"
#include "clipspan/analysis.h"
#include "clipspan/groups.h"
#include "clipspan/map.h"
#include "compute/compute.h"
#include "model/model.h"
#include "store/store.h"

enum { LAYERS = 24, HEADS = 16, WIDE = 64, JOINT = 768, ALL = LAYERS * HEADS, BATCH = 256, CLASSES = 1000, TOKENS = 257 };
enum { MLPS = LAYERS + 1 }; /* x0 among them */
enum { POOL = 3498, PICKS = 20, RESAMPLES = 100, LAST = 4 }; /* TextSpan's texts, those of a head, layers that it is asked for */
enum { CUES = 2, MOST = 10 }; /* texts of a spurious cue; heads that a search may replace */

static const char help[] =
    "usage: bench_analyses DIR [--images N] [--mlp] [--even] [--random-labels] [--threads N] [--only NAME] [--json]\n"
    "\n"
    "Writes a synthetic store (ViT-L-14's shape, f16) into DIR where there is none, and times the analyses on it.\n"
    "  --images N        images of a store that is written (50000)\n"
    "  --mlp             a store that is written has the terms of x0 and of every MLP\n"
    "  --even            a store that is written has layers of equal weight\n"
    "  --random-labels   labels are dealt at random; without, three images in four have the class that is nearest\n"
    "  --threads N       (2)\n"
    "  --only NAME       map, ablate, groups or stability alone\n"
    "  --json            one object a line: name, value, unit, against\n";

typedef struct options {
    const char *directory, *only;
    size_t images;
    int threads;
    bool mlp, even, random_labels, json;
} options;

static double processor(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void say(const options *o, const char *name, double value, const char *unit, const char *against)
{
    if (o->json)
        printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"against\": \"%s\"}\n", name, value, unit, against);
    else
        printf("%-38s %10.4g %-4s %s\n", name, value, unit, against);
    fflush(stdout);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* Of mean 0 and variance 1, nearly normal: four uniform numbers of 16 bits. */
static float normal(uint64_t *state)
{
    uint64_t bits = next(state);
    double sum = (double)((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48));
    return (float)((sum / 65536 - 2) * 1.7320508);
}

/* rows: [count, JOINT] of unit length with half of their direction in common. */
static void make_texts(float *rows, size_t count, uint64_t state)
{
    float common[JOINT];
    for (size_t e = 0; e < JOINT; e++) common[e] = normal(&state);
    for (size_t c = 0; c < count; c++) {
        double square = 0;
        float *row = rows + c * JOINT;
        for (size_t e = 0; e < JOINT; e++) {
            row[e] = common[e] + normal(&state);
            square += (double)row[e] * (double)row[e];
        }
        for (size_t e = 0; e < JOINT; e++) row[e] = (float)((double)row[e] / sqrt(square));
    }
}

/* "text 0", "text 1", ... */
static clipspan_status name_texts(clipspan_texts **out, size_t count, clipspan_error *err)
{
    char(*names)[16] = malloc(count * sizeof *names);
    const char **list = malloc(count * sizeof *list);
    clipspan_status status = names && list ? CLIPSPAN_OK : clsp_fail_memory(err);
    for (size_t i = 0; status == CLIPSPAN_OK && i < count; i++) {
        snprintf(names[i], sizeof names[i], "text %zu", i);
        list[i] = names[i];
    }
    if (status == CLIPSPAN_OK) status = clipspan_texts_copy(out, list, count, err);
    free(names);
    free(list);
    return status;
}

/* ---- the store ---------------------------------------------------------------------------------------------- */

typedef struct maker {
    clipspan_basis basis;
    float *block;
    float size[LAYERS], fall[WIDE], biases[JOINT]; /* sum of the layers' */
    float *z, *row, *embedding; /* [ALL, BATCH, WIDE], [BATCH, ALL * WIDE], [BATCH, JOINT] */
    float *mlp, *mlp_middle, *mlp_mean; /* [MLPS, BATCH, JOINT], [MLPS, JOINT], [MLPS, BATCH] zeros; NULL: no MLPs */
} maker;

/* Sets the terms of x0 and the MLPs, and the embedding to their sum. */
static void make_mlps(const maker *m, size_t n, size_t i, uint64_t *state)
{
    float *sum = m->embedding + i * JOINT;
    memset(sum, 0, JOINT * sizeof *sum);
    for (size_t t = 0; t < MLPS; t++) {
        float size = t == 0 ? 0 : 0.01F * m->size[t - 1];
        float *term = m->mlp + (t * n + i) * JOINT;
        for (size_t e = 0; e < JOINT; e++) sum[e] += term[e] = m->mlp_middle[t * JOINT + e] + size * normal(state);
    }
}

static void make_image(const maker *m, size_t n, size_t i, uint64_t at)
{
    uint64_t state = (at + i) << 24;
    for (size_t h = 0; h < ALL; h++)
        for (size_t c = 0; c < WIDE; c++) {
            float value = m->size[h / HEADS] * m->fall[c] * (0.5F + normal(&state));
            m->z[(h * n + i) * WIDE + c] = m->row[i * ALL * WIDE + h * WIDE + c] = value;
        }
    if (m->mlp)
        make_mlps(m, n, i, &state);
    else
        for (size_t e = 0; e < JOINT; e++) m->embedding[i * JOINT + e] = 0.05F * normal(&state);
}

/* embedding: [JOINT] the sum of all terms, becomes r = (sum + biases - mu ones) / sigma + constant. Returns |r|. */
static float finish_image(const maker *m, float *embedding, float mu, float sigma)
{
    double square = 0;
    for (size_t e = 0; e < JOINT; e++) {
        embedding[e] = (embedding[e] + m->biases[e] - mu * m->basis.ones[e]) / sigma + m->basis.constant[e];
        square += (double)embedding[e] * (double)embedding[e];
    }
    return (float)sqrt(square);
}

static clipspan_status source(void *user, uint64_t first, uint64_t count, clsp_range_fn fn, void *fn_user,
                              const clipspan_hooks *hooks, clipspan_error *err)
{
    static float mu[BATCH], sigma[BATCH], norm[BATCH];
    static uint64_t index[BATCH];
    const maker *m = user;
    (void)hooks;
    for (uint64_t at = first; at < first + count; at += BATCH) {
        size_t n = (size_t)(first + count - at < BATCH ? first + count - at : BATCH);
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n; i++) make_image(m, n, i, at);
        clipspan_status status = clsp_sgemm(m->embedding, JOINT, m->row, ALL * WIDE, false, m->basis.w, JOINT, false, n,
                                            JOINT, ALL * WIDE, 1, 1, err);
        for (size_t i = 0; i < n; i++) {
            index[i] = at + i;
            mu[i] = 0.01F * (float)(i % 7);
            sigma[i] = 1.4F + 0.01F * (float)(i % 11);
            norm[i] = finish_image(m, m->embedding + i * JOINT, mu[i], sigma[i]);
        }
        const clipspan_batch batch = {.basis = &m->basis, .images = n, .index = index, .z = m->z, .mu = mu,
                                      .sigma = sigma, .norm = norm, .embedding = m->embedding, .mlp = m->mlp,
                                      .mlp_mean = m->mlp_mean};
        if (status == CLIPSPAN_OK) status = fn(fn_user, at, n, &batch, err);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

static clipspan_status maker_open_mlps(maker *m, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t state = 7;
    CLSP_ALLOC(m->mlp, clsp_alloc((size_t)MLPS * BATCH * JOINT, sizeof *m->mlp));
    CLSP_ALLOC(m->mlp_middle, clsp_alloc((size_t)MLPS * JOINT, sizeof *m->mlp_middle));
    CLSP_ALLOC(m->mlp_mean, clsp_alloc_zero((size_t)MLPS * BATCH, sizeof *m->mlp_mean));
    for (size_t t = 0; t < MLPS; t++)
        for (size_t e = 0; e < JOINT; e++) m->mlp_middle[t * JOINT + e] = 0.1F * m->size[t ? t - 1 : 0] * normal(&state);
out:
    return status;
}

static clipspan_status maker_open(maker *m, const options *o, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_basis_part parts[CLSP_BASIS_PARTS];
    size_t total;
    uint64_t state = 1;
    *m = (maker){.basis = {.layers = LAYERS, .heads = HEADS, .head_dim = WIDE, .embed_dim = JOINT, .tokens = TOKENS}};
    if (!clsp_basis_parts(&m->basis, parts, &total)) return clsp_fail_memory(err);
    CLSP_ALLOC(m->block, clsp_alloc(total, sizeof *m->block));
    CLSP_ALLOC(m->z, clsp_alloc((size_t)ALL * BATCH * WIDE, sizeof *m->z));
    CLSP_ALLOC(m->row, clsp_alloc((size_t)ALL * BATCH * WIDE, sizeof *m->row));
    CLSP_ALLOC(m->embedding, clsp_alloc((size_t)BATCH * JOINT, sizeof *m->embedding));
    for (size_t i = 0; i < total; i++) m->block[i] = normal(&state) / 28;
    for (size_t p = 0; p < CLSP_BASIS_PARTS; p++) *parts[p].field = m->block + parts[p].offset;
    for (size_t c = 0; c < WIDE; c++) m->fall[c] = c == 0 ? 0.5F : 0.96F * m->fall[c - 1];
    for (size_t l = LAYERS; l-- > 0;) m->size[l] = l + 1 == LAYERS || o->even ? 1 : 0.8F * m->size[l + 1];
    for (size_t i = 0; i < (size_t)LAYERS * JOINT; i++) m->biases[i % JOINT] += m->basis.bias[i];
    if (o->mlp) status = maker_open_mlps(m, err);
out:
    return status;
}

static void maker_close(maker *m)
{
    clsp_free(m->block);
    clsp_free(m->z);
    clsp_free(m->row);
    clsp_free(m->embedding);
    clsp_free(m->mlp);
    clsp_free(m->mlp_middle);
    clsp_free(m->mlp_mean);
}

static clipspan_status write_store(const options *o, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_images *list = NULL;
    clipspan_model model = {0};
    clipspan_store_options how = CLIPSPAN_STORE_OPTIONS_INIT;
    maker m = {0};
    char path[4200];
    snprintf(path, sizeof path, "%s.csv", o->directory);
    FILE *file = fopen(path, "w");
    if (file == NULL) return clsp_fail_errno(err, "%s", path);
    fprintf(file, "path,class,place\n");
    for (size_t i = 0; i < o->images; i++)
        fprintf(file, "%07zu.jpg,%zu,%zu\n", i, i % 2, i % 21 == 7 ? 1 - i % 2 : i % 2);
    fclose(file);
    model.info = (clipspan_model_info){.name = "bench", .path = "bench", .family = "clip", .image_size = 224,
                                       .patch_size = 14, .tokens = TOKENS, .layers = LAYERS, .heads = HEADS,
                                       .fingerprint = "00112233445566778899aabbccddeeff", .logit_scale = 100.0F};
    strcpy(model.fingerprint, model.info.fingerprint);
    how.decompose.parts = o->mlp ? CLIPSPAN_PART_MLP : 0;
    how.half = 1;
    CLSP_TRY(maker_open(&m, o, err));
    CLSP_TRY(clipspan_images_open(&list, path, NULL, err));
    const clsp_store_job job = {.directory = o->directory, .model = &model, .images = list, .basis = &m.basis,
                                .options = &how, .batch = BATCH, .source = source, .source_user = &m};
    CLSP_TRY(clsp_store_run(&job, NULL, NULL, err));
out:
    clipspan_images_free(list);
    maker_close(&m);
    return status;
}

/* ---- ablations ---------------------------------------------------------------------------------------------- */

typedef struct labelling {
    const float *classifier;
    float *cosine; /* [BATCH, CLASSES] */
    int *labels;   /* [I] */
    uint64_t state;
    bool random;
} labelling;

static clipspan_status label_batch(void *user, const clipspan_batch *batch, clipspan_error *err)
{
    labelling *l = user;
    clipspan_status status = clsp_sgemm(l->cosine, CLASSES, batch->embedding, JOINT, false, l->classifier, JOINT, true,
                                        batch->images, CLASSES, JOINT, 1, 0, err);
    for (size_t i = 0; i < batch->images; i++) {
        uint64_t dealt = next(&l->state);
        size_t best = 0;
        for (size_t c = 1; c < CLASSES; c++)
            if (l->cosine[i * CLASSES + c] > l->cosine[i * CLASSES + best]) best = c;
        l->labels[batch->index[i]] = l->random || dealt % 4 == 0 ? (int)(dealt / 4 % CLASSES) : (int)best;
    }
    return status;
}

static clipspan_status make_labels(labelling *l, const clipspan_store *store, clipspan_error *err)
{
    const clipspan_store_selection select = {.no_heads = 1, .batch = BATCH};
    l->cosine = malloc((size_t)BATCH * CLASSES * sizeof *l->cosine);
    l->labels = malloc((size_t)clipspan_store_get_info(store)->images * sizeof *l->labels);
    if (l->cosine == NULL || l->labels == NULL) return clsp_fail_memory(err);
    return clipspan_store_each(store, &select, label_batch, l, NULL, err);
}

static size_t count_rows(const clipspan_ablation_study *study)
{
    size_t rows = 0;
    for (int kind = 0; kind < CLIPSPAN_ABLATED_KINDS; kind++)
        rows += clipspan_ablation_study_count(study, (clipspan_ablated)kind);
    return rows;
}

/* How much the terms are worth decides how many classes bounds leave open. */
static void say_accuracy(const options *o, const clipspan_ablation_study *study)
{
    const clipspan_ablation_score *attention = clipspan_ablation_study_direct(study, CLIPSPAN_ABLATED_UP_TO, LAYERS - 1);
    const clipspan_ablation_score *mlps = clipspan_ablation_study_direct(study, CLIPSPAN_ABLATED_MLPS, 0);
    say(o, "top-1", clipspan_ablation_study_direct(study, CLIPSPAN_ABLATED_NOTHING, 0)->top1.value, "", "");
    say(o, "top-1 without attention", attention->top1.value, "", "");
    if (mlps) say(o, "top-1 without MLPs", mlps->top1.value, "", "");
}

static clipspan_status time_ablate(const options *o, const clipspan_store *store, const float *classifier, clipspan_error *err)
{
    clipspan_ablation_study_options how = CLIPSPAN_ABLATION_STUDY_OPTIONS_INIT;
    labelling l = {.classifier = classifier, .state = 5, .random = o->random_labels};
    clipspan_status status = make_labels(&l, store, err);
    how.threads = o->threads;
    for (int resamples = 0; resamples <= (o->mlp ? 0 : 1000) && status == CLIPSPAN_OK; resamples += 1000) {
        clipspan_ablation_study *study = NULL;
        double began = now(), used = processor();
        how.resamples = resamples;
        status = clipspan_ablation_study_run(&study, store, classifier, CLASSES, l.labels, &how, NULL, err);
        if (status != CLIPSPAN_OK) break;
        char name[64];
        size_t rows = count_rows(study);
        snprintf(name, sizeof name, "ablate, %zu rows, %d resamples", rows, resamples);
        say(o, name, now() - began, "s", "wall; at most 5 are asked");
        snprintf(name, sizeof name, "ablate, %zu rows, %d resamples, processor", rows, resamples);
        say(o, name, processor() - used, "s", "");
        if (resamples == 0) say_accuracy(o, study);
        clipspan_ablation_study_free(study);
    }
    free(l.cosine);
    free(l.labels);
    return status;
}

/* ---- groups ------------------------------------------------------------------------------------------------- */

/* What `clipspan groups` runs for every kind of row that is searched for. */
static clipspan_status search_groups(clipspan_groups *groups, const clipspan_store *store, const float *cue, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    double contrast[ALL], mistakes[ALL], span[ALL], passing[ALL], correlation[ALL];
    CLSP_TRY(clipspan_groups_cue(groups, store, cue, CUES, span, passing, correlation, NULL, err));
    CLSP_TRY(clipspan_groups_contrast(groups, contrast, err));
    CLSP_TRY(clipspan_groups_mistakes(groups, mistakes, err));
    const double *const scores[] = {span, passing, correlation, contrast, mistakes};
    static const char *const names[] = {"span", "passing", "correlation", "contrast", "mistakes"};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++)
        CLSP_TRY(clipspan_groups_add_ranked(groups, names[i], scores[i], MOST, err));
    CLSP_TRY(clipspan_groups_add_greedy(groups, "greedy", MOST, NULL, err));
out:
    return status;
}

/* Two classes and two places (write_store): four groups. */
static clipspan_status time_groups(const options *o, const clipspan_store *store, const float *classifier, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_groups_options how = CLIPSPAN_GROUPS_OPTIONS_INIT;
    clipspan_groups *groups = NULL;
    clipspan_texts *classes = NULL;
    size_t images = (size_t)clipspan_store_get_info(store)->images;
    int *labels = malloc(images * sizeof *labels);
    if (labels == NULL) return clsp_fail_memory(err);
    for (size_t i = 0; i < images; i++) labels[i] = (int)(i % 2);
    how.attribute = "place";
    how.threads = o->threads;
    CLSP_TRY(name_texts(&classes, 2, err));
    double began = now(), used = processor();
    CLSP_TRY(clipspan_groups_open(&groups, store, labels, classes, classifier, &how, NULL, err));
    say(o, "groups, opened", now() - began, "s", "wall; every head's logits, four groups");
    CLSP_TRY(search_groups(groups, store, classifier + 2 * JOINT, err));
    say(o, "groups, with every search", now() - began, "s", "wall; opened, a cue, contrast, mistakes, greedy");
    say(o, "groups, with every search, processor", processor() - used, "s", "");
out:
    clipspan_groups_free(groups);
    clipspan_texts_free(classes);
    free(labels);
    return status;
}

/* ---- TextSpan's stability ----------------------------------------------------------------------------------- */

static clipspan_status time_stability(const options *o, const clipspan_store *store, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_textspan_options how = CLIPSPAN_TEXTSPAN_OPTIONS_INIT;
    clipspan_textspan *span = NULL;
    clipspan_moments *moments = NULL;
    clipspan_texts *pool = NULL;
    unsigned char heads[ALL] = {0};
    float *embeddings = malloc((size_t)POOL * JOINT * sizeof *embeddings);
    if (embeddings == NULL) return clsp_fail_memory(err);
    make_texts(embeddings, POOL, 13);
    memset(heads + ALL - LAST * HEADS, 1, LAST * HEADS);
    how.heads = heads;
    how.size = PICKS;
    how.threads = o->threads;
    CLSP_TRY(name_texts(&pool, POOL, err));
    CLSP_TRY(clipspan_store_moments(store, &moments, err));
    CLSP_TRY(clipspan_textspan_run(&span, moments, pool, embeddings, &how, NULL, err));
    double began = now(), used = processor();
    CLSP_TRY(clipspan_textspan_measure_stability(span, store, embeddings, RESAMPLES, NULL, err));
    say(o, "TextSpan's stability", now() - began, "s", "wall; 64 heads, 3,498 texts, 20 each, 100 resamples");
    say(o, "TextSpan's stability, processor", processor() - used, "s", "");
out:
    clipspan_textspan_free(span);
    clipspan_moments_free(moments);
    clipspan_texts_free(pool);
    free(embeddings);
    return status;
}

/* ---- maps ------------------------------------------------------------------------------------------------------- */

/* One image with all tokens of all layers, held. */
static clipspan_status hold_image(clipspan_held **held, const options *o, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const size_t count = (size_t)ALL * TOKENS * WIDE;
    maker m = {0};
    int layers[LAYERS];
    uint64_t state = 3, index = 0;
    float mu = 0.01F, sigma = 1.4F, norm = 10;
    float *tokens = NULL;
    CLSP_TRY(maker_open(&m, o, err));
    make_image(&m, 1, 0, 0);
    CLSP_ALLOC(tokens, clsp_alloc(count, sizeof *tokens));
    for (size_t i = 0; i < count; i++) tokens[i] = normal(&state) / TOKENS;
    for (int l = 0; l < LAYERS; l++) layers[l] = l;
    const clipspan_batch batch = {.basis = &m.basis, .images = 1, .index = &index, .z = m.z, .mu = &mu, .sigma = &sigma,
                                  .norm = &norm, .embedding = m.embedding, .tokens = tokens, .token_layers = layers,
                                  .token_layer_count = LAYERS};
    CLSP_TRY(clipspan_held_new(held, err));
    CLSP_TRY(clipspan_held_take(*held, &batch, err));
out:
    maker_close(&m);
    clsp_free(tokens);
    return status;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static clipspan_status time_maps(const options *o, const float *classifier, clipspan_error *err)
{
    enum { TURNS = 101 };
    static const char *const names[] = {"map of a new text, whole", "map of a new text, by layer", "map of a new text, by head"};
    clipspan_status status = CLIPSPAN_OK;
    clipspan_held *held = NULL;
    double taken[TURNS];
    float *out = malloc((size_t)ALL * TOKENS * sizeof *out);
    if (out == NULL) return clsp_fail_memory(err);
    CLSP_TRY(hold_image(&held, o, err));
    for (int detail = CLIPSPAN_MAP_WHOLE; detail <= CLIPSPAN_MAP_HEAD; detail++) {
        for (size_t turn = 0; turn < TURNS; turn++) {
            double began = now();
            CLSP_TRY(clipspan_map_batch(out, clipspan_held_batch(held, 0), 0, CLIPSPAN_PAPER, NULL, classifier + turn * JOINT,
                                        1, (clipspan_map_detail)detail, o->threads, err));
            taken[turn] = 1000 * (now() - began);
        }
        qsort(taken, TURNS, sizeof *taken, by_size);
        char fastest[64];
        snprintf(fastest, sizeof fastest, "%s, fastest", names[detail]);
        say(o, names[detail], taken[TURNS / 2], "ms", "the middle one of 101; at most 5 are asked");
        say(o, fastest, taken[0], "ms", "");
    }
out:
    clipspan_held_free(held);
    free(out);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------- */

static bool asked(const options *o, const char *name)
{
    return o->only == NULL || strcmp(o->only, name) == 0;
}

static clipspan_status run(const options *o, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_store *store = NULL;
    float *classifier = malloc((size_t)CLASSES * JOINT * sizeof *classifier);
    if (classifier == NULL) return clsp_fail_memory(err);
    make_texts(classifier, CLASSES, 11);
    if (clipspan_store_open(&store, o->directory, NULL) != CLIPSPAN_OK || !clipspan_store_get_info(store)->complete) {
        clipspan_store_free(store);
        store = NULL;
        CLSP_TRY(write_store(o, err)); /* or what a killed run left to do */
        CLSP_TRY(clipspan_store_open(&store, o->directory, err));
    }
    if (asked(o, "map")) CLSP_TRY(time_maps(o, classifier, err));
    if (asked(o, "ablate")) CLSP_TRY(time_ablate(o, store, classifier, err));
    if (asked(o, "groups")) CLSP_TRY(time_groups(o, store, classifier, err));
    if (asked(o, "stability")) CLSP_TRY(time_stability(o, store, err));
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    say(o, "peak memory", (double)usage.ru_maxrss / 1024, "MB", "the store's mapped pages among it");
out:
    clipspan_store_free(store);
    free(classifier);
    return status;
}

static bool read_options(options *o, int argc, char **argv)
{
    *o = (options){.images = 50000, .threads = 2};
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(a, "--mlp") == 0) o->mlp = true;
        else if (strcmp(a, "--even") == 0) o->even = true;
        else if (strcmp(a, "--random-labels") == 0) o->random_labels = true;
        else if (strcmp(a, "--json") == 0) o->json = true;
        else if (strcmp(a, "--images") == 0) o->images = strtoull(value, NULL, 10), i++;
        else if (strcmp(a, "--threads") == 0) o->threads = atoi(value), i++;
        else if (strcmp(a, "--only") == 0) o->only = value, i++;
        else if (a[0] != '-' && o->directory == NULL) o->directory = a;
        else return false;
    }
    return o->directory != NULL && o->images > 0 && o->threads > 0;
}

int main(int argc, char **argv)
{
    clipspan_error err = {0};
    options o;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return fputs(help, stdout) < 0;
    if (!read_options(&o, argc, argv)) {
        fputs(help, stderr);
        return 2;
    }
    clsp_threads(o.threads);
    if (run(&o, &err) == CLIPSPAN_OK) return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}
