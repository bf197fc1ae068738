/* The paths that there are. */
#include "handlers.h"

#include <string.h>

static const serve_route routes[] = {
    {"GET", "/api/state", serve_state, SERVE_AT_ONCE, 0, NULL, false, false},
    {"GET", "/api/heads", serve_heads, SERVE_LONG, 0, NULL, false, false},
    {"POST", "/api/images", serve_images_post, SERVE_PROMPT, SERVE_JSON_BYTES, NULL, true, false},
    {"GET", "/api/images/", serve_images_get, SERVE_PICTURES, 0, NULL, false, true},
    {"GET", "/api/rows", serve_rows, SERVE_PICTURES, 0, NULL, false, false},
    {"GET", "/api/rows/", serve_rows_picture, SERVE_PICTURES, 0, NULL, false, true},
    {"POST", "/api/maps", serve_maps, SERVE_PROMPT, SERVE_JSON_BYTES, NULL, false, false},
    {"POST", "/api/scores", serve_scores, SERVE_PROMPT, SERVE_JSON_BYTES, serve_scores_run, false, false},
    {"POST", "/api/nearest", serve_nearest, SERVE_LONG, SERVE_JSON_BYTES, NULL, false, false},
    {"POST", "/api/textspan", serve_textspan, SERVE_LONG, SERVE_POOL_BYTES, NULL, false, false},
    {"GET", "/", serve_page, SERVE_AT_ONCE, 0, NULL, false, false},
};

static bool leads_to(const serve_route *route, const char *path, const char **tail)
{
    size_t length = strlen(route->path);
    bool open = route->path[length - 1] == '/';
    if (open ? strncmp(path, route->path, length) != 0 : strcmp(path, route->path) != 0) return false;
    *tail = path + length;
    return true;
}

const serve_route *serve_route_find(const char *method, const char *path, const char **tail, const char **allow)
{
    bool api = strncmp(path, "/api/", 5) == 0;
    *allow = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!leads_to(&routes[i], path, tail)) continue;
        if (api && strcmp(routes[i].path, "/") == 0) continue; /* pages are no answers to the API */
        bool reads = strcmp(routes[i].method, "GET") == 0;
        if (strcmp(routes[i].method, method) == 0 || (reads && strcmp(method, "HEAD") == 0)) return &routes[i];
        *allow = reads ? "GET, HEAD" : routes[i].method;
    }
    return NULL;
}
