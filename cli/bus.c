/* SIGBUS: a file that is mapped was cut short by somebody else, or its disk failed under it. There is no way back, since what
 * reads the bytes has no way to fail; but it is said which file it was, in one line.
 *
 * All of this runs inside the signal handler, with calls that are async-signal-safe alone. The file is found in
 * /proc/self/maps, whose lines are
 *   7f0c2a400000-7f0c2a600000 r--p 00000000 fd:01 1835037                    /data/store/shard-00000.safetensors
 * (man 5 proc; a line end in a name is \012 there). Where there is no such file the name is left out. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static void say(const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = write(STDERR_FILENO, text, length);
        if (n < 0 && errno != EINTR) return;
        text += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
}

static const char *read_hex(const char *c, uintptr_t *value)
{
    for (*value = 0;; c++) {
        int digit = *c >= '0' && *c <= '9' ? *c - '0' : *c >= 'a' && *c <= 'f' ? *c - 'a' + 10 : -1;
        if (digit < 0) return c;
        *value = *value << 4 | (uintptr_t)digit;
    }
}

/* The path in this line where its range holds the address; NULL: another line, or a range without a file. */
static const char *path_in(const char *line, uintptr_t address)
{
    uintptr_t begin, end;
    const char *c = read_hex(line, &begin);
    if (*c++ != '-') return NULL;
    c = read_hex(c, &end);
    return address >= begin && address < end ? strchr(c, '/') : NULL;
}

/* Reads lines into `line` until one names the file. Longer ones are cut. */
static const char *find_file(char *line, size_t size, uintptr_t address)
{
    char block[4096];
    size_t length = 0;
    ssize_t n = 0;
    const char *found = NULL;
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    while (maps >= 0 && found == NULL && (n = read(maps, block, sizeof block)) > 0)
        for (ssize_t i = 0; found == NULL && i < n; i++) {
            if (block[i] != '\n') {
                if (length < size - 1) line[length++] = block[i];
                continue;
            }
            line[length] = '\0';
            length = 0;
            found = path_in(line, address);
        }
    if (maps >= 0) close(maps);
    return found;
}

static void on_bus(int number, siginfo_t *info, void *context)
{
    static const char before[] = "clipspan: ", nameless[] = "a file", after[] = ": cut short while it was read, or its disk failed\n";
    static atomic_flag said = ATOMIC_FLAG_INIT;
    char line[8192];
    (void)context;
    if (info->si_code <= 0) { /* not from the system: somebody sent it */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    while (atomic_flag_test_and_set(&said)) pause(); /* several threads may read the file */
    const char *file = find_file(line, sizeof line, (uintptr_t)info->si_addr);
    say(before, sizeof before - 1);
    say(file ? file : nameless, file ? strlen(file) : sizeof nameless - 1);
    say(after, sizeof after - 1);
    _exit(CLI_FAILED);
}

void cli_watch_mapped_files(void)
{
    struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
