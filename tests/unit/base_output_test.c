/* A file is whole or absent: also on a full disk, also where it may not be written. Links, modes and pipes are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "clipspan/memory_file.h"
#include "scratch.h"

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void appears_only_at_the_commit(void **state)
{
    (void)state;
    clsp_output output;
    clipspan_error err;
    char *text = NULL;
    size_t size = 0;
    const char *path = scratch("whole.txt");
    remove(path);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "0123456789", 10, &err), CLIPSPAN_OK);
    assert_false(clsp_file_exists(path));
    assert_int_equal(clsp_output_seek(&output, 2, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "xy", 2, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_OK);
    clsp_output_discard(&output); /* safe behind a commit */
    assert_int_equal(clsp_file_read(&text, &size, path, 100, &err), CLIPSPAN_OK);
    assert_int_equal(size, 10);
    assert_string_equal(text, "01xy456789");
    clsp_free(text);
    remove(path);
    assert_nothing_left(path);
}

static void replaces_what_stood_there_at_once(void **state)
{
    (void)state;
    clsp_output output;
    clipspan_error err;
    char *text = NULL;
    const char *path = scratch_write("replaced.txt", "old", 3);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "newer", 5, &err), CLIPSPAN_OK);
    clsp_output_discard(&output);
    assert_int_equal(clsp_file_read(&text, NULL, path, 100, &err), CLIPSPAN_OK);
    assert_string_equal(text, "old"); /* a discarded file leaves the old one alone */
    clsp_free(text);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "newer", 5, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_file_read(&text, NULL, path, 100, &err), CLIPSPAN_OK);
    assert_string_equal(text, "newer");
    clsp_free(text);
    remove(path);
    assert_nothing_left(path);
}

/* RLIMIT_FSIZE stands for the full disk: a write beyond it fails in the middle. The error may come from the
 * write or, being buffered, from the commit; the file must not come in either case. */
static void leaves_nothing_on_a_full_disk(void **state)
{
    (void)state;
    static char block[1 << 16];
    const char *path = scratch("full.bin");
    for (size_t length = 4096; length <= sizeof block; length *= 16) {
        clsp_output output;
        clipspan_error err = {CLIPSPAN_OK, ""};
        set_file_limit(length / 2);
        clipspan_status status = clsp_output_open(&output, path, &err);
        assert_int_equal(status, CLIPSPAN_OK);
        status = clsp_output_write(&output, block, length, &err);
        if (status == CLIPSPAN_OK)
            status = clsp_output_commit(&output, &err);
        else
            clsp_output_discard(&output);
        set_file_limit(RLIM_INFINITY);
        assert_int_equal(status, CLIPSPAN_ERROR_IO);
        assert_int_equal(err.status, CLIPSPAN_ERROR_IO);
        assert_message(err, path);
        assert_message(err, strerror(EFBIG));
        assert_nothing_left(path);
    }
}

static void names_the_file_it_cannot_open(void **state)
{
    (void)state;
    clsp_output output;
    clsp_map map;
    clipspan_error err;
    const char *path = scratch("no-such-folder/file.txt");
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, path);
    clsp_output_discard(&output);
    assert_int_equal(clsp_map_open(&map, path, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, path);
    assert_int_equal(clsp_map_open(&map, scratch(""), &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "not a regular file");
}

static void put(const char *path, const char *text)
{
    clsp_output output;
    clipspan_error err;
    if (clsp_output_open(&output, path, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(clsp_output_write(&output, text, strlen(text), &err), CLIPSPAN_OK);
    if (clsp_output_commit(&output, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
}

static void expect_text(const char *path, const char *expected)
{
    clipspan_error err;
    char *text = NULL;
    if (clsp_file_read(&text, NULL, path, 100, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_string_equal(text, expected);
    clsp_free(text);
}

static bool is_link(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0 && S_ISLNK(about.st_mode);
}

static void link_to(const char *target, const char *path)
{
    remove(path);
    assert_int_equal(symlink(target, path), 0);
}

/* A link to a link, one of them relative, over a file and over nothing yet: the links stay, the target is written. */
static void follows_links(void **state)
{
    (void)state;
    clipspan_error err;
    char *target = clsp_strdup(scratch("elsewhere/target.txt")), *near = clsp_strdup(scratch("near"));
    char *far = clsp_strdup(scratch("far"));
    assert_int_equal(clsp_directory_make(scratch("elsewhere"), &err), CLIPSPAN_OK);
    link_to("elsewhere/target.txt", near);
    link_to(near, far);
    for (int there = 1; there >= 0; there--) {
        if (there) scratch_write("elsewhere/target.txt", "old", 3);
        put(far, there ? "new" : "first");
        assert_true(is_link(far));
        assert_true(is_link(near));
        assert_false(is_link(target));
        expect_text(target, there ? "new" : "first");
        remove(target);
        assert_nothing_left(target);
    }
    remove(far);
    remove(near);
    assert_nothing_left(far);
    assert_nothing_left(near);
    clsp_free(target);
    clsp_free(near);
    clsp_free(far);
}

static void refuses_a_ring_of_links(void **state)
{
    (void)state;
    clsp_output output;
    clipspan_error err;
    link_to("ring-b", scratch("ring-a"));
    link_to("ring-a", scratch("ring-b"));
    assert_int_equal(clsp_output_open(&output, scratch("ring-a"), &err), CLIPSPAN_ERROR_IO);
    assert_message(err, strerror(ELOOP));
    remove(scratch("ring-a"));
    remove(scratch("ring-b"));
}

static void keeps_the_mode(void **state)
{
    (void)state;
    struct stat about;
    static const mode_t modes[] = {0600, 0664, 0755};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const char *path = scratch_write("mode.txt", "old", 3);
        assert_int_equal(chmod(path, modes[i]), 0);
        put(path, "new");
        assert_int_equal(stat(path, &about), 0);
        assert_int_equal(about.st_mode & 0777, modes[i]);
        expect_text(path, "new");
        remove(path);
    }
}

/* Like the shell: who may not write to a file may not replace it either. Root may do everything, so a child becomes
 * nobody first. */
static void refuses_a_read_only_file(void **state)
{
    (void)state;
    int how = 0;
    char *path = clsp_strdup(scratch_write("read-only.txt", "old", 3));
    assert_int_equal(chmod(path, 0444), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        clsp_output output;
        clipspan_error err = {CLIPSPAN_OK, ""};
        if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
        clipspan_status status = clsp_output_open(&output, path, &err);
        bool named = strstr(err.message, "read-only.txt: cannot be written: Permission denied") != NULL;
        _exit(status == CLIPSPAN_ERROR_IO && named ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    expect_text(path, "old");
    remove(path);
    assert_nothing_left(path);
    clsp_free(path);
}

static void refuses_a_folder_at_once(void **state)
{
    (void)state;
    clsp_output output;
    clipspan_error err;
    assert_int_equal(clsp_output_open(&output, scratch(""), &err), CLIPSPAN_ERROR_IO);
    assert_message(err, strerror(EISDIR));
}

static void *read_pipe(void *user)
{
    static char got[64];
    int handle = open(user, O_RDONLY);
    size_t length = 0;
    for (ssize_t n; (n = read(handle, got + length, sizeof got - 1 - length)) > 0;) length += (size_t)n;
    got[length] = '\0';
    close(handle);
    return got;
}

/* The bytes go through, and the pipe stays one; what must go back in the file is refused. */
static void writes_through_a_pipe(void **state)
{
    (void)state;
    struct stat about;
    pthread_t reader;
    clsp_output output;
    clipspan_error err;
    void *got = NULL;
    char *path = clsp_strdup(scratch("pipe"));
    remove(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_pipe, path), 0);
    put(path, "through");
    assert_int_equal(pthread_join(reader, &got), 0);
    assert_string_equal(got, "through");
    assert_int_equal(pthread_create(&reader, NULL, read_pipe, path), 0);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_seek(&output, 0, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "pipe: not a regular file");
    clsp_output_discard(&output);
    assert_int_equal(pthread_join(reader, &got), 0);
    assert_string_equal(got, "");
    assert_int_equal(stat(path, &about), 0);
    assert_true(S_ISFIFO(about.st_mode));
    remove(path);
    assert_nothing_left(path);
    clsp_free(path);
}

static void *write_pipe(void *user)
{
    static char block[100000];
    int handle = open(user, O_WRONLY);
    memset(block, 'x', sizeof block);
    for (size_t at = 0; at < sizeof block;) {
        ssize_t n = write(handle, block + at, sizeof block - at);
        if (n < 0) break;
        at += (size_t)n;
    }
    close(handle);
    return NULL;
}

static void reads_a_pipe_to_its_end(void **state)
{
    (void)state;
    clipspan_error err;
    char *path = clsp_strdup(scratch("in")), *text = NULL;
    remove(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    for (int room = 1; room >= 0; room--) {
        pthread_t writer;
        size_t size = 0;
        assert_int_equal(pthread_create(&writer, NULL, write_pipe, path), 0);
        clipspan_status status = clsp_stream_read(&text, &size, path, room ? 100000 : 99999, &err);
        assert_int_equal(pthread_join(writer, NULL), 0);
        assert_int_equal(status, room ? CLIPSPAN_OK : CLIPSPAN_ERROR_FORMAT);
        if (room) {
            assert_int_equal(size, 100000);
            assert_int_equal(text[99999], 'x');
            assert_int_equal(text[100000], '\0');
        } else {
            assert_null(text);
            assert_message(err, "in: more than 99999 bytes");
        }
        clsp_free(text);
    }
    remove(path);
    clsp_free(path);
    assert_int_equal(clsp_stream_read(&text, NULL, scratch(""), 10, &err), CLIPSPAN_ERROR_IO);
    assert_int_equal(clsp_stream_read(&text, NULL, scratch("no-such-file"), 10, &err), CLIPSPAN_ERROR_IO);
}

/* Nobody writes to this pipe: who waits for a writer waits for ever, so an alarm ends the program then. */
static void refuses_to_map_a_pipe(void **state)
{
    (void)state;
    clsp_map map;
    clipspan_error err;
    char *path = clsp_strdup(scratch("silent")), *text = NULL;
    remove(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(20);
    assert_int_equal(clsp_map_open(&map, path, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "silent: not a regular file");
    assert_int_equal(clsp_file_read(&text, NULL, path, 10, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "silent: not a regular file");
    alarm(0);
    remove(path);
    clsp_free(path);
}

static const char *scratch_shared;

/* Each writes blocks of its own letter: whichever was last, the file is one writer's and whole. */
static void *write_again_and_again(void *user)
{
    static char failed[] = "failed";
    const char *path = scratch_shared;
    char block[5000];
    memset(block, *(const char *)user, sizeof block);
    for (int i = 0; i < 20; i++) {
        clsp_output output;
        if (clsp_output_open(&output, path, NULL) != CLIPSPAN_OK) return failed;
        for (int part = 0; part < 20; part++)
            if (clsp_output_write(&output, block, sizeof block, NULL) != CLIPSPAN_OK) return failed;
        if (clsp_output_commit(&output, NULL) != CLIPSPAN_OK) return failed;
    }
    return NULL;
}

static void threads_write_one_path(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    const char *path = scratch("shared.txt");
    static char letters[THREADS] = {'a', 'b', 'c', 'd'};
    pthread_t threads[THREADS];
    clipspan_error err;
    char *text = NULL;
    size_t size = 0;
    void *failed = NULL;
    scratch_shared = path;
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, write_again_and_again, &letters[t]), 0);
    for (int t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(threads[t], &failed), 0);
        assert_null(failed);
    }
    if (clsp_file_read(&text, &size, path, 1 << 20, &err) != CLIPSPAN_OK) fail_msg("%s", err.message);
    assert_int_equal(size, 20 * 5000);
    for (size_t i = 0; i < size; i++) assert_int_equal(text[i], text[0]);
    clsp_free(text);
    remove(path);
    assert_nothing_left(path);
}

static bool is_there(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0;
}

/* A process that opens an output, writes and is killed. */
static void die_writing(const char *path, bool folder)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        clsp_output output;
        char *name;
        if (folder ? clsp_beside_make(&name, path, true) < 0
                   : clsp_output_open(&output, path, NULL) != CLIPSPAN_OK || clsp_output_write(&output, "half", 4, NULL) != CLIPSPAN_OK)
            _exit(1);
        if (folder) {
            char *inside = clsp_path_join(name, "below");
            if (mkdir(inside, 0777) != 0 || symlink("/", clsp_path_join(inside, "link")) != 0) _exit(1);
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* What a killed writer left is removed by the next of the same target; what somebody writes now is not. */
static void takes_away_what_the_killed_left(void **state)
{
    (void)state;
    clsp_output first, second;
    clipspan_error err;
    char *path = clsp_strdup(scratch("killed.txt")), *left = clsp_format("%s.part-clipspan-1", path);
    die_writing(path, false);
    assert_true(is_there(left));
    struct stat old, now;
    assert_int_equal(stat(left, &old), 0);
    int keeps_number = open(left, O_RDONLY); /* so that a new file cannot have the inode of the old one */
    assert_int_equal(clsp_output_open(&first, path, &err), CLIPSPAN_OK);
    assert_string_equal(first.temporary, left);
    assert_int_equal(stat(left, &now), 0);
    assert_int_not_equal(old.st_ino, now.st_ino);
    close(keeps_number);
    assert_int_equal(clsp_output_open(&second, path, &err), CLIPSPAN_OK); /* the first one lives */
    assert_string_not_equal(second.temporary, left);
    assert_int_equal(clsp_output_write(&first, "one", 3, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&second, "two", 3, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&first, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&second, &err), CLIPSPAN_OK);
    char *text = NULL;
    assert_int_equal(clsp_file_read(&text, NULL, path, 10, &err), CLIPSPAN_OK);
    assert_string_equal(text, "two");
    clsp_free(text);
    remove(path);
    assert_nothing_left(path);
    clsp_free(left);
    clsp_free(path);
}

/* A writer that lives in another process, and a name that is no file of ours. */
static void leaves_others_alone(void **state)
{
    (void)state;
    clsp_output output;
    clipspan_error err;
    int ready[2], go[2];
    char *path = clsp_strdup(scratch("lives.txt")), *second = clsp_format("%s.part-clipspan-2", path), byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (clsp_output_open(&output, path, NULL) != CLIPSPAN_OK || write(ready[1], "x", 1) != 1 || read(go[0], &byte, 1) != 1)
            _exit(1);
        if (clsp_output_write(&output, "child", 5, NULL) != CLIPSPAN_OK || clsp_output_commit(&output, NULL) != CLIPSPAN_OK) _exit(2);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    char *elsewhere = clsp_strdup(scratch_write("elsewhere.txt", "mine", 4));
    assert_int_equal(symlink(elsewhere, second), 0);
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_non_null(strstr(output.temporary, "lives.txt.part-clipspan-3"));
    assert_int_equal(clsp_output_write(&output, "parent", 6, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_OK);
    assert_int_equal(write(go[1], "x", 1), 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    char *text = NULL;
    assert_int_equal(clsp_file_read(&text, NULL, path, 10, &err), CLIPSPAN_OK);
    assert_string_equal(text, "child"); /* whoever was last */
    clsp_free(text);
    assert_int_equal(clsp_file_read(&text, NULL, elsewhere, 10, &err), CLIPSPAN_OK);
    assert_string_equal(text, "mine");
    clsp_free(text);
    for (int i = 0; i < 2; i++) close(ready[i]), close(go[i]);
    remove(second);
    remove(elsewhere);
    remove(path);
    assert_nothing_left(path);
    clsp_free(elsewhere);
    clsp_free(second);
    clsp_free(path);
}

static void folders_of_the_killed_go_too(void **state)
{
    (void)state;
    char *path = clsp_strdup(scratch("killed-folder")), *left = clsp_format("%s.part-clipspan-1", path), *name;
    die_writing(path, true);
    assert_true(is_there(left));
    int held = clsp_beside_make(&name, path, true);
    assert_true(held >= 0);
    assert_string_equal(name, left);
    char *below = clsp_path_join(left, "below");
    assert_false(is_there(below));
    assert_true(is_there("/etc")); /* a link inside is not followed */
    clsp_remove_folder(name);
    close(held);
    assert_nothing_left(path);
    clsp_free(below);
    clsp_free(name);
    clsp_free(left);
    clsp_free(path);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    const char *path = scratch("walk.txt");
    for (unsigned long n = 1;; n++) {
        clsp_output output;
        clsp_alloc_fail_at(n);
        clipspan_status status = clsp_output_open(&output, path, NULL);
        unsigned long seen = clsp_alloc_fail_at(0);
        clsp_output_discard(&output);
        assert_nothing_left(path);
        if (seen < n) {
            assert_int_equal(status, CLIPSPAN_OK);
            break;
        }
        assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
    }
}

static void maps_empty_and_small_files(void **state)
{
    (void)state;
    clsp_map map;
    clipspan_error err;
    char *text = NULL;
    assert_int_equal(clsp_map_open(&map, scratch_write("empty", "", 0), &err), CLIPSPAN_OK);
    assert_int_equal(map.size, 0);
    clsp_map_close(&map);
    assert_int_equal(clsp_map_open(&map, scratch_write("three", "abc", 3), &err), CLIPSPAN_OK);
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.bytes, "abc", 3);
    clsp_map_close(&map);
    clsp_map_close(&map);
    assert_int_equal(clsp_file_read(&text, NULL, scratch("three"), 2, &err), CLIPSPAN_ERROR_FORMAT);
    assert_null(text);
}

static void makes_folders_and_their_parents(void **state)
{
    (void)state;
    clipspan_error err;
    assert_int_equal(clsp_directory_make(scratch("a/b/c"), &err), CLIPSPAN_OK);
    assert_int_equal(clsp_directory_make(scratch("a/b/c/"), &err), CLIPSPAN_OK);
    assert_true(clsp_directory_exists(scratch("a/b/c")));
    assert_false(clsp_file_exists(scratch("a/b/c")));
    scratch_write("file", "", 0);
    assert_int_equal(clsp_directory_make(scratch("file/d"), &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "file: cannot be made: File exists");
    assert_int_equal(clsp_directory_make(scratch("file"), &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "file: cannot be made: File exists");
}

static void write_to(const char *path, const char *text)
{
    clsp_output output;
    clipspan_error err;
    assert_int_equal(clsp_output_open(&output, path, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, text, strlen(text), &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_OK);
}

static void gathers_in_memory(void **state)
{
    (void)state;
    clipspan_memory_file *file = NULL, *other = NULL;
    clipspan_error err;
    size_t length = 0;
    assert_int_equal(clipspan_memory_file_new(&file, &err), CLIPSPAN_OK);
    assert_int_equal(clipspan_memory_file_new(&other, &err), CLIPSPAN_OK);
    const char *path = clipspan_memory_file_path(file);
    assert_string_not_equal(path, clipspan_memory_file_path(other));
    assert_null(clipspan_memory_file_bytes(file, &length));
    write_to(path, "first, and longer");
    write_to(path, "second");
    write_to(clipspan_memory_file_path(other), "");
    assert_string_equal(clipspan_memory_file_bytes(file, &length), "second");
    assert_int_equal(length, 6);
    assert_string_equal(clipspan_memory_file_bytes(other, &length), "");
    assert_int_equal(length, 0);
    assert_false(clsp_file_exists(path));
    clipspan_memory_file_free(other);
    clipspan_memory_file_free(file);
    clipspan_memory_file_free(NULL);
}

static void loses_no_half_in_memory(void **state)
{
    (void)state;
    clipspan_memory_file *file = NULL;
    clsp_output output;
    clipspan_error err;
    assert_int_equal(clipspan_memory_file_new(&file, &err), CLIPSPAN_OK);
    write_to(clipspan_memory_file_path(file), "kept");
    assert_int_equal(clsp_output_open(&output, clipspan_memory_file_path(file), &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_write(&output, "half", 4, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_seek(&output, 0, &err), CLIPSPAN_ERROR_IO);
    clsp_output_discard(&output);
    assert_string_equal(clipspan_memory_file_bytes(file, NULL), "kept");
    assert_int_equal(clsp_output_open(&output, clipspan_memory_file_path(file), &err), CLIPSPAN_OK);
    clipspan_memory_file_free(file);
    assert_int_equal(clsp_output_write(&output, "late", 4, &err), CLIPSPAN_OK);
    assert_int_equal(clsp_output_commit(&output, &err), CLIPSPAN_ERROR_IO);
    assert_message(err, "this file in memory was freed while it was written");
}

static void keeps_what_was_there_without_memory(void **state)
{
    (void)state;
    clipspan_memory_file *file = NULL, *none = NULL;
    clsp_output output;
    clipspan_error err;
    assert_int_equal(clipspan_memory_file_new(&file, &err), CLIPSPAN_OK);
    write_to(clipspan_memory_file_path(file), "kept");
    clsp_alloc_fail_at(1);
    assert_int_equal(clipspan_memory_file_new(&none, &err), CLIPSPAN_ERROR_MEMORY);
    assert_null(none);
    clipspan_status status = CLIPSPAN_ERROR_MEMORY;
    unsigned long n = 1;
    for (; status != CLIPSPAN_OK; n++) {
        clsp_alloc_fail_at(n);
        status = clsp_output_open(&output, clipspan_memory_file_path(file), &err);
        if (status == CLIPSPAN_OK) status = clsp_output_write(&output, "new", 3, &err);
        if (status == CLIPSPAN_OK)
            status = clsp_output_commit(&output, &err);
        else
            clsp_output_discard(&output);
        clsp_alloc_fail_at(0);
        if (status != CLIPSPAN_OK) assert_int_equal(status, CLIPSPAN_ERROR_MEMORY);
        assert_string_equal(clipspan_memory_file_bytes(file, NULL), status == CLIPSPAN_OK ? "new" : "kept");
    }
    assert_true(n > 2);
    clipspan_memory_file_free(file);
}

enum { THREADS = 4, ROUNDS = 500 };

/* Returns how many of its files did not hold what it wrote. */
static void *write_own_files(void *given)
{
    size_t wrong = 0, length = 0;
    for (int round = 0; round < ROUNDS; round++) {
        clipspan_memory_file *file = NULL;
        clsp_output output;
        clipspan_error err;
        char text[64];
        snprintf(text, sizeof text, "%s: %d", (const char *)given, round);
        bool good = clipspan_memory_file_new(&file, &err) == CLIPSPAN_OK &&
                    clsp_output_open(&output, clipspan_memory_file_path(file), &err) == CLIPSPAN_OK &&
                    clsp_output_write(&output, text, strlen(text), &err) == CLIPSPAN_OK &&
                    clsp_output_commit(&output, &err) == CLIPSPAN_OK &&
                    strcmp(clipspan_memory_file_bytes(file, &length), text) == 0 && length == strlen(text);
        wrong += !good;
        clipspan_memory_file_free(file);
    }
    return (void *)wrong;
}

static void keeps_threads_apart(void **state)
{
    (void)state;
    static const char *const names[THREADS] = {"one", "another", "a third", "the last"};
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, write_own_files, (void *)names[t]), 0);
    for (int t = 0; t < THREADS; t++) {
        void *wrong = NULL;
        assert_int_equal(pthread_join(threads[t], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers_in_memory),
        cmocka_unit_test(loses_no_half_in_memory),
        cmocka_unit_test(keeps_what_was_there_without_memory),
        cmocka_unit_test(keeps_threads_apart),
        cmocka_unit_test(appears_only_at_the_commit),
        cmocka_unit_test(replaces_what_stood_there_at_once),
        cmocka_unit_test(leaves_nothing_on_a_full_disk),
        cmocka_unit_test(names_the_file_it_cannot_open),
        cmocka_unit_test(follows_links),
        cmocka_unit_test(refuses_a_ring_of_links),
        cmocka_unit_test(keeps_the_mode),
        cmocka_unit_test(refuses_a_read_only_file),
        cmocka_unit_test(refuses_a_folder_at_once),
        cmocka_unit_test(writes_through_a_pipe),
        cmocka_unit_test(reads_a_pipe_to_its_end),
        cmocka_unit_test(refuses_to_map_a_pipe),
        cmocka_unit_test(threads_write_one_path),
        cmocka_unit_test(takes_away_what_the_killed_left),
        cmocka_unit_test(leaves_others_alone),
        cmocka_unit_test(folders_of_the_killed_go_too),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(maps_empty_and_small_files),
        cmocka_unit_test(makes_folders_and_their_parents),
    };
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, scratch_begin, NULL);
}
