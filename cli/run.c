/* What the subcommands share at run time: notes, the progress bar, Ctrl-C, opening things. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int cli_quiet;

static volatile sig_atomic_t interrupted;
static void (*volatile interrupt_also)(void);

/* The first Ctrl-C asks, the second (the default action is back) ends. */
static void on_interrupt(int number)
{
    interrupted = 1;
    signal(number, SIG_DFL);
    if (interrupt_also != NULL) interrupt_also();
}

static int interrupt_asked(void)
{
    return interrupted != 0;
}

clipspan_status cli_fail(clipspan_error *err, clipspan_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    err->status = status;
    return status;
}

clipspan_status cli_make_folder(const char *path, clipspan_error *err)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    struct stat at;
    if (length == 0 || length >= sizeof part)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "\"%.60s\": no folder's name", path);
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && (errno != EEXIST || (stat(part, &at) == 0 && !S_ISDIR(at.st_mode))))
            return cli_fail(err, CLIPSPAN_ERROR_IO, "%s: the folder cannot be made: %s", part, strerror(errno));
        part[i] = path[i];
    }
    return CLIPSPAN_OK;
}

/* ---- progress ----------------------------------------------------------------------------------------- */

static struct {
    double began, drawn;
    unsigned long long first; /* items that were there when the job began (resumed) */
    const char *stage;
    int width; /* characters on the line now */
} bar;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int bar_is_wanted(void)
{
    return !cli_quiet && isatty(STDERR_FILENO);
}

void cli_progress_end(void)
{
    if (bar.width > 0) fprintf(stderr, "\r%*s\r", bar.width, "");
    bar.width = 0;
    bar.stage = NULL;
}

static void format_time(char *out, size_t size, double seconds)
{
    unsigned long s = seconds > 0 ? (unsigned long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(out, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%lu:%02lu", s / 60, s % 60);
}

static void draw(const clipspan_progress *p, double t)
{
    enum { CELLS = 24 };
    char cells[CELLS + 1], left[32] = "-:--";
    double seconds = t - bar.began, fresh = (double)(p->done - bar.first);
    double rate = seconds > 0 ? fresh / seconds : 0;
    int full = p->total ? (int)((double)CELLS * (double)p->done / (double)p->total) : 0;
    for (int i = 0; i < CELLS; i++) cells[i] = i < full ? '#' : '.';
    cells[CELLS] = '\0';
    if (rate > 0 && p->total) format_time(left, sizeof left, (double)(p->total - p->done) / rate);
    char line[256];
    int width = snprintf(line, sizeof line, "%s [%s] %llu/%llu  %.1f/s  %s left%s", p->stage, cells, p->done, p->total, rate,
                         left, p->skipped ? "  (some skipped)" : "");
    fprintf(stderr, "\r%-*s", bar.width, line);
    fflush(stderr);
    if (width > bar.width) bar.width = width;
}

static int on_progress(void *user, const clipspan_progress *p)
{
    (void)user;
    double t = now();
    if (bar.stage == NULL || strcmp(bar.stage, p->stage) != 0) {
        cli_progress_end();
        bar.stage = p->stage;
        bar.began = t;
        bar.first = p->done;
        bar.drawn = 0;
    }
    if (bar_is_wanted() && t - bar.drawn > 0.1) {
        bar.drawn = t;
        draw(p, t);
    }
    return interrupt_asked();
}

static void print_line(const char *kind, const char *format, va_list arguments)
{
    int width = bar.width;
    if (width > 0) fprintf(stderr, "\r%*s\r", width, "");
    bar.width = 0;
    fputs(kind, stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void cli_note(const char *format, ...)
{
    if (cli_quiet) return;
    va_list arguments;
    va_start(arguments, format);
    print_line("", format, arguments);
    va_end(arguments);
}

/* The same twice in a row is said once: the report's commands each open the store. */
void cli_warn(const char *format, ...)
{
    static char last[CLIPSPAN_ERROR_LENGTH];
    char words[sizeof last];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    vsnprintf(words, sizeof words, format, again);
    va_end(again);
    if (strcmp(words, last) != 0) print_line("warning: ", format, arguments);
    va_end(arguments);
    memcpy(last, words, sizeof last);
}

static void on_warning(void *user, const char *message)
{
    (void)user;
    cli_warn("%s", message);
}

const clipspan_hooks *cli_hooks(void)
{
    static const clipspan_hooks hooks = {on_progress, on_warning, NULL};
    static int armed;
    if (!armed) {
        armed = 1;
        signal(SIGINT, on_interrupt);
        signal(SIGTERM, on_interrupt);
    }
    return &hooks;
}

void cli_interrupt_also(void (*call)(void))
{
    interrupt_also = call;
    cli_hooks(); /* Ctrl-C is listened to from now on */
}

/* ---- opening ------------------------------------------------------------------------------------------ */

/* Of what opening a model warns about; unlike a job's hooks they leave Ctrl-C as it is. */
static const clipspan_hooks warnings = {NULL, on_warning, NULL};

static void use_cache(clipspan_model_options *options, const char *asked)
{
    options->cache = asked ? asked : getenv("CLIPSPAN_CACHE");
    options->hooks = &warnings;
}

clipspan_status cli_open_model(clipspan_model **out, const char *path, const cli_model_settings *settings,
                               clipspan_error *err)
{
    clipspan_model_options options = CLIPSPAN_MODEL_OPTIONS_INIT;
    options.config = settings->config;
    options.vocab = settings->vocab;
    use_cache(&options, settings->cache);
    return clipspan_model_open(out, path, &options, err);
}

static clipspan_status read_engines(int *out, const char *text, clipspan_error *err)
{
    enum { MOST_ENGINES = 1024 };
    char *end = NULL;
    *out = text != NULL && strcmp(text, "auto") == 0 ? CLIPSPAN_ENGINES_AUTO : 0;
    if (text == NULL || *out != 0) return CLIPSPAN_OK;
    long count = strtol(text, &end, 10);
    if (*text < '1' || *text > '9' || *end != '\0' || count > MOST_ENGINES)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--engines %s: expected auto or a number from 1 to %d", text, (int)MOST_ENGINES);
    *out = (int)count;
    return CLIPSPAN_OK;
}

void cli_note_engines(const clipspan_engine *engine)
{
    clipspan_engine_memory memory;
    if (clipspan_engine_engines(engine) < 2) return;
    clipspan_engine_get_memory(engine, &memory);
    cli_note("%d engines: %.0f MB of weights between them, %.0f MB each beside them", clipspan_engine_engines(engine),
             (double)memory.weights / 1e6, (double)memory.each_engine / 1e6);
}

clipspan_status cli_open_engine(clipspan_engine **out, const clipspan_model *model,
                                const cli_engine_settings *settings, clipspan_error *err)
{
    enum { MOST_THREADS = 1024, MOST_IMAGES = 4096 }; /* the engine's own limits */
    clipspan_engine_options options = CLIPSPAN_ENGINE_OPTIONS_INIT;
    if (settings->threads > MOST_THREADS || settings->batch > MOST_IMAGES)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--threads is at most %d, --batch at most %d", (int)MOST_THREADS,
                        (int)MOST_IMAGES);
    options.dtype = settings->dtype;
    options.threads = (int)settings->threads;
    options.batch = (int)settings->batch;
    clipspan_status status = read_engines(&options.engines, settings->engines, err);
    return status != CLIPSPAN_OK ? status : clipspan_engine_open(out, model, &options, err);
}

void cli_hint_bf16(const clipspan_engine *engine, const clipspan_images *images)
{
    enum { MANY = 500 };
    if (cli_quiet || clipspan_engine_dtype(engine) != CLIPSPAN_F32 || clipspan_images_count(images) < MANY) return;
    double gain = clipspan_engine_bf16_gain(engine);
    if (gain > 1.3)
        cli_note("hint: products in bf16 are about %.1f times as fast on this processor (--dtype bf16), at lower precision",
                 gain);
}

clipspan_status cli_open_engine_for(clipspan_engine **out, const clipspan_model *model, const clipspan_images *images,
                                    const cli_engine_settings *settings, clipspan_error *err)
{
    cli_engine_settings fitting = *settings;
    size_t count = clipspan_images_count(images);
    clipspan_status status = cli_open_engine(out, model, &fitting, err);
    if (status != CLIPSPAN_OK || (size_t)clipspan_engine_batch(*out) <= count) return status;
    clipspan_engine_free(*out);
    fitting.batch = count;
    return cli_open_engine(out, model, &fitting, err);
}

clipspan_status cli_open_texts(clipspan_texts **out, const char *path, clipspan_error *err)
{
    clipspan_status status = clipspan_texts_open(out, path, 1, err);
    if (status != CLIPSPAN_OK || clipspan_texts_count(*out) > 0) return status;
    clipspan_texts_free(*out);
    *out = NULL;
    return cli_fail(err, CLIPSPAN_ERROR_FORMAT, "%s: no text in it", strcmp(path, "-") == 0 ? "standard input" : path);
}

clipspan_status cli_open_images(clipspan_images **out, const char *path, const cli_image_settings *settings,
                                clipspan_error *err)
{
    clipspan_images_options options = CLIPSPAN_IMAGES_OPTIONS_INIT;
    options.kind = settings->kind;
    options.exif = settings->exif;
    options.limit = settings->limit;
    return clipspan_images_open(out, path, &options, err);
}

clipspan_status cli_open_store_model(clipspan_model **out, const clipspan_store *store, const char *path,
                                     const char *vocab, clipspan_error *err)
{
    const clipspan_store_info *info = clipspan_store_get_info(store);
    clipspan_model_options options = CLIPSPAN_MODEL_OPTIONS_INIT;
    if (info->model_config[0]) options.config = info->model_config;
    if (vocab != NULL || info->model_vocab[0]) options.vocab = vocab ? vocab : info->model_vocab;
    use_cache(&options, NULL);
    clipspan_status status = clipspan_model_open(out, path ? path : info->model_path, &options, err);
    if (status != CLIPSPAN_OK && path == NULL && access(info->model_path, F_OK) != 0) {
        char reason[CLIPSPAN_ERROR_LENGTH];
        snprintf(reason, sizeof reason, "%s", err->message);
        return cli_fail(err, status, "the store's model is not where it was (--model says where it is now): %.700s", reason);
    }
    if (status != CLIPSPAN_OK) return status;
    status = clipspan_store_check_model(store, *out, err);
    if (status != CLIPSPAN_OK) {
        clipspan_model_free(*out);
        *out = NULL;
    }
    return status;
}
