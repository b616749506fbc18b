"""Drawings as SVG text: bars, curves, pictures with words. They follow the reader's light or dark."""
import base64
import html
import pathlib

STYLE = """<style>
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.head { font-size: 15px; font-weight: 600 } .small { font-size: 11.5px; fill: #59636e } .end { text-anchor: end }
.paper { fill: #fff } .bar { fill: #9aa4b0 } .ours { fill: #2f6fdb } .line { stroke: #2f6fdb; stroke-width: 2; fill: none } .grid { stroke: #d1d9e0 }
.said { font-weight: 600 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 } .paper { fill: #0d1117 } .bar { fill: #57606b } .ours { fill: #5b93f0 }
.line { stroke: #5b93f0 } .grid { stroke: #30363d }
}
</style>
"""


def text(x: float, y: float, words: str, kind: str = "") -> str:
    chosen = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{chosen}>{html.escape(words)}</text>\n'


def whole(width: int, height: int, title: str, parts: list[str]) -> str:
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
            f'aria-label="{html.escape(title)}">\n<title>{html.escape(title)}</title>\n{STYLE}<rect class="paper" width="{width}" '
            f'height="{height}" rx="8"/>\n' + "".join(parts) + "</svg>\n")


def bars(x: float, y: float, width: float, title: str, rows: list[tuple[str, float, str]], is_ours) -> tuple[str, float]:
    """A panel of bars, and its height: rows are (name, value, the value in words)."""
    label, room = 138, 62
    most = max(value for _, value, _ in rows)
    out = text(x, y + 14, title, "head")
    for i, (name, value, words) in enumerate(rows):
        top = y + 26 + 22 * i
        long = max(2.0, (width - label - room) * value / most)
        out += text(x + label - 8, top + 12, name, "end")
        out += f'<rect x="{x + label:.1f}" y="{top:.1f}" width="{long:.1f}" height="15" rx="3" class="{"ours" if is_ours(name) else "bar"}"/>\n'
        out += text(x + label + long + 6, top + 12, words, "small")
    return out, 26 + 22 * len(rows)


def curve(x: float, y: float, width: float, height: float, title: str, points: list[list[float]], unit: str) -> str:
    """A panel with one curve; the axes say where it begins and ends."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    low, high = min(ys), max(ys)
    span = (high - low) or 1.0
    left, top, wide, high_px = x + 38, y + 26, width - 48, height - 58
    place = [(left + wide * (a - xs[0]) / ((xs[-1] - xs[0]) or 1.0), top + high_px * (1 - (b - low) / span)) for a, b in points]
    out = text(x, y + 14, title, "head")
    for at, value in ((top, high), (top + high_px, low)):
        out += f'<line x1="{left:.1f}" x2="{left + wide:.1f}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>\n'
        out += text(left - 6, at + 4, f"{value:.2f}", "small end")
    out += '<polyline class="line" points="' + " ".join(f"{a:.1f},{b:.1f}" for a, b in place) + '"/>\n'
    out += text(left, top + high_px + 18, f"{xs[0]:,.0f}", "small") + text(left + wide, top + high_px + 18, f"{xs[-1]:,.0f} {unit}", "small end")
    return out


def wrapped(words: str, letters: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > letters:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def card(x: float, y: float, width: float, picture: pathlib.Path, said: str, more: list[str]) -> str:
    """A picture (WebP, three by two) with what was said of it below."""
    data = base64.b64encode(picture.read_bytes()).decode()
    height = width * 2 / 3
    out = f'<image x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" href="data:image/webp;base64,{data}"/>\n'
    at = y + height + 20
    for line in wrapped(said, 46):
        out += text(x, at, line, "said")
        at += 18
    for line in more:
        out += text(x, at, line, "small")
        at += 16
    return out
