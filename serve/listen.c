/* A socket, bound. */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 256 };

static clipspan_status fail(clipspan_error *err, const char *host, unsigned port, const char *what, const char *why)
{
    err->status = CLIPSPAN_ERROR_IO;
    snprintf(err->message, sizeof err->message, "%.200s port %u: %s: %s", host, port, what, why);
    return err->status;
}

/* Fills name, port and loopback from the address that it is bound to. */
static clipspan_status describe(serve_listener *out, const char *host, clipspan_error *err)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } at;
    socklen_t length = sizeof at;
    char text[SERVE_HOST_MOST] = "";
    if (getsockname(out->fd, &at.any, &length) != 0) return fail(err, host, 0, "cannot be asked", strerror(errno));
    out->ipv6 = at.any.sa_family == AF_INET6;
    out->port = ntohs(out->ipv6 ? at.six.sin6_port : at.four.sin_port);
    out->loopback = out->ipv6 ? IN6_IS_ADDR_LOOPBACK(&at.six.sin6_addr) : ntohl(at.four.sin_addr.s_addr) >> 24 == 127;
    bool everywhere = out->ipv6 ? IN6_IS_ADDR_UNSPECIFIED(&at.six.sin6_addr) : at.four.sin_addr.s_addr == htonl(INADDR_ANY);
    if (everywhere && gethostname(text, sizeof text - 1) == 0)
        snprintf(out->name, sizeof out->name, "%s:%d", text, out->port);
    else if (out->ipv6)
        snprintf(out->name, sizeof out->name, "[%s]:%d", inet_ntop(AF_INET6, &at.six.sin6_addr, text, sizeof text), out->port);
    else
        snprintf(out->name, sizeof out->name, "%s:%d", inet_ntop(AF_INET, &at.four.sin_addr, text, sizeof text), out->port);
    return CLIPSPAN_OK;
}

static int bind_to(const struct addrinfo *address)
{
    int yes = 1, fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

clipspan_status serve_listen(serve_listener *out, const char *host, unsigned port, clipspan_error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char service[16];
    *out = (serve_listener){.fd = -1};
    if (port > 65535) return fail(err, host, port, "cannot be listened on", "ports are 0 to 65535");
    snprintf(service, sizeof service, "%u", port);
    int problem = getaddrinfo(host, service, &hints, &found);
    if (problem != 0) return fail(err, host, port, "no such address", gai_strerror(problem));
    for (const struct addrinfo *a = found; a != NULL && out->fd < 0; a = a->ai_next) out->fd = bind_to(a);
    int why = errno;
    freeaddrinfo(found);
    if (out->fd < 0)
        return fail(err, host, port, "cannot be listened on",
                    why == EADDRINUSE ? "something else does already (--port 0 takes any that is free)" : strerror(why));
    return describe(out, host, err);
}
