/* Where a request comes from. */
#include "guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { TOKEN_LEAST = 8, TOKEN_MOST = 128 };

/* 127.0.0.1 and all others that lead to this machine. */
static bool is_loopback_address(const char *name)
{
    struct in_addr address;
    return inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

bool serve_is_loopback_name(const char *host)
{
    char name[16];
    if (host == NULL) return false;
    size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (length >= sizeof name || length > strlen(host)) return false;
    memcpy(name, host, length);
    name[length] = '\0';
    const char *port = host + length;
    if (*port != '\0' && (*port != ':' || port[1] == '\0' || port[1 + strspn(port + 1, "0123456789")] != '\0')) return false;
    return strcasecmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0 || is_loopback_address(name);
}

bool serve_is_own_page(const char *origin, const char *site, const char *host)
{
    if (site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0) return false;
    if (origin == NULL) return true;
    const char *name = strstr(origin, "://");
    bool web = strncasecmp(origin, "http://", 7) == 0 || strncasecmp(origin, "https://", 8) == 0;
    return web && host != NULL && strcasecmp(name + 3, host) == 0;
}

bool serve_same_token(const char *given, const char *token)
{
    size_t length = strlen(token), theirs = given ? strlen(given) : 0;
    unsigned differs = theirs != length;
    for (size_t i = 0; i < length; i++) differs |= (unsigned char)token[i] ^ (unsigned char)(i < theirs ? given[i] : 0);
    return differs == 0;
}

bool serve_is_token(const char *token)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t length = strspn(token, allowed);
    return token[length] == '\0' && length >= TOKEN_LEAST && length <= TOKEN_MOST;
}

bool serve_make_token(char out[33])
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) return false;
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return true;
}
