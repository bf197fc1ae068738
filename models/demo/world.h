/* The demo's world: what a scene may hold, and how it is drawn and written.
 *
 * A scene is one to four objects on one of eight settings, 96 x 96 pixels.
 * Everything in it follows from (seed, split, set, index), so any image can be
 * made again alone. Words for every value stand in world.c, in label order;
 * prompts.json and train.py use the same words. */
#ifndef DEMO_WORLD_H
#define DEMO_WORLD_H

#include <stdint.h>

enum {
    SIDE = 96,      /* pixels a side */
    PATCH = 8,      /* the model's patch */
    GRID = SIDE / PATCH,
    MAX_OBJECTS = 4,
    N_SETTINGS = 8,
    N_SHAPES = 8,
    N_BIRDS = 2,
    N_KINDS = N_SHAPES + N_BIRDS, /* shapes, then the two birds */
    N_COLOURS = 10,
    N_TEXTURES = 4,
    N_SIZES = 3,
    N_PLACES = 9
};

typedef enum { SPLIT_TRAIN, SPLIT_TEST } split_t;
typedef enum { SET_SCENES, SET_SINGLE, SET_BIRDS } set_t;

typedef struct {
    uint8_t kind, colour, texture, size, place;
    double x, y, radius; /* centre and half the width, in pixels */
    double tilt;         /* radians */
    double build;        /* birds: about +1 heron-like, about -1 wren-like */
    int mirrored;
} object_t;

typedef struct {
    uint8_t setting, count;
    uint8_t fresh; /* 1: every object is a combination that training never holds */
    object_t object[MAX_OBJECTS];
    uint64_t paint_seed; /* the drawing's own random stream */
} scene_t;

extern const char *const setting_words[N_SETTINGS];
extern const char *const count_words[MAX_OBJECTS];
extern const char *const kind_words[N_KINDS];
extern const char *const colour_words[N_COLOURS];
extern const char *const texture_words[N_TEXTURES];
extern const char *const size_words[N_SIZES];
extern const char *const place_words[N_PLACES];

/* SplitMix64 (Steele, Lea, Flood 2014): small, and any 64-bit state will do. */
typedef struct {
    uint64_t state;
} rng_t;

uint64_t rng_next(rng_t *rng);
unsigned rng_below(rng_t *rng, unsigned n);
double rng_between(rng_t *rng, double low, double high);
double rng_normal(rng_t *rng);

int combination_is_held_out(const object_t *object, unsigned setting);
scene_t scene_sample(uint64_t seed, split_t split, set_t set, uint64_t index);

/* Draws into rgb [SIDE*SIDE*3] and mask [SIDE*SIDE] (0, or 1 + object index).
 * Returns 0, or -1 where cairo has no memory. */
int scene_draw(const scene_t *scene, uint8_t *rgb, uint8_t *mask);

/* One word or sentence about the scene, as captions in training have them. */
void scene_caption(const scene_t *scene, char *text, unsigned capacity);

#endif
