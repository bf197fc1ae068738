/* The classifier against its definition, with the towers of a small random model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model_maker.h"
#include "scratch.h"

#include "clipspan/report.h"
#include "formats/json.h"
#include "worse.h"

enum { EMBED = 24, CLASSES = 300, TEMPLATES = 3 };

static const char *const templates[TEMPLATES] = {"a photo of a {}.", "{}", "the {} and the {}"};

typedef struct towers {
    clipspan_model *model;
    clipspan_engine *engine;
    clipspan_texts *classes, *templates;
    char names[CLASSES][24];
} towers;

static void towers_open(towers *t, const char *folder)
{
    clipspan_error err;
    model_recipe recipe = MODEL_RECIPE_INIT;
    const char *names[CLASSES];
    const char *path = scratch(folder);
    recipe.embed = EMBED;
    if (clsp_directory_make(path, &err) != CLIPSPAN_OK || model_make(path, &recipe, &err) != CLIPSPAN_OK ||
        clipspan_model_open(&t->model, path, NULL, &err) != CLIPSPAN_OK ||
        clipspan_engine_open(&t->engine, t->model, NULL, &err) != CLIPSPAN_OK)
        fail_msg("%s", err.message);
    for (int c = 0; c < CLASSES; c++) {
        snprintf(t->names[c], sizeof t->names[c], "red square %d", c);
        names[c] = t->names[c];
    }
    assert_int_equal(clipspan_texts_copy(&t->classes, names, CLASSES, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_texts_copy(&t->templates, templates, TEMPLATES, &err), CLIPSPAN_OK);
}

static void towers_close(towers *t)
{
    clipspan_texts_free(t->classes);
    clipspan_texts_free(t->templates);
    clipspan_engine_free(t->engine);
    clipspan_model_free(t->model);
}

/* Mean of the three prompts' unit embeddings, unit length. */
static void by_hand(towers *t, int c, double *out)
{
    char prompts[TEMPLATES][80];
    const char *texts[TEMPLATES] = {prompts[0], prompts[1], prompts[2]};
    float rows[TEMPLATES * EMBED];
    double square = 0;
    snprintf(prompts[0], 80, "a photo of a %s.", t->names[c]);
    snprintf(prompts[1], 80, "%s", t->names[c]);
    snprintf(prompts[2], 80, "the %s and the %s", t->names[c], t->names[c]);
    assert_int_equal(clipspan_engine_embed_texts(t->engine, texts, TEMPLATES, 1, rows, NULL), CLIPSPAN_OK);
    for (int d = 0; d < EMBED; d++) {
        out[d] = 0;
        for (int p = 0; p < TEMPLATES; p++) out[d] += (double)rows[p * EMBED + d];
        square += out[d] * out[d];
    }
    for (int d = 0; d < EMBED; d++) out[d] /= sqrt(square);
}

/* 300 classes of 3 prompts: two calls of the text tower. */
static void test_equals_definition(void **state)
{
    (void)state;
    towers t = {0};
    clipspan_error err;
    double worst = 0, expected[EMBED], apart = 0;
    float *classifier = malloc(CLASSES * EMBED * sizeof *classifier);
    towers_open(&t, "classifier_model");
    assert_int_equal(clipspan_classifier_build(t.engine, t.classes, t.templates, classifier, NULL, &err), CLIPSPAN_OK);
    for (int c = 0; c < CLASSES; c += 13) {
        by_hand(&t, c, expected);
        for (int d = 0; d < EMBED; d++) {
            worst = worse(worst, fabs((double)classifier[c * EMBED + d] - expected[d]));
            apart = fmax(apart, fabs((double)classifier[c * EMBED + d] - (double)classifier[d]));
        }
    }
    printf("classifier: largest difference %.1e; classes up to %.2f apart\n", worst, apart);
    assert_true(worst < 5e-7); /* batches of another size: observed 2.8e-8 */
    assert_true(apart > 0.05);
    free(classifier);
    towers_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    towers t = {0};
    clipspan_error err;
    clipspan_texts *none = NULL, *bare = NULL;
    const char *without[] = {"a {}", "a photo"};
    float classifier[CLASSES * EMBED];
    towers_open(&t, "refused_model");
    assert_int_equal(clipspan_texts_copy(&none, NULL, 0, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_texts_copy(&bare, without, 2, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_classifier_build(t.engine, none, t.templates, classifier, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_classifier_build(t.engine, t.classes, none, classifier, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_int_equal(clipspan_classifier_build(t.engine, t.classes, bare, classifier, NULL, &err),
                     CLIPSPAN_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "template 2 (\"a photo\") has no {}"));
    clipspan_texts_free(none);
    clipspan_texts_free(bare);
    towers_close(&t);
}

typedef struct watch {
    unsigned calls, stop_at; /* stop_at: the call that asks to stop; 0: none */
    unsigned long long done;
} watch;

static int on_progress(void *user, const clipspan_progress *progress)
{
    watch *w = user;
    assert_string_equal(progress->stage, "classes");
    assert_int_equal(progress->total, CLASSES);
    assert_true(progress->done >= w->done);
    w->done = progress->done;
    return ++w->calls == w->stop_at;
}

/* Told before the first prompts and after each call of the tower; stopped when asked. */
static void test_progress(void **state)
{
    (void)state;
    towers t = {0};
    clipspan_error err;
    watch whole = {0}, stopped = {.stop_at = 2};
    float *classifier = malloc(CLASSES * EMBED * sizeof *classifier);
    clipspan_hooks hooks = {on_progress, NULL, &whole};
    towers_open(&t, "progress_model");
    assert_int_equal(clipspan_classifier_build(t.engine, t.classes, t.templates, classifier, &hooks, &err), CLIPSPAN_OK);
    assert_int_equal(whole.calls, 3);
    assert_int_equal(whole.done, CLASSES);
    hooks.user = &stopped;
    assert_int_equal(clipspan_classifier_build(t.engine, t.classes, t.templates, classifier, &hooks, &err),
                     CLIPSPAN_ERROR_INTERRUPTED);
    assert_int_equal(stopped.calls, 2);
    assert_non_null(strstr(err.message, "170 of 300 classes"));
    free(classifier);
    towers_close(&t);
}

static void test_model_report(void **state)
{
    (void)state;
    towers t = {0};
    clipspan_error err;
    clsp_json *root = NULL;
    int64_t width = 0;
    towers_open(&t, "reported_model");
    const char *path = scratch("model.json");
    assert_int_equal(clipspan_report_model(t.model, CLIPSPAN_JSON, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_json_open(&root, path, CLSP_JSON_MAXIMUM, &err), CLIPSPAN_OK);
    assert_true(clsp_json_int(clsp_json_get(root, "embed_dim"), &width));
    assert_int_equal(width, EMBED);
    assert_string_equal(clsp_json_string(clsp_json_get(root, "layout")), "huggingface");
    assert_string_equal(clsp_json_string(clsp_json_get(root, "fingerprint")),
                        clipspan_model_get_info(t.model)->fingerprint);
    clsp_json_free(root);
    towers_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_definition),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_model_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
