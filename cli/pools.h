/* cli/pools.h - several pools of texts as one. */
#ifndef CLIPSPAN_CLI_POOLS_H
#define CLIPSPAN_CLI_POOLS_H

#include "vectors.h"

/* The pools' texts one pool after the other, those that an earlier pool has left out. files: as many files of embeddings as
 * pools, or none; with them *embeddings is [T, E], else NULL; the caller frees both. */
clipspan_status cli_pools_open(clipspan_texts **out, float **embeddings, const cli_list *pools, const cli_list *files,
                               size_t embed_dim, clipspan_error *err);

#endif
