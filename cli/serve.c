/* clipspan serve: the viewer in a browser, and the JSON API under it. The server itself is in serve/. */
#include "command_line.h"
#include "heads_find.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve.h"

typedef struct settings {
    const char *arguments[CLI_ARGUMENTS];
    const char *beside, *beside_store, *host, *token, *images;
    size_t port, held, timeout;
    int open;
    cli_list texts;
    cli_model_settings model;
    cli_engine_settings engine;
} settings;

extern char **environ;

static const settings defaults = {.port = 8765, .timeout = 30};

enum { HELD_MOST = 1000, TIMEOUT_MOST = 3600 };

/* What a side of the server is made of. */
typedef struct side {
    const settings *s;
    clipspan_model *model;
    clipspan_engine *engine;
    clipspan_store *store;
    clipspan_images *pictures;
    size_t *places; /* [images of the store] */
} side;

/* ---- what is shown of heads ------------------------------------------------------------------------------------ */

/* As `clipspan heads STORE --json` writes it, with the pools of --texts. */
static clipspan_status find_heads(void *user, const char *path, clipspan_error *err)
{
    const side *of = user;
    cli_heads_settings how = CLI_HEADS_DEFAULTS;
    cli_heads heads = {0};
    how.span.texts = of->s->texts;
    how.span.opened = of->model; /* the engine is one of its own: this may take long, and others have their turn at the server's */
    how.span.engine = of->s->engine;
    clipspan_status status = cli_heads_find(&heads, of->store, &how, err);
    if (status == CLIPSPAN_OK) status = clipspan_report_heads(&heads.table, NULL, CLIPSPAN_JSON, path, err);
    cli_heads_free(&heads);
    return status;
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

static clipspan_status check(const settings *s, clipspan_error *err)
{
    if (s->port > 65535) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--port is 0 to 65535");
    if (s->held > HELD_MOST) return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--held is at most %d", (int)HELD_MOST);
    if (s->timeout < 1 || s->timeout > TIMEOUT_MOST)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--timeout is 1 to %d", (int)TIMEOUT_MOST);
    if (s->beside_store != NULL && s->beside == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--beside-store goes with --beside MODEL");
    if (s->images != NULL && s->arguments[1] == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--images says where a STORE's pictures are");
    if (s->texts.count > 0 && s->arguments[1] == NULL)
        return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--texts describes a STORE's heads");
    for (size_t i = 0; i < s->texts.count; i++) { /* read when they are first asked for; what is wrong is said now */
        clipspan_texts *pool = NULL;
        if (strcmp(s->texts.items[i], "-") == 0)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--texts -: expected a file");
        clipspan_status status = cli_open_texts(&pool, s->texts.items[i], err);
        clipspan_texts_free(pool);
        if (status != CLIPSPAN_OK) return status;
    }
    return CLIPSPAN_OK;
}

/* Without its pictures a store still tells of heads and neighbours. */
static clipspan_status open_pictures(side *of, const char *where, clipspan_error *err)
{
    size_t rows = (size_t)clipspan_store_get_info(of->store)->images;
    clipspan_status status = cli_open_store_images(&of->pictures, of->store, where, err);
    if (status != CLIPSPAN_OK) {
        if (where != NULL || status == CLIPSPAN_ERROR_MEMORY) return status;
        cli_warn("%s", err->message);
        return CLIPSPAN_OK;
    }
    of->places = calloc(rows + 1, sizeof *of->places);
    if (of->places == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (size_t row = 0; row < rows; row++) of->places[row] = cli_store_picture(of->pictures, of->store, row);
    return CLIPSPAN_OK;
}

static clipspan_status open_store(side *of, const char *path, const char *where, clipspan_error *err)
{
    if (path == NULL) return CLIPSPAN_OK;
    clipspan_status status = clipspan_store_open(&of->store, path, err);
    if (status == CLIPSPAN_OK) status = clipspan_store_check_model(of->store, of->model, err);
    if (status == CLIPSPAN_OK && !clipspan_store_get_info(of->store)->complete)
        cli_warn("%s is unfinished: rows are those that it has", path);
    return status == CLIPSPAN_OK ? open_pictures(of, where, err) : status;
}

/* One image at a time is what comes. */
static clipspan_status open_side(side *of, const settings *s, const char *model, const char *store, const char *where,
                                 clipspan_error *err)
{
    cli_engine_settings engine = s->engine;
    if (engine.batch == 0) engine.batch = 1;
    of->s = s;
    clipspan_status status = cli_open_model(&of->model, model, &s->model, err);
    if (status == CLIPSPAN_OK) status = open_store(of, store, where, err);
    if (status == CLIPSPAN_OK) status = cli_open_engine(&of->engine, of->model, &engine, err);
    return status;
}

static serve_side side_of(side *of, const char *model, const char *store)
{
    return (serve_side){.model = of->model, .engine = of->engine, .store = of->store, .pictures = of->pictures,
                        .places = of->places, .model_path = model, .store_path = store, .heads = find_heads, .user = of};
}

static void close_side(side *of)
{
    free(of->places);
    clipspan_images_free(of->pictures);
    clipspan_engine_free(of->engine);
    clipspan_store_free(of->store);
    clipspan_model_free(of->model);
}

/* ---- running --------------------------------------------------------------------------------------------------- */

static serve_server *running; /* what Ctrl-C stops */

static void stop(void)
{
    serve_stop(running);
}

static void show_in_browser(const char *url)
{
    char name[] = "xdg-open", *address = strdup(url), *words[] = {name, address, NULL};
    posix_spawn_file_actions_t quiet;
    pid_t child;
    signal(SIGCHLD, SIG_IGN); /* nobody waits for it */
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (address == NULL || posix_spawnp(&child, name, &quiet, NULL, words, environ) != 0)
        cli_warn("xdg-open cannot be started: open %s yourself", url);
    posix_spawn_file_actions_destroy(&quiet);
    free(address);
}

static clipspan_status run_server(const serve_options *options, int open, clipspan_error *err)
{
    clipspan_status status = serve_open(&running, options, err);
    if (status != CLIPSPAN_OK) return status;
    cli_interrupt_also(stop);
    printf("%s\n", serve_url(running));
    fflush(stdout);
    if (open) show_in_browser(serve_url(running));
    status = serve_run(running, err);
    cli_interrupt_also(NULL);
    serve_free(running);
    return status;
}

static void add_count(cli_line *line, const char *name, size_t value, size_t otherwise)
{
    if (value == otherwise) return;
    cli_line_word(line, name);
    cli_line_format(line, "%zu", value);
}

/* Words that start the same server again, but for its token. The caller frees it. */
static char *command_of(const settings *s)
{
    cli_line line = {0};
    cli_line_word(&line, "serve");
    cli_line_word(&line, s->arguments[0]);
    if (s->arguments[1] != NULL) cli_line_word(&line, s->arguments[1]);
    cli_line_option(&line, "--beside", s->beside);
    cli_line_option(&line, "--beside-store", s->beside_store);
    cli_line_list(&line, "--texts", &s->texts);
    cli_line_option(&line, "--images", s->images);
    cli_line_option(&line, "--host", s->host);
    add_count(&line, "--port", s->port, defaults.port);
    add_count(&line, "--held", s->held, defaults.held);
    add_count(&line, "--timeout", s->timeout, defaults.timeout);
    cli_line_option(&line, "--config", s->model.config);
    cli_line_option(&line, "--vocab", s->model.vocab);
    cli_line_engine(&line, &s->engine);
    char *text = cli_line_text(&line);
    cli_line_clear(&line);
    return text;
}

static clipspan_status run(void *given, clipspan_error *err)
{
    const settings *s = given;
    side sides[SERVE_SIDES] = {{0}};
    char *command = command_of(s);
    serve_options options = {.command = command, .host = s->host, .port = s->port, .token = s->token, .held = s->held,
                             .threads = (int)s->engine.threads, .slow_seconds = s->timeout};
    clipspan_status status = command ? check(s, err) : cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    if (status == CLIPSPAN_OK) status = open_side(&sides[0], s, s->arguments[0], s->arguments[1], s->images, err);
    if (status == CLIPSPAN_OK && s->beside != NULL)
        status = open_side(&sides[1], s, s->beside, s->beside_store, NULL, err);
    options.sides[0] = side_of(&sides[0], s->arguments[0], s->arguments[1]);
    options.sides[1] = side_of(&sides[1], s->beside, s->beside_store);
    options.side_count = s->beside ? 2 : 1;
    if (status == CLIPSPAN_OK) status = run_server(&options, s->open, err);
    for (size_t i = 0; i < SERVE_SIDES; i++) close_side(&sides[i]);
    free(command);
    return status;
}

static const cli_option options[] = {
    {"texts", 't', CLI_LIST, "POOL", "texts that describe the store's heads on the first page; may be given again and again",
     offsetof(settings, texts)},
    CLI_STORE_IMAGES_OPTION(settings, images),
    {"beside", 0, CLI_TEXT, "MODEL2", "a second model, to be looked at beside the first", offsetof(settings, beside)},
    {"beside-store", 0, CLI_TEXT, "STORE2", "and its store", offsetof(settings, beside_store)},
    {"host", 0, CLI_TEXT, "ADDRESS", "listen there (default 127.0.0.1: this machine alone); elsewhere a token is needed",
     offsetof(settings, host)},
    {"port", 0, CLI_COUNT, "N", "listen on this port (default 8765; 0: any that is free)", offsetof(settings, port)},
    {"token", 0, CLI_TEXT, "TEXT", "what a client must know (default: none on this machine, else a random one)",
     offsetof(settings, token)},
    {"open", 0, CLI_FLAG, NULL, "show the page in the browser (xdg-open)", offsetof(settings, open)},
    {"held", 0, CLI_COUNT, "N", "images kept at hand for each model (default: as fit in 1 GB, 2 to 64)",
     offsetof(settings, held)},
    {"timeout", 0, CLI_COUNT, "N", "cut a request that has not come whole after N seconds (default 30)",
     offsetof(settings, timeout)},
    CLI_ENGINE_OPTIONS(settings, engine),
    CLI_MODEL_OPTIONS(settings, model),
    CLI_END,
};

const cli_command cli_serve = {
    .name = "serve",
    .arguments = {"MODEL", "[STORE]"},
    .summary = "Explore images, texts and heads in the browser",
    .text = "Starts a local web server and prints its address: drop an image, type texts, see where and by which heads they\n"
            "are argued for, switch heads off, look for neighbours in a head's space. With a STORE of the model also its\n"
            "heads, its images and their means. Under the page lies a JSON API (docs/api.md). The server answers this\n"
            "machine alone unless --host says otherwise; Ctrl-C ends it.",
    .example = "clipspan serve models/demo/clipspan-demo out/demo/store --texts models/demo/pool.txt",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .run = run,
};
