/* The blocking of products of our own, the same for every instruction set.
 *
 * A thread has a rectangle of rows and columns. Blocks of up to 126 rows are copied, up to three slices of 384 steps at a
 * time, into its L2 (580 KB); panel after panel of weights then passes by once for a block: slice after slice of it (48
 * KB) stays in L1 for the block's nine strips. Sums of a tile wait in memory between slices, those of a whole block
 * between groups of three. */
#include "compute/gemm_kernels.h"

#include <omp.h>
#include <string.h>

enum { BLOCK_ROWS = 126, GROUP = 3 };

static const clsp_gemm_kernel *kernel_of(clsp_type type)
{
    clsp_isa_level isa = clsp_isa();
    if (isa >= CLSP_ISA_AVX512) return clsp_gemm_avx512(type, isa >= CLSP_ISA_AVX512_BF16);
    return isa == CLSP_ISA_AVX2 ? clsp_gemm_avx2(type) : clsp_gemm_portable(type);
}

const char *clsp_gemm_layout(clsp_type type) { return kernel_of(type)->name; }

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t steps_of(const clsp_gemm_kernel *kernel, size_t in)
{
    return kernel->step == CLSP_GEMM_PAIR ? divide_up(in, 2) : in;
}

/* Of one step of one column. */
static size_t step_bytes(const clsp_gemm_kernel *kernel) { return kernel->step == CLSP_GEMM_WIDEN ? 2 : 4; }

/* ---- packing weights ---------------------------------------------------------------------------------------- */

size_t clsp_gemm_packed_bytes(clsp_type type, size_t in, size_t out)
{
    const clsp_gemm_kernel *kernel = kernel_of(type);
    size_t bytes;
    if (in > SIZE_MAX / 2 || out > SIZE_MAX / 2) return 0;
    if (!clsp_mul(&bytes, divide_up(out, kernel->nr) * kernel->nr, steps_of(kernel, in))) return 0;
    return clsp_mul(&bytes, bytes, step_bytes(kernel)) ? bytes : 0;
}

typedef struct weights {
    const float *values;
    size_t stride, in, out;
    bool transposed; /* [in, out] */
} weights;

enum { CHUNK = 64, WIDEST = 32 }; /* inputs at a time; largest nr */

/* Inputs [first, first + count) of a panel's columns, [count, nr], zeros beyond the last column. */
static void gather(const clsp_gemm_kernel *kernel, float *to, const weights *w, size_t column, size_t first, size_t count)
{
    size_t nr = kernel->nr, columns = clsp_min(w->out - column, nr);
    if (columns < nr) memset(to, 0, count * nr * sizeof *to);
    if (w->transposed)
        kernel->copy(to, nr, w->values + first * w->stride + column, w->stride, count, columns);
    else
        kernel->transpose(to, nr, w->values + column * w->stride + first, w->stride, count, columns);
}

/* One panel; the second half of an odd last pair is zeros. */
static void pack_panel(const clsp_gemm_kernel *kernel, void *to, const weights *w, size_t panel)
{
    float chunk[CHUNK * WIDEST];
    uint16_t half[(CHUNK + 1) * WIDEST];
    size_t nr = kernel->nr;
    for (size_t first = 0; first < w->in; first += CHUNK) {
        size_t count = clsp_min(w->in - first, CHUNK);
        if (kernel->step == CLSP_GEMM_F32) {
            gather(kernel, (float *)to + first * nr, w, panel * nr, first, count);
            continue;
        }
        uint16_t *out = (uint16_t *)to + first * nr;
        gather(kernel, chunk, w, panel * nr, first, count);
        clsp_to_bf16(kernel->step == CLSP_GEMM_WIDEN ? out : half, chunk, count * nr);
        if (kernel->step == CLSP_GEMM_WIDEN) continue;
        memset(half + count * nr, 0, nr * sizeof *half);
        for (size_t i = 0; i < count; i += 2)
            for (size_t j = 0; j < nr; j++) {
                out[i * nr + 2 * j] = half[i * nr + j];
                out[i * nr + 2 * j + 1] = half[(i + 1) * nr + j];
            }
    }
}

void clsp_gemm_pack(void *to, clsp_type type, const float *weight, size_t stride, bool transposed, size_t in, size_t out)
{
    const clsp_gemm_kernel *kernel = kernel_of(type);
    weights w = {weight, stride, in, out, transposed};
    size_t bytes = steps_of(kernel, in) * kernel->nr * step_bytes(kernel);
#pragma omp parallel for schedule(static) if (in * out > 65536 && !omp_in_parallel())
    for (size_t panel = 0; panel < divide_up(out, kernel->nr); panel++)
        pack_panel(kernel, (char *)to + panel * bytes, &w, panel);
}

/* ---- one thread's rectangle --------------------------------------------------------------------------------- */

/* Steps are cut into slices of equal length, the last one shorter. */
typedef struct plan {
    const clsp_gemm_kernel *kernel;
    size_t steps, slice, slices, group; /* steps; of a slice; slices, of which so many are copied at a time */
} plan;

static plan plan_of(clsp_type type, size_t in)
{
    plan p = {.kernel = kernel_of(type)};
    p.steps = steps_of(p.kernel, in);
    p.slices = clsp_max(divide_up(p.steps, CLSP_GEMM_STEPS), 1);
    p.slice = divide_up(p.steps, p.slices);
    p.group = clsp_min(p.slices, GROUP);
    return p;
}

static size_t strip_floats(const plan *p) { return p->kernel->mr * CLSP_GEMM_STRIDE; }
static size_t panel_floats(const plan *p) { return CLSP_GEMM_STEPS * p->kernel->nr; }
static size_t tile_floats(const plan *p) { return p->kernel->mr * p->kernel->nr; }

size_t clsp_gemm_scratch(clsp_type type, size_t in, size_t out)
{
    plan p = plan_of(type, in);
    size_t strips = BLOCK_ROWS / p.kernel->mr;
    size_t panels = p.slices > p.group ? divide_up(out, p.kernel->nr) : 1;
    return (strips * (p.group * strip_floats(&p) + panels * tile_floats(&p)) + panel_floats(&p)) * sizeof(float);
}

typedef struct rectangle {
    size_t row, row_end, panel, panel_end;
} rectangle;

static void copy_row(float *to, const plan *p, const void *x, size_t first, size_t in)
{
    size_t pair = p->kernel->step == CLSP_GEMM_PAIR ? 2 : 1, begin = first * pair;
    size_t count = clsp_min(in - begin, p->slice * pair);
    if (p->kernel->step == CLSP_GEMM_PAIR) {
        memcpy(to, (const uint16_t *)x + begin, count * sizeof(uint16_t));
        if (count % 2) ((uint16_t *)to)[count] = 0;
    } else {
        for (size_t i = 0; i < count; i++) {
            uint32_t bits = (uint32_t)((const uint16_t *)x)[begin + i] << 16;
            memcpy(to + i, &bits, sizeof bits);
        }
    }
}

/* Slices [first, end) of rows [row, row + rows): slice after slice, strip after strip. */
static void copy_rows(float *strips, const plan *p, const clsp_gemm_product *product, size_t row, size_t rows, size_t first,
                      size_t end)
{
    size_t bytes = product->compute == CLSP_TYPE_BF16 ? 2 : 4, high = divide_up(rows, p->kernel->mr) * p->kernel->mr;
    for (size_t slice = first; slice < end; slice++) {
        float *to = strips + (slice - first) * high * CLSP_GEMM_STRIDE;
        size_t step = slice * p->slice;
        size_t steps = clsp_min(p->steps - step, p->slice), stride = product->x_stride;
        if (product->x_transposed)
            p->kernel->transpose(to, CLSP_GEMM_STRIDE, (const float *)product->x + step * stride + row, stride, rows, steps);
        else if (p->kernel->step == CLSP_GEMM_F32)
            p->kernel->copy(to, CLSP_GEMM_STRIDE, (const float *)product->x + row * stride + step, stride, rows, steps);
        else
            for (size_t r = 0; r < rows; r++)
                copy_row(to + r * CLSP_GEMM_STRIDE, p, (const char *)product->x + (row + r) * product->x_stride * bytes,
                         step, product->in);
    }
}

static void finish_tile(const plan *p, const clsp_gemm_product *product, const float *tile, size_t row, size_t rows,
                        size_t column)
{
    size_t bytes = product->output == CLSP_TYPE_BF16 ? 2 : 4;
    clsp_gemm_target target = {.y = (char *)product->y + (row * product->y_stride + column) * bytes,
                               .y_stride = product->y_stride, .bias = product->bias ? product->bias + column : NULL,
                               .output = product->output, .epilogue = product->epilogue, .scaled = product->scaled,
                               .alpha = product->alpha, .beta = product->beta};
    p->kernel->finish(&target, tile, rows, clsp_min(product->out - column, p->kernel->nr));
}

/* The lines of y that a tile will be written to, fetched while it is computed. */
static void fetch_target(const clsp_gemm_product *product, size_t row, size_t rows, size_t column)
{
    size_t bytes = product->output == CLSP_TYPE_BF16 ? 2 : 4;
    for (size_t r = 0; r < rows; r++) {
        const char *y = (const char *)product->y + ((row + r) * product->y_stride + column) * bytes;
        __builtin_prefetch(y, 1, 3);
        if (bytes == 4) __builtin_prefetch(y + 64, 1, 3);
    }
}

/* A block of rows, and where a thread keeps it. */
typedef struct block {
    float *strips, *tiles, *panel; /* panel: of weights that are not packed */
    size_t row, rows;
    const char *after; /* the rows that follow, if they are worth fetching while the first panel passes by; or NULL */
} block;

enum { FEW_STEPS = 64 }; /* a panel of them is still in L1 when a single strip has passed by */

/* Steps [step, step + steps) of a panel. */
static const char *weights_at(const plan *p, const clsp_gemm_product *product, const block *b, size_t panel, size_t step,
                              size_t steps)
{
    size_t nr = p->kernel->nr;
    if (product->weight) return (const char *)product->weight + (panel * p->steps + step) * nr * step_bytes(p->kernel);
    weights w = {product->plain, product->plain_stride, product->in, product->out, product->plain_transposed};
    gather(p->kernel, b->panel, &w, panel * nr, step, steps);
    return (const char *)b->panel;
}

/* Sums of a whole panel that nothing more is done to, and that y, as it is or as zeros, begins. */
static bool sums_in_place(const clsp_gemm_product *product, size_t column_end)
{
    return product->scaled && product->alpha == 1.0f && (product->beta == 0.0f || product->beta == 1.0f) &&
           column_end <= product->out;
}

/* Some steps of one panel against all strips of a block. */
static void run_steps(const plan *p, const clsp_gemm_product *product, const block *b, size_t panel, const float *strips,
                      const char *weight, const char *next, size_t step, size_t steps)
{
    const clsp_gemm_kernel *k = p->kernel;
    size_t column = panel * k->nr, high = divide_up(b->rows, k->mr), columns = clsp_min(product->out - column, k->nr);
    size_t bytes = steps * k->nr * step_bytes(k);
    bool in_place = sums_in_place(product, column + k->nr), last = step + steps == p->steps;
    for (size_t s = 0; s < high; s++) {
        size_t row = b->row + s * k->mr, count = clsp_min(b->rows - s * k->mr, k->mr);
        float *tile = in_place ? (float *)product->y + row * product->y_stride + column : b->tiles + s * tile_floats(p);
        const char *fetch = next == b->after ? next + (step * high + s * steps) * 64 : next + s * steps * 64 % bytes;
        if (last) fetch_target(product, row, count, column);
        k->multiply(tile, in_place ? product->y_stride : k->nr, strips + s * strip_floats(p), weight, fetch, steps, count,
                    columns, step == 0 && !(in_place && product->beta == 1.0f));
        if (last && !in_place) finish_tile(p, product, tile, row, count, column);
    }
}

/* One panel against the strips of a block, over slices [first, end). */
static void run_panel(const plan *p, const clsp_gemm_product *product, const block *b, size_t panel, size_t first, size_t end,
                      bool fetch)
{
    size_t high = divide_up(b->rows, p->kernel->mr);
    size_t most = product->weight || high > 1 ? p->slice : FEW_STEPS;
    for (size_t slice = first; slice < end; slice++) {
        size_t begin = slice * p->slice, stop = clsp_min(begin + p->slice, p->steps);
        const float *strips = b->strips + (slice - first) * high * strip_floats(p);
        for (size_t step = begin; step < stop; step += most) {
            size_t steps = clsp_min(stop - step, most);
            const char *weight = weights_at(p, product, b, panel, step, steps), *next = weight;
            if (fetch)
                next = b->after;
            else if (product->weight && slice + 1 < end)
                next = weights_at(p, product, b, panel, stop, 0);
            else if (product->weight)
                next = weights_at(p, product, b, panel + 1, first * p->slice, 0);
            run_steps(p, product, b, panel, strips + (step - begin), weight, next, step, steps);
        }
    }
}

enum { FEW_ROWS = 8, FEW_PANELS = 8 };

static bool is_few(const plan *p, const clsp_gemm_product *product, size_t rows)
{
    bool able = product->plain_transposed || p->kernel->multiply_turned != NULL;
    return product->weight == NULL && able && rows <= clsp_min(FEW_ROWS, p->kernel->mr) &&
           p->slices <= BLOCK_ROWS / p->kernel->mr * p->group;
}

/* Few rows are multiplied with weights where they lie, some panels at a time. Sums begin as those of run_steps do. */
static void run_few(const plan *p, const clsp_gemm_product *product, const block *b, size_t panel, size_t panel_end)
{
    size_t nr = p->kernel->nr, tile = b->rows * nr, column = panel * nr;
    size_t columns = clsp_min(panel_end * nr, product->out) - column;
    clsp_gemm_product stored = *product;
    stored.beta = 0.0f;
    for (size_t i = 0; i < panel_end - panel; i++)
        for (size_t r = 0; r < b->rows; r++) {
            const float *y = (const float *)product->y + (b->row + r) * product->y_stride + column + i * nr;
            float *to = b->tiles + i * tile + r * nr;
            if (sums_in_place(product, column + (i + 1) * nr) && product->beta == 1.0f)
                memcpy(to, y, nr * sizeof *to);
            else
                memset(to, 0, nr * sizeof *to);
        }
    for (size_t slice = 0; slice < p->slices; slice++) {
        size_t step = slice * p->slice, steps = clsp_min(p->steps - step, p->slice), stride = product->plain_stride;
        const float *strip = b->strips + slice * strip_floats(p);
        if (product->plain_transposed)
            p->kernel->multiply_plain(b->tiles, strip, product->plain + step * stride + column, stride, steps, b->rows, columns);
        else
            p->kernel->multiply_turned(b->tiles, strip, product->plain + column * stride + step, stride, steps, b->rows, columns);
    }
    for (size_t i = 0; i < panel_end - panel; i++)
        finish_tile(p, sums_in_place(product, column + (i + 1) * nr) ? &stored : product, b->tiles + i * tile, b->row, b->rows,
                    column + i * nr);
}

static void run_rectangle(const plan *p, const clsp_gemm_product *product, const rectangle *at, float *scratch)
{
    size_t strips = BLOCK_ROWS / p->kernel->mr, x_row = product->in * (product->compute == CLSP_TYPE_BF16 ? 2 : 4);
    bool dense = !product->x_transposed && product->x_stride == product->in && p->slices <= p->group;
    block b = {.panel = scratch, .strips = scratch + panel_floats(p)};
    b.tiles = b.strips + p->group * strips * strip_floats(p);
    float *tiles = b.tiles;
    if (at->row >= at->row_end) return;
    if (is_few(p, product, at->row_end - at->row)) {
        b.row = at->row, b.rows = at->row_end - at->row;
        copy_rows(b.strips, p, product, b.row, b.rows, 0, p->slices);
        for (size_t panel = at->panel; panel < at->panel_end; panel += FEW_PANELS)
            run_few(p, product, &b, panel, clsp_min(panel + FEW_PANELS, at->panel_end));
        return;
    }
    for (b.row = at->row; b.row < at->row_end; b.row += b.rows) {
        b.rows = clsp_min(at->row_end - b.row, BLOCK_ROWS);
        bool more = dense && b.row + b.rows < at->row_end;
        b.after = more ? (const char *)product->x + (b.row + b.rows) * x_row : NULL;
        for (size_t first = 0; first < p->slices; first += p->group) {
            size_t end = clsp_min(first + p->group, p->slices);
            copy_rows(b.strips, p, product, b.row, b.rows, first, end);
            for (size_t panel = at->panel; panel < at->panel_end; panel++) {
                size_t place = p->slices > p->group ? panel - at->panel : 0;
                b.tiles = tiles + place * strips * tile_floats(p);
                run_panel(p, product, &b, panel, first, end, more && panel == at->panel);
            }
        }
    }
}

/* ---- all threads -------------------------------------------------------------------------------------------- */

/* Into how many parts the panels are cut, the rows into threads / parts: what takes the slowest thread least, a step of an
 * output 1/32 cycle, and a step of a row or column that is fetched half a cycle. */
static size_t column_parts(size_t rows, size_t panels, size_t nr, size_t threads)
{
    size_t best = 1, least = SIZE_MAX;
    for (size_t parts = 1; parts <= threads; parts++) {
        if (threads % parts != 0) continue;
        size_t high = divide_up(rows, threads / parts), wide = divide_up(panels, parts) * nr;
        size_t cost = high * wide + 16 * (high + wide);
        if (cost < least) {
            least = cost;
            best = parts;
        }
    }
    return best;
}

void clsp_gemm_run(const clsp_gemm_product *product, void *scratch, int threads)
{
    plan p = plan_of(product->compute, product->in);
    size_t bytes = clsp_gemm_scratch(product->compute, product->in, product->out);
    size_t panels = divide_up(product->out, p.kernel->nr);
    size_t parts = column_parts(product->rows, panels, p.kernel->nr, (size_t)threads);
    size_t high = divide_up(product->rows, (size_t)threads / parts), wide = divide_up(panels, parts);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (size_t i = 0; i < (size_t)threads; i++) {
        rectangle at = {.row = i / parts * high, .panel = i % parts * wide};
        at.row_end = clsp_min(at.row + high, product->rows);
        at.panel_end = clsp_min(at.panel + wide, panels);
        run_rectangle(&p, product, &at, (float *)((char *)scratch + i * bytes));
    }
}
