/* In place of the server, where libmicrohttpd was not there when the program was built. */
#include "serve.h"

#include <stdio.h>

clipspan_status serve_open(serve_server **out, const serve_options *options, clipspan_error *err)
{
    (void)options;
    *out = NULL;
    err->status = CLIPSPAN_ERROR_UNSUPPORTED;
    snprintf(err->message, sizeof err->message,
             "this clipspan was built without libmicrohttpd: install libmicrohttpd-dev and build it again");
    return err->status;
}

const char *serve_url(const serve_server *server)
{
    (void)server;
    return "";
}

clipspan_status serve_run(serve_server *server, clipspan_error *err)
{
    return serve_open(&server, NULL, err);
}

void serve_stop(serve_server *server)
{
    (void)server;
}

void serve_free(serve_server *server)
{
    (void)server;
}
