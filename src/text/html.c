/* HTML character references, in the two ways that open_clip's cleaning applies one after the other.
 *
 * No reference is shorter than what it stands for, so all of this works in place.
 */
#include "text/html.h"

#include <string.h>

enum { NAME_MAXIMUM = 33 }; /* 32 characters and a semicolon */

static bool is_ascii_digit(uint32_t rune)
{
    return rune >= '0' && rune <= '9';
}

static bool is_ascii_letter(uint32_t rune)
{
    return (rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z');
}

static int hex_value(uint32_t rune)
{
    if (is_ascii_digit(rune)) return (int)(rune - '0');
    if (rune >= 'a' && rune <= 'f') return (int)(rune - 'a') + 10;
    if (rune >= 'A' && rune <= 'F') return (int)(rune - 'A') + 10;
    return -1;
}

static const char *find(const clsp_entity *table, size_t count, const char *name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, table[middle].name);
        if (order == 0) return table[middle].value;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

/* The character that a number stands for, by the HTML standard's table of mistakes; false: none at all. */
static bool numeric_rune(uint32_t number, uint32_t *rune)
{
    static const uint16_t windows[32] = {
        0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160,
        0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e, 0x178};
    *rune = number;
    if (number == 0 || number > 0x10ffff || (number >= 0xd800 && number <= 0xdfff)) *rune = 0xfffd;
    else if (number >= 0x80 && number <= 0x9f) *rune = windows[number - 0x80];
    else if (number < 0x20) return number == '\t' || number == '\n' || number == '\f' || number == '\r';
    else if (number == 0x7f || (number >= 0xfdd0 && number <= 0xfdef) || (number & 0xfffe) == 0xfffe) return false;
    return true;
}

/* "#123" or "#x1F" at `at`: its number (large ones stop growing) and its length without the semicolon; 0: none. */
static size_t parse_number(const uint32_t *at, size_t count, uint32_t *number)
{
    size_t i = 1;
    uint32_t base = 10;
    if (count < 2 || at[0] != '#') return 0;
    if (at[1] == 'x' || at[1] == 'X') {
        base = 16;
        i = 2;
    }
    size_t first = i;
    for (*number = 0; i < count; i++) {
        int digit = hex_value(at[i]);
        if (digit < 0 || (uint32_t)digit >= base) break;
        *number = *number > 0x10ffff ? *number : *number * base + (uint32_t)digit;
    }
    return i > first ? i : 0;
}

/* Writes to runes->at[*end ...]. */
static void put(clsp_runes *runes, size_t *end, uint32_t rune)
{
    runes->at[(*end)++] = rune;
}

static void put_utf8(clsp_runes *runes, size_t *end, const char *value)
{
    for (size_t i = 0, length = strlen(value); i < length;) {
        unsigned char lead = (unsigned char)value[i];
        size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        uint32_t rune = more == 0 ? lead : lead & (0x3fu >> more);
        for (size_t k = 1; k <= more; k++) rune = rune << 6 | ((unsigned char)value[i + k] & 0x3fu);
        i += more + 1;
        put(runes, end, rune);
    }
}

/* Copies the ASCII characters at the front into name; returns how many. */
static size_t copy_name(char *name, const uint32_t *at, size_t count)
{
    size_t n = 0;
    while (n < count && at[n] < 0x80 && at[n] != 0) {
        name[n] = (char)at[n];
        n++;
    }
    name[n] = '\0';
    return n;
}

/* How far a name reaches: up to 32 characters that are not \t \n \f space < & # ; and then perhaps a semicolon. */
static size_t name_length(const uint32_t *at, size_t count)
{
    size_t n = 0;
    while (n < count && n < NAME_MAXIMUM - 1 && strchr("\t\n\f <&#;", at[n] < 0x80 ? (int)at[n] : 'a') == NULL) n++;
    if (n > 0 && n < count && at[n] == ';') n++;
    return n;
}

/* The named reference at `at` (behind the "&"): writes its value, returns how much of the name it used up. */
static size_t put_named(clsp_runes *runes, size_t *end, const uint32_t *at, size_t count)
{
    char name[NAME_MAXIMUM + 1];
    size_t length = name_length(at, count), ascii = copy_name(name, at, length);
    for (size_t n = ascii; n >= 2; n--) {
        name[n] = '\0';
        const char *value = find(clsp_entities, clsp_entities_count, name);
        if (value == NULL) continue;
        put_utf8(runes, end, value);
        return n;
    }
    put(runes, end, '&');
    return 0;
}

void clsp_html_unescape(clsp_runes *runes)
{
    size_t end = 0, count = runes->failed ? 0 : runes->count;
    for (size_t i = 0; i < count;) {
        const uint32_t *behind = runes->at + i + 1;
        size_t left = count - i - 1;
        uint32_t number, rune;
        size_t digits = runes->at[i] == '&' ? parse_number(behind, left, &number) : 0;
        if (runes->at[i] != '&') {
            put(runes, &end, runes->at[i++]);
        } else if (digits > 0) {
            i += 1 + digits;
            if (i < count && runes->at[i] == ';') i++;
            if (numeric_rune(number, &rune)) put(runes, &end, rune);
        } else {
            i += 1 + put_named(runes, &end, behind, left);
        }
    }
    runes->count = end;
}

/* "&name;" or "&#123;" with 1 to 24 letters and digits: the length behind "&", semicolon included; 0: none. */
static size_t strict_length(const uint32_t *at, size_t count)
{
    size_t i = count > 0 && at[0] == '#' ? 1 : 0, first = i;
    while (i < count && i - first < 24 && (is_ascii_digit(at[i]) || is_ascii_letter(at[i]))) i++;
    return i > first && i < count && at[i] == ';' ? i + 1 : 0;
}

/* Writes what the reference stands for; false: nothing known, nothing written. */
static bool put_strict(clsp_runes *runes, size_t *end, const uint32_t *at, size_t length)
{
    char name[NAME_MAXIMUM + 1];
    uint32_t number, rune;
    if (at[0] == '#') {
        if (parse_number(at, length, &number) != length - 1) return false;
        if (!numeric_rune(number, &rune)) return true;
        if (rune != ';') put(runes, end, rune); /* ftfy takes a semicolon in the result for a failure */
        return rune != ';';
    }
    copy_name(name, at, length);
    const char *value = find(clsp_entities, clsp_entities_count, name);
    if (value == NULL) value = find(clsp_entity_capitals, clsp_entity_capitals_count, name);
    if (value != NULL) put_utf8(runes, end, value);
    return value != NULL;
}

void clsp_html_unescape_strict(clsp_runes *runes)
{
    size_t end = 0, count = runes->failed ? 0 : runes->count;
    for (size_t i = 0; i < count;) {
        size_t length = runes->at[i] == '&' ? strict_length(runes->at + i + 1, count - i - 1) : 0;
        if (length > 0 && put_strict(runes, &end, runes->at + i + 1, length)) i += 1 + length;
        else put(runes, &end, runes->at[i++]);
    }
    runes->count = end;
}

/* How long the reference is that a semicolon behind at[0 .. end) would close, without the semicolon; 0: none. */
static size_t open_length(const uint32_t *at, size_t end)
{
    size_t n = 0;
    while (n < end && n < 24 && (is_ascii_digit(at[end - 1 - n]) || is_ascii_letter(at[end - 1 - n]))) n++;
    if (n == 0) return 0;
    if (n < end && at[end - 1 - n] == '#') n++;
    return n < end && at[end - 1 - n] == '&' ? n + 1 : 0;
}

/* What comes out is written from the left, what is still to be read lies on the right. A value goes back to the right,
 * so that it is read like any text: it may close, or be part of, the reference that it stood in. */
void clsp_html_unescape_nested(clsp_runes *runes, bool (*settle)(clsp_runes *runes))
{
    clsp_runes value = {0};
    size_t end = 0, i = 0, count = runes->failed ? 0 : runes->count;
    while (i < count) {
        uint32_t rune = runes->at[i++];
        size_t length = rune == ';' ? open_length(runes->at, end) : 0;
        put(runes, &end, rune);
        if (length == 0) continue;
        value.count = 0;
        clsp_runes_append(&value, runes->at + end - length, length);
        if (value.failed) break;
        size_t filled = 0;
        if (!put_strict(&value, &filled, runes->at + end - length, length)) continue;
        value.count = filled;
        if (!settle(&value)) break;
        if (value.count > length) continue; /* no value is that long, and a longer one would not fit */
        end -= length + 1;
        i -= value.count;
        for (size_t k = 0; k < value.count; k++) runes->at[i + k] = value.at[k];
    }
    runes->failed |= value.failed;
    if (!runes->failed) runes->count = end;
    clsp_runes_free(&value);
}
