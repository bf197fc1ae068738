/* clipspan/neurons.h - what single MLP neurons write to the image representation.
 */
#ifndef CLIPSPAN_NEURONS_H
#define CLIPSPAN_NEURONS_H

#include "clipspan/analysis.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif

#endif
