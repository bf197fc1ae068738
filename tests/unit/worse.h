/* The larger of two differences, for tests that keep the worst. fmax passes over what is no number; here that is the worst
 * of all, so that no limit holds. */
#ifndef CLSP_TESTS_WORSE_H
#define CLSP_TESTS_WORSE_H

#include <math.h>

static inline double worse(double a, double b) { return isnan(a) || isnan(b) ? (double)INFINITY : fmax(a, b); }

#endif
