"""The hashes of tests/unit/image_resize_test.c: elongated pictures resized by Pillow (13.0.0 when they were made).

    python tests/golden/image/elongated.py
"""
import numpy
import PIL
from PIL import Image


def fnv(data):
    total = 0xCBF29CE484222325
    for byte in data:
        total = (total ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return total


def picture(width, height, bright):
    """Sample i is the top byte of i * 2654435761 modulo 2^32; or 255 everywhere."""
    i = numpy.arange(width * height * 3, dtype=numpy.uint64)
    v = (i * 2654435761 % 2**32 >> 24).astype(numpy.uint8)
    return Image.fromarray((v | (255 if bright else 0)).astype(numpy.uint8).reshape(height, width, 3))


Image.MAX_IMAGE_PIXELS = None
print("Pillow", PIL.__version__)
for width, height in ((1000000, 2), (2, 1000000), (1000000, 40)):
    for bright in (False, True):
        for name, how in (("CLSP_BICUBIC", Image.BICUBIC), ("CLSP_BILINEAR", Image.BILINEAR)):
            out = picture(width, height, bright).resize((224, 224), how)
            print(f"    {{{width}, {height}, {str(bright).lower()}, {name}, 0x{fnv(out.tobytes()):016x}}},")
