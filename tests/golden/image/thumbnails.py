"""Writes thumbnails.txt: what Pillow makes of some pictures, whole and shrunk to a square of some side, as
clipspan_images_thumbnail must to the bit.  python3 thumbnails.py   (Pillow)

Lines: file side width height fnv. What is transparent is laid over white; bicubic, as Image.resize."""
import os

from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = ["jpeg_420.jpg", "jpeg_cmyk.jpg", "jpeg_grey.jpg", "png_rgb8_trns.png", "png_rgba8.png", "png_palette8_some.png",
         "webp_lossless_alpha.webp"]
SIDES = [1, 17, 40, 4000]


def fnv(data):
    total = 0xCBF29CE484222325
    for byte in data:
        total = ((total ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


def over_white(image):
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255)), image).convert("RGB")
    return image.convert("RGB")


def shrunk(image, side):
    width, height = image.size
    longer = max(width, height)
    if longer <= side:
        return image
    size = tuple(max(1, (n * side + longer // 2) // longer) for n in (width, height))
    return image.resize(size, Image.Resampling.BICUBIC)


def main():
    with open(os.path.join(HERE, "thumbnails.txt"), "w", encoding="ascii") as out:
        for name in FILES:
            path = os.path.join(HERE, name)
            if not os.path.exists(path):
                raise SystemExit(f"{path}: not there")
            with Image.open(path) as opened:
                image = over_white(opened)
            for side in SIDES:
                small = shrunk(image, side)
                print(name, side, *small.size, fnv(small.tobytes()), file=out)


if __name__ == "__main__":
    main()
