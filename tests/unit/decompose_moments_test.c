/* Moments against sums in long double, their independence of batches, merging, and the variance they give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "decompose_fake.h"
#include "worse.h"

enum { LAYERS = 2, HEADS = 3, WIDTH = 5, EMBED = 7, TOKENS = 4, IMAGES = 23 };

/* A contribution of images [first, first + n); the caller frees what it returns after the batch was used. */
static clsp_contribution *contribution(const fake *f, const clsp_basis *basis, uint64_t first, size_t n,
                                       const clipspan_batch **batch)
{
    clsp_contribution *made = NULL;
    fake_capture capture;
    unsigned char ok[IMAGES];
    memset(ok, 1, sizeof ok);
    fake_capture_init(f, &capture, first, n);
    assert_int_equal(clsp_contribution_new(&made, basis, n, 0, NULL, 0, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_contribution_fill(made, &capture.capture, capture.embedding, first, n, ok, batch, NULL),
                     CLIPSPAN_OK);
    fake_capture_clear(&capture);
    return made;
}

static void add_range(clipspan_moments *moments, const fake *f, const clsp_basis *basis, uint64_t first, size_t n)
{
    const clipspan_batch *batch = NULL;
    clsp_contribution *made = contribution(f, basis, first, n, &batch);
    assert_int_equal(clipspan_moments_add(moments, batch, NULL), CLIPSPAN_OK);
    clsp_contribution_free(made);
}

static bool same_bits(const clipspan_moments *a, const clipspan_moments *b)
{
    size_t heads = LAYERS * HEADS;
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        if (memcmp(a->sum[c], b->sum[c], heads * clsp_head_width(&a->basis, c) * sizeof(double)) != 0) return false;
        if (memcmp(a->second[c], b->second[c], heads * clsp_moments_packed(&a->basis, c) * sizeof(double)) != 0)
            return false;
    }
    return a->images == b->images;
}

/* Largest relative distance of one head's moments from sums over the batch in long double. */
static double worst_of(const clipspan_moments *moments, const clipspan_batch *b, clipspan_convention convention)
{
    size_t d = WIDTH, k = clsp_head_width(b->basis, convention);
    double worst = 0, second[(WIDTH + 3) * (WIDTH + 3)], mean[WIDTH + 3];
    for (size_t head = 0; head < LAYERS * HEADS; head++) {
        clsp_moments_head(moments, convention, (int)(head / HEADS), (int)(head % HEADS), mean, second);
        for (size_t r = 0; r < k; r++)
            for (size_t c = 0; c <= k; c++) { /* c == k: the mean */
                long double sum = 0, size = 0;
                for (size_t i = 0; i < b->images; i++) {
                    long double y[WIDTH + 3], sigma = b->sigma[i];
                    long double by = convention == CLIPSPAN_PAPER ? sigma * (long double)b->norm[i] : sigma;
                    for (size_t m = 0; m < d; m++) y[m] = (long double)b->z[(head * b->images + i) * d + m] / by;
                    y[d] = (convention == CLIPSPAN_PAPER ? 1.0L : sigma) / by;
                    y[d + 1] = (long double)b->mu[i] / by;
                    y[d + 2] = sigma / by;
                    long double term = y[r] * (c < k ? y[c] : 1.0L);
                    sum += term;
                    size += term < 0 ? -term : term;
                }
                double got = (c < k ? second[r * k + c] : mean[r]) * (double)b->images;
                worst = worse(worst, (double)(fabsl((long double)got - sum) / size));
            }
    }
    return worst;
}

static void against_long_double(void **state)
{
    (void)state;
    fake f;
    clsp_basis basis;
    clipspan_moments *moments = NULL;
    const clipspan_batch *batch = NULL;
    fake_init(&f, LAYERS, HEADS, WIDTH, EMBED, TOKENS, false, 3);
    assert_int_equal(clsp_basis_make(&basis, &f.model, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_new(&moments, &basis.view, NULL), CLIPSPAN_OK);
    clsp_contribution *made = contribution(&f, &basis, 0, IMAGES, &batch);
    assert_int_equal(clipspan_moments_add(moments, batch, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_images(moments), IMAGES);
    assert_memory_equal(clipspan_moments_basis(moments)->w, basis.view.w, LAYERS * HEADS * WIDTH * EMBED * sizeof(float));
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        double worst = worst_of(moments, batch, c);
        printf("%s: %.1e of the sum of magnitudes\n", c == CLIPSPAN_PAPER ? "paper" : "exact", worst);
        assert_true(worst < 1e-14); /* 3e-16 observed */
    }
    clsp_contribution_free(made);
    clipspan_moments_free(moments);
    clsp_basis_clear(&basis);
    fake_clear(&f);
}

/* The same images in other batches give the same bits; two halves merged give the whole within round-off. */
static void batches_and_halves(void **state)
{
    (void)state;
    fake f;
    clsp_basis basis;
    clipspan_moments *whole = NULL, *pieces = NULL, *second = NULL;
    fake_init(&f, LAYERS, HEADS, WIDTH, EMBED, TOKENS, false, 3);
    assert_int_equal(clsp_basis_make(&basis, &f.model, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_new(&whole, &basis.view, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_new(&pieces, &basis.view, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_new(&second, &basis.view, NULL), CLIPSPAN_OK);
    add_range(whole, &f, &basis, 0, IMAGES);
    add_range(pieces, &f, &basis, 0, 1);
    add_range(pieces, &f, &basis, 1, 9);
    assert_false(same_bits(whole, pieces));
    add_range(second, &f, &basis, 10, 13);
    clipspan_moments *merged = NULL;
    assert_int_equal(clipspan_moments_new(&merged, &basis.view, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_merge(merged, pieces, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_merge(merged, second, NULL), CLIPSPAN_OK);
    add_range(pieces, &f, &basis, 10, 13);
    assert_true(same_bits(whole, pieces));
    assert_int_equal(merged->images, IMAGES);
    double worst = 0;
    for (size_t i = 0; i < LAYERS * HEADS * clsp_moments_packed(&basis.view, CLIPSPAN_PAPER); i++)
        worst = worse(worst, fabs(merged->second[0][i] - whole->second[0][i]));
    assert_true(worst < 1e-12);
    clipspan_moments_free(whole);
    clipspan_moments_free(pieces);
    clipspan_moments_free(second);
    clipspan_moments_free(merged);
    clsp_basis_clear(&basis);
    fake_clear(&f);
}

/* M' (second - mean mean') M is the covariance of the vectors that clipspan_batch_head makes. */
static void moments_give_the_variance(void **state)
{
    (void)state;
    fake f;
    clsp_basis basis;
    clipspan_moments *moments = NULL;
    const clipspan_batch *batch = NULL;
    fake_init(&f, LAYERS, HEADS, WIDTH, EMBED, TOKENS, false, 5);
    assert_int_equal(clsp_basis_make(&basis, &f.model, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_new(&moments, &basis.view, NULL), CLIPSPAN_OK);
    clsp_contribution *made = contribution(&f, &basis, 0, IMAGES, &batch);
    assert_int_equal(clipspan_moments_add(moments, batch, NULL), CLIPSPAN_OK);
    for (int c = CLIPSPAN_PAPER; c <= CLIPSPAN_EXACT; c++) {
        size_t k = clsp_head_width(&basis.view, c);
        float rows[IMAGES * EMBED], map[(WIDTH + 3) * EMBED];
        double second[(WIDTH + 3) * (WIDTH + 3)], mean[WIDTH + 3], direct = 0, factored = 0;
        assert_int_equal(clipspan_batch_head(batch, c, 1, 2, rows, NULL), CLIPSPAN_OK);
        clsp_head_map(&basis.view, c, 1, 2, map);
        clsp_moments_head(moments, c, 1, 2, mean, second);
        for (size_t e = 0; e < EMBED; e++) {
            double sum = 0, square = 0;
            for (size_t i = 0; i < IMAGES; i++) sum += (double)rows[i * EMBED + e] / IMAGES;
            for (size_t i = 0; i < IMAGES; i++) square += pow((double)rows[i * EMBED + e] - sum, 2) / IMAGES;
            direct += square;
            for (size_t r = 0; r < k; r++)
                for (size_t q = 0; q < k; q++)
                    factored += (double)map[r * EMBED + e] * (second[r * k + q] - mean[r] * mean[q]) *
                                (double)map[q * EMBED + e];
        }
        assert_true(direct > 0);
        assert_true(fabs(factored - direct) < 1e-6 * direct);
    }
    clsp_contribution_free(made);
    clipspan_moments_free(moments);
    clsp_basis_clear(&basis);
    fake_clear(&f);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    fake f, other;
    clsp_basis basis, narrow;
    clipspan_moments *a = NULL, *b = NULL;
    const clipspan_batch *batch = NULL;
    clipspan_error err = {0};
    fake_init(&f, LAYERS, HEADS, WIDTH, EMBED, TOKENS, false, 3);
    fake_init(&other, LAYERS, HEADS, WIDTH - 1, EMBED, TOKENS, false, 3);
    assert_int_equal(clsp_basis_make(&basis, &f.model, NULL), CLIPSPAN_OK);
    assert_int_equal(clsp_basis_make(&narrow, &other.model, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_new(&a, &basis.view, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_new(&b, &narrow.view, NULL), CLIPSPAN_OK);
    assert_int_equal(clipspan_moments_merge(a, b, &err), CLIPSPAN_ERROR_MISMATCH);
    clsp_contribution *made = contribution(&f, &basis, 0, 2, &batch);
    assert_int_equal(clipspan_moments_add(b, batch, &err), CLIPSPAN_ERROR_MISMATCH);
    ((float *)(uintptr_t)batch->norm)[1] = NAN;
    assert_int_equal(clipspan_moments_add(a, batch, &err), CLIPSPAN_ERROR_INTERNAL);
    assert_non_null(strstr(err.message, "image 1 of the list"));
    assert_int_equal(clipspan_moments_images(a), 0);
    clsp_contribution_free(made);
    clipspan_moments_free(a);
    clipspan_moments_free(b);
    clsp_basis_clear(&basis);
    clsp_basis_clear(&narrow);
    fake_clear(&f);
    fake_clear(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_long_double),
        cmocka_unit_test(batches_and_halves),
        cmocka_unit_test(moments_give_the_variance),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
