/* cli/ranks.h - the processes that mpirun started together. ranks_mpi.c is the one file that knows MPI; a build without it has
 * ranks_none.c. Nothing here starts MPI unless the process was launched as a rank. */
#ifndef CLIPSPAN_RANKS_H
#define CLIPSPAN_RANKS_H

#include "cli.h"

typedef struct cli_ranks {
    int rank, count;
    size_t threads; /* a fair share of the processors that this rank is bound to */
} cli_ranks;

int cli_ranks_launched(void); /* by mpirun, or a queue with its process manager */
clipspan_status cli_ranks_begin(cli_ranks *ranks, clipspan_error *err);
void cli_ranks_end(void); /* safe where nothing was begun */
/* True once another rank has failed: a job's progress hook asks. */
int cli_ranks_stopping(void);
/* All ranks meet here, each with how its work ended. OK: everyone's was. Else all get the status of the first rank that failed by
 * itself, and its message, with its number, is left to that rank alone; the others' becomes "". */
clipspan_status cli_ranks_agree(const cli_ranks *ranks, clipspan_status status, clipspan_error *err);

#endif
