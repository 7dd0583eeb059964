"""Bar charts as SVG: a panel for each size, a bar for each server, a whisker from the least to the greatest round."""

import math
from xml.sax.saxutils import escape

WIDTH, LABEL, VALUE, MARGIN = 920, 230, 70, 20
BAR, GAP, HEAD, FOOT = 18, 8, 34, 46
OURS, OTHERS, INK, FAINT = "#d1495b", "#8d99ae", "#222222", "#dddddd"


def nice_step(greatest):
    """A round step that makes about five."""
    raw = greatest / 5
    power = 10 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if raw <= factor * power)


def shown(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def bars(title, axis, panels):
    """`panels` are (title, [(label, median, least, greatest)]); the first word of a label tells ours."""
    top = 44
    parts = []
    for name, rows in panels:
        greatest = max(high for _, _, _, high in rows)
        step = nice_step(greatest)
        end = step * math.ceil(greatest / step)
        scale = (WIDTH - LABEL - VALUE - 2 * MARGIN) / end
        left = MARGIN + LABEL
        height = len(rows) * (BAR + GAP)
        parts.append(text(left, top + 20, name, weight="bold"))
        base = top + HEAD
        for tick in range(round(end / step) + 1):
            x = left + tick * step * scale
            parts.append(f'<line x1="{x:.1f}" y1="{base}" x2="{x:.1f}" y2="{base + height}" stroke="{FAINT}"/>')
            parts.append(text(x, base + height + 15, f"{tick * step:,.10g}", anchor="middle", size=11))
        for at, (label, median, low, high) in enumerate(rows):
            y = base + at * (BAR + GAP) + GAP / 2
            middle = y + BAR / 2
            ours = label.split(",")[0] == "Freshet"
            fill = OURS if ours else OTHERS
            parts.append(text(left - 8, middle + 4, label, anchor="end", weight="bold" if ours else "normal"))
            parts.append(f'<rect x="{left}" y="{y:.1f}" width="{median * scale:.1f}" height="{BAR}" fill="{fill}"/>')
            if high > low:
                parts.append(
                    f'<path d="M{left + low * scale:.1f} {middle:.1f}H{left + high * scale:.1f}" '
                    f'stroke="{INK}" stroke-width="1.2"/>'
                )
            parts.append(text(left + max(median, high) * scale + 6, middle + 4, shown(median)))
        parts.append(text(left, base + height + 32, axis, size=11))
        top = base + height + FOOT
    head = text(MARGIN, 28, title, size=16, weight="bold")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" '
        f'font-family="Helvetica, Arial, sans-serif" role="img" aria-label="{escape(title)}">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{head}\n' + "\n".join(parts) + "\n</svg>\n"
    )


def text(x, y, words, anchor="start", size=12, weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{INK}">{escape(words)}</text>'
    )
