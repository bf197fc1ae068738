/* The file of a page: web/report.html with what it names put inside, and the data. */
#include "report/page.h"

#include <strings.h>

#include "formats/json.h"

static const size_t PAGE_MAXIMUM = (size_t)1 << 30;
static const char TEMPLATE[] = "report.html";
/* Nothing is asked for from anywhere; pictures are in the page, or made by it to be saved. */
static const char POLICY[] = "\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data: blob:; "
                             "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">";

/* ---- the data ----------------------------------------------------------------------------------------------------- */

static bool add_string(clsp_buffer *out, const char *text)
{
    clsp_json *node = clsp_json_new_string(text);
    char *quoted = clsp_json_text(node);
    bool good = quoted != NULL && clsp_buffer_text(out, quoted);
    clsp_free(quoted);
    clsp_json_free(node);
    return good;
}

/* before "text" */
static bool add_text(clsp_buffer *out, const char *before, const char *text)
{
    return clsp_buffer_text(out, before) && add_string(out, text);
}

static bool add_section(clsp_buffer *out, const clsp_page_section *s, bool first)
{
    return add_text(out, first ? "{\"kind\":" : ",\n{\"kind\":", s->kind) && add_text(out, ",\"command\":", s->command) &&
           clsp_buffer_text(out, ",\"data\":") && clsp_buffer_text(out, s->json) && clsp_buffer_text(out, "}");
}

static bool add_absent(clsp_buffer *out, const clsp_page_absent *a, bool first)
{
    return add_text(out, first ? "{\"kind\":" : ",{\"kind\":", a->kind) && add_text(out, ",\"why\":", a->why) &&
           clsp_buffer_text(out, "}");
}

static bool add_picture(clsp_buffer *out, const clsp_page_picture *p, bool first)
{
    return clsp_buffer_format(out, "%s\"%llu\":{\"name\":", first ? "" : ",\n", (unsigned long long)p->row) &&
           add_string(out, p->name) && clsp_buffer_text(out, ",\"src\":\"") && clsp_buffer_text(out, p->url) &&
           clsp_buffer_format(out, "\",\"width\":%d,\"height\":%d}", p->width, p->height);
}

static bool add_side(clsp_buffer *out, const clsp_page_side *side)
{
    bool good = clsp_buffer_text(out, "{\"store\":") && clsp_buffer_text(out, side->store);
    if (side->model != NULL) good = good && clsp_buffer_text(out, ",\"model\":") && clsp_buffer_text(out, side->model);
    if (side->sample != NULL) good = good && add_text(out, ",\"sample\":", side->sample);
    good = good && clsp_buffer_text(out, ",\n\"pictures\":{");
    for (size_t i = 0; good && i < side->picture_count; i++) good = add_picture(out, &side->pictures[i], i == 0);
    good = good && clsp_buffer_text(out, "},\n\"sections\":[");
    for (size_t i = 0; good && i < side->section_count; i++) good = add_section(out, &side->sections[i], i == 0);
    good = good && clsp_buffer_text(out, "],\n\"absent\":[");
    for (size_t i = 0; good && i < side->absent_count; i++) good = add_absent(out, &side->absent[i], i == 0);
    return good && clsp_buffer_text(out, "]}");
}

static bool add_data(clsp_buffer *out, const clipspan_page *page)
{
    bool good = add_text(out, "{\"format\":\"clipspan report 1\",\"version\":", clipspan_version()) &&
                add_text(out, ",\"title\":", page->title) && clsp_buffer_text(out, ",\n\"sides\":[");
    for (size_t i = 0; good && i < page->side_count; i++)
        good = clsp_buffer_text(out, i ? ",\n" : "") && add_side(out, &page->sides[i]);
    return good && clsp_buffer_text(out, "]}");
}

/* ---- inside other elements ------------------------------------------------------------------------------------------ */

/* The text with every `c` that `escape` knows written otherwise: escape returns what it becomes, NULL: it stays. */
static bool add_escaped(clsp_buffer *out, const char *text, size_t length, const char *(*escape)(const char *at))
{
    size_t begin = 0;
    for (size_t i = 0; i < length; i++) {
        const char *other = escape(text + i);
        if (other == NULL) continue;
        if (!clsp_buffer_append(out, text + begin, i - begin) || !clsp_buffer_text(out, other)) return false;
        begin = i + 1;
    }
    return clsp_buffer_append(out, text + begin, length - begin);
}

/* In JSON '<' stands in strings alone; so nothing in them can end the element, or begin a comment. */
static const char *in_json(const char *at)
{
    return *at == '<' ? "\\u003c" : NULL;
}

/* What would end an element of a script or style, or begin a comment, gets a backslash, which is nothing in their strings. */
static const char *in_code(const char *at)
{
    if (*at != '<') return NULL;
    bool ends = at[1] == '/' && (strncasecmp(at + 2, "script", 6) == 0 || strncasecmp(at + 2, "style", 5) == 0);
    return ends || strncmp(at + 1, "!--", 3) == 0 ? "<\\" : NULL;
}

static const char *in_html(const char *at)
{
    return *at == '<' ? "&lt;" : *at == '&' ? "&amp;" : NULL;
}

/* ---- the file ------------------------------------------------------------------------------------------------------- */

typedef struct assembly {
    const clipspan_page *page;
    clsp_buffer out, scripts; /* scripts: their elements; they run when the page and the data are there */
    clipspan_error *err;
} assembly;

static clipspan_status put(clsp_buffer *to, const char *text, size_t length, clipspan_error *err)
{
    return clsp_buffer_append(to, text, length) ? CLIPSPAN_OK : clsp_fail_memory(err);
}

/* A file of web/ as an element. name: up to its quote. */
static clipspan_status put_file(clsp_buffer *to, const char *element, const char *name, clipspan_error *err)
{
    char asked[64];
    size_t length = 0, named = strcspn(name, "\"");
    memcpy(asked, name, clsp_min(named, sizeof asked - 1));
    asked[clsp_min(named, sizeof asked - 1)] = '\0';
    const char *text = clipspan_web_file(asked, &length, NULL);
    if (text == NULL)
        return clsp_fail(err, CLIPSPAN_ERROR_INTERNAL, "web/%s names %s, which this library does not carry", TEMPLATE, asked);
    if (clsp_buffer_format(to, "<%s>\n", element) && add_escaped(to, text, length, in_code) &&
        clsp_buffer_format(to, "</%s>\n", element))
        return CLIPSPAN_OK;
    return clsp_fail_memory(err);
}

/* The title is as the data have it: UTF-8. */
static clipspan_status put_title(assembly *a)
{
    clsp_json *node = clsp_json_new_string(a->page->title);
    const char *title = clsp_json_string(node);
    bool good = title != NULL && clsp_buffer_text(&a->out, "<title>") &&
                add_escaped(&a->out, title, strlen(title), in_html);
    clsp_json_free(node);
    return good ? CLIPSPAN_OK : clsp_fail_memory(a->err);
}

static clipspan_status put_end(assembly *a)
{
    clsp_buffer data;
    clsp_buffer_init(&data, PAGE_MAXIMUM);
    bool good = add_data(&data, a->page) && clsp_buffer_text(&a->out, "<script type=\"application/json\" id=\"data\">") &&
                add_escaped(&a->out, data.data, data.length, in_json) && clsp_buffer_text(&a->out, "</script>\n") &&
                clsp_buffer_append(&a->out, a->scripts.data ? a->scripts.data : "", a->scripts.length) &&
                clsp_buffer_text(&a->out, "</body>");
    clsp_buffer_free(&data);
    return good ? CLIPSPAN_OK : clsp_fail_memory(a->err);
}

/* The tag at `at` where it is one that is replaced: *length becomes what of the template it stands for, 0: none. */
static clipspan_status replace(assembly *a, const char *at, size_t *length)
{
    static const char SHEET[] = "<link rel=\"stylesheet\" href=\"", SCRIPT[] = "<script src=\"", SCRIPT_END[] = "</script>",
                      HEAD[] = "<head>", TITLE[] = "<title>", BODY_END[] = "</body>";
    const char *end = strchr(at, '>');
    *length = end ? (size_t)(end + 1 - at) : strlen(at);
    if (strncmp(at, SHEET, sizeof SHEET - 1) == 0) return put_file(&a->out, "style", at + sizeof SHEET - 1, a->err);
    if (strncmp(at, SCRIPT, sizeof SCRIPT - 1) == 0) {
        const char *closed = strstr(at, SCRIPT_END);
        if (closed != NULL) *length = (size_t)(closed - at) + sizeof SCRIPT_END - 1;
        return put_file(&a->scripts, "script", at + sizeof SCRIPT - 1, a->err);
    }
    if (strncmp(at, TITLE, sizeof TITLE - 1) == 0) {
        const char *closed = strstr(at, "</title>");
        if (closed != NULL) *length = (size_t)(closed - at);
        return put_title(a);
    }
    if (strncmp(at, BODY_END, sizeof BODY_END - 1) == 0) return put_end(a);
    clipspan_status status = put(&a->out, at, *length, a->err);
    if (status == CLIPSPAN_OK && strncmp(at, HEAD, sizeof HEAD - 1) == 0)
        status = put(&a->out, POLICY, sizeof POLICY - 1, a->err);
    return status;
}

static clipspan_status assemble(assembly *a)
{
    const char *text = clipspan_web_file(TEMPLATE, NULL, NULL);
    clipspan_status status = CLIPSPAN_OK;
    if (text == NULL || strstr(text, "</body>") == NULL)
        return clsp_fail(a->err, CLIPSPAN_ERROR_INTERNAL, "this library carries no web/%s, or one without an end", TEMPLATE);
    while (status == CLIPSPAN_OK && *text != '\0') {
        size_t length = strcspn(text, "<");
        status = length > 0 ? put(&a->out, text, length, a->err) : replace(a, text, &length);
        text += length;
    }
    return status;
}

clipspan_status clipspan_page_write(const clipspan_page *page, const char *path, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clsp_output output = {0};
    assembly a = {.page = page, .err = err};
    clsp_buffer_init(&a.out, PAGE_MAXIMUM);
    clsp_buffer_init(&a.scripts, PAGE_MAXIMUM);
    CLSP_TRY(assemble(&a));
    CLSP_TRY(clsp_output_open(&output, path, err));
    CLSP_TRY(clsp_output_write(&output, a.out.data, a.out.length, err));
    CLSP_TRY(clsp_output_commit(&output, err));
out:
    clsp_output_discard(&output);
    clsp_buffer_free(&a.out);
    clsp_buffer_free(&a.scripts);
    return status;
}
