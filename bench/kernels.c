/* kernels - every kernel of src/compute: checked, timed, counted; one driver, one table of problems (kernels_table.c).
 *
 *     bench_kernels --check [--small] [--only TEXT]
 *                                            against the plain formula in double precision; the same bits twice, on other
 *                                            numbers of threads, and of rows alone; small: not at the encoders' sizes
 *     bench_kernels --time [--quick] [--json] [--repeats N] [--threads N] [--only TEXT]
 *                                            work a second, median (least - most), share of the machine's peak
 *     bench_kernels --count [--only TEXT]    one run of each small problem inside bench_counted(), for callgrind
 *     bench_kernels --list | --built         the problems' names; with what this program was built
 *
 * --only takes the problems whose name contains TEXT. A failed check prints the line that repeats it and ends with 1.
 */
#include "kernels.h"
#include "peak.h"
#include "programs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 128, REPEATS = 7, REPEATS_MOST = 100, THREADS_CHECKED = 3 };
static const double SECONDS_EACH = 0.04; /* of one repeat, at least */

static const kernel_ops *const kernels[KERNELS] = {
    [LINEAR] = &linear_ops,   [SGEMM] = &sgemm_ops,       [ATTENTION] = &attention_ops, [LAYER_NORM] = &layer_norm_ops,
    [SOFTMAX] = &softmax_ops, [ROWS_DOT] = &rows_dot_ops, [WIDEN] = &widen_ops,         [ROUND] = &round_ops,
    [WHOLE] = &whole_ops,
};

/* ---- what kernels.h promises -------------------------------------------------------------------------------------- */

void require(clipspan_status status, const clipspan_error *err)
{
    if (status == CLIPSPAN_OK) return;
    fflush(stdout);
    fprintf(stderr, "bench_kernels: %s\n", err ? err->message : "out of memory");
    exit(1);
}

void *instance_block(instance *it, size_t bytes)
{
    void *block = it->block_count < INSTANCE_BLOCKS ? clsp_alloc_aligned(bytes, 1) : NULL;
    if (block == NULL) require(clsp_fail_memory(NULL), NULL);
    memset(block, 0, bytes);
    return it->blocks[it->block_count++] = block;
}

static uint64_t random_state;

float random_number(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (float)((double)(random_state >> 11) / 9007199254740992.0 * 2.0 - 1.0);
}

size_t bytes_of(clsp_type type) { return type == CLSP_TYPE_BF16 ? sizeof(uint16_t) : sizeof(float); }

void *instance_random(instance *it, size_t count, float scale, clsp_type type)
{
    void *block = instance_block(it, count * bytes_of(type));
    for (size_t i = 0; i < count; i++) {
        float x = scale * random_number();
        if (type == CLSP_TYPE_BF16)
            ((uint16_t *)block)[i] = clsp_f32_to_bf16(x);
        else
            ((float *)block)[i] = x;
    }
    return block;
}

void instance_output(instance *it, size_t count, clsp_type type)
{
    it->out_bytes = count * bytes_of(type);
    it->before = instance_random(it, count, 1.0F, type);
    it->out = instance_block(it, it->out_bytes);
}

double value_at(const void *base, size_t i, clsp_type type)
{
    return (double)(type == CLSP_TYPE_BF16 ? clsp_bf16_to_f32(((const uint16_t *)base)[i]) : ((const float *)base)[i]);
}

double worse(double a, double b) { return isnan(a) || isnan(b) ? (double)INFINITY : fmax(a, b); }

size_t check_step(size_t count, double each)
{
    static const double MOST = 2e7;
    size_t step = (size_t)(each * (double)count / MOST) + 1;
    return clsp_min(step, count);
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

static const char *type_name(clsp_type type) { return type == CLSP_TYPE_BF16 ? "bf16" : "f32"; }

static const char *const epilogue_names[] = {"", "-gelu", "-quick_gelu", "-gelu_tanh", "-add"};

/* kernel-type[-output]-sizes[-epilogue][-manners] */
static void name_of(char name[NAME], const problem *p)
{
    static const char *const manners[] = {"bias", "t", "tb",  "gaps",   "causal",   "one_query", "ragged",
                                          "z",    "cls", "tokens", "in_place", "half", "8"};
    int at = snprintf(name, NAME, "%s-%s", kernels[p->kernel]->name, type_name(p->type));
    if (p->output != p->type) at += snprintf(name + at, (size_t)(NAME - at), "-%s", type_name(p->output));
    for (size_t i = 0; i < 4 && (i == 0 || p->size[i] > 0); i++)
        at += snprintf(name + at, (size_t)(NAME - at), "%c%zu", i == 0 ? '-' : 'x', p->size[i]);
    at += snprintf(name + at, (size_t)(NAME - at), "%s", epilogue_names[p->epilogue]);
    for (size_t i = 0; i < sizeof manners / sizeof *manners; i++)
        if (p->manner >> i & 1) at += snprintf(name + at, (size_t)(NAME - at), "-%s", manners[i]);
}

/* ---- instances ------------------------------------------------------------------------------------------------------- */

static void instance_make(instance *it, const problem *p)
{
    clipspan_error err;
    *it = (instance){.problem = p, .implementation = ""};
    random_state = 20261127U + (uint64_t)(p - problems);
    require(clsp_workspace_new(&it->workspace, &err), &err);
    kernels[p->kernel]->make(it);
}

static void instance_free(instance *it)
{
    const kernel_ops *ops = kernels[it->problem->kernel];
    if (ops->free) ops->free(it);
    for (size_t i = 0; i < it->block_count; i++) clsp_free(it->blocks[i]);
    clsp_workspace_free(it->workspace);
}

static void run_from_start(instance *it)
{
    memcpy(it->out, it->before, it->out_bytes);
    kernels[it->problem->kernel]->run(it);
}

/* ---- checking -------------------------------------------------------------------------------------------------------- */

static bool same_bits_with_threads(const instance *first, int threads)
{
    instance other;
    int before = clsp_threads(threads);
    instance_make(&other, first->problem);
    run_from_start(&other);
    bool same = memcmp(first->out, other.out, first->out_bytes) == 0;
    instance_free(&other);
    clsp_threads(before);
    return same;
}

static int thread_count(void)
{
    int now_set = clsp_threads(0);
    clsp_threads(now_set);
    return now_set;
}

/* NULL: nothing was wrong. */
static const char *fault_of(instance *it, double *error)
{
    const kernel_ops *ops = kernels[it->problem->kernel];
    run_from_start(it);
    *error = ops->error(it);
    if (!(*error <= it->problem->tolerance)) return "beyond the tolerance";
    if (!same_bits_with_threads(it, thread_count())) return "other bits the second time";
    if (ops->alone && !ops->alone(it)) return "a row alone has other bits than in company";
    for (int threads = 1; threads <= THREADS_CHECKED; threads++)
        if (!same_bits_with_threads(it, threads)) return "other bits on another number of threads";
    return NULL;
}

static bool check(const problem *p, const char *name)
{
    instance it;
    double error;
    instance_make(&it, p);
    const char *fault = fault_of(&it, &error);
    printf("%-60s %.1e of %.1e  %s\n", name, error, p->tolerance, fault ? fault : it.implementation);
    if (fault) printf("again: bench_kernels --check --only %s\n", name);
    instance_free(&it);
    return fault == NULL;
}

/* ---- timing ---------------------------------------------------------------------------------------------------------- */

/* Runs per second, over at least SECONDS_EACH. */
static double measure(instance *it)
{
    size_t runs = 0;
    double began = now(), seconds = 0.0;
    for (size_t block = 1; seconds < SECONDS_EACH; block *= 2) {
        for (size_t i = 0; i < block; i++) kernels[it->problem->kernel]->run(it);
        runs += block;
        seconds = now() - began;
    }
    return (double)runs / seconds;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct settings {
    bool check, timed, count, list, built, small, quick, json;
    int repeats, threads;
    const char *only;
    bench_peaks peaks;
} settings;

static void time_one(const problem *p, const char *name, const settings *s)
{
    instance it;
    double rates[REPEATS_MOST];
    const kernel_ops *ops = kernels[p->kernel];
    instance_make(&it, p);
    run_from_start(&it);
    for (int r = 0; r < s->repeats; r++) rates[r] = measure(&it) * ops->work(p) * 1e-9;
    qsort(rates, (size_t)s->repeats, sizeof *rates, ascending);
    double middle = rates[s->repeats / 2], least = rates[0], most = rates[s->repeats - 1];
    double peak = p->type == CLSP_TYPE_BF16 ? fmax(s->peaks.dot, s->peaks.tile) : s->peaks.f32;
    double share = strcmp(ops->unit, "GFLOP/s") != 0 || peak <= 0.0 ? NAN : middle / peak;
    if (s->json) {
        printf("{\"name\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", \"least\": %.4g, \"most\": %.4g", name, middle,
               ops->unit, least, most);
        if (!isnan(share)) printf(", \"share\": %.4f, \"against\": \"peak %s\"", share, type_name(p->type));
        printf("}\n");
    } else {
        printf("%-58s %8.1f (%.1f - %.1f) %s", name, middle, least, most, ops->unit);
        printf(isnan(share) ? "\n" : "  %.1f %% of peak\n", 100.0 * share);
    }
    fflush(stdout);
    instance_free(&it);
}

static void print_peaks(const settings *s)
{
    const struct {
        const char *name;
        double value;
    } peaks[] = {{"peak f32", s->peaks.f32}, {"peak bf16 dot", s->peaks.dot}, {"peak bf16 tile", s->peaks.tile}};
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks; i++)
        if (peaks[i].value > 0.0)
            printf(s->json ? "{\"name\": \"%s\", \"value\": %.4g, \"unit\": \"GFLOP/s\"}\n" : "%-58s %8.1f GFLOP/s\n",
                   peaks[i].name, peaks[i].value);
}

/* ---- counting -------------------------------------------------------------------------------------------------------- */

/* callgrind collects inside this function alone, and writes a file when it is left (bench/callgrind.py). */
__attribute__((noinline)) void bench_counted(instance *it);
void bench_counted(instance *it) { kernels[it->problem->kernel]->run(it); }

/* What is made at a first run is not counted. */
static void count_one(const problem *p, const char *name)
{
    instance it;
    instance_make(&it, p);
    run_from_start(&it);
    memcpy(it.out, it.before, it.out_bytes);
    bench_counted(&it);
    printf("%s\n", name);
    instance_free(&it);
}

/* ---- the command ----------------------------------------------------------------------------------------------------- */

static bool wanted(const problem *p, const char *name, const settings *s)
{
    unsigned purpose = s->count ? COUNTED : s->quick ? QUICK : s->timed ? TIMED : 0;
    if (s->small && p->purpose & TIMED) return false;
    return (purpose == 0 || p->purpose & purpose) && (s->only == NULL || strstr(name, s->only) != NULL);
}

static size_t run_problems(const settings *s)
{
    size_t failed = 0, seen = 0;
    char name[NAME];
    for (size_t i = 0; i < problem_count; i++) {
        name_of(name, &problems[i]);
        if (!wanted(&problems[i], name, s)) continue;
        seen++;
        if (s->list) printf("%s\n", name);
        if (s->check) failed += !check(&problems[i], name);
        if (s->timed) time_one(&problems[i], name, s);
        if (s->count) count_one(&problems[i], name);
    }
    if (s->check) printf("%zu problems, %zu failed\n", seen, failed);
    return seen > 0 ? failed : 1;
}

static bool parse(settings *s, int argc, char **argv)
{
    *s = (settings){.repeats = REPEATS};
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(option, "--check") == 0) s->check = true;
        else if (strcmp(option, "--time") == 0) s->timed = true;
        else if (strcmp(option, "--count") == 0) s->count = true;
        else if (strcmp(option, "--list") == 0) s->list = true;
        else if (strcmp(option, "--built") == 0) s->built = true;
        else if (strcmp(option, "--small") == 0) s->small = true;
        else if (strcmp(option, "--quick") == 0) s->quick = true;
        else if (strcmp(option, "--json") == 0) s->json = true;
        else if (value == NULL) return false;
        else if (strcmp(option, "--only") == 0) s->only = value, i++;
        else if (strcmp(option, "--repeats") == 0) s->repeats = atoi(value), i++;
        else if (strcmp(option, "--threads") == 0) s->threads = atoi(value), i++;
        else return false;
    }
    return s->check + s->timed + s->count + s->list + s->built == 1 && s->repeats > 0 && s->repeats <= REPEATS_MOST && s->threads >= 0;
}

int main(int argc, char **argv)
{
    settings s;
    if (!parse(&s, argc, argv)) {
        fprintf(stderr, "usage: bench_kernels --check | --time | --count | --list | --built [--only TEXT] [--small] [--quick] [--json] "
                        "[--repeats N] [--threads N]\n");
        return 2;
    }
    if (s.built) {
        printf("{\"compiler\": \"%s\", \"instructions\": \"%s\"}\n", __VERSION__, clsp_compute_name());
        return 0;
    }
    if (s.threads > 0) clsp_threads(s.threads);
    if (s.timed) {
        s.peaks = bench_peaks_measure(s.threads);
        print_peaks(&s);
    }
    return run_problems(&s) > 0;
}
