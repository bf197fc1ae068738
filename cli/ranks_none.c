/* A build without MPI: says so where ranks are started. */
#include "ranks.h"

#include <stdlib.h>

/* One process under mpirun does the work alone, as ever. */
int cli_ranks_launched(void)
{
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *size = getenv(sizes[i]);
        if (size != NULL && atoi(size) > 1) return 1;
    }
    return 0;
}

clipspan_status cli_ranks_begin(cli_ranks *ranks, clipspan_error *err)
{
    (void)ranks;
    return cli_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                    "built without MPI, so that every rank would do the same: configure with -DCLIPSPAN_MPI=ON, or use --part "
                    "K/N and clipspan merge");
}

void cli_ranks_end(void)
{
}

int cli_ranks_stopping(void)
{
    return 0;
}

clipspan_status cli_ranks_agree(const cli_ranks *ranks, clipspan_status status, clipspan_error *err)
{
    (void)ranks, (void)err;
    return status;
}
