/* Statuses and messages. */
#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *clipspan_status_name(clipspan_status status)
{
    static const char *const names[] = {"ok",          "argument", "io",          "format",  "mismatch",
                                        "unsupported", "memory",   "interrupted", "internal"};
    unsigned i = (unsigned)status;
    return i < sizeof names / sizeof *names ? names[i] : "unknown";
}

const char *clipspan_version(void)
{
    return CLIPSPAN_VERSION;
}

/* A message is one line and commands no terminal: what comes in with file names or texts (line breaks, escape sequences, also
 * the controls that UTF-8 writes as C2 80 to C2 9F) becomes spaces. */
static void one_line(char *message)
{
    for (unsigned char *c = (unsigned char *)message; *c; c++) {
        if (*c < 0x20 || *c == 0x7f) *c = ' ';
        if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) c[0] = c[1] = ' ';
    }
}

clipspan_status clsp_fail(clipspan_error *err, clipspan_status status, const char *format, ...)
{
    if (err == NULL) return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message, format, arguments);
    va_end(arguments);
    one_line(err->message);
    err->status = status;
    return status;
}

clipspan_status clsp_fail_errno(clipspan_error *err, const char *format, ...)
{
    int number = errno;
    char reason[128] = "";
    if (err == NULL) return CLIPSPAN_ERROR_IO;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->message, sizeof err->message - sizeof reason - 2, format, arguments); /* a long path leaves room for why */
    va_end(arguments);
    size_t length = strlen(err->message);
    if (strerror_r(number, reason, sizeof reason) != 0) snprintf(reason, sizeof reason, "error %d", number);
    snprintf(err->message + length, sizeof err->message - length, ": %s", reason);
    one_line(err->message);
    err->status = CLIPSPAN_ERROR_IO;
    return CLIPSPAN_ERROR_IO;
}

clipspan_status clsp_fail_memory(clipspan_error *err)
{
    return clsp_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
}
