/* serve/listen.h - the socket that the server is asked on. */
#ifndef CLIPSPAN_SERVE_LISTEN_H
#define CLIPSPAN_SERVE_LISTEN_H

#include <stdbool.h>

#include "clipspan/error.h"

enum { SERVE_HOST_MOST = 256 };
typedef struct serve_listener {
    int fd;
    int port;
    bool loopback, ipv6;
    char name[SERVE_HOST_MOST + 16]; /* "127.0.0.1:8765", as addresses have it */
} serve_listener;

/* host: a name or an address; port 0: any that is free. */
clipspan_status serve_listen(serve_listener *out, const char *host, unsigned port, clipspan_error *err);

#endif
