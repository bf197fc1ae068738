/* cli/columns.h - names of columns as an option gives them: "colour,shape". */
#ifndef CLIPSPAN_CLI_COLUMNS_H
#define CLIPSPAN_CLI_COLUMNS_H

#include "cli.h"

#define CLI_COLUMNS_HELP                                                                                              \
    "columns of the image list's CSV (default: all with 2 to 64 values, on average two images or more a value)"

enum { CLI_COLUMNS_MOST = 64 };
typedef struct cli_columns {
    const char *names[CLI_COLUMNS_MOST];
    size_t count;
    char *copy;
} cli_columns;
/* text: NULL: none are named. */
clipspan_status cli_columns_read(cli_columns *out, const char *text, clipspan_error *err);
void cli_columns_free(cli_columns *columns);

#endif
