/* Joint maps: `clipspan map` on the store's own model and pictures. */
#include "figure.h"
#include "map.h"

#include <string.h>

/* "0,7,20-25" as names of the store's images. */
static clipspan_status name_rows(const figure_job *job, cli_list *names, clipspan_error *err)
{
    const char *text = job->s->rows;
    size_t count = (size_t)clipspan_store_get_info(job->store)->images, first, last;
    do {
        if (!map_read_range(&text, &first, &last))
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--rows %s: expected numbers and ranges, such as 0,7,20-25",
                            job->s->rows);
        if (last >= count)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--rows %s: the store has %zu images", job->s->rows, count);
        if (last - first >= CLI_LIST_MOST - names->count)
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--rows %s: at most %d images", job->s->rows, (int)CLI_LIST_MOST);
        for (size_t row = first; row <= last; row++)
            names->items[names->count++] = clipspan_store_image_name(job->store, row);
    } while (*text);
    return CLIPSPAN_OK;
}

clipspan_status figure_maps(figure_job *job, clipspan_error *err)
{
    const figure_settings *s = job->s;
    const clipspan_store_info *info = clipspan_store_get_info(job->store);
    char pictures[FIGURE_FORMATS][4096], data[4096];
    map_settings map = *(const map_settings *)cli_map.defaults;
    if (s->mapped.count == 0) return figure_lacks(job, FIGURE_MAPS, "--map TEXT is missing", err);
    if (s->rows == NULL) return figure_lacks(job, FIGURE_MAPS, "--rows ROWS is missing", err);
    map.arguments[0] = s->span.model ? s->span.model : info->model_path;
    map.arguments[1] = s->images ? s->images : info->images_path;
    map.images.kind = info->images_kind[0] ? info->images_kind : NULL;
    map.images.exif = info->exif;
    map.model.config = info->model_config[0] ? info->model_config : NULL;
    map.model.vocab = s->span.vocab ? s->span.vocab : info->model_vocab[0] ? info->model_vocab : NULL;
    map.engine = s->span.engine;
    map.texts = s->mapped;
    map.heads = s->span.heads;
    map.detail = "head";
    map.top = 0;
    map.json = 1;
    map.bare = s->bare;
    map.output = data;
    for (size_t i = 0; i < s->mapped.count; i++)
        if (s->mapped.items[i][strspn(s->mapped.items[i], " \t\n")] == '\0')
            return cli_fail(err, CLIPSPAN_ERROR_ARGUMENT, "--map: the text is empty");
    clipspan_status status = name_rows(job, &map.names, err);
    if (status == CLIPSPAN_OK) status = figure_path(job, "maps", "json", data, sizeof data, err);
    for (size_t f = 0; f < job->format_count && status == CLIPSPAN_OK; f++) {
        status = figure_path(job, "maps", job->formats[f], pictures[f], sizeof pictures[f], err);
        map.pictures.items[map.pictures.count++] = pictures[f];
    }
    return status == CLIPSPAN_OK ? cli_map.run(&map, err) : status;
}
