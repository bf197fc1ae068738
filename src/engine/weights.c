/* Weights from a model's files into packed layers, one matrix at a time. */
#include "engine/towers.h"

#include <string.h>

clipspan_status clsp_packer_init(clsp_packer *packer, clsp_workspace *workspace, clsp_type type,
                                 const clsp_tower_config *config, size_t other_in, size_t other_out,
                                 clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t width = (size_t)config->width, hidden = (size_t)config->mlp_width;
    *packer = (clsp_packer){.workspace = workspace, .type = type};
    packer->matrix_room = clsp_max(clsp_max(3 * width, hidden) * width, other_in * other_out);
    packer->bias_room = clsp_max(clsp_max(3 * width, hidden), other_out);
    CLSP_ALLOC(packer->matrix, clsp_alloc_aligned(packer->matrix_room, sizeof *packer->matrix));
    CLSP_ALLOC(packer->bias, clsp_alloc_aligned(packer->bias_room, sizeof *packer->bias));
out:
    if (status != CLIPSPAN_OK) clsp_packer_clear(packer);
    return status;
}

void clsp_packer_clear(clsp_packer *packer)
{
    clsp_free(packer->matrix);
    clsp_free(packer->bias);
    *packer = (clsp_packer){0};
}

typedef struct clsp_packed_node {
    clsp_packed packed;
    void *weight;
    float *bias;
    struct clsp_packed_node *next;
} clsp_packed_node;

void clsp_packed_list_free(clsp_packed_node *list)
{
    while (list) {
        clsp_packed_node *next = list->next;
        clsp_packed_clear(&list->packed);
        clsp_free(list->weight);
        clsp_free(list->bias);
        clsp_free(list);
        list = next;
    }
}

static clipspan_status keep(clsp_linear **out, const clsp_packer *packer, const clsp_linear_desc *desc,
                            bool transposed, bool has_bias, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_packed_node *node;
    CLSP_ALLOC(node, clsp_alloc_zero(1, sizeof *node));
    node->next = *packer->kept;
    *packer->kept = node;
    CLSP_TRY(clsp_packed_init(&node->packed, desc->compute, desc->in, desc->out, desc->rows, err));
    CLSP_ALLOC(node->weight, clsp_alloc_aligned(node->packed.bytes, 1));
    CLSP_TRY(clsp_packed_fill(&node->packed, node->weight, packer->matrix, transposed, err));
    if (has_bias) {
        CLSP_ALLOC(node->bias, clsp_alloc_aligned(desc->out, sizeof *node->bias));
        memcpy(node->bias, packer->bias, desc->out * sizeof *node->bias);
        node->packed.bias = node->bias;
    }
    CLSP_TRY(clsp_linear_new(out, packer->workspace, &node->packed, desc->output, desc->epilogue, err));
out:
    return status;
}

clipspan_status clsp_pack_linear(clsp_linear **out, const clsp_packer *packer, const clsp_linear_desc *desc,
                                 const clsp_stack *stack, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    size_t rows = desc->out / (size_t)stack->count;
    bool has_bias = false;
    *out = NULL;
    if (desc->in * desc->out > packer->matrix_room || (stack->biases[0] && desc->out > packer->bias_room))
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "layer of %zu x %zu: no room to stage it", desc->out, desc->in);
    for (int i = 0; i < stack->count; i++) {
        CLSP_TRY(clsp_weight_floats(stack->weights[i], rows * desc->in, packer->matrix + (size_t)i * rows * desc->in,
                                    err));
        if (stack->biases[i] == NULL) continue;
        has_bias = has_bias || stack->biases[i]->tensor != NULL;
        CLSP_TRY(clsp_weight_floats(stack->biases[i], rows, packer->bias + (size_t)i * rows, err));
    }
    CLSP_TRY(keep(out, packer, desc, stack->weights[0]->transposed, has_bias, err));
out:
    return status;
}

clipspan_status clsp_read_vector(float **out, const clsp_weight *weight, size_t count, clipspan_error *err)
{
    *out = clsp_alloc_aligned(count, sizeof **out);
    if (*out == NULL) return clsp_fail_memory(err);
    clipspan_status status = clsp_weight_floats(weight, count, *out, err);
    if (status == CLIPSPAN_OK) return status;
    clsp_free(*out);
    *out = NULL;
    return status;
}
