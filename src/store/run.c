/* The whole job, or a part of it: a store begun, or an unfinished one gone on with, shard by shard. */
#include "store/store.h"

#include <stdio.h>
#include <string.h>

/* One run. */
typedef struct run {
    const clsp_store_job *job;
    const clipspan_hooks *hooks;
    clsp_manifest *m;      /* of the store, or of the part: what is written */
    int part, part_count;  /* part_count 0: the whole */
    unsigned char *ours;   /* [shards] 1: this run is to see to it */
    uint64_t positions;    /* of those shards */
} run;

/* ---- an unfinished store must be of the same making ----------------------------------------------------- */

static clipspan_status compare(const clsp_manifest *was, const clsp_manifest *is, const clsp_store_job *job,
                               clipspan_error *err)
{
    clsp_difference d;
    const char *directory = job->directory;
    uint64_t asked = job->options->shard_images;
    if (strcmp(was->fingerprint, is->fingerprint) != 0)
        return clsp_model_differs(directory, was, is->model_name, is->fingerprint, err);
    bool differs = clsp_making_differs(&d, was, is);
    if (!differs && asked > 0 && was->shard_images != clsp_round_up(asked, (uint64_t)was->batch)) {
        d.what = "a number of images a shard of";
        snprintf(d.was, sizeof d.was, "%llu", (unsigned long long)was->shard_images);
        snprintf(d.is, sizeof d.is, "%llu", (unsigned long long)asked);
        differs = true;
    }
    if (differs)
        return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                         "%s was begun with %s %s, asked for now is %s: use the same options or another folder", directory,
                         d.what, d.was, d.is);
    if (was->version == 1 && !was->complete)
        return clsp_fail(err, CLIPSPAN_ERROR_UNSUPPORTED,
                         "%s was begun by an earlier version, whose moments were added up in another order: it can be read, "
                         "but not gone on with: name another folder, or delete this one to begin anew",
                         directory);
    return CLIPSPAN_OK;
}

static clipspan_status compare_all(const clsp_manifest *was, const clsp_manifest *is, const clsp_store_job *job,
                                   clipspan_error *err)
{
    clsp_list list = {0};
    clipspan_status status = compare(was, is, job, err);
    if (status == CLIPSPAN_OK) status = clsp_list_open(&list, &was->list, was->listed, job->directory, err);
    if (status == CLIPSPAN_OK) status = clsp_list_compare(&list, job->images, job->directory, err);
    clsp_list_close(&list);
    return status;
}

static clipspan_status check_file(const clsp_store_file *file, const char *directory, clipspan_error *err)
{
    clsp_safetensors *opened = NULL;
    if (file->name[0] == '\0') return CLIPSPAN_OK;
    clipspan_status status = clsp_store_file_open(&opened, file, directory, err);
    clsp_safetensors_free(opened);
    return status;
}

/* Of the manifest's shards every `step`-th from `from` on, by checksum. It reads them, so it tells how far it is and can be
 * stopped. */
static clipspan_status check_shards(const clsp_manifest *m, size_t from, size_t step, const char *directory,
                                    const clipspan_hooks *hooks, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    for (size_t s = from; s < m->shard_count; s += step) {
        const clsp_shard *shard = &m->shards[s];
        CLSP_TRY(check_file(&shard->file, directory, err));
        const clipspan_progress progress = {"check", shard->first + shard->count - m->first, m->count, 0};
        if (hooks != NULL && hooks->progress != NULL && hooks->progress(hooks->user, &progress) != 0)
            CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_INTERRUPTED, "stopped while %s was checked; it is as it was", directory));
    }
out:
    return status;
}

/* Every file by checksum: what is damaged shall not be built upon, nor called finished. */
static clipspan_status check_files(const clsp_manifest *m, const char *directory, const clipspan_hooks *hooks,
                                   clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    CLSP_TRY(check_file(&m->basis, directory, err));
    CLSP_TRY(check_shards(m, 0, 1, directory, hooks, err));
    for (size_t s = 0; s < m->subtotal_count; s++) {
        CLSP_TRY(check_file(&m->subtotals[s].moments, directory, err));
        CLSP_TRY(check_file(&m->subtotals[s].neurons, directory, err));
    }
    CLSP_TRY(check_file(&m->moments, directory, err));
    CLSP_TRY(check_file(&m->neurons, directory, err));
out:
    return status;
}

static void warn_batch(const clsp_manifest *was, const clsp_store_job *job, const clipspan_hooks *hooks)
{
    if (was->batch == job->batch || was->complete || hooks == NULL || hooks->warn == NULL) return;
    char *line = clsp_format("%s was begun with batches of %d and goes on with %d: last digits may differ from a run "
                             "in one go",
                             job->directory, was->batch, job->batch);
    if (line != NULL) hooks->warn(hooks->user, line);
    clsp_free(line);
}

static clipspan_status begin(clsp_manifest *m, const clsp_store_job *job, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    if (job->step) job->step(job->step_user, "list");
    CLSP_TRY(clsp_list_write(job->images, job->directory, &m->list, err));
    if (job->step) job->step(job->step_user, "basis");
    CLSP_TRY(clsp_basis_write(job->basis, m->half, job->directory, &m->basis, err));
    if (job->step) job->step(job->step_user, "begin");
    CLSP_TRY(clsp_manifest_write(m, job->directory, err));
out:
    return status;
}

static void take_over(clsp_manifest *m, clsp_manifest *from)
{
    clsp_manifest_clear(m);
    *m = *from;
    *from = (clsp_manifest){0};
}

static clipspan_status is_there(bool *there, const char *directory, const char *name, clipspan_error *err)
{
    char *path = clsp_path_join(directory, name);
    if (path == NULL) return clsp_fail_memory(err);
    *there = clsp_file_exists(path);
    clsp_free(path);
    return CLIPSPAN_OK;
}

/* The whole store: reads the manifest of what is there, compares it with what is wanted, and takes its place. */
static clipspan_status begin_or_go_on(run *r, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const char *directory = r->job->directory;
    clsp_manifest was = {0};
    bool there = false;
    CLSP_TRY(clsp_store_gather(directory, err));
    CLSP_TRY(is_there(&there, directory, CLSP_STORE_MANIFEST, err));
    if (!there) {
        CLSP_TRY(clsp_store_sweep(NULL, directory, err));
        return begin(r->m, r->job, err);
    }
    CLSP_TRY(clsp_manifest_read(&was, directory, err));
    CLSP_TRY(compare_all(&was, r->m, r->job, err));
    CLSP_TRY(check_files(&was, directory, r->hooks, err));
    warn_batch(&was, r->job, r->hooks);
    take_over(r->m, &was);
    CLSP_TRY(clsp_store_sweep(r->m, directory, err));
out:
    clsp_manifest_clear(&was);
    return status;
}

/* ---- parts ---------------------------------------------------------------------------------------------- */

clipspan_status clsp_part_share(unsigned char **ours, const clsp_manifest *manifest, const clsp_manifest *base, int number,
                                int of, clipspan_error *err)
{
    uint64_t shards = clsp_manifest_shards(manifest), missing = 0, at = 0;
    unsigned char *share = *ours = clsp_alloc_zero((size_t)shards, 1);
    if (share == NULL) return clsp_fail_memory(err);
    for (uint64_t s = 0; s < shards; s++) missing += base == NULL || !clsp_manifest_has(base, s);
    uint64_t each = missing / (uint64_t)of, more = missing % (uint64_t)of, k = (uint64_t)number - 1;
    uint64_t low = k * each + (k < more ? k : more), high = low + each + (k < more); /* the first ones have one more */
    for (uint64_t s = 0; s < shards; s++) {
        if (base != NULL && clsp_manifest_has(base, s)) continue;
        share[s] = at >= low && at < high;
        at++;
    }
    return CLIPSPAN_OK;
}

/* Parts of one folder are of one division; the name of one of them. */
typedef struct siblings {
    const run *run;
    char name[CLSP_STORE_NAME];
} siblings;

static clipspan_status look_at_sibling(void *user, const char *name, int number, int of, clipspan_error *err)
{
    siblings *s = user;
    const char *directory = s->run->job->directory;
    (void)number;
    snprintf(s->name, sizeof s->name, "%s", name);
    if (of == s->run->part_count) return CLIPSPAN_OK;
    return clsp_fail(err, CLIPSPAN_ERROR_MISMATCH,
                     "%s was begun in %d parts (%s), asked for now is part %d of %d: use the same number or another folder",
                     directory, of, name, s->run->part, s->run->part_count);
}

/* Whose making this part must share: its own former run, the store that it adds to, or another part. */
static clipspan_status find_relative(clsp_manifest *out, const run *r, const clsp_manifest *base, bool own,
                                     const char *sibling, clipspan_error *err)
{
    const char *name = own ? r->m->name : base != NULL ? CLSP_STORE_MANIFEST : sibling;
    if (name[0] == '\0') return CLIPSPAN_OK;
    return clsp_manifest_read_named(out, r->job->directory, name, err);
}

/* What is in the store already was gathered from the parts: a part's manifest that still says so is a left-over. */
static bool was_gathered(const clsp_manifest *own, const clsp_manifest *base)
{
    for (size_t s = 0; base != NULL && s < own->subtotal_count; s++)
        if (clsp_manifest_has(base, own->subtotals[s].shard)) return true;
    return false;
}

/* The relative's making, and of what it has nothing. */
static void take_making(clsp_manifest *m, clsp_manifest *relative)
{
    char name[CLSP_STORE_NAME];
    memcpy(name, m->name, sizeof name);
    take_over(m, relative);
    memcpy(m->name, name, sizeof name);
    m->subtotal_count = m->shard_count = 0;
    m->positions = m->images = m->skipped = 0;
    m->moments = m->neurons = (clsp_store_file){0};
    m->complete = false;
}

static clipspan_status begin_or_go_on_with_part(run *r, const clsp_manifest *base, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const char *directory = r->job->directory;
    clsp_manifest was = {0};
    siblings s = {.run = r};
    bool own = false;
    clsp_part_name(r->m->name, "manifest", r->part, r->part_count, ".json");
    CLSP_TRY(clsp_store_parts(directory, look_at_sibling, &s, err));
    CLSP_TRY(is_there(&own, directory, r->m->name, err));
    CLSP_TRY(find_relative(&was, r, base, own, s.name, err));
    if (was.fingerprint == NULL) {
        CLSP_TRY(clsp_store_check_foreign(directory, err));
        CLSP_TRY(begin(r->m, r->job, err));
    } else {
        CLSP_TRY(compare_all(&was, r->m, r->job, err));
        warn_batch(&was, r->job, r->hooks);
        if (own && !was_gathered(&was, base)) {
            CLSP_TRY(check_files(&was, directory, r->hooks, err));
            take_over(r->m, &was);
        } else {
            take_making(r->m, &was);
            CLSP_TRY(clsp_manifest_write(r->m, directory, err));
        }
    }
    CLSP_TRY(clsp_part_share(&r->ours, r->m, base, r->part, r->part_count, err));
    CLSP_TRY(clsp_store_sweep_part(r->m, r->ours, directory, err));
out:
    clsp_manifest_clear(&was);
    return status;
}

/* ---- shard after shard ---------------------------------------------------------------------------------- */

static int whole_progress(void *user, const clipspan_progress *progress)
{
    const run *r = user;
    clipspan_progress whole = *progress;
    whole.done += r->m->positions;
    whole.total = r->positions;
    whole.skipped += r->m->skipped;
    return r->hooks->progress ? r->hooks->progress(r->hooks->user, &whole) : 0;
}

static void pass_warning(void *user, const char *message)
{
    const run *r = user;
    if (r->hooks->warn) r->hooks->warn(r->hooks->user, message);
}

static clipspan_status write_shards(run *r, clsp_sink *sink, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    uint64_t shards = clsp_manifest_shards(r->m), first, count;
    const clipspan_hooks wrapped = {whole_progress, pass_warning, r}; /* told about the whole job in place of one shard */
    for (uint64_t s = 0; s < shards; s++) {
        if (!r->ours[s] || clsp_manifest_has(r->m, s)) continue;
        clsp_manifest_range(r->m, s, 1, &first, &count);
        CLSP_TRY(r->job->source(r->job->source_user, first, count, clsp_sink_add, sink, r->hooks ? &wrapped : NULL, err));
        CLSP_TRY(clsp_sink_finish_shard(sink, s, err));
    }
out:
    return status;
}

/* What is kept, said behind the reason; who stopped the run needs no reason. */
static clipspan_status explain(clipspan_status status, const run *r, clipspan_error *err)
{
    if (err == NULL || (status != CLIPSPAN_ERROR_IO && status != CLIPSPAN_ERROR_INTERRUPTED)) return status;
    clipspan_error reason = *err;
    if (status == CLIPSPAN_ERROR_INTERRUPTED) snprintf(reason.message, sizeof reason.message, "stopped");
    return clsp_fail(err, status, "%.700s (%s keeps %llu of %llu images: the same command goes on from there)",
                     reason.message, r->job->directory, (unsigned long long)r->m->positions,
                     (unsigned long long)r->positions);
}

static clipspan_status work(run *r, clipspan_store_summary *summary, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const clsp_store_job *job = r->job;
    clsp_sink sink = {0};
    for (uint64_t s = 0, first, count; s < clsp_manifest_shards(r->m); s++) {
        clsp_manifest_range(r->m, s, 1, &first, &count);
        r->positions += r->ours[s] ? count : 0;
    }
    summary->resumed = r->m->images;
    if (r->m->positions < r->positions) {
        CLSP_TRY(clsp_sink_open(&sink, r->m, job->basis, job->model, job->directory, err));
        sink.part = r->part_count > 0;
        sink.step = job->step;
        sink.step_user = job->step_user;
        status = write_shards(r, &sink, err);
        if (status != CLIPSPAN_OK) status = explain(status, r, err);
    }
    summary->images = r->m->images;
    summary->skipped = r->m->skipped;
    summary->bytes = clsp_manifest_bytes(r->m, job->directory);
out:
    clsp_sink_close(&sink);
    return status;
}

static clipspan_status run_whole(run *r, clipspan_store_summary *summary, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    int lock = -1;
    CLSP_TRY(clsp_store_lock(&lock, r->job->directory, CLSP_STORE_LOCK, false, err));
    CLSP_TRY(begin_or_go_on(r, err));
    CLSP_ALLOC(r->ours, clsp_alloc((size_t)clsp_manifest_shards(r->m), 1));
    memset(r->ours, 1, (size_t)clsp_manifest_shards(r->m));
    CLSP_TRY(work(r, summary, err));
    if (r->m->images == 0)
        status = clsp_fail(err, CLIPSPAN_ERROR_IO, "%s: none of its %llu images could be read", r->m->images_path,
                           (unsigned long long)r->m->count);
out:
    clsp_store_unlock(lock, r->job->directory, CLSP_STORE_LOCK);
    return status;
}

/* The store's own manifest, which stands still while parts are written, has what was gathered from earlier divisions. Each part
 * compares the checksums of its share of those shards, so that all parts together compare all. */
static clipspan_status run_part(run *r, clipspan_store_summary *summary, clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    const char *directory = r->job->directory;
    char own_lock[CLSP_STORE_NAME];
    clsp_manifest base = {0};
    bool there = false;
    int lock = -1, own = -1;
    clsp_part_name(own_lock, "lock", r->part, r->part_count, "");
    CLSP_TRY(clsp_store_lock(&lock, directory, CLSP_STORE_LOCK, true, err));
    CLSP_TRY(clsp_store_lock(&own, directory, own_lock, false, err));
    CLSP_TRY(is_there(&there, directory, CLSP_STORE_MANIFEST, err));
    if (there) CLSP_TRY(clsp_manifest_read(&base, directory, err));
    CLSP_TRY(base.complete ? compare_all(&base, r->m, r->job, err)
                           : begin_or_go_on_with_part(r, there ? &base : NULL, err));
    CLSP_TRY(check_shards(&base, (size_t)r->part - 1, (size_t)r->part_count, directory, r->hooks, err));
    if (!base.complete) CLSP_TRY(work(r, summary, err));
out:
    clsp_manifest_clear(&base);
    clsp_store_unlock(own, directory, own_lock);
    clsp_store_unlock(lock, directory, CLSP_STORE_LOCK);
    return status;
}

clipspan_status clsp_store_run(const clsp_store_job *job, clipspan_store_summary *summary, const clipspan_hooks *hooks,
                               clipspan_error *err)
{
    clipspan_status status = CLIPSPAN_OK;
    clipspan_store_summary nobody;
    clsp_manifest manifest = {0};
    run r = {.job = job, .hooks = hooks, .m = &manifest, .part = job->options->part,
             .part_count = job->options->part_count == 1 ? 0 : job->options->part_count};
    if (summary == NULL) summary = &nobody;
    *summary = (clipspan_store_summary){0};
    if (job->options->part_count < 0 || (job->options->part_count > 0 && (r.part < 1 || r.part > job->options->part_count)))
        CLSP_TRY(clsp_fail(err, CLIPSPAN_ERROR_ARGUMENT, "part %d of %d: expected 1 to that number", r.part,
                           job->options->part_count));
    CLSP_TRY(clsp_making_describe(&manifest, job, err));
    CLSP_TRY(clsp_directory_make(job->directory, err));
    CLSP_TRY(r.part_count > 0 ? run_part(&r, summary, err) : run_whole(&r, summary, err));
out:
    clsp_free(r.ours);
    clsp_manifest_clear(&manifest);
    return status;
}
