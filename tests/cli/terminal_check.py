"""What a terminal would see of a command.

    terminal_check.py blocks|sixel|kitty FILE     decodes the first picture of the file: its size, and colours in it
    terminal_check.py on ANSWER COMMAND...        runs the command on a terminal of its own that answers questions with ANSWER
                                                  (kitty, sixel, plain, silent): what came
"""
import base64
import os
import pty
import re
import select
import sys


def kitty(data):
    parts = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", data)
    keys = dict(pair.split(b"=") for pair in parts[0][0].split(b","))
    first = [p for p in parts if b"a=T" in p[0]]
    if len(first) > 1:  # one picture alone
        parts = parts[: parts.index(first[1])]
    assert keys[b"a"] == b"T" and keys[b"f"] == b"32"
    assert all(len(p[1]) <= 4096 for p in parts) and parts[-1][0].endswith(b"m=0")
    raw = base64.b64decode(b"".join(p[1] for p in parts))
    width, height = int(keys[b"s"]), int(keys[b"v"])
    assert len(raw) == 4 * width * height
    return width, height, {(x, y): tuple(raw[4 * (y * width + x):][:3]) for y in range(height) for x in range(width)
                           if raw[4 * (y * width + x) + 3]}


def sixel(data):
    body = re.search(rb"\x1bP0;1;0q(.*?)\x1b\\", data, re.S)[1].decode()
    width, height = map(int, re.match(r'"1;1;(\d+);(\d+)', body).groups())
    palette, pixels, x, band, colour = {}, {}, 0, 0, None
    for token in re.finditer(r'"[\d;]+|#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)(.)|([?-~])|(\$)|(-)', body):
        g = token.groups()
        if g[0]:
            palette[int(g[0])] = tuple(round(int(v) * 255 / 100) for v in g[1:4])
        elif g[4]:
            colour = palette[int(g[4])]
        elif g[5] or g[7]:
            bits = ord(g[6] or g[7]) - 63
            for _ in range(int(g[5] or 1)):
                for row in range(6):
                    if bits >> row & 1:
                        assert (x, 6 * band + row) not in pixels
                        pixels[x, 6 * band + row] = colour
                x += 1
        elif g[8]:
            x = 0
        elif g[9]:
            x, band = 0, band + 1
    assert len(palette) <= 255 and all(x < width and y < height for x, y in pixels)
    return width, height, pixels


def blocks(data):
    pixels, top, width = {}, 0, 0
    for line in data.decode().split("\n"):
        if "\u2580" not in line:
            if pixels:
                break
            continue
        x, ink, ground = 0, None, None
        for token in re.finditer(r"\x1b\[(38|48);2;(\d+);(\d+);(\d+)m|\x1b\[0m|(.)", line):
            g = token.groups()
            if g[0] == "38":
                ink = tuple(map(int, g[1:4]))
            elif g[0] == "48":
                ground = tuple(map(int, g[1:4]))
            elif g[4]:
                if g[4] == "\u2580":
                    pixels[x, top] = ink
                    if ground:
                        pixels[x, top + 1] = ground
                elif g[4] == "\u2584":
                    pixels[x, top + 1] = ink
                x += 1
            else:
                ink = ground = None
        width, top = max(width, x), top + 2
    return width, max(y for _, y in pixels) + 1, pixels


def describe(width, height, pixels):
    """The first tile is the picture, the second its map, a gap between them."""
    print(f"{width} x {height}, {len(pixels) * 100 // (width * height)} % filled")
    side = height
    second = [pixels[x, y] for x, y in pixels if width - side <= x]
    print("the picture has colours" if any(max(p) - min(p) > 100 for (x, y), p in pixels.items() if x < side) else "grey")
    print("the map is", "red" if any(p[0] > p[2] + 40 for p in second) else "not red", "and",
          "blue" if any(p[2] > p[0] + 40 for p in second) else "not blue", "in places")


ANSWERS = {"kitty": b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c", "sixel": b"\x1b[?62;4;22c", "plain": b"\x1b[?62;22c", "silent": b""}


NO_TERMINAL = 77  # as ctest has it: skipped


def on_terminal(answer, command):
    try:
        child, terminal = pty.fork()
    except OSError as why:  # a container without /dev/pts
        print(f"skipped: {why}")
        sys.exit(NO_TERMINAL)
    if child == 0:
        os.execvp(command[0], command)
    seen = b""
    asked = False
    while True:
        try:
            if not select.select([terminal], [], [], 60)[0]:
                break
            got = os.read(terminal, 65536)
        except OSError:
            break
        if not got:
            break
        seen += got
        if not asked and b"\x1b[c" in seen:
            asked = True
            os.write(terminal, ANSWERS[answer])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    question = [name for name, mark in (("kitty", b"a=q"), ("device", b"\x1b[c")) if mark in seen]
    rest = re.sub(rb"\x1b_Gi=31[^\x1b]*\x1b\\|\x1b\[c", b"", seen)
    drawn = ("kitty" if b"\x1b_Ga=T" in rest else "sixel" if b"\x1bP" in rest else
             "blocks" if "\u2580".encode() in rest else "nothing")
    colours = "true" if b"[48;2;" in rest else "256" if b"[48;5;" in rest else "none"
    print(f"exit {status}, asked for {' and '.join(question) or 'nothing'}, drew {drawn}, colours {colours}")


if sys.argv[1] == "on":
    on_terminal(sys.argv[2], sys.argv[3:])
else:
    describe(*{"kitty": kitty, "sixel": sixel, "blocks": blocks}[sys.argv[1]](open(sys.argv[2], "rb").read()))
