/* Weights laid out once in the order in which products read them: for matrix tiles where there are any (tiles.c), else in
 * the layout that oneDNN picks for the usual number of rows. */
#include "compute/onednn.h"
#include "compute/tiles.h"

static bool for_tiles(const clsp_packed *p)
{
    return p->type == CLSP_TYPE_BF16 && clsp_tiles_fit(p->in, p->out) && clsp_tiles_supported();
}

static clipspan_status ask_library(clsp_packed *p, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_workspace *workspace = NULL;
    clsp_product product = {0};
    CLSP_ALLOC(p->matrix, clsp_alloc_zero(1, sizeof *p->matrix));
    clsp_product_desc desc = {.m = p->rows, .n = p->out, .k = p->in, .a_stride = p->in, .c_stride = p->out,
                              .input = p->type, .output = p->type, .packed = p->matrix};
    CLSP_TRY(clsp_workspace_new(&workspace, err));
    CLSP_TRY(clsp_product_new(&product, workspace, &desc, err));
    p->bytes = clsp_matrix_bytes(p->matrix);
out:
    clsp_product_clear(&product);
    clsp_workspace_free(workspace);
    return status;
}

clipspan_status clsp_packed_init(clsp_packed *packed, clsp_type type, size_t in, size_t out, size_t rows,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    *packed = (clsp_packed){.type = type, .in = in, .out = out, .rows = rows};
    if (!for_tiles(packed)) {
        status = ask_library(packed, err);
    } else {
        packed->layout = "amx_bf16";
        if (!clsp_mul(&packed->bytes, in, out) || !clsp_mul(&packed->bytes, packed->bytes, sizeof(uint16_t)))
            status = clsp_fail_memory(err);
    }
    if (status != CLIPSPAN_OK) clsp_packed_clear(packed);
    return status;
}

clipspan_status clsp_packed_fill(clsp_packed *packed, void *to, const float *weight, bool transposed,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_workspace *workspace = NULL;
    if (packed->matrix == NULL) {
        clsp_tiles_pack(to, weight, transposed, packed->in, packed->out);
    } else {
        CLSP_TRY(clsp_workspace_new(&workspace, err));
        /* b of the product is [in, out]: what PyTorch keeps as [out, in] is its transpose. */
        CLSP_TRY(clsp_matrix_pack(workspace, to, packed->matrix, weight, !transposed, packed->in, packed->out, err));
    }
    packed->weight = to;
out:
    clsp_workspace_free(workspace);
    return status;
}

void clsp_packed_clear(clsp_packed *packed)
{
    if (packed->matrix) clsp_matrix_clear(packed->matrix);
    clsp_free(packed->matrix);
    *packed = (clsp_packed){0};
}
