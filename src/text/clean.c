/* Text cleaning in both manners.
 *
 * open_clip's basic_clean is ftfy.fix_text (6.3), then html.unescape twice, strip, white space to single spaces, lower
 * case. Of ftfy's default configuration everything is here, in its order, but fix_encoding: it guesses at wrongly
 * decoded text ("Ã©" for "é") by statistics. Surrogates, which it also repairs, cannot come from UTF-8.
 */
#include "text/clean.h"

#include "text/html.h"

/* ftfy works line by line, and through long lines in pieces of this many characters. */
enum { SEGMENT_MAXIMUM = 1000000 };

/* C1 controls as Windows-1252 has them; five of them mean nothing there either. */
static uint32_t windows_1252(uint32_t rune)
{
    static const uint16_t table[32] = {
        0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160,
        0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e, 0x178};
    return rune >= 0x80 && rune <= 0x9f ? table[rune - 0x80] : rune;
}

/* Latin ligatures and digraphs; NULL: none. */
static const char *ligature(uint32_t rune)
{
    switch (rune) {
    case 0x132: return "IJ";
    case 0x133: return "ij";
    case 0x149: return "\xca\xbcn";  /* modifier apostrophe, n */
    case 0x1c4: return "D\xc5\xbd";  /* Z with caron */
    case 0x1c5: return "D\xc5\xbe";
    case 0x1c6: return "d\xc5\xbe";
    case 0x1c7: return "LJ";
    case 0x1c8: return "Lj";
    case 0x1c9: return "lj";
    case 0x1ca: return "NJ";
    case 0x1cb: return "Nj";
    case 0x1cc: return "nj";
    case 0x1f1: return "DZ";
    case 0x1f2: return "Dz";
    case 0x1f3: return "dz";
    case 0xfb00: return "ff";
    case 0xfb01: return "fi";
    case 0xfb02: return "fl";
    case 0xfb03: return "ffi";
    case 0xfb04: return "ffl";
    case 0xfb05: return "\xc5\xbft"; /* long s, t */
    case 0xfb06: return "st";
    default: return NULL;
    }
}

static uint32_t straight_quote(uint32_t rune)
{
    if (rune == 0x2bc || (rune >= 0x2018 && rune <= 0x201b)) return '\'';
    return rune >= 0x201c && rune <= 0x201f ? '"' : rune;
}

/* fix_c1_controls, fix_latin_ligatures, fix_character_width, uncurl_quotes: each looks at one character alone, and no
 * later one undoes an earlier one, so they go through together. */
static void unfold_one(clsp_runes *out, uint32_t rune)
{
    uint32_t parts[32];
    size_t first = out->count;
    rune = windows_1252(rune);
    const char *letters = ligature(rune);
    if (letters != NULL) {
        size_t length = 0;
        while (letters[length] != '\0') length++;
        clsp_runes_decode(out, letters, length);
    } else if (rune == 0x3000) {
        clsp_runes_push(out, ' ');
    } else if (rune >= 0xff01 && rune < 0xfff0) {
        clsp_runes_append(out, parts, clsp_rune_compatible(rune, parts, 32));
    } else {
        clsp_runes_push(out, rune);
    }
    for (size_t i = first; !out->failed && i < out->count; i++) out->at[i] = straight_quote(out->at[i]);
}

static void unfold(clsp_runes *runes)
{
    clsp_runes out = {0};
    for (size_t i = 0; !runes->failed && i < runes->count; i++) unfold_one(&out, runes->at[i]);
    out.failed |= runes->failed;
    clsp_runes_swap(runes, &out);
    clsp_runes_free(&out);
}

/* "\r\n", "\r", line and paragraph separators and next line become "\n". */
static void fix_line_breaks(clsp_runes *runes)
{
    size_t end = 0, count = runes->failed ? 0 : runes->count;
    for (size_t i = 0; i < count; i++) {
        uint32_t rune = runes->at[i];
        if (rune == '\r' && i + 1 < count && runes->at[i + 1] == '\n') continue;
        bool breaks = rune == '\r' || rune == 0x2028 || rune == 0x2029 || rune == 0x85;
        runes->at[end++] = breaks ? '\n' : rune;
    }
    runes->count = end;
}

/* The length of an escape sequence such as ESC [ 36 ; 44 m; 0: none. */
static size_t terminal_escape(const uint32_t *at, size_t count)
{
    size_t i = 2;
    if (count < 3 || at[0] != 0x1b || at[1] != '[') return 0;
    while (i < count && (at[i] == ';' || clsp_rune_is_digit(at[i]))) i++;
    bool letter = i < count && ((at[i] >= 'a' && at[i] <= 'z') || (at[i] >= 'A' && at[i] <= 'Z'));
    return letter ? i + 1 : 0;
}

static bool is_dropped_control(uint32_t rune)
{
    return rune <= 8 || rune == 0xb || (rune >= 0xe && rune < 0x20) || rune == 0x7f ||
           (rune >= 0x206a && rune <= 0x206f) || rune == 0xfeff || (rune >= 0xfff9 && rune <= 0xfffc);
}

/* remove_terminal_escapes and remove_control_chars. */
static void drop_controls(clsp_runes *runes)
{
    size_t end = 0, count = runes->failed ? 0 : runes->count;
    for (size_t i = 0; i < count;) {
        size_t escape = terminal_escape(runes->at + i, count - i);
        if (escape > 0) i += escape;
        else if (is_dropped_control(runes->at[i])) i++;
        else runes->at[end++] = runes->at[i++];
    }
    runes->count = end;
}

static bool settle(clsp_runes *runes)
{
    unfold(runes);
    fix_line_breaks(runes);
    drop_controls(runes);
    clsp_runes_nfc(runes);
    return !runes->failed;
}

/* ftfy repeats its steps until the text stays as it is, so that references within references are resolved one level a
 * pass. From the second pass on all levels are resolved at once, which comes to the same: references cannot overlap,
 * and the other steps look at characters alone (form C at neighbours too, but it does not matter in how many pieces it
 * is reached) but for terminal escapes, and no escape character outlives the first pass. (More line breaks may come of
 * it; any white space becomes one space in the end.) */
static void fix_segment(clsp_runes *segment, bool unescape)
{
    clsp_runes before = {0};
    bool first = true;
    do {
        before.count = 0;
        clsp_runes_append(&before, segment->at, segment->count);
        if (unescape && first) clsp_html_unescape_strict(segment);
        if (unescape && !first) clsp_html_unescape_nested(segment, settle);
        settle(segment);
        first = false;
    } while (!segment->failed && !before.failed && !clsp_runes_equal(&before, segment));
    segment->failed |= before.failed;
    clsp_runes_free(&before);
}

static size_t segment_length(const clsp_runes *runes, size_t first)
{
    size_t end = first;
    while (end < runes->count && end - first < SEGMENT_MAXIMUM) {
        if (runes->at[end++] == '\n') break;
    }
    return end - first;
}

static bool contains(const uint32_t *at, size_t count, uint32_t rune)
{
    for (size_t i = 0; i < count; i++) {
        if (at[i] == rune) return true;
    }
    return false;
}

/* ftfy.fix_text. A "<" says that this is real HTML: from its line on references are left alone. */
static void fix_text(clsp_runes *runes)
{
    clsp_runes out = {0}, segment = {0};
    bool unescape = true;
    for (size_t i = 0; i < runes->count;) {
        size_t length = segment_length(runes, i);
        segment.count = 0;
        clsp_runes_append(&segment, runes->at + i, length);
        if (contains(runes->at + i, length, '<')) unescape = false;
        fix_segment(&segment, unescape);
        out.failed |= segment.failed;
        if (out.failed) break;
        clsp_runes_append(&out, segment.at, segment.count);
        i += length;
    }
    clsp_runes_swap(runes, &out);
    clsp_runes_free(&out);
    clsp_runes_free(&segment);
}

/* " ".join(text.split()), or with keep_ends one space for every run. */
static void collapse(clsp_runes *runes, bool (*is_space)(uint32_t rune), bool keep_ends)
{
    size_t end = 0, count = runes->failed ? 0 : runes->count;
    for (size_t i = 0; i < count; i++) {
        uint32_t rune = is_space(runes->at[i]) ? ' ' : runes->at[i];
        if (rune == ' ' && (end > 0 ? runes->at[end - 1] == ' ' : !keep_ends)) continue;
        runes->at[end++] = rune;
    }
    if (!keep_ends && end > 0 && runes->at[end - 1] == ' ') end--;
    runes->count = end;
}

void clsp_clean_open_clip(clsp_runes *runes)
{
    if (runes->failed) return;
    fix_text(runes);
    clsp_html_unescape(runes);
    clsp_html_unescape(runes);
    collapse(runes, clsp_rune_is_python_space, false);
    clsp_runes_lower(runes);
}

static bool is_space(uint32_t rune)
{
    return clsp_rune_class_of(rune) == CLSP_RUNE_SPACE;
}

void clsp_clean_huggingface(clsp_runes *runes)
{
    clsp_runes_nfc_9(runes);
    collapse(runes, is_space, true);
    clsp_runes_lower_each(runes);
}
