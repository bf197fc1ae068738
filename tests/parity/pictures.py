"""Pictures of every kind that the image room reads, made with Pillow and with a PNG writer of our own.

Pillow cannot write interlaced PNGs, most bit depths, or a YCCK JPEG; make_png and ycck do. Used by pixels.py
(hundreds, at random) and by tests/golden/image/make.py (a few, small).
"""
import io
import struct
import zlib

import numpy as np
from PIL import Image

# ---- PNG, from raw samples --------------------------------------------------------------------------------

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pack_rows(samples, bits, rng):
    """samples [h, w, c] -> filtered scan lines; filters None, Sub and Up, chosen at random."""
    height, width, channels = samples.shape
    if bits == 16:
        rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    elif bits == 8:
        rows = samples.astype(np.uint8).reshape(height, -1)
    else:
        flat = samples.reshape(height, -1).astype(np.uint8)
        shifts = np.arange(bits - 1, -1, -1)
        rows = np.packbits(((flat[:, :, None] >> shifts) & 1).reshape(height, -1), axis=1)
    step = max(1, bits * channels // 8)
    out, above = [], np.zeros(rows.shape[1], np.uint8)
    for row in rows:
        kind = int(rng.integers(3))
        left = np.concatenate([np.zeros(step, np.uint8), row])[: len(row)]
        out.append(bytes([kind]) + (row - [0 * row, left, above][kind]).astype(np.uint8).tobytes())
        above = row
    return b"".join(out)


def make_png(samples, bits, colour, rng, palette=None, trns=None, interlaced=False, exif=None, exif_late=False):
    height, width, _ = samples.shape
    raw = b""
    if interlaced:
        for x, y, dx, dy in ADAM7:
            part = samples[y::dy, x::dx]
            if part.size:
                raw += pack_rows(part, bits, rng)
    else:
        raw = pack_rows(samples, bits, rng)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))
    if exif and not exif_late:
        data += chunk(b"eXIf", exif)
    if palette is not None:
        data += chunk(b"PLTE", palette)
    if trns is not None:
        data += chunk(b"tRNS", trns)
    packed = zlib.compress(raw)
    half = len(packed) // 2
    data += chunk(b"IDAT", packed[:half]) + chunk(b"IDAT", packed[half:])
    if exif and exif_late:
        data += chunk(b"eXIf", exif)
    return data + chunk(b"IEND", b"")


# ---- content ----------------------------------------------------------------------------------------------


def waves(rng, height, width, channels, top):
    """Smooth shapes with some noise and hard edges, values 0..top."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    out = np.empty((height, width, channels))
    for c in range(channels):
        a, b, p = rng.uniform(-0.4, 0.4, 3)
        out[:, :, c] = 0.5 + 0.5 * np.sin(a * x + b * y + 9 * p)
    out += rng.normal(0, 0.08, out.shape)
    edge = (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) > 0
    out[edge] = 1 - out[edge]
    if rng.random() < 0.2:
        out = rng.random(out.shape)
    if channels in (2, 4):  # alpha: often at its ends
        alpha = out[:, :, -1]
        alpha[rng.random(alpha.shape) < 0.3] = 0
        alpha[rng.random(alpha.shape) < 0.3] = 1
    return np.clip(np.round(out * top), 0, top).astype(np.int64)


def tiff(orientation, big=False):
    order = ">" if big else "<"
    head = b"MM\0*" if big else b"II*\0"
    entry = struct.pack(order + "HHI", 0x112, 3, 1) + struct.pack(order + "HH", orientation, 0)
    other = struct.pack(order + "HHII", 0x100, 4, 1, 77)
    return head + struct.pack(order + "IH", 8, 2) + other + entry + struct.pack(order + "I", 0)


# ---- kinds: name -> function(rng, width, height, exif) -> bytes -------------------------------------------


def saved(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def picture(rng, width, height, mode):
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    samples = waves(rng, height, width, channels, 255).astype(np.uint8)
    return Image.fromarray(samples[:, :, 0] if channels == 1 else samples, mode)


def jpeg(mode, **options):
    def make(rng, width, height, exif):
        given = dict(options, quality=int(rng.integers(20, 100)))
        if exif:
            given["exif"] = b"Exif\0\0" + exif
        return saved(picture(rng, width, height, mode), "JPEG", **given)

    return make


def ycck(rng, width, height, exif):
    data = bytearray(saved(picture(rng, width, height, "CMYK"), "JPEG", quality=85))
    data[data.index(b"Adobe") + 11] = 2  # the inks are Y, Cb, Cr and K, says Adobe's marker
    return bytes(data)


def cmyk_without_adobe(rng, width, height, exif):
    data = saved(picture(rng, width, height, "CMYK"), "JPEG", quality=85)
    at = data.index(b"Adobe") - 4
    return data[:at] + data[at + 16 :]


def webp(mode, **options):
    def make(rng, width, height, exif):
        given = dict(options, quality=int(rng.integers(20, 100)))
        if exif:
            given["exif"] = exif
        if given.pop("animated", False):
            frames = [picture(rng, width, height, mode) for _ in range(2)]
            return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], **given)
        return saved(picture(rng, width, height, mode), "WEBP", **given)

    return make


def png_chunks(rng, width, height, exif):
    """Text, time, gamma and a colour profile, of which none may show."""
    from PIL import ImageCms, PngImagePlugin

    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", "hello " * 50, zip=True)
    about.add_itxt("Title", "\u00fcber", "de", "Titel")
    about.add(b"gAMA", struct.pack(">I", 30000))
    about.add(b"bKGD", struct.pack(">HHH", 9, 99, 199))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return saved(picture(rng, width, height, "RGBA"), "PNG", pnginfo=about, icc_profile=profile)


def png_animated(mode, default_image):
    def make(rng, width, height, exif):
        frames = [picture(rng, width, height, mode) for _ in range(3)]
        return saved(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=default_image)

    return make


def png(bits, colour, interlaced=False, trns=None, entries=None, late=False):
    def make(rng, width, height, exif):
        top = (1 << bits) - 1
        samples = waves(rng, height, width, CHANNELS[colour], top)
        palette = alphas = None
        if colour == 3:
            count = entries or top + 1
            if rng.random() < 0.8:
                samples = samples * (count - 1) // top
            palette = rng.integers(0, 256, 3 * count).astype(np.uint8).tobytes()
        if trns == "one":  # one index, or one colour that occurs
            at = samples[int(rng.integers(height)), int(rng.integers(width))]
            if colour == 3:
                alphas = bytes([255] * int(at[0])) + b"\0"
                alphas = alphas[: len(palette) // 3]
            else:
                alphas = b"".join(struct.pack(">H", int(v)) for v in at)
        elif trns == "some":
            alphas = rng.integers(0, 256, max(1, len(palette) // 6)).astype(np.uint8).tobytes()
        elif trns == "newline":  # Pillow reads this pair of alphas as one transparent index
            alphas = b"\0\n"
        return make_png(samples, bits, colour, rng, palette, alphas, interlaced, exif, late)

    return make


def kinds():
    all_kinds = {
        "jpeg_grey": jpeg("L"),
        "jpeg_444": jpeg("RGB", subsampling="4:4:4"),
        "jpeg_422": jpeg("RGB", subsampling="4:2:2"),
        "jpeg_420": jpeg("RGB", subsampling="4:2:0"),
        "jpeg_progressive": jpeg("RGB", progressive=True),
        "jpeg_grey_progressive": jpeg("L", progressive=True),
        "jpeg_restarts": jpeg("RGB", restart_marker_blocks=3),
        "jpeg_rgb": jpeg("RGB", keep_rgb=True),
        "jpeg_cmyk": jpeg("CMYK"),
        "jpeg_cmyk_progressive": jpeg("CMYK", progressive=True),
        "jpeg_cmyk_bare": cmyk_without_adobe,
        "jpeg_ycck": ycck,
        "webp_lossy": webp("RGB"),
        "webp_lossy_alpha": webp("RGBA"),
        "webp_lossless": webp("RGB", lossless=True),
        "webp_lossless_alpha": webp("RGBA", lossless=True, exact=True),
        "webp_animated": webp("RGB", animated=True),
        "webp_animated_alpha": webp("RGBA", animated=True),
    }
    for bits in (1, 2, 4, 8, 16):
        all_kinds[f"png_grey{bits}"] = png(bits, 0)
        all_kinds[f"png_grey{bits}_trns"] = png(bits, 0, trns="one")
    for bits in (8, 16):
        all_kinds[f"png_rgb{bits}"] = png(bits, 2)
        all_kinds[f"png_rgb{bits}_trns"] = png(bits, 2, trns="one")
        all_kinds[f"png_greyalpha{bits}"] = png(bits, 4)
        all_kinds[f"png_rgba{bits}"] = png(bits, 6)
    for bits in (1, 2, 4, 8):
        all_kinds[f"png_palette{bits}"] = png(bits, 3)
        all_kinds[f"png_palette{bits}_one"] = png(bits, 3, trns="one")
        all_kinds[f"png_palette{bits}_some"] = png(bits, 3, trns="some")
    all_kinds["png_palette8_short"] = png(8, 3, entries=5)
    all_kinds["png_palette2_newline"] = png(2, 3, trns="newline")
    for name, bits, colour in (("grey1", 1, 0), ("grey4", 4, 0), ("grey16", 16, 0), ("rgb8", 8, 2), ("rgb16", 16, 2),
                               ("palette4", 4, 3), ("greyalpha8", 8, 4), ("rgba16", 16, 6)):
        all_kinds[f"png_{name}_interlaced"] = png(bits, colour, interlaced=True)
    all_kinds["png_chunks"] = png_chunks
    all_kinds["png_animated"] = png_animated("RGB", False)
    all_kinds["png_animated_default"] = png_animated("RGBA", True)
    all_kinds["png_rgb8_exif_late"] = png(8, 2, late=True)
    return all_kinds
