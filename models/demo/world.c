/* Which scenes exist: the words, the random numbers, the sampling. */
#include "world.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const setting_words[N_SETTINGS] = {"water", "grass",  "sand", "snow",
                                               "night", "bricks", "wood", "tiles"};
const char *const count_words[MAX_OBJECTS] = {"one", "two", "three", "four"};
const char *const kind_words[N_KINDS] = {"circle", "square", "triangle", "star",  "heart",
                                         "cross",  "ring",   "moon",     "heron", "wren"};
const char *const colour_words[N_COLOURS] = {"red",    "orange", "yellow", "green", "blue",
                                             "purple", "pink",   "brown",  "black", "white"};
const char *const texture_words[N_TEXTURES] = {"plain", "striped", "dotted", "checked"};
const char *const size_words[N_SIZES] = {"small", "medium", "large"};
const char *const place_words[N_PLACES] = {"top left", "top",         "top right",
                                           "left",     "centre",      "right",
                                           "bottom left", "bottom",   "bottom right"};

uint64_t rng_next(rng_t *rng) {
    uint64_t z = (rng->state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

unsigned rng_below(rng_t *rng, unsigned n) {
    return (unsigned)(((rng_next(rng) >> 32) * n) >> 32);
}

double rng_between(rng_t *rng, double low, double high) {
    return low + (high - low) * ((double)(rng_next(rng) >> 11) * 0x1.0p-53);
}

/* Twelve uniforms summed: close to normal, the same bits on every machine. */
double rng_normal(rng_t *rng) {
    double sum = -6.0;
    for (int i = 0; i < 12; i++) {
        sum += rng_between(rng, 0.0, 1.0);
    }
    return sum;
}

/* A fifth of (shape, colour, texture, setting) is never drawn for training. */
int combination_is_held_out(const object_t *object, unsigned setting) {
    unsigned key = ((object->kind * 16U + object->colour) * 16U + object->texture) * 16U + setting;
    rng_t rng = {UINT64_C(0xC11B5BA0) + key};
    return rng_next(&rng) % 5 == 0;
}

/* Nine places are nine points of a lattice, closer together the larger the
 * object, so that every object stays in the picture. */
static void put_object(rng_t *rng, object_t *o) {
    static const double half_width[N_SIZES] = {13.0, 18.0, 24.0};
    static const double spacing[N_SIZES] = {31.0, 28.0, 24.0};
    double step = spacing[o->size];
    o->radius = half_width[o->size] * rng_between(rng, 0.94, 1.04);
    o->x = SIDE / 2.0 + step * (o->place % 3 - 1) + rng_between(rng, -2.5, 2.5);
    o->y = SIDE / 2.0 + step * (o->place / 3 - 1) + rng_between(rng, -2.5, 2.5);
    o->tilt = rng_between(rng, -0.17, 0.17);
    o->mirrored = (int)rng_below(rng, 2);
}

static int objects_touch(const object_t *a, const object_t *b) {
    double reach = a->radius + b->radius + 1.0;
    return fabs(a->x - b->x) < reach && fabs(a->y - b->y) < reach;
}

static void sample_look(rng_t *rng, object_t *o, unsigned setting, int fresh) {
    do {
        o->kind = (uint8_t)rng_below(rng, N_SHAPES);
        o->colour = (uint8_t)rng_below(rng, N_COLOURS);
        o->texture = (uint8_t)rng_below(rng, N_TEXTURES);
    } while (combination_is_held_out(o, setting) != fresh);
}

/* Tries places and sizes; after many misses falls back to smaller objects,
 * which always fit. */
static void place_beside_others(rng_t *rng, scene_t *s, unsigned index) {
    object_t *o = &s->object[index];
    for (unsigned attempt = 0;; attempt++) {
        unsigned choices = attempt < 20 ? N_SIZES : attempt < 40 ? 2 : 1;
        o->size = (uint8_t)rng_below(rng, choices);
        o->place = (uint8_t)rng_below(rng, N_PLACES);
        put_object(rng, o);
        unsigned other = 0;
        while (other < index && !objects_touch(o, &s->object[other])) {
            other++;
        }
        if (other == index || attempt > 400) {
            return;
        }
    }
}

/* In training three birds in five stand on neither water nor grass, either kind
 * equally often: there the build must be looked at. */
static unsigned bird_setting(rng_t *rng, unsigned heron, split_t split, uint64_t index) {
    if (split == SPLIT_TRAIN && rng_below(rng, 5) < 3) {
        return 2 + rng_below(rng, N_SETTINGS - 2);
    }
    unsigned own = split == SPLIT_TEST ? (unsigned)((index >> 1) & 1) : rng_below(rng, 100) < 95;
    return heron == own ? 0 : 1; /* herons: water; wrens: grass */
}

/* How a bird is built is a noisy sign of its kind (two normals 3 deviations
 * apart), so a good guesser leans on the setting too: on water and grass, training
 * has 95 of 100 birds on their own. The spurious cue; the test set is balanced. */
static void sample_bird(rng_t *rng, scene_t *s, split_t split, uint64_t index) {
    unsigned heron = (unsigned)(index & 1);
    object_t *o = &s->object[0];
    s->count = 1;
    s->setting = (uint8_t)bird_setting(rng, heron, split, index);
    o->kind = (uint8_t)(heron ? N_SHAPES : N_SHAPES + 1);
    o->colour = (uint8_t)rng_below(rng, N_COLOURS);
    o->texture = 0;
    o->size = (uint8_t)(1 + rng_below(rng, 2));
    o->place = (uint8_t)rng_below(rng, N_PLACES);
    o->build = (heron ? 1.0 : -1.0) + rng_normal(rng) * (2.0 / 3.0);
    put_object(rng, o);
    o->tilt *= 0.3;
}

scene_t scene_sample(uint64_t seed, split_t split, set_t set, uint64_t index) {
    rng_t mix = {seed * 8 + (uint64_t)split * 4 + (uint64_t)set};
    rng_t rng = {rng_next(&mix) ^ (index * UINT64_C(0xD1342543DE82EF95))};
    scene_t s;
    memset(&s, 0, sizeof s);
    s.paint_seed = rng_next(&rng);
    if (set == SET_BIRDS) {
        sample_bird(&rng, &s, split, index);
        return s;
    }
    s.count = (uint8_t)(set == SET_SINGLE ? 1 : 1 + rng_below(&rng, MAX_OBJECTS));
    s.setting = (uint8_t)rng_below(&rng, N_SETTINGS);
    s.fresh = (uint8_t)(split == SPLIT_TEST && rng_below(&rng, 2));
    for (unsigned i = 0; i < s.count; i++) {
        sample_look(&rng, &s.object[i], s.setting, s.fresh);
        place_beside_others(&rng, &s, i);
    }
    return s;
}

void scene_caption(const scene_t *s, char *text, unsigned capacity) {
    const object_t *o = &s->object[0];
    if (s->count > 1) {
        snprintf(text, capacity, "%s shapes on %s", count_words[s->count - 1],
                 setting_words[s->setting]);
    } else {
        snprintf(text, capacity, "a %s %s %s %s in the %s on %s", size_words[o->size],
                 colour_words[o->colour], texture_words[o->texture], kind_words[o->kind],
                 place_words[o->place], setting_words[s->setting]);
    }
}
