/* clipspan/segmentation.h - maps turned into masks, and masks held against the truth.
 *
 * Protocols and metrics are those of ALGORITHMS 7 and docs/segmentation.md. An analysis: it is fed maps, never runs the
 * model.
 */
#ifndef CLIPSPAN_SEGMENTATION_H
#define CLIPSPAN_SEGMENTATION_H

#include "clipspan/map.h"
#include "clipspan/relevance.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif

#endif
