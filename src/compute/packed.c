/* Weights laid out once in the order in which products read them: for matrix tiles where there are any (tiles.c), else for
 * vector registers (gemm.c). */
#include "compute/packed.h"

bool clsp_packed_for_tiles(const clsp_packed *p)
{
    return p->type == CLSP_TYPE_BF16 && clsp_tiles_fit(p->in, p->out) && clsp_tiles_supported();
}

clipspan_status clsp_packed_init(clsp_packed *packed, clsp_type type, size_t in, size_t out, clipspan_error *err)
{
    *packed = (clsp_packed){.type = type, .in = in, .out = out};
    packed->bytes = clsp_gemm_packed_bytes(type, in, out);
    packed->layout = clsp_gemm_layout(type);
    if (clsp_packed_for_tiles(packed)) {
        packed->layout = "amx_bf16";
        if (packed->bytes > 0) packed->bytes = in * out * sizeof(uint16_t);
    }
    return packed->bytes > 0 ? CLIPSPAN_OK : clsp_fail_memory(err);
}

void clsp_packed_fill(clsp_packed *packed, void *to, const float *weight, bool transposed)
{
    if (clsp_packed_for_tiles(packed))
        clsp_tiles_pack(to, weight, transposed, packed->in, packed->out);
    else
        clsp_gemm_pack(to, packed->type, weight, transposed ? packed->out : packed->in, transposed, packed->in, packed->out);
    packed->weight = to;
}
