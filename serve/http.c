/* The one door to libmicrohttpd: connections, their limits, headers and bodies.
 *
 * One thread reads and writes (serve_run). A request that has come whole is answered at once, or its connection is put aside
 * and the request goes to a lane; when the lane is done with it, the connection is taken up again. Times are counted here,
 * since the library itself only notices silence: a client that sends a byte now and then is cut too. */
#include "guard.h"
#include "handlers.h"
#include "listen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

enum {
    CONNECTIONS = 256,
    CONNECTIONS_EACH = 64,       /* of one address, where the host is not this machine alone */
    CONNECTION_BYTES = 64 << 10, /* for headers, and for what is read at a time */
    BODIES = 256 << 20,          /* bytes of all bodies that are being read or worked on */
    DISCARD_MOST = 128 << 20,    /* a refused body is read to its end up to this size, so that the answer arrives */
    SLOW_SECONDS = 30,
    IDLE_SECONDS = 60,  /* between requests */
    SEND_SECONDS = 120, /* an answer on its way */
    WORK_SECONDS = 600, /* a request in its lane */
    LAST_SECONDS = 2,   /* for answers on their way when the server stops */
    TICK_MILLISECONDS = 500
};

typedef enum phase { FRESH, IDLE, READING, WORKING, SENDING } phase;

typedef struct connection {
    struct connection *next, **link; /* in the server's list */
    int fd;
    phase phase;
    double since;
} connection;

struct serve_server {
    serve_options options;
    serve_session session;
    serve_listener listener;
    struct MHD_Daemon *daemon;
    serve_lanes *lanes;
    int wake; /* an eventfd: something was done, or the server is to stop */
    atomic_bool stopping;
    char token[130], url[SERVE_HOST_MOST + 200], cookie[64];
    char tag[40]; /* of what stays the same while this server runs, in quotes: another server's is another */
    connection *connections;
    double looked; /* when they were last looked through */
    size_t body_bytes, working;
    pthread_mutex_t lock;
    struct serve_job *done; /* under the lock: those whose connections are to be taken up again */
};

/* A request on its way through. */
typedef struct exchange {
    serve_job job;
    serve_server *server;
    struct MHD_Connection *connection;
    connection *link;
    const serve_route *route; /* NULL: refused */
    serve_request request;
    serve_answer answer;
    clipspan_hooks hooks;
    double begun; /* its work */
    char *body;
    size_t announced; /* bytes of the body */
    const char *allow; /* methods, of a path that is asked with another; NULL: it is not */
    bool begun_work, answered, gone;
    bool last; /* the client asks nothing more on this connection, as it said */
    bool known; /* it brought the token, where there is one */
} exchange;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void enter(connection *link, phase into)
{
    if (link == NULL) return;
    link->phase = into;
    link->since = now();
}

/* ---- connections ------------------------------------------------------------------------------------------- */

static void on_connection(void *given, struct MHD_Connection *handle, void **context, enum MHD_ConnectionNotificationCode code)
{
    serve_server *server = given;
    connection *link = *context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (link == NULL) return;
        *link->link = link->next;
        if (link->next != NULL) link->next->link = link->link;
        free(link);
        *context = NULL;
        return;
    }
    if ((link = calloc(1, sizeof *link)) == NULL) return;
    link->fd = MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    link->next = server->connections;
    link->link = &server->connections;
    if (link->next != NULL) link->next->link = &link->next;
    server->connections = link;
    enter(link, FRESH);
    *context = link;
}

static double patience(const serve_server *server, const connection *link)
{
    size_t slow = server->options.slow_seconds ? server->options.slow_seconds : SLOW_SECONDS;
    switch (link->phase) {
    case IDLE: return IDLE_SECONDS;
    case SENDING: return SEND_SECONDS;
    case WORKING: return 1e9; /* the lane's own time counts */
    default: return (double)slow;
    }
}

/* The client has closed its side, and all that it sent was read; of one that said it would (`last`): the connection broke. */
static bool is_closed(const connection *link, bool last)
{
    char byte;
    ssize_t got = recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return (got == 0 && !last) || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* Now and then: who is too slow, and who has gone. An end that comes along with the last bytes escapes the library, which is
 * told of changes alone. */
static void cut_slow(serve_server *server)
{
    double at = now();
    if (at - server->looked < 1e-3 * TICK_MILLISECONDS) return;
    server->looked = at;
    for (connection *link = server->connections; link != NULL; link = link->next) {
        bool ended = link->phase != WORKING && link->phase != SENDING && is_closed(link, false);
        if (ended || at - link->since > patience(server, link)) shutdown(link->fd, SHUT_RDWR); /* this is a change */
    }
}

/* ---- work in the lanes ------------------------------------------------------------------------------------- */

/* Asked by long work now and then. */
static int is_pointless(void *given, const clipspan_progress *progress)
{
    exchange *x = given;
    (void)progress;
    x->gone = is_closed(x->link, x->last);
    return x->gone || atomic_load(&x->server->stopping) || now() - x->begun > WORK_SECONDS;
}

static void handle(exchange *x)
{
    clipspan_error err = {CLIPSPAN_OK, ""};
    clipspan_status status = x->route->handler(&x->server->session, &x->request, &x->answer, &err);
    if (status == CLIPSPAN_OK && x->answer.failed) status = serve_no_memory(&err);
    if (status == CLIPSPAN_ERROR_INTERRUPTED)
        serve_refuse(&x->answer, 503, &err, atomic_load(&x->server->stopping) ? "the server is stopping"
                                                                              : "that took longer than %d seconds",
                     (int)WORK_SECONDS);
    if (status != CLIPSPAN_OK) serve_answer_error(&x->answer, status, err.message);
}

static void work(void *given, serve_job *job)
{
    exchange *x = (exchange *)(void *)job;
    (void)given;
    x->begun = now();
    x->begun_work = !is_pointless(x, NULL); /* who has gone meanwhile holds nobody up */
    if (x->begun_work) handle(x);
}

static void wake(serve_server *server)
{
    const uint64_t one = 1;
    ssize_t ignored = write(server->wake, &one, sizeof one);
    (void)ignored; /* a full counter wakes as well */
}

static void on_done(void *given, serve_job *job)
{
    serve_server *server = given;
    exchange *x = (exchange *)(void *)job;
    if (!x->begun_work) {
        x->answer.status = 503;
        serve_answer_error(&x->answer, CLIPSPAN_ERROR_INTERRUPTED, "the server is stopping");
    }
    pthread_mutex_lock(&server->lock);
    job->next = server->done;
    server->done = job;
    pthread_mutex_unlock(&server->lock);
    wake(server);
}

static void take_up_done(serve_server *server)
{
    pthread_mutex_lock(&server->lock);
    serve_job *job = server->done;
    server->done = NULL;
    pthread_mutex_unlock(&server->lock);
    while (job != NULL) {
        exchange *x = (exchange *)(void *)job;
        job = job->next;
        x->answered = true;
        server->working--;
        MHD_resume_connection(x->connection);
    }
}

/* ---- answers ----------------------------------------------------------------------------------------------- */

static void add_headers(struct MHD_Response *response, const exchange *x, int status)
{
    static const char *const fixed[][2] = {
        {"Content-Security-Policy", "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
                                    "frame-ancestors 'none'; form-action 'none'"},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"}};
    char text[256];
    const char *type = x->answer.type ? x->answer.type : "application/json";
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) MHD_add_response_header(response, fixed[i][0], fixed[i][1]);
    snprintf(text, sizeof text, "%s%s", type, strncmp(type, "text/", 5) == 0 ? "; charset=utf-8" : "");
    MHD_add_response_header(response, "Content-Type", text);
    bool kept = x->route != NULL && x->route->kept && (status == 200 || status == 304);
    MHD_add_response_header(response, "Cache-Control", kept ? "private, no-cache" : x->answer.still ? "no-cache" : "no-store");
    if (kept) MHD_add_response_header(response, "ETag", x->server->tag);
    if (x->allow != NULL) MHD_add_response_header(response, "Allow", x->allow);
    if (status == 503) MHD_add_response_header(response, "Retry-After", "1");
    if (status == 401) MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (x->answer.page && x->known && x->server->token[0] != '\0') {
        snprintf(text, sizeof text, "%s=%s; Path=/; HttpOnly; SameSite=Strict", x->server->cookie, x->server->token);
        MHD_add_response_header(response, "Set-Cookie", text);
    }
}

static enum MHD_Result send_answer(exchange *x)
{
    size_t length = 0;
    int status = x->answer.status ? x->answer.status : 200;
    if (x->gone) return MHD_NO;
    const char *bytes = serve_answer_bytes(&x->answer, &length);
    /* the exchange, and the bytes with it, outlives the response */
    struct MHD_Response *response = MHD_create_response_from_buffer(length, (void *)(uintptr_t)bytes, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) return MHD_NO;
    add_headers(response, x, status);
    enter(x->link, SENDING);
    enum MHD_Result result = MHD_queue_response(x->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

static const char *header(const exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static void refuse(exchange *x, int status, const char *message)
{
    x->route = NULL;
    x->answer.status = status;
    serve_answer_error(&x->answer, CLIPSPAN_ERROR_ARGUMENT, message);
    x->answered = true;
}

static enum MHD_Result count_header(void *given, enum MHD_ValueKind kind, const char *name, const char *value)
{
    static const char *const once[] = {"Host", "Content-Length", "Transfer-Encoding"};
    unsigned *counts = given;
    (void)kind;
    (void)value;
    for (size_t i = 0; i < sizeof once / sizeof *once; i++) counts[i] += strcasecmp(name, once[i]) == 0;
    return MHD_YES;
}

/* A proxy before this server might read a request otherwise, which says twice whom it is for or how long it is. */
static bool is_clear(const exchange *x)
{
    unsigned counts[3] = {0};
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, count_header, counts);
    return counts[0] <= 1 && counts[1] + counts[2] <= 1;
}

static bool has_token(const exchange *x, const char *path)
{
    const char *token = x->server->token, *bearer = header(x, "Authorization");
    if (token[0] == '\0') return true;
    if (bearer != NULL && strncasecmp(bearer, "Bearer ", 7) == 0) return serve_same_token(bearer + 7, token);
    if (serve_same_token(MHD_lookup_connection_value(x->connection, MHD_COOKIE_KIND, x->server->cookie), token)) return true;
    return strcmp(path, "/") == 0 &&
           serve_same_token(MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "token"), token);
}

/* Who asks, and from where. The page's own files hold nothing secret: without the token the page says that it needs one. */
static bool is_allowed(exchange *x, const char *method, const char *path)
{
    const char *host = header(x, "Host");
    x->known = has_token(x, path);
    bool api = strncmp(path, "/api/", 5) == 0, reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (!is_clear(x))
        refuse(x, 400, "Host, or the length of the body, is said more than once");
    else if (x->server->listener.loopback && !serve_is_loopback_name(host))
        refuse(x, 400, "the Host header names another machine: open the address that the server printed");
    else if ((api || !reads) && !serve_is_own_page(header(x, "Origin"), header(x, "Sec-Fetch-Site"), host))
        refuse(x, 400, "the request comes from a page of another server");
    else if ((api || !reads) && !x->known)
        refuse(x, 401, "the token is missing or wrong: open the address that the server printed");
    return !x->answered;
}

static bool find_route(exchange *x, const char *method, const char *path)
{
    x->route = serve_route_find(method, path, &x->request.tail, &x->allow);
    if (x->allow != NULL)
        refuse(x, 405, "this path is asked with another method (docs/api.md)");
    else if (x->route == NULL)
        refuse(x, 404, "there is no such path (docs/api.md)");
    return x->route != NULL;
}

/* "application/json; charset=utf-8" is application/json. */
static bool is_type(const char *type, const char *wanted)
{
    size_t length = strlen(wanted);
    return type != NULL && strncasecmp(type, wanted, length) == 0 && (wanted[length - 1] == '/' || strchr("; ", type[length]));
}

/* Length and kind of the body; room for it. */
static bool expect_body(exchange *x)
{
    const char *length = header(x, "Content-Length"), *type = header(x, "Content-Type");
    if (x->route->most == 0) {
        if (x->announced > 0 || header(x, "Transfer-Encoding") != NULL) refuse(x, 400, "this request has no body");
        return !x->answered;
    }
    x->request.json = is_type(type, "application/json");
    bool picture = x->route->pictures && (is_type(type, "image/") || is_type(type, "application/octet-stream"));
    size_t most = picture ? SERVE_IMAGE_BYTES : x->route->most;
    if (length == NULL)
        refuse(x, 411, "the length of the body is missing (Content-Length)");
    else if (!x->request.json && !picture)
        refuse(x, 415, x->route->pictures ? "expected a picture (Content-Type image/...) or JSON (application/json)"
                                          : "expected JSON (Content-Type application/json)");
    else if (x->announced > most)
        refuse(x, 413, picture ? "the picture is larger than 32 MiB" : "the request is too large");
    else if (x->server->body_bytes + x->announced > BODIES)
        refuse(x, 503, "too much is being sent at a time: try again");
    else if ((x->body = malloc(x->announced + 1)) == NULL)
        refuse(x, 503, "out of memory: try again");
    if (x->answered) return false;
    x->server->body_bytes += x->announced;
    return true;
}

static enum MHD_Result on_field(void *given, enum MHD_ValueKind kind, const char *name, const char *value)
{
    serve_request *request = given;
    (void)kind;
    if (strcmp(name, "token") == 0) return MHD_YES;
    if (request->field_count == SERVE_FIELDS) return MHD_NO;
    request->fields[request->field_count++] = (serve_field){name, value ? value : ""};
    return MHD_YES;
}

static bool prepare(exchange *x, const char *method, const char *path)
{
    const char *length = header(x, "Content-Length");
    x->announced = length ? (size_t)strtoull(length, NULL, 10) : 0;
    if (!is_allowed(x, method, path) || !find_route(x, method, path) || !expect_body(x)) return false;
    MHD_get_connection_values(x->connection, MHD_GET_ARGUMENT_KIND, on_field, &x->request);
    return true;
}

static bool is_last(const exchange *x, const char *version)
{
    const char *after = header(x, "Connection");
    return after != NULL ? strcasecmp(after, "close") == 0 : strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
}

static enum MHD_Result begin(serve_server *server, struct MHD_Connection *handle, const char *path, const char *method,
                             const char *version, void **context)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    exchange *x = calloc(1, sizeof *x);
    if (x == NULL || info == NULL || info->socket_context == NULL) {
        free(x);
        return MHD_NO;
    }
    *context = x;
    x->server = server;
    x->connection = handle;
    x->link = info->socket_context;
    x->hooks = (clipspan_hooks){.progress = is_pointless, .user = x};
    x->request.hooks = &x->hooks;
    x->last = is_last(x, version);
    enter(x->link, READING);
    if (prepare(x, method, path)) return MHD_YES;
    /* a body with two lengths has no end; who asks first whether to send it is spared it */
    bool unread = x->announced > DISCARD_MOST || header(x, "Expect") != NULL || !is_clear(x);
    return unread ? send_answer(x) : MHD_YES;
}

/* More than was announced is never handed over by the library; a refused body goes nowhere, and one of unknown length ends. */
static enum MHD_Result take(exchange *x, const char *bytes, size_t *length)
{
    if (*length > (x->body ? x->announced : DISCARD_MOST) - x->request.length) return MHD_NO;
    if (x->body != NULL) memcpy(x->body + x->request.length, bytes, *length);
    x->request.length += *length;
    *length = 0;
    return MHD_YES;
}

static enum MHD_Result start(exchange *x)
{
    serve_lane lane = x->route->lane;
    if (x->body != NULL) {
        x->body[x->request.length] = '\0';
        x->request.body = x->body;
    }
    const char *seen = x->route->kept ? header(x, "If-None-Match") : NULL;
    if (seen != NULL && strcmp(seen, x->server->tag) == 0) {
        x->answer.status = 304;
        return send_answer(x);
    }
    if (x->route->is_long != NULL && x->route->is_long(&x->request)) lane = SERVE_LONG;
    if (lane == SERVE_AT_ONCE) {
        handle(x);
        x->answered = true;
        return send_answer(x);
    }
    if (!serve_lanes_push(x->server->lanes, lane, &x->job)) {
        refuse(x, 503, "the server has too much to do: try again");
        return send_answer(x);
    }
    /* the lane may be done already, but says so to this very thread: take_up_done comes behind this */
    x->server->working++;
    enter(x->link, WORKING);
    MHD_suspend_connection(x->connection);
    return MHD_YES;
}

static enum MHD_Result on_request(void *given, struct MHD_Connection *handle, const char *path, const char *method,
                                  const char *version, const char *bytes, size_t *length, void **context)
{
    exchange *x = *context;
    if (x == NULL) return begin(given, handle, path, method, version, context);
    if (*length > 0) return take(x, bytes, length);
    return x->answered ? send_answer(x) : start(x);
}

static void on_completed(void *given, struct MHD_Connection *handle, void **context, enum MHD_RequestTerminationCode code)
{
    serve_server *server = given;
    exchange *x = *context;
    (void)handle;
    (void)code;
    if (x == NULL) return;
    *context = NULL;
    if (x->body != NULL) server->body_bytes -= x->announced;
    enter(x->link, IDLE);
    serve_answer_free(&x->answer);
    free(x->body);
    free(x);
}

/* ---- the server -------------------------------------------------------------------------------------------- */

static clipspan_status fail(clipspan_error *err, const char *message)
{
    err->status = CLIPSPAN_ERROR_INTERNAL;
    snprintf(err->message, sizeof err->message, "%s", message);
    return err->status;
}

static clipspan_status choose_token(serve_server *server, clipspan_error *err)
{
    const char *given = server->options.token;
    if (given != NULL && !serve_is_token(given))
        return serve_wrong(err, "--token: expected 8 to 128 letters, digits, - and _");
    if (given != NULL)
        snprintf(server->token, sizeof server->token, "%s", given);
    else if (!server->listener.loopback && !serve_make_token(server->token))
        return fail(err, "the system gives no random numbers for a token: --token takes one");
    const char *begins = server->token[0] ? "?token=" : "";
    snprintf(server->url, sizeof server->url, "http://%s/%s%s", server->listener.name, begins, server->token);
    snprintf(server->cookie, sizeof server->cookie, "clipspan_token_%d", server->listener.port);
    return CLIPSPAN_OK;
}

static clipspan_status choose_tag(serve_server *server, clipspan_error *err)
{
    char made[33];
    if (!serve_make_token(made)) return fail(err, "the system gives no random numbers");
    snprintf(server->tag, sizeof server->tag, "\"%s\"", made);
    return CLIPSPAN_OK;
}

/* "%00" stays as it is: behind a NUL nothing would be seen of a path or a value. */
static size_t unescape(void *given, struct MHD_Connection *handle, char *text)
{
    (void)given;
    (void)handle;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

static clipspan_status start_daemon(serve_server *server, clipspan_error *err)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (server->listener.ipv6 ? MHD_USE_IPv6 : 0);
    unsigned each = server->listener.loopback ? 0 : CONNECTIONS_EACH;
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, server->listener.fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT, each,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK,
        unescape, server, MHD_OPTION_END);
    if (server->daemon == NULL) return fail(err, "libmicrohttpd does not start");
    return CLIPSPAN_OK;
}

clipspan_status serve_open(serve_server **out, const serve_options *options, clipspan_error *err)
{
    serve_server *server = calloc(1, sizeof *server);
    *out = NULL;
    if (server == NULL) return serve_no_memory(err);
    server->options = *options;
    server->listener.fd = server->wake = -1;
    pthread_mutex_init(&server->lock, NULL);
    clipspan_status status =
        serve_listen(&server->listener, options->host ? options->host : "127.0.0.1", (unsigned)options->port, err);
    if (status == CLIPSPAN_OK) status = choose_token(server, err);
    if (status == CLIPSPAN_OK) status = choose_tag(server, err);
    if (status == CLIPSPAN_OK) status = serve_session_open(&server->session, &server->options, err);
    if (status == CLIPSPAN_OK && (server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        status = fail(err, "no file descriptor is left");
    if (status == CLIPSPAN_OK && !serve_lanes_open(&server->lanes, work, on_done, server))
        status = fail(err, "no thread can be started");
    if (status == CLIPSPAN_OK) status = start_daemon(server, err);
    if (status == CLIPSPAN_OK)
        *out = server;
    else
        serve_free(server);
    return status;
}

const char *serve_url(const serve_server *server)
{
    return server->url;
}

/* Waits for something to do, and does it. */
static bool turn(serve_server *server, clipspan_error *err)
{
    MHD_UNSIGNED_LONG_LONG due = TICK_MILLISECONDS;
    uint64_t count;
    struct pollfd fds[] = {
        {.fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, .events = POLLIN},
        {.fd = server->wake, .events = POLLIN}};
    if (MHD_get_timeout(server->daemon, &due) != MHD_YES || due > TICK_MILLISECONDS) due = TICK_MILLISECONDS;
    if (poll(fds, 2, (int)due) < 0 && errno != EINTR) return fail(err, strerror(errno)), false;
    ssize_t ignored = read(server->wake, &count, sizeof count);
    (void)ignored; /* nothing to read: it was the time, or a connection */
    take_up_done(server);
    cut_slow(server);
    if (MHD_run(server->daemon) == MHD_YES) return true;
    return fail(err, "libmicrohttpd gave up"), false;
}

/* What is being worked on ends; its answers, and those on their way, get a moment to arrive. */
static void finish(serve_server *server)
{
    clipspan_error ignored;
    double until = now() + LAST_SECONDS;
    atomic_store(&server->stopping, true);
    serve_lanes_stop(server->lanes);
    for (int busy = 1; busy && now() < until;) {
        wake(server);
        if (!turn(server, &ignored)) break;
        busy = server->working > 0;
        for (const connection *link = server->connections; link != NULL; link = link->next) busy |= link->phase == SENDING;
    }
    take_up_done(server); /* none may be put aside when the daemon ends */
}

clipspan_status serve_run(serve_server *server, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    while (!atomic_load(&server->stopping))
        if (!turn(server, err)) {
            status = err->status;
            break;
        }
    finish(server);
    return status;
}

void serve_stop(serve_server *server)
{
    int kept = errno;
    atomic_store(&server->stopping, true);
    wake(server);
    errno = kept;
}

void serve_free(serve_server *server)
{
    if (server == NULL) return;
    if (server->lanes != NULL) serve_lanes_stop(server->lanes);
    if (server->daemon != NULL) {
        take_up_done(server);
        MHD_stop_daemon(server->daemon); /* closes the listening socket */
    } else if (server->listener.fd >= 0) {
        close(server->listener.fd);
    }
    serve_lanes_free(server->lanes);
    serve_session_close(&server->session);
    if (server->wake >= 0) close(server->wake);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
