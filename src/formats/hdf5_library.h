/* formats/hdf5_library.h - the HDF5 library's global state, for the files that know it (hdf5.c says why). */
#ifndef CLSP_FORMATS_HDF5_LIBRARY_H
#define CLSP_FORMATS_HDF5_LIBRARY_H

#ifndef CLSP_ROOM_FORMATS
#error "formats/hdf5_library.h is private to the room formats"
#endif

#include <hdf5.h>

#include "base/base.h"

typedef struct clsp_hdf5_printing {
    H5E_auto2_t print;
    void *user;
} clsp_hdf5_printing;

/* Takes the library's lock and silences it; _leave gives both back. */
clsp_hdf5_printing clsp_hdf5_enter(void);
void clsp_hdf5_leave(clsp_hdf5_printing before);

enum { CLSP_HDF5_REASON = 512 };
/* Why the last call failed; between enter and leave. */
void clsp_hdf5_reason(char out[CLSP_HDF5_REASON]);

/* Whether the file holds every byte of `count` elements, so that H5Dread may be let at them; between enter and leave. Known
 * are deflate, shuffle and Fletcher32, chunks of non-zero sides. */
clipspan_status clsp_hdf5_whole(bool *whole, hid_t set, size_t count, size_t element, clipspan_error *err);

#endif
