/* Names of columns, cut at commas. */
#include "columns.h"

#include <stdlib.h>
#include <string.h>

clipspan_status cli_columns_read(cli_columns *out, const char *text, clipspan_error *err)
{
    *out = (cli_columns){0};
    if (text == NULL) return CLIPSPAN_OK;
    out->copy = strdup(text);
    if (out->copy == NULL) return cli_fail(err, CLIPSPAN_ERROR_MEMORY, "out of memory");
    for (char *name = strtok(out->copy, ","); name != NULL; name = strtok(NULL, ",")) {
        if (out->count == CLI_COLUMNS_MOST) {
            cli_columns_free(out);
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--columns names more than %d columns", (int)CLI_COLUMNS_MOST);
        }
        out->names[out->count++] = name;
    }
    return CLIPSPAN_OK;
}

void cli_columns_free(cli_columns *columns)
{
    free(columns->copy);
    *columns = (cli_columns){0};
}
