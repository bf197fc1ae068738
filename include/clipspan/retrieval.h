/* clipspan/retrieval.h - the images of a store that are nearest in one head's (or a set of heads') space.
 *
 * ALGORITHMS 6 and docs/retrieval.md.
 */
#ifndef CLIPSPAN_RETRIEVAL_H
#define CLIPSPAN_RETRIEVAL_H

#include "clipspan/analysis.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif

#endif
