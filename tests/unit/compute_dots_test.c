/* Products of picked rows, of rows with rows, and weighted squares, against sums in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compute/compute.h"

enum { ROWS = 7, SEGMENTS = 3, LONGEST = 70 };

static float a[SEGMENTS * LONGEST], rows[ROWS][SEGMENTS * LONGEST], size[SEGMENTS * LONGEST];
static const size_t lengths[] = {1, 3, 16, 19, 64, LONGEST};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static float number(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(*state >> 40) / (float)(1 << 23) - 1;
}

static void expect(float value, double expected, double scale)
{
    if (!(fabs((double)value - expected) <= 1e-6 * scale)) fail_msg("%.9g is not %.9g", (double)value, expected);
}

/* The bits do not depend on which of two rows is given as such, nor on company. */
static void picked_rows(void **state)
{
    (void)state;
    const int32_t which[] = {5, 0, 5, 6};
    for (size_t l = 0; l < LENGTHS; l++)
        for (size_t segments = 1; segments <= SEGMENTS; segments++) {
            size_t n = lengths[l] * segments;
            float out[4], parts[SEGMENTS], other;
            clsp_dots(out, a, rows[0], SEGMENTS * LONGEST, which, 4, n, lengths[l]);
            for (size_t j = 0; j < 4; j++) {
                const float *row = rows[which[j]];
                const int32_t self = 0;
                double sum = 0;
                float by_parts = 0;
                for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)row[i];
                expect(out[j], sum, (double)n);
                clsp_products(parts, a, row, segments, lengths[l]);
                for (size_t s = 0; s < segments; s++) by_parts += parts[s];
                clsp_dots(&other, row, a, 0, &self, 1, n, lengths[l]);
                assert_true(out[j] == by_parts && out[j] == other);
            }
        }
}

static void squares(void **state)
{
    (void)state;
    for (size_t l = 0; l < LENGTHS; l++) {
        float out[SEGMENTS];
        clsp_weighted_squares(out, a, rows[1], 0.75F, size, SEGMENTS, lengths[l]);
        for (size_t s = 0; s < SEGMENTS; s++) {
            double sum = 0;
            for (size_t i = s * lengths[l]; i < (s + 1) * lengths[l]; i++) {
                double x = ((double)a[i] - 0.75 * (double)rows[1][i]) * (double)size[i];
                sum += x * x;
            }
            expect(out[s], sum, 4 * (double)lengths[l]);
        }
    }
}

static int fill(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (size_t i = 0; i < SEGMENTS * LONGEST; i++) {
        a[i] = number(&seed);
        size[i] = number(&seed);
        for (size_t r = 0; r < ROWS; r++) rows[r][i] = number(&seed);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(picked_rows), cmocka_unit_test(squares)};
    return cmocka_run_group_tests(tests, fill, NULL);
}
