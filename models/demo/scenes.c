/* demo-scenes: draws the demo's world to PNG files or to raw training data.
 *
 *   demo-scenes dir OUT --count N --seed S --split train|test --set scenes|single|birds
 *       OUT/images/NNNNNN.png, OUT/masks/NNNNNN.png (grey, 0 or 1 + object index)
 *       and OUT/labels.csv: path,label,setting,count,shape,colour,texture,size,place,
 *       group,caption,mask. label is the setting (scenes), the shape (single) or
 *       the bird (birds); --label COLUMN picks another. Attributes of the object are
 *       empty where there are several. group is seen or new (combination), or for
 *       birds kind-setting.
 *   demo-scenes raw OUT --count N ...
 *       OUT.rgb: N images of 96*96*3 bytes, row by row; OUT.attr: N records of 168
 *       bytes: bird?, setting, count, new?, then 4 objects of kind, colour, texture,
 *       size, place (255 where there is none), then 12*12 patches: 0, or 1 + the
 *       object that covers most of the patch. */
#include "world.h"

#include <cairo.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    const char *mode, *out, *label;
    uint64_t count, seed;
    split_t split;
    set_t set;
} options_t;

enum { PATH_CAPACITY = 4096, RECORD = 4 + 5 * MAX_OBJECTS + GRID * GRID };

static int usage(const char *why) {
    fprintf(stderr,
            "demo-scenes: %s\n"
            "usage: demo-scenes dir|raw OUT [--count N] [--seed S] [--split train|test]\n"
            "                   [--set scenes|single|birds] [--label COLUMN]\n",
            why);
    return 2;
}

static int parse_number(const char *text, uint64_t *value) {
    char *end = NULL;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *text != '-';
}

static int parse_choice(const char *text, const char *const *words, int n) {
    for (int i = 0; i < n; i++) {
        if (strcmp(text, words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static int parse_option(options_t *o, const char *name, const char *value) {
    static const char *const splits[] = {"train", "test"};
    static const char *const sets[] = {"scenes", "single", "birds"};
    if (strcmp(name, "--count") == 0) {
        return parse_number(value, &o->count);
    }
    if (strcmp(name, "--seed") == 0) {
        return parse_number(value, &o->seed);
    }
    if (strcmp(name, "--label") == 0) {
        o->label = value;
        return 1;
    }
    int split = strcmp(name, "--split") == 0 ? parse_choice(value, splits, 2) : -1;
    int set = strcmp(name, "--set") == 0 ? parse_choice(value, sets, 3) : -1;
    if (split >= 0) {
        o->split = (split_t)split;
    }
    if (set >= 0) {
        o->set = (set_t)set;
    }
    return split >= 0 || set >= 0;
}

/* ---- dir ----------------------------------------------------------------- */

static int write_png(const char *path, cairo_format_t format, const uint8_t *pixels) {
    cairo_surface_t *surface = cairo_image_surface_create(format, SIDE, SIDE);
    uint8_t *data = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    for (int y = 0; data != NULL && y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            const uint8_t *p = pixels + 3 * (y * SIDE + x);
            if (format == CAIRO_FORMAT_A8) {
                data[y * stride + x] = pixels[y * SIDE + x];
            } else {
                uint32_t word = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
                memcpy(data + y * stride + 4 * x, &word, sizeof word);
            }
        }
    }
    cairo_surface_mark_dirty(surface);
    cairo_status_t status = cairo_surface_write_to_png(surface, path);
    cairo_surface_destroy(surface);
    return status == CAIRO_STATUS_SUCCESS ? 0 : -1;
}

enum { COLUMNS = 9 };
static const char *const column_names[COLUMNS] = {"setting", "count", "shape", "colour", "texture",
                                                  "size",    "place", "group", "caption"};

typedef struct {
    char caption[160], group[32];
    const char *value[COLUMNS];
} row_t;

static void describe(const scene_t *s, const options_t *o, row_t *row) {
    const object_t *b = &s->object[0];
    int alone = s->count == 1;
    scene_caption(s, row->caption, sizeof row->caption);
    if (o->set == SET_BIRDS) {
        snprintf(row->group, sizeof row->group, "%s-%s", kind_words[b->kind],
                 setting_words[s->setting]);
    } else {
        snprintf(row->group, sizeof row->group, "%s", s->fresh ? "new" : "seen");
    }
    const char *const value[COLUMNS] = {setting_words[s->setting],
                                        count_words[s->count - 1],
                                        alone ? kind_words[b->kind] : "",
                                        alone ? colour_words[b->colour] : "",
                                        alone ? texture_words[b->texture] : "",
                                        alone ? size_words[b->size] : "",
                                        alone ? place_words[b->place] : "",
                                        row->group,
                                        row->caption};
    memcpy(row->value, value, sizeof value);
}

static int make_folders(const char *out) {
    static const char *const inner[] = {"", "/images", "/masks"};
    char path[PATH_CAPACITY];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", out, inner[i]);
        if (mkdir(path, 0777) != 0 && errno != EEXIST) {
            return -1;
        }
    }
    return 0;
}

static int write_one(const options_t *o, FILE *csv, uint64_t index, int label) {
    static uint8_t rgb[SIDE * SIDE * 3], mask[SIDE * SIDE];
    char path[PATH_CAPACITY];
    scene_t s = scene_sample(o->seed, o->split, o->set, index);
    row_t row;
    if (scene_draw(&s, rgb, mask) != 0) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/images/%06llu.png", o->out, (unsigned long long)index);
    if (write_png(path, CAIRO_FORMAT_RGB24, rgb) != 0) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/masks/%06llu.png", o->out, (unsigned long long)index);
    if (write_png(path, CAIRO_FORMAT_A8, mask) != 0) {
        return -1;
    }
    describe(&s, o, &row);
    fprintf(csv, "images/%06llu.png,%s", (unsigned long long)index, row.value[label]);
    for (int i = 0; i < COLUMNS; i++) {
        fprintf(csv, ",%s", row.value[i]);
    }
    fprintf(csv, ",masks/%06llu.png\n", (unsigned long long)index);
    return 0;
}

static int write_folder(const options_t *o) {
    static const char *const usual[] = {"setting", "shape", "shape"};
    int label = parse_choice(o->label ? o->label : usual[o->set], column_names, COLUMNS);
    if (label < 0) {
        return usage("--label names no column");
    }
    char path[PATH_CAPACITY];
    snprintf(path, sizeof path, "%s/labels.csv", o->out);
    FILE *csv = make_folders(o->out) == 0 ? fopen(path, "w") : NULL;
    if (csv == NULL) {
        perror(o->out);
        return 1;
    }
    fputs("path,label", csv);
    for (int i = 0; i < COLUMNS; i++) {
        fprintf(csv, ",%s", column_names[i]);
    }
    fputs(",mask\n", csv);
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < o->count; i++) {
        rc = write_one(o, csv, i, label);
    }
    if (fclose(csv) != 0 || rc != 0) {
        fprintf(stderr, "demo-scenes: cannot write into %s\n", o->out);
        return 1;
    }
    return 0;
}

/* ---- raw ----------------------------------------------------------------- */

static uint8_t patch_owner(const uint8_t *mask, int row, int column) {
    int votes[MAX_OBJECTS + 1] = {0}, best = 0;
    for (int y = 0; y < PATCH; y++) {
        for (int x = 0; x < PATCH; x++) {
            uint8_t who = mask[(row * PATCH + y) * SIDE + column * PATCH + x];
            votes[who <= MAX_OBJECTS ? who : 0]++;
        }
    }
    /* a third of the patch is enough: thin shapes seldom fill one */
    for (int i = 1; i <= MAX_OBJECTS; i++) {
        if (votes[i] * 3 >= PATCH * PATCH && (best == 0 || votes[i] > votes[best])) {
            best = i;
        }
    }
    return (uint8_t)best;
}

static void fill_record(const scene_t *s, set_t set, const uint8_t *mask, uint8_t *record) {
    memset(record, 255, RECORD);
    record[0] = set == SET_BIRDS;
    record[1] = s->setting;
    record[2] = s->count;
    record[3] = s->fresh;
    for (unsigned i = 0; i < s->count; i++) {
        const object_t *b = &s->object[i];
        const uint8_t field[5] = {b->kind, b->colour, b->texture, b->size, b->place};
        memcpy(record + 4 + 5 * i, field, sizeof field);
    }
    for (int i = 0; i < GRID * GRID; i++) {
        record[4 + 5 * MAX_OBJECTS + i] = patch_owner(mask, i / GRID, i % GRID);
    }
}

static int write_raw(const options_t *o) {
    static uint8_t rgb[SIDE * SIDE * 3], mask[SIDE * SIDE], record[RECORD];
    char path[PATH_CAPACITY];
    snprintf(path, sizeof path, "%s.rgb", o->out);
    FILE *images = fopen(path, "wb");
    snprintf(path, sizeof path, "%s.attr", o->out);
    FILE *attributes = images ? fopen(path, "wb") : NULL;
    int good = attributes != NULL;
    for (uint64_t i = 0; good && i < o->count; i++) {
        scene_t s = scene_sample(o->seed, o->split, o->set, i);
        good = scene_draw(&s, rgb, mask) == 0;
        fill_record(&s, o->set, mask, record);
        good = good && fwrite(rgb, sizeof rgb, 1, images) == 1 &&
               fwrite(record, sizeof record, 1, attributes) == 1;
    }
    good = (images == NULL || fclose(images) == 0) && good;
    good = (attributes == NULL || fclose(attributes) == 0) && good;
    if (!good) {
        fprintf(stderr, "demo-scenes: cannot write %s.rgb and %s.attr\n", o->out, o->out);
    }
    return good ? 0 : 1;
}

int main(int argc, char **argv) {
    options_t o = {NULL, NULL, NULL, 100, 1, SPLIT_TEST, SET_SCENES};
    if (argc < 3 || argc % 2 == 0) {
        return usage(argc < 3 ? "says too little" : "an option lacks its value");
    }
    o.mode = argv[1];
    o.out = argv[2];
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!parse_option(&o, argv[i], argv[i + 1])) {
            return usage(argv[i]);
        }
    }
    if (strlen(o.out) > PATH_CAPACITY - 64) {
        return usage("OUT is too long");
    }
    if (strcmp(o.mode, "raw") == 0) {
        return write_raw(&o);
    }
    return strcmp(o.mode, "dir") == 0 ? write_folder(&o) : usage("neither dir nor raw");
}
