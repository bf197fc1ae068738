#!/usr/bin/env python3
"""Writes src/text/entities.c: the character references of the HTML standard, from Python's html.entities.

    python3 tools/make_entities.py > src/text/entities.c

Two tables, each sorted by bytes. The first holds every name of the standard, with and without its semicolon. The
second holds the capitalised spellings that ftfy also understands (&NTILDE; for &Ntilde;): names that are lower case in
the standard and whose capitals mean nothing there, with the value in capitals.
"""
import html
import html.entities


def literal(text):
    """A C string of UTF-8 bytes; octal escapes end after three digits, so what follows is safe."""
    out = ''
    for byte in text.encode('utf-8'):
        out += chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else '\\%03o' % byte
    return '"' + out + '"'


def table(name, entries):
    print('const clsp_entity %s[] = {' % name)
    line = '   '
    for key, value in sorted(entries.items(), key=lambda item: item[0].encode()):
        item = ' {%s,%s},' % (literal(key), literal(value))
        if len(line) + len(item) > 120:
            print(line)
            line = '   '
        line += item
    print(line)
    print('};')
    print('const size_t %s_count = sizeof %s / sizeof *%s;' % (name, name, name))


def main():
    standard = dict(html.entities.html5)
    capitals = {}
    for name, value in standard.items():
        if name.endswith(';') and name == name.lower():
            spelling = '&' + name.upper()
            if html.unescape(spelling) == spelling:
                capitals[name.upper()] = value.upper()
    print('/* Character references of the HTML standard. Made by tools/make_entities.py: change that, not this. */')
    print('#include "text/html.h"')
    print()
    table('clsp_entities', standard)
    print()
    table('clsp_entity_capitals', capitals)


main()
