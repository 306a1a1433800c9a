"""Pictures of what bench/study.py recorded: one PNG for each file of results.

    python bench/study_plot.py bench/results/study-*.jsonl

A bar ends at the median, a thin line at the 90th percentile. Red: the floor of the same links.
Black: a rule with one leader a round and a timeout of 300 ms, idealised, on the same links.
"""

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

ROW_PIXELS, TOP_PIXELS, LEFT_PIXELS, PLOT_PIXELS, MARGIN_PIXELS = 22, 70, 330, 560, 70
INK, GRID, BAR, FLOOR, PAPER = "#222222", "#d8d8d8", "#4878b0", "#c44e52", "#ffffff"


def draw(path: Path) -> None:
    """Write the picture of one file beside it."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    most = max(max(row["latency_ms"]["p90"], row["leader_p50_ms"]) for row in rows)
    step = next(one for one in (20, 50, 100, 200, 500, 1000, 2000, 5000) if most / one <= 10)
    scale = PLOT_PIXELS / most
    size = (LEFT_PIXELS + PLOT_PIXELS + MARGIN_PIXELS, TOP_PIXELS + ROW_PIXELS * len(rows) + 16)
    image = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=13)
    pen.text((16, 8), f"{rows[0]['experiment']}: event to total order, ms", INK, font)
    pen.text((16, 26), "bar p50, line p90, red: floor, black: one leader, 300 ms", INK, font)
    for value in range(0, int(most) + 1, step):
        x = LEFT_PIXELS + value * scale
        pen.line([(x, TOP_PIXELS - 6), (x, size[1] - 12)], GRID)
        pen.text((x - 8, TOP_PIXELS - 22), str(value), INK, font)
    for number, row in enumerate(rows):
        _row(pen, font, row, TOP_PIXELS + ROW_PIXELS * number, scale)
    image.save(path.with_suffix(".png"), "PNG")


def _row(pen: Any, font: Any, row: dict[str, Any], y: int, scale: float) -> None:
    crashed = f", {row['crashed']} crashed" if row["crashed"] else ""
    pen.text((16, y), f"{row['variation']}, n = {row['nodes']}{crashed}", INK, font)
    p50, p90 = (LEFT_PIXELS + row["latency_ms"][name] * scale for name in ("p50", "p90"))
    pen.rectangle([(LEFT_PIXELS, y + 2), (p50, y + 15)], BAR)
    pen.line([(p50, y + 8), (p90, y + 8)], BAR, width=2)
    for name, color in (("floor_ms", FLOOR), ("leader_p50_ms", INK)):
        x = LEFT_PIXELS + row[name] * scale
        pen.line([(x, y), (x, y + 17)], color, width=3)
    pen.text((max(p90, x) + 6, y), f"{row['latency_ms']['p50']:.0f}", INK, font)


def main() -> None:
    """Draw every file named."""
    for name in sys.argv[1:]:
        draw(Path(name))


if __name__ == "__main__":
    main()
