/* Replays files, or every file of a folder, through one fuzz target, without a fuzzing engine. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) return 1;
    enum { MAXIMUM = 16 << 20 };
    uint8_t *data = malloc(MAXIMUM);
    size_t size = data ? fread(data, 1, MAXIMUM, file) : 0;
    fclose(file);
    /* an exact-size copy lets the address sanitizer see a read past the end */
    uint8_t *exact = malloc(size ? size : 1);
    if (exact && data) {
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(data);
    return 0;
}

static int replay(const char *path, int *count)
{
    struct stat about;
    if (stat(path, &about) != 0) return 1;
    if (!S_ISDIR(about.st_mode)) {
        ++*count;
        return replay_file(path);
    }
    DIR *directory = opendir(path);
    if (directory == NULL) return 1;
    int bad = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        bad |= replay(name, count);
    }
    closedir(directory);
    return bad;
}

int main(int argc, char **argv)
{
    int count = 0, bad = 0;
    for (int i = 1; i < argc; i++) bad |= replay(argv[i], &count);
    printf("%d inputs replayed\n", count);
    return bad || count == 0;
}
