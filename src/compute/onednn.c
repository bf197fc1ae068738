/* Everything that differs between oneDNN 2.x and 3.x stands in the first half of this file. */
#include "compute/onednn.h"

#include <omp.h>
#include <string.h>

clipspan_status clsp_dnnl_check(dnnl_status_t status, const char *what, clipspan_error *err)
{
    if (status == dnnl_success) return CLIPSPAN_OK;
    if (status == dnnl_out_of_memory) return clsp_fail_memory(err);
    if (status == dnnl_unimplemented)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED, "%s: %s has no such operation on this processor", what,
                         clsp_compute_name());
    return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "%s: %s answered %d", what, clsp_compute_name(), (int)status);
}

/* ---- what 2.x and 3.x spell differently ---------------------------------------------------------------- */

#if DNNL_VERSION_MAJOR >= 3

#define MD(matrix) ((matrix)->md)

static dnnl_status_t describe(clsp_matrix *out, int dims, const dnnl_dims_t shape, dnnl_data_type_t type,
                              const dnnl_dims_t strides)
{
    dnnl_status_t status =
        strides ? dnnl_memory_desc_create_with_strides(&out->md, dims, shape, type, strides)
                : dnnl_memory_desc_create_with_tag(&out->md, dims, shape, type, dnnl_format_tag_any);
    out->set = status == dnnl_success;
    return status;
}

static dnnl_status_t asked_layout(clsp_matrix *out, const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    dnnl_status_t status = dnnl_memory_desc_clone(&out->md, dnnl_primitive_desc_query_md(pd, what, 0));
    out->set = status == dnnl_success;
    return status;
}

void clsp_matrix_clear(clsp_matrix *matrix)
{
    if (matrix->set) dnnl_memory_desc_destroy(matrix->md);
    *matrix = (clsp_matrix){0};
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const clsp_matrix *a,
                                     const clsp_matrix *b, const clsp_matrix *bias, const clsp_matrix *c,
                                     const_dnnl_primitive_attr_t attributes)
{
    return dnnl_matmul_primitive_desc_create(out, engine, a->md, b->md, bias->set ? bias->md : NULL, c->md,
                                             attributes);
}

static dnnl_status_t after_function(dnnl_post_ops_t ops, dnnl_alg_kind_t function, float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, function, alpha, 0.0f);
}

static dnnl_status_t after_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

#else /* 2.x */

#define MD(matrix) (&(matrix)->md)

static dnnl_status_t describe(clsp_matrix *out, int dims, const dnnl_dims_t shape, dnnl_data_type_t type,
                              const dnnl_dims_t strides)
{
    dnnl_status_t status = strides ? dnnl_memory_desc_init_by_strides(&out->md, dims, shape, type, strides)
                                   : dnnl_memory_desc_init_by_tag(&out->md, dims, shape, type, dnnl_format_tag_any);
    out->set = status == dnnl_success;
    return status;
}

static dnnl_status_t asked_layout(clsp_matrix *out, const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    out->md = *dnnl_primitive_desc_query_md(pd, what, 0);
    out->set = true;
    return dnnl_success;
}

void clsp_matrix_clear(clsp_matrix *matrix)
{
    *matrix = (clsp_matrix){.set = false};
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const clsp_matrix *a,
                                     const clsp_matrix *b, const clsp_matrix *bias, const clsp_matrix *c,
                                     const_dnnl_primitive_attr_t attributes)
{
    dnnl_matmul_desc_t operation;
    dnnl_status_t status = dnnl_matmul_desc_init(&operation, &a->md, &b->md, bias->set ? &bias->md : NULL, &c->md);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(out, &operation, attributes, engine, NULL);
}

static dnnl_status_t after_function(dnnl_post_ops_t ops, dnnl_alg_kind_t function, float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, 1.0f, function, alpha, 0.0f);
}

static dnnl_status_t after_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f);
}

#endif

/* ---- the same for both --------------------------------------------------------------------------------- */

size_t clsp_matrix_bytes(const clsp_matrix *matrix)
{
    return dnnl_memory_desc_get_size(MD(matrix));
}

static dnnl_data_type_t type_of(clsp_type type)
{
    return type == CLSP_TYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

static dnnl_status_t describe_plain(clsp_matrix *out, size_t rows, size_t columns, size_t stride, bool transposed,
                                    dnnl_data_type_t type)
{
    dnnl_dims_t shape = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    dnnl_dims_t strides = {(dnnl_dim_t)stride, 1};
    if (transposed) {
        strides[0] = 1;
        strides[1] = (dnnl_dim_t)stride;
    }
    return describe(out, 2, shape, type, strides);
}

static dnnl_status_t append_epilogue(dnnl_post_ops_t ops, clsp_epilogue epilogue)
{
    switch (epilogue) {
    case CLSP_EPILOGUE_GELU: return after_function(ops, dnnl_eltwise_gelu_erf, 0.0f);
    case CLSP_EPILOGUE_GELU_TANH: return after_function(ops, dnnl_eltwise_gelu_tanh, 0.0f);
    case CLSP_EPILOGUE_QUICK_GELU: return after_function(ops, dnnl_eltwise_swish, 1.702f);
    case CLSP_EPILOGUE_ADD: return after_sum(ops);
    case CLSP_EPILOGUE_NONE: break;
    }
    return dnnl_success;
}

/* The library's modes are set here and nowhere else: strict fp32, scratchpad by the caller. */
static dnnl_status_t attributes_new(dnnl_primitive_attr_t *out, clsp_epilogue epilogue)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_fpmath_mode(*out, dnnl_fpmath_mode_strict);
    if (status == dnnl_success) status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success) status = append_epilogue(ops, epilogue);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*out, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

typedef struct layouts {
    clsp_matrix a, b, bias, c, scratch;
} layouts;

static dnnl_status_t describe_all(layouts *l, const clsp_product_desc *desc)
{
    dnnl_data_type_t input = type_of(desc->input);
    dnnl_dims_t b_shape = {(dnnl_dim_t)desc->k, (dnnl_dim_t)desc->n};
    dnnl_dims_t bias_shape = {1, (dnnl_dim_t)desc->n}, bias_strides = {(dnnl_dim_t)desc->n, 1};
    dnnl_status_t status = describe_plain(&l->a, desc->m, desc->k, desc->a_stride, false, input);
    if (status == dnnl_success)
        status = describe_plain(&l->c, desc->m, desc->n, desc->c_stride, false, type_of(desc->output));
    if (status == dnnl_success && desc->bias) status = describe(&l->bias, 2, bias_shape, dnnl_f32, bias_strides);
    if (status == dnnl_success && desc->packed == NULL)
        status = describe_plain(&l->b, desc->k, desc->n, desc->b_stride, desc->b_transposed, input);
    if (status == dnnl_success && desc->packed != NULL && !desc->packed->set)
        status = describe(&l->b, 2, b_shape, input, NULL);
    return status;
}

static dnnl_status_t memory_objects(clsp_product *p, dnnl_engine_t engine, const layouts *l, const clsp_matrix *b)
{
    dnnl_status_t status = dnnl_memory_create(&p->a, MD(&l->a), engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success) status = dnnl_memory_create(&p->b, MD(b), engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success) status = dnnl_memory_create(&p->c, MD(&l->c), engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success && l->bias.set)
        status = dnnl_memory_create(&p->bias, MD(&l->bias), engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success) status = dnnl_memory_create(&p->scratch, MD(&l->scratch), engine, DNNL_MEMORY_NONE);
    return status;
}

static dnnl_status_t build(clsp_product *p, dnnl_engine_t engine, layouts *l, const clsp_product_desc *desc,
                           dnnl_primitive_desc_t *pd, dnnl_primitive_attr_t *attributes)
{
    bool chosen = desc->packed != NULL && desc->packed->set;
    const clsp_matrix *b = chosen ? desc->packed : &l->b;
    dnnl_status_t status = attributes_new(attributes, desc->epilogue);
    if (status == dnnl_success) status = describe_all(l, desc);
    if (status == dnnl_success) status = describe_matmul(pd, engine, &l->a, b, &l->bias, &l->c, *attributes);
    if (status == dnnl_success && desc->packed != NULL && !chosen) {
        status = asked_layout(desc->packed, *pd, dnnl_query_weights_md);
        b = desc->packed;
    }
    if (status == dnnl_success) status = asked_layout(&l->scratch, *pd, dnnl_query_scratchpad_md);
    if (status != dnnl_success) return status;
    p->scratch_bytes = clsp_matrix_bytes(&l->scratch);
    dnnl_primitive_desc_query(*pd, dnnl_query_impl_info_str, 0, &p->name);
    status = dnnl_primitive_create(&p->primitive, *pd);
    return status == dnnl_success ? memory_objects(p, engine, l, b) : status;
}

clipspan_status clsp_product_new(clsp_product *product, const clsp_workspace *workspace, const clsp_product_desc *desc,
                                 clipspan_error *err)
{
    layouts l = {.a = {.set = false}};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    int before = omp_get_max_threads();
    if (desc->threads > 0) omp_set_num_threads(desc->threads);
    *product = (clsp_product){0};
    dnnl_status_t status = build(product, workspace->engine, &l, desc, &pd, &attributes);
    omp_set_num_threads(before);
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attributes);
    clsp_matrix *all[] = {&l.a, &l.b, &l.bias, &l.c, &l.scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) clsp_matrix_clear(all[i]);
    if (status == dnnl_success) return CLIPSPAN_OK;
    clsp_product_clear(product);
    return clsp_dnnl_check(status, "matrix product", err);
}

void clsp_product_clear(clsp_product *p)
{
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    dnnl_memory_t all[] = {p->a, p->b, p->bias, p->c, p->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]) dnnl_memory_destroy(all[i]);
    *p = (clsp_product){0};
}

/* oneDNN's signatures lack const where the data is only read. */
static void *unconst(const void *pointer)
{
    void *out;
    memcpy(&out, &pointer, sizeof out);
    return out;
}

clipspan_status clsp_product_run(clsp_product *p, dnnl_stream_t stream, void *scratch, const clsp_product_data *data,
                                 clipspan_error *err)
{
    dnnl_memory_set_data_handle(p->a, unconst(data->a));
    dnnl_memory_set_data_handle(p->b, unconst(data->b));
    dnnl_memory_set_data_handle(p->c, data->c);
    dnnl_memory_set_data_handle(p->scratch, scratch);
    dnnl_exec_arg_t arguments[5] = {{DNNL_ARG_SRC, p->a}, {DNNL_ARG_WEIGHTS, p->b}, {DNNL_ARG_DST, p->c},
                                    {DNNL_ARG_SCRATCHPAD, p->scratch}};
    int count = 4;
    if (p->bias) {
        dnnl_memory_set_data_handle(p->bias, unconst(data->bias));
        arguments[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, p->bias};
    }
    return clsp_dnnl_check(dnnl_primitive_execute(p->primitive, stream, count, arguments), "matrix product", err);
}

static dnnl_status_t reorder(const clsp_workspace *workspace, dnnl_memory_t from, const clsp_matrix *from_layout,
                             dnnl_memory_t to, const clsp_matrix *to_layout)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&pd, MD(from_layout), workspace->engine, MD(to_layout),
                                                              workspace->engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&primitive, pd);
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    if (status == dnnl_success) status = dnnl_primitive_execute(primitive, workspace->stream, 2, arguments);
    if (status == dnnl_success) status = dnnl_stream_wait(workspace->stream);
    dnnl_primitive_desc_destroy(pd);
    if (primitive) dnnl_primitive_destroy(primitive);
    return status;
}

clipspan_status clsp_matrix_pack(const clsp_workspace *workspace, void *out, const clsp_matrix *to, const float *from,
                                 bool transposed, size_t rows, size_t columns, clipspan_error *err)
{
    clsp_matrix plain = {.set = false};
    dnnl_memory_t source = NULL, target = NULL;
    dnnl_status_t status = describe_plain(&plain, rows, columns, transposed ? rows : columns, transposed, dnnl_f32);
    if (status == dnnl_success)
        status = dnnl_memory_create(&source, MD(&plain), workspace->engine, unconst(from));
    if (status == dnnl_success) status = dnnl_memory_create(&target, MD(to), workspace->engine, out);
    if (status == dnnl_success) status = reorder(workspace, source, &plain, target, to);
    if (source) dnnl_memory_destroy(source);
    if (target) dnnl_memory_destroy(target);
    clsp_matrix_clear(&plain);
    return clsp_dnnl_check(status, "packing weights", err);
}
