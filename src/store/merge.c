/* Parts put together: what every manifest of some folders has goes into one. Shards stay where they are, unless they are to be
 * brought along; sums are added up where nothing is missing, in the order of the tree (subtotals.c), whatever the parts were.
 */
#include "store/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One manifest, and the folder that it lies in. */
typedef struct source {
    clsp_manifest m;
    const char *directory; /* as given */
    char real[PATH_MAX];   /* with links followed */
} source;

typedef struct merger {
    const char *directory; /* of the store to be written */
    char real[PATH_MAX];
    const clipspan_merge_options *options;
    const clipspan_hooks *hooks;
    source **sources; /* [count] */
    size_t count;
    const source *complete; /* one of them that lacks nothing; NULL: none */
    const source **owners;  /* [shards] who has it; NULL: nobody */
    clsp_manifest out;
} merger;

static void close_merger(merger *g)
{
    for (size_t i = 0; i < g->count; i++) {
        clsp_manifest_clear(&g->sources[i]->m);
        clsp_free(g->sources[i]);
    }
    clsp_free(g->sources);
    clsp_free(g->owners);
    clsp_manifest_clear(&g->out);
}

/* ---- what there is -------------------------------------------------------------------------------------- */

static clipspan_status real_path(char out[PATH_MAX], const char *path, clipspan_error *err)
{
    return realpath(path, out) != NULL ? CLIPSPAN_OK : clsp_fail_errno(err, "%s", path);
}

/* Sums of a folder that has gone elsewhere do not count, nor do their shards. */
static void drop_lost_sums(clsp_manifest *m)
{
    size_t kept = 0, shards = 0;
    for (size_t s = 0; s < m->subtotal_count; s++) {
        const char *folder = m->subtotals[s].moments.folder;
        if (folder == NULL || clsp_directory_exists(folder)) m->subtotals[kept++] = m->subtotals[s];
    }
    m->subtotal_count = kept;
    for (size_t s = 0; s < m->shard_count; s++)
        if (clsp_manifest_has(m, (m->shards[s].first - m->first) / m->shard_images)) m->shards[shards++] = m->shards[s];
    m->shard_count = shards;
}

/* manifest.json before parts, those by number: messages shall not depend on the order of a folder's entries. */
static int compare_sources(const void *a, const void *b)
{
    const source *first = *(source *const *)a, *second = *(source *const *)b;
    int one = 0, two = 0, of;
    int places = strcmp(first->directory, second->directory);
    clsp_part_parse(first->m.name, "manifest", ".json", &one, &of);
    clsp_part_parse(second->m.name, "manifest", ".json", &two, &of);
    return places != 0 ? places : (one > two) - (one < two);
}

static clipspan_status add_source(merger *g, const char *directory, const char *name, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    source *s = NULL, **grown = clsp_grow(g->sources, g->count + 1, sizeof *grown);
    if (grown == NULL) return clsp_fail_memory(err);
    g->sources = grown;
    CLSP_ALLOC(s, clsp_alloc_zero(1, sizeof *s));
    s->directory = directory;
    CLSP_TRY(real_path(s->real, directory, err));
    CLSP_TRY(clsp_manifest_read_named(&s->m, directory, name, err));
    drop_lost_sums(&s->m);
    if (s->m.version == 1 && !s->m.complete)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                           "%s/%s: an unfinished store of an earlier version cannot be merged: decompose its images anew", directory,
                           name));
    g->sources[g->count++] = s;
    s = NULL;
out:
    clsp_free(s);
    return status;
}

/* A folder on its way into the list of sources. */
typedef struct listing {
    merger *merger;
    const char *directory;
} listing;

static clipspan_status add_part(void *user, const char *name, int number, int of, clipspan_error *err)
{
    const listing *l = user;
    (void)number, (void)of;
    return add_source(l->merger, l->directory, name, err);
}

/* Every manifest of a folder. Of the store itself there may be none. */
static clipspan_status add_folder(merger *g, const char *directory, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    listing l = {g, directory};
    size_t before = g->count;
    char *path = NULL, real[PATH_MAX];
    CLSP_TRY(real_path(real, directory, err));
    bool own = strcmp(real, g->real) == 0;
    for (size_t i = 0; i < g->count; i++) {
        if (strcmp(real, g->sources[i]->real) != 0) continue;
        if (own) return CLIPSPAN_OK; /* looked at first */
        return clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "%s and %s are one folder", g->sources[i]->directory, directory);
    }
    CLSP_ALLOC(path, clsp_path_join(directory, CLSP_STORE_MANIFEST));
    if (!own) CLSP_TRY(clsp_store_check_idle(directory, err));
    if (clsp_file_exists(path)) CLSP_TRY(add_source(g, directory, CLSP_STORE_MANIFEST, err));
    CLSP_TRY(clsp_store_parts(directory, add_part, &l, err));
    if (g->count > before)
        qsort(g->sources + before, g->count - before, sizeof *g->sources, compare_sources);
    else if (!own)
        status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: neither a store nor parts of one (it has no %s)", directory,
                           CLSP_STORE_MANIFEST);
out:
    clsp_free(path);
    return status;
}

/* ---- do they belong together? --------------------------------------------------------------------------- */

static bool number_differs(clsp_difference *d, const char *what, uint64_t was, uint64_t is)
{
    d->what = what;
    snprintf(d->was, sizeof d->was, "%llu", (unsigned long long)was);
    snprintf(d->is, sizeof d->is, "%llu", (unsigned long long)is);
    return was != is;
}

static clipspan_status compare_pair(const source *a, const source *b, clipspan_error *err)
{
    clsp_difference d;
    const clsp_manifest *x = &a->m, *y = &b->m;
    char place[2 * CLSP_STORE_NAME + 256];
    snprintf(place, sizeof place, "%.200s/%s", a->directory, x->name);
    if (strcmp(x->fingerprint, y->fingerprint) != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s/%s was made by the model %s (%.8s), %s by %s (%.8s)",
                         b->directory, y->name, y->model_name, y->fingerprint, place, x->model_name, x->fingerprint);
    if (number_differs(&d, "version", (uint64_t)x->version, (uint64_t)y->version) || clsp_making_differs(&d, x, y) ||
        number_differs(&d, "images of the list:", x->listed, y->listed) ||
        number_differs(&d, "images a shard:", x->shard_images, y->shard_images) ||
        number_differs(&d, "images a batch:", (uint64_t)x->batch, (uint64_t)y->batch))
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s/%s does not belong to %s: %s %s, there %s", b->directory, y->name,
                         place, d.what, d.is, d.was);
    if (strcmp(x->list.hash, y->list.hash) != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s/%s was made from another list of images than %s", b->directory,
                         y->name, place);
    if (strcmp(x->basis.hash, y->basis.hash) != 0)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s/%s has another basis than %s", b->directory, y->name, place);
    return CLIPSPAN_OK;
}

static const clsp_shard *find_shard(const source *s, uint64_t first)
{
    size_t low = 0, high = s->m.shard_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->m.shards[middle].first < first)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->m.shard_count && s->m.shards[low].first == first ? &s->m.shards[low] : NULL;
}

static bool is_at_its_place(const source *s, const clsp_shard *shard)
{
    return shard == NULL || shard->images == 0 || clsp_store_file_check(&shard->file, s->directory, NULL) == CLIPSPAN_OK;
}

/* Two have the shard. That is well where one is what an interrupted merge left beside the other, or where the store that is
 * there is merged again: then it is the same file, or one that was moved. */
static clipspan_status meet_again(merger *g, uint64_t number, const source *s, clipspan_error *err)
{
    const source *owner = g->owners[number];
    uint64_t first, count;
    clsp_manifest_range(&s->m, number, 1, &first, &count);
    const clsp_shard *a = find_shard(owner, first), *b = find_shard(s, first);
    bool same = (a == NULL) == (b == NULL) && (a == NULL || strcmp(a->file.hash, b->file.hash) == 0);
    if (same && (strcmp(owner->real, s->real) == 0 || strcmp(owner->real, g->real) == 0)) {
        if (!is_at_its_place(owner, a) && is_at_its_place(s, b)) g->owners[number] = s;
        return CLIPSPAN_OK;
    }
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "shard %llu (images %llu to %llu of the list) is in both %s/%s and %s/%s",
                     (unsigned long long)number, (unsigned long long)first, (unsigned long long)(first + count - 1),
                     owner->directory, owner->m.name, s->directory, s->m.name);
}

static clipspan_status find_owners(merger *g, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t shards = clsp_manifest_shards(&g->sources[0]->m);
    for (size_t i = 1; i < g->count; i++) CLSP_TRY(compare_pair(g->sources[0], g->sources[i], err));
    CLSP_ALLOC(g->owners, clsp_alloc_zero((size_t)shards, sizeof *g->owners));
    for (size_t i = 0; i < g->count; i++) {
        const source *s = g->sources[i];
        if (s->m.complete) g->complete = s;
        for (uint64_t n = 0; n < shards; n++) {
            if (!clsp_manifest_has(&s->m, n)) continue;
            if (g->owners[n] == NULL)
                g->owners[n] = s;
            else
                CLSP_TRY(meet_again(g, n, s, err));
        }
    }
out:
    return status;
}

/* Which part a missing shard belongs to, where the sources say in how many parts the store was divided. */
static void name_missing_part(char out[96], const merger *g, uint64_t missing)
{
    int number, of = 0, known = 0;
    const clsp_manifest *base = NULL;
    out[0] = '\0';
    for (size_t i = 0; i < g->count; i++) {
        if (clsp_part_parse(g->sources[i]->m.name, "manifest", ".json", &number, &known))
            of = known;
        else
            base = &g->sources[i]->m;
    }
    for (int part = 1; part <= of && (uint64_t)part <= clsp_manifest_shards(&g->sources[0]->m); part++) { /* others are empty */
        unsigned char *ours = NULL;
        char name[CLSP_STORE_NAME];
        bool its = clsp_part_share(&ours, &g->sources[0]->m, base, part, of, NULL) == CLIPSPAN_OK && ours[missing];
        clsp_free(ours);
        if (!its) continue;
        clsp_part_name(name, "manifest", part, of, ".json");
        bool there = false;
        for (size_t i = 0; i < g->count; i++) there |= strcmp(g->sources[i]->m.name, name) == 0;
        snprintf(out, 96, ": part %d of %d is %s", part, of, there ? "not finished" : "not among them");
        return;
    }
}

static clipspan_status check_missing(const merger *g, bool *missing, clipspan_error *err)
{
    const clsp_manifest *m = &g->sources[0]->m;
    uint64_t shards = clsp_manifest_shards(m), first, count, number = 0, lacking = 0;
    char part[96];
    for (uint64_t n = shards; n-- > 0;)
        if (g->owners[n] == NULL) {
            number = n;
            lacking++;
        }
    *missing = lacking > 0;
    if (lacking == 0 || g->options->unfinished) return CLIPSPAN_OK;
    clsp_manifest_range(m, number, 1, &first, &count);
    name_missing_part(part, g, number);
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                     "%s: %llu of %llu shards are missing, the first of them of images %llu to %llu of the list%s",
                     g->directory, (unsigned long long)lacking, (unsigned long long)shards, (unsigned long long)first,
                     (unsigned long long)(first + count - 1), part);
}

/* Every shard is at its place, before anything is written. */
static clipspan_status check_shards(const merger *g, clipspan_error *err)
{
    const clsp_manifest *m = &g->sources[0]->m;
    uint64_t shards = clsp_manifest_shards(m), first, count;
    clipspan_status status = CLIPSPAN_OK;
    for (uint64_t n = 0; n < shards && status == CLIPSPAN_OK; n++) {
        clsp_manifest_range(m, n, 1, &first, &count);
        const clsp_shard *shard = g->owners[n] ? find_shard(g->owners[n], first) : NULL;
        if (shard != NULL && shard->images > 0) status = clsp_store_file_check(&shard->file, g->owners[n]->directory, err);
    }
    return status;
}

/* ---- the new manifest ----------------------------------------------------------------------------------- */

/* `to` as seen from `from`; both are absolute and without links. */
static char *relative(const char *from, const char *to)
{
    size_t common = 0, at = 0;
    for (; from[at] != '\0' && from[at] == to[at]; at++)
        if (from[at] == '/') common = at + 1;
    if ((from[at] == '\0' && to[at] == '/') || (from[at] == '/' && to[at] == '\0')) common = at + 1;
    clsp_buffer path;
    clsp_buffer_init(&path, 4 * PATH_MAX);
    bool good = true;
    for (const char *c = from + clsp_min(common, strlen(from)); good && c != NULL && *c != '\0';) {
        good = clsp_buffer_text(&path, path.length ? "/.." : "..");
        c = strchr(c, '/');
        if (c != NULL) c++;
    }
    const char *rest = to + clsp_min(common, strlen(to));
    if (good && *rest != '\0') good = (path.length == 0 || clsp_buffer_text(&path, "/")) && clsp_buffer_text(&path, rest);
    char *out = good ? clsp_strdup(path.data) : NULL;
    clsp_buffer_free(&path);
    return out;
}

/* file: of a source, with its folder there. Its folder becomes one of the new manifest's: absolute where it was given so, else
 * as seen from the store. */
static clipspan_status place(merger *g, const source *s, clsp_store_file *file, clipspan_error *err)
{
    const char *folder = file->folder ? file->folder : s->directory;
    char real[PATH_MAX];
    if (file->name[0] == '\0') return CLIPSPAN_OK;
    clipspan_status status = clsp_store_file_check(file, s->directory, err);
    if (status == CLIPSPAN_OK) status = real_path(real, folder, err);
    file->folder = NULL;
    if (status != CLIPSPAN_OK || strcmp(real, g->real) == 0) return status;
    char *seen = folder[0] == '/' ? clsp_strdup(real) : relative(g->real, real);
    if (seen != NULL) file->folder = clsp_manifest_add_folder(&g->out, seen, g->directory);
    clsp_free(seen);
    return file->folder != NULL ? CLIPSPAN_OK : clsp_fail_memory(err);
}

static clipspan_status copy_file(const char *from, const char *to, clipspan_error *err)
{
    clsp_map map;
    clsp_output output = {0};
    clipspan_status status = clsp_map_open(&map, from, err);
    if (status != CLIPSPAN_OK) return status;
    status = clsp_output_open_file(&output, to, err);
    if (status == CLIPSPAN_OK) status = clsp_output_write(&output, map.bytes, map.size, err);
    if (status == CLIPSPAN_OK) status = clsp_output_commit(&output, err);
    clsp_output_discard(&output);
    clsp_map_close(&map);
    return status;
}

/* Brings a file into the store's own folder. */
static clipspan_status bring(const merger *g, clsp_store_file *file, bool linked, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    char *from = NULL, *to = NULL;
    if (file->folder == NULL) return CLIPSPAN_OK;
    CLSP_ALLOC(from, clsp_store_file_path(file, g->directory));
    CLSP_ALLOC(to, clsp_path_join(g->directory, file->name));
    if (!linked) {
        CLSP_TRY(copy_file(from, to, err));
    } else {
        unlink(to); /* of an interrupted merge */
        if (link(from, to) != 0) CLSP_TRY(clsp_fail_errno(err, "%s: cannot be linked to %s", from, to));
    }
    file->folder = NULL;
out:
    clsp_free(from);
    clsp_free(to);
    return status;
}

static clipspan_status place_and_bring(merger *g, const source *s, clsp_store_file *file, clipspan_error *err)
{
    clipspan_status status = place(g, s, file, err);
    if (status != CLIPSPAN_OK || g->options->collect == CLIPSPAN_COLLECT_NOTHING) return status;
    return bring(g, file, g->options->collect == CLIPSPAN_COLLECT_LINKS, err);
}

static clipspan_status add_shards(merger *g, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t shards = clsp_manifest_shards(&g->out), first, count;
    for (uint64_t n = 0; n < shards; n++) {
        const source *s = g->owners[n];
        clsp_manifest_range(&g->out, n, 1, &first, &count);
        const clsp_shard *found = s ? find_shard(s, first) : NULL;
        const clipspan_progress progress = {"merge", first + count - g->out.first, g->out.count, 0};
        if (g->hooks != NULL && g->hooks->progress != NULL && g->hooks->progress(g->hooks->user, &progress) != 0)
            CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "%s: stopped while it was merged", g->directory));
        if (s == NULL) continue;
        g->out.positions += count;
        if (found == NULL) continue;
        clsp_shard shard = *found;
        CLSP_TRY(place_and_bring(g, s, &shard.file, err));
        CLSP_TRY(clsp_manifest_add_shard(&g->out, &shard, err));
    }
out:
    return status;
}

static clipspan_status add_subtotals(merger *g, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t i = 0; i < g->count; i++) {
        const source *s = g->sources[i];
        for (size_t k = 0; k < s->m.subtotal_count; k++) {
            clsp_subtotal node = s->m.subtotals[k];
            uint64_t its = 0;
            for (uint64_t n = 0; n < node.shards; n++) its += g->owners[node.shard + n] == s;
            if (its == 0) continue;
            if (its < node.shards)
                CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_MISMATCH, "%s/%s: its shards %llu to %llu are in other parts too",
                                   s->directory, s->m.name, (unsigned long long)node.shard,
                                   (unsigned long long)(node.shard + node.shards - 1)));
            CLSP_TRY(place_and_bring(g, s, &node.moments, err));
            CLSP_TRY(place_and_bring(g, s, &node.neurons, err));
            CLSP_TRY(clsp_manifest_add_subtotal(&g->out, &node, err));
            g->out.images += node.images;
        }
    }
out:
    return status;
}

/* The list, the basis and, of a store that was whole before, its sums: the store has its own. */
static clipspan_status bring_own(merger *g, const source *s, clsp_store_file *file, clipspan_error *err)
{
    clipspan_status status = place(g, s, file, err);
    if (status == CLIPSPAN_OK) status = bring(g, file, false, err);
    clsp_manifest_drop_folders(&g->out); /* nothing else was placed yet */
    return status;
}

static clipspan_status add_up(merger *g, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_basis basis;
    clsp_safetensors *keep = NULL;
    float *w = NULL;
    clsp_totals total = {0};
    clsp_subtotal all = {0};
    CLSP_TRY(clsp_basis_open(&basis, &keep, &w, &g->out, g->directory, err));
    CLSP_TRY(clsp_subtotals_sum(&total, &g->out, NULL, &basis, g->directory, err));
    snprintf(all.moments.name, sizeof all.moments.name, "%s", CLSP_STORE_MOMENTS);
    if (g->out.top_images) snprintf(all.neurons.name, sizeof all.neurons.name, "%s", CLSP_STORE_NEURONS);
    CLSP_TRY(clsp_totals_write(&total, &all, g->directory, err));
    g->out.moments = all.moments;
    g->out.neurons = all.neurons;
    g->out.subtotal_count = 0;
    g->out.complete = true;
out:
    clsp_totals_free(&total);
    clsp_safetensors_free(keep);
    clsp_free(w);
    return status;
}

/* The folders that are named by now: those of sums that were added up are not. */
static void forget_folders(clsp_manifest *m)
{
    for (size_t f = m->folder_count; f-- > 0;) {
        bool named = false;
        for (size_t s = 0; s < m->shard_count; s++) named |= m->shards[s].file.folder == m->folders[f].path;
        for (size_t s = 0; s < m->subtotal_count; s++) named |= m->subtotals[s].moments.folder == m->folders[f].path;
        if (named) continue;
        clsp_free(m->folders[f].written);
        clsp_free(m->folders[f].path);
        m->folder_count--;
        memmove(m->folders + f, m->folders + f + 1, (m->folder_count - f) * sizeof *m->folders);
    }
}

/* A manifest of the sources' making, of which nothing is done. */
static clipspan_status begin(merger *g, const source *s, clipspan_error *err)
{
    clsp_manifest *m = &g->out;
    clipspan_status status = clsp_manifest_read_named(m, s->directory, s->m.name, err);
    if (status != CLIPSPAN_OK) return status;
    clsp_manifest_drop_folders(m);
    m->shard_count = m->subtotal_count = 0;
    m->positions = m->images = m->skipped = 0;
    m->complete = false;
    snprintf(m->name, sizeof m->name, "%s", CLSP_STORE_MANIFEST);
    m->list = s->m.list; /* the folders that these name are the source's */
    m->basis = s->m.basis;
    m->moments = s->m.moments;
    m->neurons = s->m.neurons;
    status = bring_own(g, s, &m->list, err);
    if (status == CLIPSPAN_OK) status = bring_own(g, s, &m->basis, err);
    if (status == CLIPSPAN_OK) status = bring_own(g, s, &m->moments, err);
    if (status == CLIPSPAN_OK) status = bring_own(g, s, &m->neurons, err);
    return status;
}

static clipspan_status write_merged(merger *g, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    bool missing;
    CLSP_TRY(find_owners(g, err));
    CLSP_TRY(check_missing(g, &missing, err));
    CLSP_TRY(check_shards(g, err));
    CLSP_TRY(begin(g, g->complete ? g->complete : g->sources[0], err));
    CLSP_TRY(add_shards(g, err));
    if (g->complete) {
        g->out.images = g->complete->m.images;
        g->out.complete = true;
    } else
        CLSP_TRY(add_subtotals(g, err));
    g->out.skipped = g->out.positions - g->out.images;
    if (!missing && !g->out.complete) CLSP_TRY(add_up(g, err));
    forget_folders(&g->out);
    CLSP_TRY(clsp_manifest_write(&g->out, g->directory, err));
    CLSP_TRY(clsp_store_sweep(&g->out, g->directory, err));
out:
    return status;
}

/* ---- the job -------------------------------------------------------------------------------------------- */

static clipspan_status merge_locked(merger *g, const char *const *folders, size_t count, clipspan_store_summary *summary,
                                    clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(real_path(g->real, g->directory, err));
    CLSP_TRY(add_folder(g, g->directory, err));
    if (g->count == 0) CLSP_TRY(clsp_store_check_foreign(g->directory, err));
    for (size_t f = 0; f < count; f++) CLSP_TRY(add_folder(g, folders[f], err));
    if (g->count == 0 && g->options->unfinished) goto out;
    if (g->count == 0)
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: neither a store nor parts of one (it has no %s)", g->directory,
                           CLSP_STORE_MANIFEST));
    CLSP_TRY(write_merged(g, err));
    summary->images = g->out.images;
    summary->skipped = g->out.skipped;
    summary->bytes = clsp_manifest_bytes(&g->out, g->directory);
out:
    close_merger(g);
    return status;
}

/* A merge that failed leaves nothing of a store that was not there before. */
static void take_back(const char *directory)
{
    char *manifest = clsp_path_join(directory, CLSP_STORE_MANIFEST);
    if (manifest != NULL && !clsp_file_exists(manifest)) clsp_store_sweep(NULL, directory, NULL);
    clsp_free(manifest);
}

clipspan_status clipspan_store_merge(const char *directory, const char *const *folders, size_t count,
                                     const clipspan_merge_options *options, clipspan_store_summary *summary,
                                     const clipspan_hooks *hooks, clipspan_error *err)
{
    static const clipspan_merge_options standard = CLIPSPAN_MERGE_OPTIONS_INIT;
    clipspan_store_summary nobody;
    merger g = {.directory = directory, .options = options ? options : &standard, .hooks = hooks};
    int lock = -1;
    if (summary == NULL) summary = &nobody;
    *summary = (clipspan_store_summary){0};
    bool there = clsp_directory_exists(directory), alone = count == 0 || (count == 1 && strcmp(folders[0], directory) == 0);
    if (!there && alone && g.options->unfinished) return CLIPSPAN_OK;
    if (!there && alone) return clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: no such folder", directory);
    clipspan_status status = clsp_directory_make(directory, err);
    if (status == CLIPSPAN_OK) status = clsp_store_lock(&lock, directory, CLSP_STORE_LOCK, false, err);
    if (status == CLIPSPAN_OK) status = merge_locked(&g, folders, count, summary, err);
    if (status != CLIPSPAN_OK && !there && lock >= 0) take_back(directory);
    clsp_store_unlock(lock, directory, CLSP_STORE_LOCK);
    if (status != CLIPSPAN_OK && !there) rmdir(directory);
    return status;
}

static clipspan_status count_part(void *user, const char *name, int number, int of, clipspan_error *err)
{
    (void)name, (void)number, (void)of, (void)err;
    *(bool *)user = true;
    return CLIPSPAN_OK;
}

clipspan_status clsp_store_gather(const char *directory, clipspan_error *err)
{
    const clipspan_merge_options options = {.unfinished = 1};
    clipspan_store_summary summary;
    merger g = {.directory = directory, .options = &options};
    bool parts = false;
    clipspan_status status = clsp_store_parts(directory, count_part, &parts, err);
    return status == CLIPSPAN_OK && parts ? merge_locked(&g, NULL, 0, &summary, err) : status;
}
