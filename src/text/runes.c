/* Code points: decoding, classes, normalization form C, lower case. The only file that knows utf8proc.
 *
 * Unicode versions differ between programs: utf8proc 2.8 knows Unicode 15.0 and Python 3.11 14.0; the tokenizers
 * library takes classes and case from 16.0 but form C from 9.0 (clsp_runes_nfc_9); the regex module is as new as its
 * installation. Otherwise the tables agree on every character that all of them know; characters that a newer version
 * adds count as "other" here until utf8proc follows.
 */
#include "text/runes.h"

#include <string.h>
#include <utf8proc.h>

#include "text/width.h"

void clsp_runes_free(clsp_runes *runes)
{
    clsp_free(runes->at);
    *runes = (clsp_runes){0};
}

static bool reserve(clsp_runes *runes, size_t extra)
{
    size_t needed;
    if (runes->failed || !clsp_add(&needed, runes->count, extra)) {
        runes->failed = true;
        return false;
    }
    if (needed <= runes->capacity) return true;
    size_t capacity = clsp_max(needed, clsp_max(64, runes->capacity + runes->capacity / 2));
    uint32_t *at = clsp_grow(runes->at, capacity, sizeof *at);
    if (at == NULL) {
        runes->failed = true;
        return false;
    }
    runes->at = at;
    runes->capacity = capacity;
    return true;
}

void clsp_runes_push(clsp_runes *runes, uint32_t rune)
{
    if (reserve(runes, 1)) runes->at[runes->count++] = rune;
}

void clsp_runes_append(clsp_runes *runes, const uint32_t *at, size_t count)
{
    if (count == 0 || !reserve(runes, count)) return;
    memcpy(runes->at + runes->count, at, count * sizeof *at);
    runes->count += count;
}

bool clsp_runes_equal(const clsp_runes *a, const clsp_runes *b)
{
    return a->count == b->count && (a->count == 0 || memcmp(a->at, b->at, a->count * sizeof *a->at) == 0);
}

void clsp_runes_swap(clsp_runes *a, clsp_runes *b)
{
    clsp_runes other = *a;
    *a = *b;
    *b = other;
}

/* ---- UTF-8 -------------------------------------------------------------------------------------------- */

/* How many continuation bytes follow `lead`, and the range of the first of them; 0: not a lead byte. */
static size_t continuations(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) return 1;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0) *low = 0xa0;  /* shorter forms exist */
        if (lead == 0xed) *high = 0x9f; /* surrogates */
        return 2;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0) *low = 0x90;
        if (lead == 0xf4) *high = 0x8f; /* beyond U+10FFFF */
        return 3;
    }
    return 0;
}

/* Reads one rune at `text`, or one maximal ill-formed subpart as U+FFFD; returns the bytes consumed, at least 1. */
static size_t decode_one(const unsigned char *text, size_t length, uint32_t *rune)
{
    unsigned char low, high;
    *rune = text[0];
    if (text[0] < 0x80) return 1;
    size_t more = continuations(text[0], &low, &high), used = 1;
    uint32_t value = text[0] & (0x3fu >> more);
    while (used <= more && used < length && text[used] >= low && text[used] <= high) {
        value = value << 6 | (text[used++] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *rune = more > 0 && used == more + 1 ? value : 0xfffd;
    return used;
}

void clsp_runes_decode(clsp_runes *runes, const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    if (!reserve(runes, length)) return;
    for (size_t i = 0; i < length;) {
        uint32_t rune;
        i += decode_one(bytes + i, length - i, &rune);
        runes->at[runes->count++] = rune;
    }
}

size_t clsp_text_step(const char *text, uint32_t *rune)
{
    return decode_one((const unsigned char *)text, 4, rune); /* a NUL byte continues nothing */
}

size_t clsp_rune_columns(uint32_t rune)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)rune);
    int columns = utf8proc_charwidth((utf8proc_int32_t)rune);
    bool control = category == UTF8PROC_CATEGORY_CC, unknown = category == UTF8PROC_CATEGORY_CN;
    return columns > 0 ? (size_t)columns : control || unknown;
}

size_t clsp_rune_encode(uint32_t rune, unsigned char out[4])
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)rune, out);
}

typedef struct range {
    uint32_t first, last;
} range;

static bool within(const range *ranges, size_t count, uint32_t rune)
{
    for (size_t i = 0; i < count; i++) {
        if (rune >= ranges[i].first && rune <= ranges[i].last) return true;
    }
    return false;
}

/* ---- classes ------------------------------------------------------------------------------------------ */

/* The property White_Space, which all regular expression libraries take for \s. */
static bool is_space(uint32_t rune)
{
    if (rune < 0x80) return rune == ' ' || (rune >= 9 && rune <= 13);
    return rune == 0x85 || rune == 0xa0 || rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 ||
           rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}

clsp_rune_class clsp_rune_class_of(uint32_t rune)
{
    if (is_space(rune)) return CLSP_RUNE_SPACE;
    switch (utf8proc_category((utf8proc_int32_t)rune)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return CLSP_RUNE_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return CLSP_RUNE_NUMBER;
    default: return CLSP_RUNE_OTHER;
    }
}

bool clsp_rune_is_digit(uint32_t rune)
{
    return utf8proc_category((utf8proc_int32_t)rune) == UTF8PROC_CATEGORY_ND;
}

bool clsp_rune_is_python_space(uint32_t rune)
{
    return is_space(rune) || (rune >= 0x1c && rune <= 0x1f);
}

/* ---- normalization ------------------------------------------------------------------------------------ */

size_t clsp_rune_compatible(uint32_t rune, uint32_t *out, size_t capacity)
{
    int boundary = 0; /* of grapheme clusters, which nobody asked for */
    utf8proc_int32_t parts[32];
    utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)rune, parts, 32,
                                                     UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &boundary);
    if (count <= 0 || (size_t)count > clsp_min(capacity, 32)) {
        out[0] = rune;
        return 1;
    }
    count = utf8proc_normalize_utf32(parts, count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < count; i++) out[i] = (uint32_t)parts[i];
    return (size_t)count;
}

static int combining(uint32_t rune)
{
    return rune < 0x300 ? 0 : utf8proc_get_property((utf8proc_int32_t)rune)->combining_class;
}

/* Sorts a run of combining marks by their class, stably; `spare` holds as many. A run may be as long as the text, so
 * the long ones are sorted by counting. */
static void order_run(uint32_t *run, size_t count, uint32_t *spare)
{
    if (count <= 16) {
        for (size_t i = 1; i < count; i++) {
            uint32_t mark = run[i];
            size_t j = i;
            for (; j > 0 && combining(run[j - 1]) > combining(mark); j--) run[j] = run[j - 1];
            run[j] = mark;
        }
        return;
    }
    size_t start[257] = {0};
    for (size_t i = 0; i < count; i++) start[combining(run[i]) + 1]++;
    for (size_t c = 0; c < 256; c++) start[c + 1] += start[c];
    for (size_t i = 0; i < count; i++) spare[start[combining(run[i])]++] = run[i];
    memcpy(run, spare, count * sizeof *run);
}

static void order_marks(clsp_runes *runes, uint32_t *spare)
{
    for (size_t i = 0; i < runes->count;) {
        size_t end = i;
        while (end < runes->count && combining(runes->at[end]) != 0) end++;
        if (end > i + 1) order_run(runes->at + i, end - i, spare);
        i = end > i ? end : i + 1;
    }
}

static void decompose(clsp_runes *out, const uint32_t *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int boundary = 0;
        utf8proc_int32_t parts[8];
        utf8proc_ssize_t length =
            at[i] < 0xc0 ? 0
                         : utf8proc_decompose_char((utf8proc_int32_t)at[i], parts, 8, UTF8PROC_DECOMPOSE, &boundary);
        if (length <= 0 || length > 8) clsp_runes_push(out, at[i]);
        else clsp_runes_append(out, (const uint32_t *)parts, (size_t)length);
    }
}

/* Below U+0300 every character is its own form C and nothing combines. */
static bool plain(const clsp_runes *runes)
{
    for (size_t i = 0; i < runes->count; i++) {
        if (runes->at[i] >= 0x300) return false;
    }
    return true;
}

/* Appends form C of at[0 .. count) to out. */
static void compose(clsp_runes *out, const uint32_t *at, size_t count)
{
    clsp_runes parts = {0};
    decompose(&parts, at, count);
    uint32_t *spare = clsp_alloc(parts.count, sizeof *spare);
    if (spare == NULL) parts.failed = true;
    if (!parts.failed) {
        order_marks(&parts, spare);
        utf8proc_ssize_t length = utf8proc_normalize_utf32(
            (utf8proc_int32_t *)parts.at, (utf8proc_ssize_t)parts.count, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        clsp_runes_append(out, parts.at, length < 0 ? parts.count : (size_t)length);
    }
    out->failed |= parts.failed;
    clsp_free(spare);
    clsp_runes_free(&parts);
}

void clsp_runes_nfc(clsp_runes *runes)
{
    if (runes->failed || plain(runes)) return;
    clsp_runes out = {0};
    compose(&out, runes->at, runes->count);
    clsp_runes_swap(runes, &out);
    clsp_runes_free(&out);
}

/* What Unicode gave a combining class, or a composition, after version 9.0. */
static bool is_younger_than_9(uint32_t rune)
{
    static const range younger[] = {
        {0x7fd, 0x7fd}, {0x898, 0x89f}, {0x8ca, 0x8d3}, {0x9fe, 0x9fe}, {0xc3c, 0xc3c}, {0xd3b, 0xd3c}, {0xeba, 0xeba},
        {0x1715, 0x1715}, {0x1abf, 0x1ace}, {0x1df6, 0x1dfa}, {0xa82c, 0xa82c}, {0x10d24, 0x10d27},
        {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070},
        {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11930}, {0x11938, 0x11938},
        {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47},
        {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42},
        {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
        {0x1e4ec, 0x1e4ef}};
    return rune >= 0x7fd && within(younger, sizeof younger / sizeof *younger, rune);
}

/* To a program that knows Unicode 9 the younger characters are ordinary ones, which stop marks from wandering. */
void clsp_runes_nfc_9(clsp_runes *runes)
{
    if (runes->failed || plain(runes)) return;
    clsp_runes out = {0};
    size_t first = 0;
    for (size_t i = 0; i <= runes->count; i++) {
        if (i < runes->count && !is_younger_than_9(runes->at[i])) continue;
        if (i > first) compose(&out, runes->at + first, i - first);
        if (i < runes->count) clsp_runes_push(&out, runes->at[i]);
        first = i + 1;
    }
    clsp_runes_swap(runes, &out);
    clsp_runes_free(&out);
}

/* ---- lower case --------------------------------------------------------------------------------------- */

/* Case_Ignorable: marks, format characters, modifier letters and symbols, and what may stand within a word. */
static bool is_case_ignorable(uint32_t rune)
{
    static const range within_words[] = {
        {'\'', '\''}, {'.', '.'}, {':', ':'}, {0xb7, 0xb7}, {0x387, 0x387}, {0x55f, 0x55f}, {0x5f4, 0x5f4},
        {0x2018, 0x2019}, {0x2024, 0x2024}, {0x2027, 0x2027}, {0xfe13, 0xfe13}, {0xfe52, 0xfe52}, {0xfe55, 0xfe55},
        {0xff07, 0xff07}, {0xff0e, 0xff0e}, {0xff1a, 0xff1a}};
    switch (utf8proc_category((utf8proc_int32_t)rune)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return within(within_words, sizeof within_words / sizeof *within_words, rune);
    }
}

/* Cased: letters of either case and title case, and the circled, superscript and Roman ones (Other_Lowercase,
 * Other_Uppercase) that are not case-ignorable. */
static bool is_cased(uint32_t rune)
{
    static const range others[] = {{0xaa, 0xaa}, {0xba, 0xba}, {0x2160, 0x217f}, {0x24b6, 0x24e9},
                                   {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
    switch (utf8proc_category((utf8proc_int32_t)rune)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT: return true;
    default: return within(others, sizeof others / sizeof *others, rune);
    }
}

static void lower_one(clsp_runes *out, uint32_t rune)
{
    if (rune == 0x130) { /* I with dot above: the one unconditional mapping to two */
        clsp_runes_push(out, 'i');
        clsp_runes_push(out, 0x307);
        return;
    }
    clsp_runes_push(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)rune));
}

/* Final_Sigma (Unicode 3.13, table 3-17) in one pass each way would need a second array; `cased_before` is carried
 * along, and what follows is looked at once per sigma up to the next rune that decides. */
static bool cased_follows(const clsp_runes *runes, size_t i)
{
    while (i < runes->count && is_case_ignorable(runes->at[i])) i++;
    return i < runes->count && is_cased(runes->at[i]);
}

void clsp_runes_lower(clsp_runes *runes)
{
    if (runes->failed) return;
    clsp_runes out = {0};
    bool cased_before = false;
    for (size_t i = 0; i < runes->count; i++) {
        uint32_t rune = runes->at[i];
        if (rune == 0x3a3) clsp_runes_push(&out, cased_before && !cased_follows(runes, i + 1) ? 0x3c2 : 0x3c3);
        else lower_one(&out, rune);
        if (!is_case_ignorable(rune)) cased_before = is_cased(rune);
    }
    clsp_runes_swap(runes, &out);
    clsp_runes_free(&out);
}

void clsp_runes_lower_each(clsp_runes *runes)
{
    if (runes->failed) return;
    clsp_runes out = {0};
    for (size_t i = 0; i < runes->count; i++) lower_one(&out, runes->at[i]);
    clsp_runes_swap(runes, &out);
    clsp_runes_free(&out);
}
