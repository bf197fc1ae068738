/* clipspan/groups.h - accuracy by group (label x attribute), and heads that carry a spurious cue.
 *
 * ALGORITHMS 5 and docs/groups.md.
 */
#ifndef CLIPSPAN_GROUPS_H
#define CLIPSPAN_GROUPS_H

#include "clipspan/ablation.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif

#endif
