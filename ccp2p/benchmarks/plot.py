"""A picture of `bench native`: how many times faster than its pure twin each path is.

Drawn with Pillow, which is an optional dependency: a node in a TEE needs no picture.
"""

import math
from pathlib import Path
from typing import Any

from ccp2p.model.errors import LocalFault

ROW_PIXELS, TOP_PIXELS, LEFT_PIXELS, PLOT_PIXELS, MARGIN_PIXELS = 22, 78, 330, 560, 60
INK, GRID, BAR, MARK, PAPER = "#222222", "#d8d8d8", "#4878b0", "#c44e52", "#ffffff"


def require_pillow() -> None:
    """LocalFault, saying what to install, where nothing can be drawn."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise LocalFault("plot", "a plot needs Pillow: pip install 'ccp2p[plot]'") from None


def draw_native(result: dict[str, Any], path: Path) -> None:
    """Write a PNG of a `bench-native/1` object; LocalFault without Pillow."""
    require_pillow()
    from PIL import Image, ImageDraw, ImageFont

    rows = result["rows"]
    ratios = [row["pure_us"] / row["native_us"] for row in rows]
    highest = math.ceil(math.log10(max(10.0, *ratios)))
    size = (LEFT_PIXELS + PLOT_PIXELS + MARGIN_PIXELS, TOP_PIXELS + ROW_PIXELS * len(rows) + 20)
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=13)
    draw.text((16, 12), _title(result), INK, font)
    draw.text((16, 32), "times faster than the pure twin; red: libsodium in C", INK, font)
    for exponent in range(highest + 1):
        x = _x(10.0**exponent, highest)
        draw.line([(x, TOP_PIXELS - 6), (x, size[1] - 16)], GRID)
        draw.text((x - 8, TOP_PIXELS - 24), f"{10**exponent:,}x", INK, font)
    for number, (row, ratio) in enumerate(zip(rows, ratios, strict=True)):
        y = TOP_PIXELS + ROW_PIXELS * number
        draw.text((16, y), _label(row), INK, font)
        draw.rectangle([(_x(1, highest), y + 2), (_x(ratio, highest), y + 15)], BAR)
        sodium = row["pure_us"] / row["libsodium_us"] if row["libsodium_us"] else 1.0
        if row["libsodium_us"]:
            x = _x(sodium, highest)
            draw.line([(x, y), (x, y + 17)], MARK, width=3)
        draw.text((_x(max(ratio, sodium), highest) + 8, y), f"{ratio:.1f}", INK, font)
    image.save(path, "PNG")


def _x(ratio: float, highest: int) -> float:
    return LEFT_PIXELS + PLOT_PIXELS * max(0.0, math.log10(ratio)) / highest


def _title(result: dict[str, Any]) -> str:
    cpu = result["cpu"]
    return f"ccp2p bench native: {cpu['model']} ({', '.join(cpu['features'])})"


def _label(row: dict[str, Any]) -> str:
    kind = row["backend"] if row["algorithm"] == "ed25519" else row["algorithm"]
    return f"{row['path']} {kind} n={row['n']:,} {row['size']} B"
