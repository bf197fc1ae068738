/* Tiny models written by transformers and open_clip themselves (golden/model/make.py): every weight lands in its
 * role, with the values that PyTorch saw. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"

typedef struct role {
    const char *name;
    size_t offset;
} role;

#define R(owner, role) {#role, offsetof(owner, role)}
static const role vision_roles[] = {
    R(clsp_vision, patch), R(clsp_vision, class_token), R(clsp_vision, position), R(clsp_vision, ln_pre_gamma),
    R(clsp_vision, ln_pre_beta), R(clsp_vision, ln_post_gamma), R(clsp_vision, ln_post_beta),
    R(clsp_vision, projection), {NULL, 0}};
static const role text_roles[] = {R(clsp_text, token), R(clsp_text, position), R(clsp_text, ln_final_gamma),
                                  R(clsp_text, ln_final_beta), R(clsp_text, projection), {NULL, 0}};
#define B(role) R(clsp_block_weights, role)
static const role block_roles[] = {B(ln1_gamma), B(ln1_beta), B(ln2_gamma), B(ln2_beta), B(q), B(k), B(v), B(out),
                                   B(q_bias), B(k_bias), B(v_bias), B(out_bias), B(fc1), B(fc1_bias), B(fc2),
                                   B(fc2_bias), {NULL, 0}};

static const clsp_weight *by_role(const role *roles, const void *owner, const char *name)
{
    for (; roles->name; roles++)
        if (strcmp(roles->name, name) == 0) return (const clsp_weight *)((const char *)owner + roles->offset);
    fail_msg("no role %s", name);
    return NULL;
}

static const clsp_weight *find(const clipspan_model *m, const char *tower, const char *rest)
{
    bool vision = strcmp(tower, "vision") == 0;
    int block;
    char name[64];
    if (sscanf(rest, "%d.%63s", &block, name) == 2) {
        assert_true(block < (vision ? m->vision.config.layers : m->text.config.layers));
        return by_role(block_roles, vision ? &m->vision.blocks[block] : &m->text.blocks[block], name);
    }
    return vision ? by_role(vision_roles, &m->vision, rest) : by_role(text_roles, &m->text, rest);
}

static double weighted_sum(const clsp_weight *w)
{
    clipspan_error err = {0};
    size_t n = w->rows * w->columns;
    float *values = clsp_alloc(n, sizeof *values);
    if (clsp_weight_floats(w, n, values, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)values[i] * (double)(1 + i % 7);
    clsp_free(values);
    return sum;
}

/* Every line of sums.txt: role, rows, columns, sum. Double-precision sums of the same numbers: they agree to 1e-12 of
 * their terms' size; 1e-9 stands as the bound. */
static void check_sums(const clipspan_model *m, const char *folder)
{
    char path[256], tower[32], rest[64];
    unsigned long rows, columns;
    double sum;
    int lines = 0;
    snprintf(path, sizeof path, "%s/sums.txt", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fscanf(file, "%31[^.].%63s %lu %lu %lf ", tower, rest, &rows, &columns, &sum) == 5) {
        const clsp_weight *w = find(m, tower, rest);
        assert_non_null(w->tensor);
        if (w->rows != rows || w->columns != columns || fabs(weighted_sum(w) - sum) > 1e-9)
            fail_msg("%s: %s.%s: %zu x %zu, sum %.17g; expected %lu x %lu, %.17g", folder, tower, rest, w->rows,
                     w->columns, weighted_sum(w), rows, columns, sum);
        lines++;
    }
    fclose(file);
    assert_int_equal(lines, 13 + 3 * 16);
}

static clipspan_model *open_golden(const char *folder)
{
    clipspan_error err = {0};
    clipspan_model *model = NULL;
    if (clipspan_model_open(&model, folder, NULL, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    return model;
}

static void huggingface_by_transformers(void **state)
{
    (void)state;
    clipspan_model *m = open_golden("golden/model/huggingface");
    const clipspan_model_info *info = clipspan_model_get_info(m);
    check_sums(m, "golden/model/huggingface");
    assert_string_equal(info->layout, "huggingface");
    assert_string_equal(info->name, "huggingface");
    assert_string_equal(info->activation, "gelu");
    assert_string_equal(info->weight_type, "f32");
    assert_string_equal(info->tokenizer, "none");
    assert_int_equal(info->tokens, 5);
    assert_int_equal(info->head_dim, 4);
    assert_int_equal(info->text_heads, 2);
    assert_int_equal(m->text.eot_id, 15);
    assert_false(m->vision.projection.transposed);
    assert_int_equal(m->preprocess.resize, 9);
    assert_int_equal(m->preprocess.size, 8);
    assert_int_equal(m->preprocess.manner, CLSP_PREPROCESS_HUGGINGFACE);
    clipspan_model_free(m);
}

static void open_clip_by_open_clip(void **state)
{
    (void)state;
    const char *const folders[] = {"golden/model/open_clip", "golden/model/custom_text"};
    for (int i = 0; i < 2; i++) {
        clipspan_model *m = open_golden(folders[i]);
        const clipspan_model_info *info = clipspan_model_get_info(m);
        check_sums(m, folders[i]);
        assert_string_equal(info->layout, "open_clip");
        assert_string_equal(info->activation, "quick_gelu");
        assert_int_equal(info->heads, 3);
        assert_int_equal(info->mlp_width, 20); /* int(12 * 1.7) */
        assert_int_equal(info->text_mlp_width, 12);
        assert_int_equal(m->text.eot_id, -1);
        assert_true(m->vision.projection.transposed);
        assert_int_equal(m->preprocess.mode, CLSP_RESIZE_SQUASH);
        assert_int_equal(m->preprocess.interpolation, CLSP_BILINEAR);
        assert_true(m->preprocess.mean[1] == 0.2 && m->preprocess.std[2] == 0.6);
        clipspan_model_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(huggingface_by_transformers),
        cmocka_unit_test(open_clip_by_open_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
