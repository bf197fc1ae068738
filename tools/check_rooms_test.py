#!/usr/bin/env python3
"""A small tree that breaks every law once: check_rooms.py must name each line, and nothing else."""
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))

TABLE = """# Architecture
| room | may include | knows the library | what it is |
|---|---|---|---|
| base | | xxhash | errors |
| formats | base | jansson | readers |
| image | base | png | pictures |

| client | may include | doors | what it is |
|---|---|---|---|
| cli | serve/serve.h | | the command |
| examples | | | programs |
| serve | | http.c: microhttpd; body.c: jansson | a server |
"""
GOOD = {
    "ARCHITECTURE.md": TABLE,
    "include/clipspan/error.h": "#ifndef E\n#define E\ntypedef int clipspan_status;\n#endif\n",
    "src/base/base.h": '#include "clipspan/error.h"\n',
    "src/base/memory.c": '#include "base/base.h"\n#include <stdlib.h>\nvoid f(void *p) { free(p); }\n',
    "src/formats/json.c": '#include <jansson.h>\n#include "base/base.h"\n#include "formats/json.h"\n'
                          '/* free(x) exit(1) */ // printf("x")\nconst char *t = "malloc(3)"; void g(S s) { s.free(1); p->exit(2); }\n',
    "src/formats/json.h": "/* empty */\n",
    "src/formats/CMakeLists.txt": "clsp_room(formats SOURCES json.c DEPENDS jansson)\n",
    "cli/main.c": '#include <stdio.h>\n#include "clipspan/error.h"\n#include "options.h"\n',
    "cli/options.h": "\n",
    "cli/serve.c": '#include "serve.h"\n',
    "serve/serve.h": '#include "clipspan/error.h"\n',
    "serve/http.c": '#include <microhttpd.h>\n#include "serve.h"\n',
    "serve/body.c": "#include <jansson.h>\n",
}
# file -> (content, the lines and words that must be said)
BAD = {
    "src/image/a.c": ('#include "formats/json.h"\n', [(1, "may not include room 'formats'")]),
    "src/image/b.c": ("#include <jansson.h>\n#  include <png.h>\n", [(1, "'jansson'")]),
    "src/image/c.c": ('#include "c.h"\n', [(1, 'expected "room/header.h"')]),
    "src/image/d.c": ("void d(void)\n{\n    abort();\n    /* \n */ x = malloc (3);\n}\n", [(3, "abort()"), (5, "malloc()")]),
    "src/image/e.c": ('void e(void) { fprintf(stderr, "x"); }\n', [(1, "fprintf()")]),
    "src/image/long.c": ("\n" * 1001, [(1001, "1001 lines")]),
    "src/image/util.c": ("\n", [(1, "says nothing")]),
    "src/image/CMakeLists.txt": ("clsp_room(image SOURCES a.c DEPENDS png zlib)\n", [(1, "DEPENDS zlib")]),
    "src/video/a.c": ("\n", [(1, "has no row")]),
    "include/clipspan/image.h": ("\nsize_t n;\n", [(2, "does not compile alone as c17"), (2, "alone as c++17")]),
    "cli/bad.c": ('#include "base/base.h"\n#include <hdf5.h>\n', [(1, "cli/ may include"), (2, "no library underneath")]),
    "cli/worse.c": ('#include "body.h"\n', [(1, "cli/ may include")]),
    "serve/bad.c": ('#include <jansson.h>\n#include "cli/options.h"\n#include "base/base.h"\n',
                    [(1, "not the door to 'jansson'"), (2, "serve/ may include"), (3, "serve/ may include")]),
    "serve/http.h": ("#include <microhttpd.h>\n", [(1, "not the door to 'microhttpd'")]),
    "examples/bad.c": ('#include "../src/base/base.h"\n', [(1, "examples/ may include")]),
}


def check(files):
    with tempfile.TemporaryDirectory() as root:
        for name, content in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)
        result = subprocess.run([sys.executable, os.path.join(HERE, "check_rooms.py"), "--root", root],
                                capture_output=True, text=True, check=False)
    return result.returncode, result.stdout.splitlines()


class CheckRooms(unittest.TestCase):
    def test_a_good_tree_passes(self):
        self.assertEqual(check(GOOD), (0, []))

    def test_every_violation_is_named_at_its_line(self):
        code, lines = check({**GOOD, **{name: content for name, (content, _) in BAD.items()}})
        self.assertEqual(code, 1)
        wanted = [(f"{name}:{line}:", words) for name, (_, said) in BAD.items() for line, words in said]
        for place, words in wanted:
            self.assertTrue(any(l.startswith(place) and words in l for l in lines), f"{place} {words}: {lines}")
        self.assertEqual(len(lines), len(wanted), lines)

    def test_a_table_that_names_an_unknown_room(self):
        code, lines = check({**GOOD, "ARCHITECTURE.md": TABLE.replace("| image | base |", "| image | base, video |")})
        self.assertEqual((code, len(lines)), (1, 1))
        self.assertIn("'video'", lines[0])


if __name__ == "__main__":
    unittest.main()
