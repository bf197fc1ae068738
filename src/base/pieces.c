/* Pieces of a file, copied from what the system has of it. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

clipspan_status clsp_pieces_open(clsp_pieces *pieces, const char *path, clipspan_error *err)
{
    *pieces = (clsp_pieces){path, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    return pieces->handle >= 0 ? CLIPSPAN_OK : clsp_fail_errno(err, "%s", path);
}

clipspan_status clsp_pieces_read(const clsp_pieces *pieces, void *to, size_t length, uint64_t offset, clipspan_error *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t got = pread(pieces->handle, (char *)to + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return clsp_fail_errno(err, "%s: cannot be read", pieces->path);
        if (got == 0)
            return clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: ends before byte %llu", pieces->path,
                             (unsigned long long)(offset + length));
        done += (size_t)got;
    }
    return CLIPSPAN_OK;
}

void clsp_pieces_ahead(const clsp_pieces *pieces, uint64_t offset, uint64_t length)
{
    posix_fadvise(pieces->handle, (off_t)offset, (off_t)length, POSIX_FADV_WILLNEED);
}

void clsp_pieces_close(clsp_pieces *pieces)
{
    if (pieces->handle >= 0) close(pieces->handle);
    pieces->handle = -1;
}
