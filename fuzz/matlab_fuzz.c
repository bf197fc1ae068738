/* Bytes as gtsegs_ijcv.mat: whatever is accepted has as many bytes as its shape asks for. */
#define CLSP_TESTS 1

#include <stdlib.h>

#include "formats/matlab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned char sink;

static void read_all(const clsp_matlab *file, const char *field)
{
    enum { FEW = 16 };
    uint64_t *cells = NULL;
    size_t count = 0;
    clipspan_error err;
    if (clsp_matlab_cells(file, field, &cells, &count, &err) != CLIPSPAN_OK) return;
    for (size_t i = 0; i < count && i < FEW; i++) {
        clsp_matlab_array array;
        if (clsp_matlab_array_read(&array, file, cells[i], "cell", true, &err) != CLIPSPAN_OK) continue;
        size_t bytes = 1;
        for (int d = 0; d < array.dims; d++) bytes *= array.shape[d];
        if (bytes == 0) abort();
        sink = array.data[bytes - 1];
        clsp_free(array.data);
    }
    clsp_free(cells);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    clsp_matlab *file = NULL;
    clipspan_error err;
    if (clsp_matlab_parse(&file, data, size, "fuzz", &err) != CLIPSPAN_OK) return 0;
    read_all(file, "value/img");
    read_all(file, "value/gt");
    clsp_matlab_close(file);
    return 0;
}
