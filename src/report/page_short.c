/* Folders that a page says in short, so that it does not tell where its maker keeps things. */
#include "report/page.h"

#include <ctype.h>

#include "formats/json.h"

/* The folder as it stands inside a JSON string. */
static clipspan_status escape(char **out, const char *folder, clipspan_error *err)
{
    clsp_json *node = clsp_json_new_string(folder);
    char *quoted = clsp_json_text(node);
    *out = quoted ? clsp_strndup(quoted + 1, strlen(quoted) - 2) : NULL;
    clsp_free(quoted);
    clsp_json_free(node);
    return *out ? CLIPSPAN_OK : clsp_fail_memory(err);
}

clipspan_status clipspan_page_shorten(clipspan_page *page, const char *folder, const char *name, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_page_folder added = {0};
    size_t length = strlen(folder);
    if (folder[0] != '/' || folder[length - 1] == '/')
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s: expected a folder's whole path, without a / at its end", folder);
    if (page->folder_count == CLSP_PAGE_FOLDERS)
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "a page shortens %d folders, no more", (int)CLSP_PAGE_FOLDERS);
    CLSP_ALLOC(added.path, clsp_strdup(folder));
    CLSP_TRY(escape(&added.escaped, folder, err));
    CLSP_ALLOC(added.name, clsp_strdup(name));
    page->folders[page->folder_count++] = added;
    added = (clsp_page_folder){0};
out:
    clsp_page_folder_clear(&added);
    return status;
}

void clsp_page_folder_clear(clsp_page_folder *folder)
{
    clsp_free(folder->path);
    clsp_free(folder->escaped);
    clsp_free(folder->name);
}

static bool is_of_a_name(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || (c != '\0' && strchr("_-.~+", c) != NULL);
}

/* The deepest folder that begins at `at` and ends with a whole name; NULL: none. */
static const clsp_page_folder *folder_at(const clipspan_page *page, const char *at, bool json, size_t *length)
{
    const clsp_page_folder *found = NULL;
    *length = 0;
    for (size_t i = 0; i < page->folder_count; i++) {
        const char *folder = json ? page->folders[i].escaped : page->folders[i].path;
        size_t own = strlen(folder);
        if (own <= *length || strncmp(at, folder, own) != 0 || is_of_a_name(at[own])) continue;
        found = &page->folders[i];
        *length = own;
    }
    return found;
}

/* What follows the folder's name: of "." the rest alone, where there is any. */
static bool add_name(clsp_buffer *out, const clsp_page_folder *folder, const char **rest)
{
    bool relative = strcmp(folder->name, ".") == 0 && (*rest)[0] == '/' && is_of_a_name((*rest)[1]);
    if (!relative) return clsp_buffer_text(out, folder->name);
    *rest += 1;
    return true;
}

char *clsp_page_short(const clipspan_page *page, const char *text, bool json)
{
    clsp_buffer out;
    const char *begin = text;
    clsp_buffer_init(&out, SIZE_MAX / 4);
    bool good = clsp_buffer_append(&out, "", 0);
    for (const char *at = strchr(text, '/'); good && at != NULL; at = strchr(at, '/')) {
        size_t length = 0;
        bool inside = at > text && (at[-1] == '/' || is_of_a_name(at[-1]));
        const clsp_page_folder *folder = inside ? NULL : folder_at(page, at, json, &length);
        if (folder == NULL) {
            at++;
            continue;
        }
        good = clsp_buffer_append(&out, begin, (size_t)(at - begin));
        begin = at + length;
        good = good && add_name(&out, folder, &begin);
        at = begin;
    }
    if (good && clsp_buffer_text(&out, begin)) return out.data;
    clsp_buffer_free(&out);
    return NULL;
}
