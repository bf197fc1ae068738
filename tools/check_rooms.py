#!/usr/bin/env python3
"""Holds the sources against the laws of the house.

    tools/check_rooms.py [--root DIR] [BUILD_FOLDER]

Reads the include table of ARCHITECTURE.md and checks:
  - a room includes only the rooms its row names, and names them by path ("room/header.h");
  - an external header is included only by rooms whose row names its library, and so say the CMake files;
  - the clients (the second table: cli/, examples/, serve/) see include/clipspan/, their own folder, the C library and what
    their row names: headers of other clients, and libraries by one file each;
  - each public header compiles alone, as C17 and as C++17;
  - src/ neither ends the process, nor prints, nor goes to the heap behind base/memory.c;
  - no file of src/ has over 1,000 lines or a name that says nothing;
  - with BUILD_FOLDER: what libclipspan.so exports begins with clipspan_, and every other global name of
    libclipspan.a with clsp_.
Prints one line a violation, file:line first, and ends with 1 if there is any. Standard library only.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

LINES_MAXIMUM = 1000
EMPTY_NAMES = {"util", "utils", "common", "misc", "helpers", "helper"}

# Header pattern -> the library's name in the table.
LIBRARIES = [
    (r"jansson(_config)?\.h", "jansson"),
    (r"z(lib|conf)\.h", "zlib"),
    (r"(hdf5(_hl)?|H5\w+)\.h", "hdf5"),
    (r"xxh(ash|3|_x86dispatch)\.h", "xxhash"),
    (r"(jpeglib|jerror|jmorecfg|jconfig|turbojpeg)\.h", "jpeg"),
    (r"(libpng\w*/)?png(conf)?\.h", "png"),
    (r"webp/.*", "webp"),
    (r"pcre2(posix)?\.h", "pcre2"),
    (r"utf8proc\.h", "utf8proc"),
    (r"(lapacke?|cblas)(_\w+)?\.h", "lapacke"),
    (r"cairo([/-].*)?\.h", "cairo"),
    (r"omp\.h", "openmp"),
    (r"microhttpd\.h", "microhttpd"),
]

ENDS = "exit _exit _Exit quick_exit abort"
PRINTS = "printf vprintf perror puts putchar"
HEAP = "malloc calloc realloc free aligned_alloc posix_memalign reallocarray strdup strndup asprintf vasprintf"
REASONS = {
    **dict.fromkeys(ENDS.split(), "the library may not end its host's process"),
    **dict.fromkeys(PRINTS.split(), "the library does not print; errors go through clsp_fail"),
    **dict.fromkeys(HEAP.split(), "the heap has one door, base/memory.c (clsp_alloc, clsp_free, ...)"),
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(REASONS) + r")\s*\(")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
ROOM_CALL = re.compile(r"clsp_room\(\s*(\w+)(.*?)\)", re.S)
# What the linker, and GCC for `#pragma omp critical(clsp_...)`, add by themselves.
TOOL_NAMES = re.compile(r"_init|_fini|_edata|_end|__.*|\.gomp_critical_user_clsp_\w+")


class Checker:
    def __init__(self, root):
        self.root = root
        self.violations = []
        self.rooms = {}  # room -> (rooms it may include, libraries it knows)
        self.clients = {}  # client -> (headers of others, {its file: libraries})

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def say(self, path, line, text):
        self.violations.append(f"{os.path.relpath(path, self.root)}:{line}: {text}")

    def read(self, path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def sources(self, folder, endings=(".c", ".h")):
        for here, folders, names in os.walk(self.path(folder)):
            folders.sort()
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.join(here, name)

    # ---- the table ------------------------------------------------------------------------------------

    def read_table(self):
        path = self.path("ARCHITECTURE.md")
        inside = False
        for number, line in enumerate(self.read(path).splitlines(), 1):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if cells[:3] == ["room", "may include", "knows the library"]:
                inside = True
            elif inside and not line.startswith("|"):
                break
            elif inside and not set(cells[0]) <= set("-: "):
                room, includes, libraries = cells[:3]
                self.rooms[room] = (words(includes) | {room}, words(libraries))
                for other in words(includes) - set(self.rooms):
                    self.say(path, number, f"room '{room}' may include '{other}', which stands in no row above it")
        if not self.rooms:
            self.say(path, 1, "no table of rooms ('| room | may include | knows the library |')")

    def read_clients(self):
        inside = False
        for line in self.read(self.path("ARCHITECTURE.md")).splitlines():
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if cells[:3] == ["client", "may include", "doors"]:
                inside = True
            elif inside and not line.startswith("|"):
                break
            elif inside and not set(cells[0]) <= set("-: "):
                doors = {file: words(names) for file, names in re.findall(r"([\w.]+): ([\w, ]+)", cells[2])}
                self.clients[cells[0]] = (set(re.findall(r"[\w/.]+", cells[1])), doors)

    # ---- includes -------------------------------------------------------------------------------------

    def check_src(self):
        for path in self.sources("src"):
            room = os.path.relpath(path, self.path("src")).split(os.sep)[0]
            if room not in self.rooms:
                self.say(path, 1, f"room '{room}' has no row in ARCHITECTURE.md")
                continue
            text = self.read(path)
            code = blank(text, keep_strings=True)
            for match in INCLUDE.finditer(code):
                self.check_include(path, line_of(code, match.start()), room, *match.groups())
            self.check_calls(path, text)
            self.check_size(path, text)

    def check_include(self, path, line, room, kind, header):
        may, libraries = self.rooms[room]
        library = library_of(header)
        first = header.split("/")[0]
        if library is not None:
            if library not in libraries:
                self.say(path, line, f"<{header}>: the row of '{room}' does not name the library '{library}'")
        elif kind == '"' and first != "clipspan":
            if "/" not in header or first not in self.rooms:
                self.say(path, line, f'"{header}": expected "room/header.h" or "clipspan/header.h"')
            elif first not in may:
                self.say(path, line, f"\"{header}\": room '{room}' may not include room '{first}'")

    def check_clients(self):
        for folder in self.clients:
            for path in self.sources(folder, (".c", ".h", ".cpp", ".cc", ".hpp")):
                code = blank(self.read(path), keep_strings=True)
                for match in INCLUDE.finditer(code):
                    self.check_client_include(path, folder, line_of(code, match.start()), *match.groups())

    def check_client_include(self, path, folder, line, kind, header):
        others, doors = self.clients[folder]
        library = library_of(header)
        if library is not None and library not in doors.get(os.path.relpath(path, self.path(folder)), ()):
            self.say(path, line, f"<{header}>: {folder}/ sees include/clipspan/ alone, no library underneath"
                     if not doors else f"<{header}>: this file is not the door to '{library}'")
        if kind == "<" or re.fullmatch(r"clipspan/\w+\.h", header):
            return
        own = [os.path.join(os.path.dirname(path), header), self.path(folder, header), self.path(header)]
        inside = os.path.realpath(self.path(folder)) + os.sep
        if any(os.path.exists(p) and os.path.realpath(p).startswith(inside) for p in own):
            return
        if not any(other.split("/")[-1] == header and os.path.exists(self.path(other)) for other in others):
            self.say(path, line, f'"{header}": {folder}/ may include clipspan/*.h and its own files')

    def check_cmake(self):
        for room, (_, libraries) in self.rooms.items():
            path = self.path("src", room, "CMakeLists.txt")
            if not os.path.exists(path):
                continue
            text = re.sub(r"#[^\n]*", lambda m: " " * len(m.group()), self.read(path))
            for match in ROOM_CALL.finditer(text):
                depends = match.group(2).partition("DEPENDS")[2].split()
                for library in depends:
                    if library not in libraries:
                        self.say(path, line_of(text, match.start()),
                                 f"DEPENDS {library}: the row of '{room}' does not name that library")

    # ---- what a source may say ------------------------------------------------------------------------

    def check_calls(self, path, text):
        memory = os.path.relpath(path, self.path("src")) == os.path.join("base", "memory.c")
        code = blank(text, keep_strings=False)
        for match in CALL.finditer(code):
            name = match.group(1)
            if memory and name in HEAP.split():
                continue
            self.say(path, line_of(code, match.start()), f"{name}(): {REASONS[name]}")
        for match in re.finditer(r"\bfprintf\s*\(\s*std(err|out)\b", code):
            self.say(path, line_of(code, match.start()), "fprintf(): " + REASONS["printf"])

    def check_size(self, path, text):
        lines = text.count("\n")
        if lines > LINES_MAXIMUM:
            self.say(path, lines, f"{lines} lines, expected at most {LINES_MAXIMUM}")
        if os.path.splitext(os.path.basename(path))[0] in EMPTY_NAMES:
            self.say(path, 1, "a name that says nothing about what is inside")

    # ---- public headers -------------------------------------------------------------------------------

    def check_public_headers(self):
        languages = [
            (os.environ.get("CC") or shutil.which("cc") or "gcc", "c17", ".c"),
            (os.environ.get("CXX") or shutil.which("c++") or "g++", "c++17", ".cpp"),
        ]
        for path in self.sources("include", (".h",)):
            header = os.path.relpath(path, self.path("include"))
            for compiler, standard, ending in languages:
                self.compile_alone(path, header, compiler, standard, ending)

    def compile_alone(self, path, header, compiler, standard, ending):
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "alone" + ending)
            with open(source, "w", encoding="utf-8") as file:
                file.write(f'#include "{header}"\n#include "{header}"\nint alone(void);\nint alone(void) {{ return 0; }}\n')
            command = compiler.split() + [f"-std={standard}", "-pedantic", "-Wall", "-Wextra", "-Werror",
                                          "-fsyntax-only", "-I", self.path("include"), source]
            result = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if result.returncode != 0:
            first = next((l for l in result.stderr.splitlines() if "error" in l), result.stderr.strip() or "no reason given")
            found = re.search(r":(\d+):\d+: (.*)", first)
            self.say(path, found.group(1) if found else 1,
                     f"does not compile alone as {standard}: {found.group(2) if found else first}")

    # ---- symbols --------------------------------------------------------------------------------------

    def check_symbols(self, build):
        shared, archive = find_library(build, "libclipspan.so"), find_library(build, "libclipspan.a")
        if shared is None:
            self.violations.append(f"{build}:0: no libclipspan.so below it")
        else:
            for name in sorted(symbols(["nm", "-D", "--defined-only", shared])):
                if not name.startswith("clipspan_"):
                    self.say(shared, 0, f"exports '{name}', expected clipspan_* alone")
        for name in sorted(symbols(["nm", "-g", "--defined-only", archive])) if archive else ():
            if not name.startswith(("clipspan_", "clsp_")):
                self.say(archive, 0, f"defines the global name '{name}', expected clipspan_* or clsp_*")


def words(cell):
    return set(re.findall(r"[A-Za-z0-9_]+", cell))


def library_of(header):
    for pattern, library in LIBRARIES:
        if re.fullmatch(pattern, header):
            return library
    return None


def line_of(text, position):
    return text.count("\n", 0, position) + 1


TOKEN = re.compile(r"//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.|\\\n)*\"|'(?:[^'\\\n]|\\.)*'", re.S)


def blank(text, keep_strings):
    """The source with comments (and strings) as spaces, so that every line keeps its number."""
    def spaces(match):
        token = match.group()
        if keep_strings and token[0] in "\"'":
            return token
        return re.sub(r"[^\n]", " ", token)

    return TOKEN.sub(spaces, text)


def find_library(build, name):
    for here, folders, names in os.walk(build):
        folders.sort()
        if name in names:
            return os.path.join(here, name)
    return None


def symbols(command):
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
    found = (line.split() for line in result.stdout.splitlines())
    names = {parts[2].split("@")[0] for parts in found if len(parts) == 3 and parts[1] not in "UuAa"}
    return {name for name in names if not TOOL_NAMES.fullmatch(name)}


def main():
    parser = argparse.ArgumentParser(description="Holds the sources against the include table of ARCHITECTURE.md.")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                        help="the repository (default: the one this script lies in)")
    parser.add_argument("build", nargs="?", help="a build folder whose libraries' symbols are checked too")
    arguments = parser.parse_args()
    checker = Checker(os.path.abspath(arguments.root))
    checker.read_table()
    checker.read_clients()
    checker.check_src()
    checker.check_clients()
    checker.check_cmake()
    checker.check_public_headers()
    if arguments.build:
        checker.check_symbols(os.path.abspath(arguments.build))
    for violation in checker.violations:
        print(violation)
    print(f"{len(checker.rooms)} rooms, {len(checker.violations)} violations", file=sys.stderr)
    return 1 if checker.violations else 0


if __name__ == "__main__":
    sys.exit(main())
