"""Writes testdata/pictures.json: small picture files of all kinds, and what Pillow makes of them.

A file is {"name", "file": Base64, "width", "height", "pixels": Base64 of red, green and blue over white, "off": how far
a byte may be from Pillow's}. A frame is {"frame", "pixels"} of the first file, as torchvision's Resize and CenterCrop
make it, which take Pillow's bilinear filter.

    python -m venv venv && venv/bin/pip install pillow==13.0.0
    venv/bin/python fixtures.py
"""

import base64
import io
import json
import random
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageOps

random.seed(1)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def painted(width: int, height: int, noise: int) -> Image.Image:
    """A picture of smooth colours and some noise."""
    picture = Image.new("RGB", (width, height))
    for x in range(width):
        for y in range(height):
            colour = (220 * x // width, 220 * y // height, 220 * (x + y) // (width + height))
            picture.putpixel((x, y), tuple(c + random.randint(0, noise) for c in colour))
    return picture


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def over_white(picture: Image.Image) -> Image.Image:
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture.convert("RGBA"))
    return white.convert("RGB")


def deep_png(width: int, height: int, colours: int, values: list[int]) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write for three channels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row = width * colours
    rows = b"".join(b"\0" + struct.pack(f">{row}H", *values[y * row : (y + 1) * row]) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2}[colours], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


files = []


def add(name: str, file: bytes, off: int = 0, pixels: bytes | None = None) -> None:
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
    if pixels is None:
        pixels = over_white(picture).tobytes()
    files.append(
        {
            "name": name,
            "file": text(file),
            "width": picture.width,
            "height": picture.height,
            "pixels": text(pixels),
            "off": off,
        }
    )


big = painted(61, 47, 35)
add("colour.png", saved(big, "PNG"))

small = painted(12, 7, 8)
add("colour.bmp", saved(small, "BMP"))
add("colour.gif", saved(small.quantize(16), "GIF"))
add("lossless.webp", saved(small, "WebP", lossless=True))
add("lossy.webp", saved(small, "WebP", quality=95), off=20)
for colour in ("white", "black", "red", "#18a0c8"):  # of one colour, so its resolution does not count
    add(f"{colour}.webp", saved(Image.new("RGB", (9, 5), colour), "WebP", quality=95), off=1)
add("gray.png", saved(small.convert("L"), "PNG"))
add("two colours.png", saved(small.convert("1"), "PNG"))
add("palette.png", saved(small.quantize(5), "PNG"))
add("gray.jpg", saved(small.convert("L"), "JPEG", quality=90), off=3)
add("colour.jpg", saved(small, "JPEG", quality=95, subsampling=0), off=4)
add("progressive.jpg", saved(small, "JPEG", quality=95, progressive=True, subsampling=0), off=4)
add("half the colours.jpg", saved(painted(12, 7, 0), "JPEG", quality=95, subsampling=2), off=24)
cmyk = Image.merge("CMYK", [*small.split(), small.convert("L").point(lambda v: v // 4)])
add("CMYK.jpg", saved(cmyk, "JPEG", quality=95, subsampling=0), off=4)

alpha = small.copy()
alpha.putalpha(Image.linear_gradient("L").resize(small.size))
add("alpha.png", saved(alpha, "PNG"), off=1)
add("gray alpha.png", saved(alpha.convert("LA"), "PNG"), off=1)
add("alpha.webp", saved(alpha, "WebP", lossless=True, exact=True), off=1)
glass = Image.new("RGB", (12, 7), "#18a0c8")
glass.putalpha(alpha.getchannel("A"))
add("lossy alpha.webp", saved(glass, "WebP", quality=95), off=1)
palette = small.quantize(5)
add("transparent palette.png", saved(palette, "PNG", transparency=bytes([0, 255, 128, 255, 7])), off=1)
add("transparent.gif", saved(palette, "GIF", transparency=2))
others = [ImageOps.invert(small).quantize(16), small.rotate(180).quantize(16)]
add("animated.gif", saved(small.quantize(16), "GIF", save_all=True, append_images=others, duration=50))

for colours in (1, 3):
    values = [random.randrange(1 << 16) for _ in range(5 * 4 * colours)]
    bytes_each = [v >> 8 for v in values for _ in range(3 // colours)]
    add(f"16 bits, {colours}.png", deep_png(5, 4, colours, values), pixels=bytes(bytes_each))

for turned in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = turned
    add(f"orientation {turned}.png", saved(small, "PNG", exif=exif))
    add(f"orientation {turned}.webp", saved(small, "WebP", lossless=True, exif=exif))
    add(f"orientation {turned}.jpg", saved(small, "JPEG", quality=95, subsampling=0, exif=exif), off=4)

for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):  # a LONG, as some programs write it
    exif = b"Exif\0\0" + mark + struct.pack(order + "IHHHIII", 8, 1, 0x0112, 4, 1, 6, 0)
    add(f"orientation {mark[:2].decode()}.jpg", saved(small, "JPEG", quality=95, subsampling=0, exif=exif), off=4)

frames = []
for height, width, channels, shorter in [
    (47, 61, 3, 0), (47, 61, 1, 0), (32, 32, 3, 0), (28, 28, 1, 0), (20, 40, 3, 0), (40, 20, 3, 0), (16, 16, 3, 20),
    (15, 18, 3, 33), (96, 80, 3, 0), (64, 64, 3, 100), (1, 1, 3, 0), (47, 40, 3, 0),
]:  # fmt: skip
    if shorter == 0 and width * big.height >= height * big.width:
        size = (width, big.height * width // big.width)
    elif shorter == 0:
        size = (big.width * height // big.height, height)
    else:
        size = (int(shorter * big.width / big.height), shorter)
    # torchvision.transforms.functional.center_crop
    top, left = round((size[1] - height) / 2), round((size[0] - width) / 2)
    picture = big.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))
    if channels == 1:
        picture = picture.convert("L")
    frame = {"height": height, "width": width, "channels": channels, "shorter": shorter}
    frames.append({"frame": frame, "pixels": text(picture.tobytes())})

lines = [",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) for rows in (files, frames)]
path = Path(__file__).parent / "testdata" / "pictures.json"
path.parent.mkdir(exist_ok=True)
path.write_text('{"files": [\n' + lines[0] + '\n], "frames": [\n' + lines[1] + "\n]}\n")
