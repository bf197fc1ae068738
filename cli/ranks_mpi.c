/* Ranks by MPI, which nothing else here knows. */
#define _GNU_SOURCE
#include "ranks.h"

#include <mpi.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STOP = 1 }; /* tag of the message "I have failed" */

static int begun, stopping;

int cli_ranks_launched(void)
{
    return getenv("OMPI_COMM_WORLD_SIZE") != NULL || getenv("PMI_SIZE") != NULL || getenv("PMIX_RANK") != NULL;
}

/* Each processor that this rank may use, shared with the ranks of the same machine that may use it too. */
static size_t fair_threads(void)
{
    MPI_Comm machine;
    int ranks = 1;
    double share = 0;
    cpu_set_t own, *all;
    CPU_ZERO(&own);
    if (sched_getaffinity(0, sizeof own, &own) != 0) return 1;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    MPI_Comm_size(machine, &ranks);
    all = calloc((size_t)ranks, sizeof *all);
    if (all != NULL) {
        MPI_Allgather(&own, sizeof own, MPI_BYTE, all, sizeof own, MPI_BYTE, machine);
        for (int c = 0; c < CPU_SETSIZE; c++) {
            int users = 0;
            for (int r = 0; CPU_ISSET(c, &own) && r < ranks; r++) users += CPU_ISSET(c, &all[r]) != 0;
            if (users > 0) share += 1.0 / users;
        }
        free(all);
    }
    MPI_Comm_free(&machine);
    return share < 1 ? 1 : (size_t)(share + 1e-9);
}

clipspan_status cli_ranks_begin(cli_ranks *ranks, clipspan_error *err)
{
    int level;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS)
        return cli_fail(err, CLIPSPAN_ERROR_INTERNAL, "MPI cannot be started");
    begun = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &ranks->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks->count);
    ranks->threads = fair_threads();
    return CLIPSPAN_OK;
}

void cli_ranks_end(void)
{
    if (begun) MPI_Finalize();
    begun = 0;
}

int cli_ranks_stopping(void)
{
    if (begun && !stopping) MPI_Iprobe(MPI_ANY_SOURCE, STOP, MPI_COMM_WORLD, &stopping, MPI_STATUS_IGNORE);
    return stopping;
}

/* Waits without taking the processor from ranks that still work. */
static void wait_for(MPI_Request *request)
{
    const struct timespec pause = {0, 2000000};
    for (int done = 0; !done; MPI_Test(request, &done, MPI_STATUS_IGNORE))
        if (!done) nanosleep(&pause, NULL);
}

static void tell_others(const cli_ranks *ranks, MPI_Request *sent)
{
    for (int r = 0; r < ranks->count; r++)
        if (r != ranks->rank) MPI_Isend(NULL, 0, MPI_BYTE, r, STOP, MPI_COMM_WORLD, sent++);
}

static void hear_others(int messages)
{
    while (messages-- > 0) MPI_Recv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, STOP, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

clipspan_status cli_ranks_agree(const cli_ranks *ranks, clipspan_status status, clipspan_error *err)
{
    MPI_Request meeting, *sent = calloc((size_t)ranks->count, sizeof *sent);
    int told = status != CLIPSPAN_OK && !stopping && sent != NULL, all_told = 0;
    /* The lowest of these speaks: who failed by itself before who was stopped, and all before who is well. */
    int bid = status == CLIPSPAN_OK ? 2 * ranks->count : told ? ranks->rank : ranks->count + ranks->rank, lowest = bid;
    if (told) tell_others(ranks, sent);
    MPI_Iallreduce(&bid, &lowest, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD, &meeting);
    wait_for(&meeting);
    MPI_Allreduce(&told, &all_told, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    hear_others(all_told - told);
    if (told) MPI_Waitall(ranks->count - 1, sent, MPI_STATUSES_IGNORE);
    free(sent);
    stopping = 0;
    if (lowest == 2 * ranks->count) return CLIPSPAN_OK;
    int speaker = lowest % ranks->count, common = (int)status;
    MPI_Bcast(&common, 1, MPI_INT, speaker, MPI_COMM_WORLD);
    char reason[CLIPSPAN_ERROR_LENGTH];
    snprintf(reason, sizeof reason, "%s", err->message);
    cli_fail(err, (clipspan_status)common, "rank %d: %.900s", ranks->rank, reason);
    if (ranks->rank != speaker) err->message[0] = '\0';
    return (clipspan_status)common;
}
