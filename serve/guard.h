/* serve/guard.h - who may ask: what a request's headers say of where it comes from. Words in, yes or no out. */
#ifndef CLIPSPAN_SERVE_GUARD_H
#define CLIPSPAN_SERVE_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* The Host header names this machine itself, by an address or as localhost, with or without a port. A page elsewhere whose
 * name was made to lead here (DNS rebinding) names itself. */
bool serve_is_loopback_name(const char *host);
/* The headers Origin and Sec-Fetch-Site (NULL: not sent) are those of a page of this server, or of no page at all. */
bool serve_is_own_page(const char *origin, const char *site, const char *host);
/* In a time that does not depend on where they differ. NULL is no token. */
bool serve_same_token(const char *given, const char *token);
/* Letters, digits, "-" and "_", 8 to 128 of them: what goes into addresses and cookies as it is. */
bool serve_is_token(const char *token);
/* out: 32 hex digits from the system's random numbers. */
bool serve_make_token(char out[33]);

#endif
