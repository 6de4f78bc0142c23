"""Bars as SVG, without a library."""

from html import escape
from math import log

from peers import FLOOR, OURS, THREADS

HEIGHT, LEFT, WIDTH = 18, 150, 420
COLOURS = {OURS: "#1f77b4", THREADS: "#7fb3d5", FLOOR: "#bbbbbb"}
OTHERS = "#e07b39"


def bars(title: str, rows: list[tuple[str, str, float]]) -> str | None:
    """Horizontal bars, each of a broker, with a word beside its name, on a logarithmic scale: the brokers are orders of magnitude apart."""
    rows = [row for row in rows if row[2] > 0]
    if not rows:
        return None
    low, high = min(value for *_, value in rows) / 1.5, max(value for *_, value in rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{40 + HEIGHT * len(rows)}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}, logarithmic, less is better</text>',
    ]
    for at, (broker, word, value) in enumerate(rows):
        top = 30 + at * HEIGHT
        length = max(2, WIDTH * log(value / low) / log(high / low))
        lines += [
            f'<text x="{LEFT - 6}" y="{top + 12}" text-anchor="end">{escape(broker)} {escape(word)}</text>',
            f'<rect x="{LEFT}" y="{top + 2}" width="{length:.0f}" height="{HEIGHT - 5}" fill="{COLOURS.get(broker, OTHERS)}"/>',
            f'<text x="{LEFT + length + 5:.0f}" y="{top + 12}">{value:,.3g}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
