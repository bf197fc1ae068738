/* model/copy.h - files and folders copied byte for byte, but for stretches of some that change on the way. */
#ifndef CLSP_MODEL_COPY_H
#define CLSP_MODEL_COPY_H

#ifndef CLSP_ROOM_MODEL
#error "model/copy.h belongs to the model room"
#endif

#include "base/base.h"

/* One stretch of a file: either other bytes, or a matrix of which some columns become zero. */
typedef struct clsp_change {
    const char *file; /* its name in the folder; borrowed */
    size_t offset, length;
    unsigned char *bytes;       /* [length] what stands there; NULL: zeros in the columns below */
    size_t row, piece;          /* bytes of a row, and of a column of them */
    const unsigned char *zeros; /* [row / piece] of 0 and 1: columns that become zero */
} clsp_change;

typedef struct clsp_copy {
    const clsp_change *changes; /* [count] */
    size_t count;
    const char *const *kept; /* [kept_count] names at the top of the folder that are copied whatever they end in */
    size_t kept_count;
    bool only_kept; /* nothing else is copied */
    const clipspan_hooks *hooks;
    uint64_t done, total; /* bytes */
} clsp_copy;

clipspan_status clsp_copy_file(clsp_copy *copy, const char *from, const char *name, const char *to,
                               clipspan_error *err);
/* Into a new folder, or one that is empty: built beside it, renamed at the end. A link to a folder that holds the copy's
 * place is followed, but the copy is not copied. */
clipspan_status clsp_copy_folder(clsp_copy *copy, const char *from, const char *to, clipspan_error *err);

#endif
