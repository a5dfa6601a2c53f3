"""Line charts over time as inline SVG, on one time axis, with the steps as bands behind them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1000, 170, 70, 20, 12, 24
Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line; a value None leaves a gap. `style` is a class of the page; `stepped` holds its value."""

    name: str
    style: str
    points: Points
    stepped: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time with a name and a verdict's class; before `judged_from` it was warm-up."""

    name: str
    start: float
    end: float
    style: str
    title: str
    judged_from: float


@dataclass(frozen=True, slots=True)
class Axis:
    """From `start` to `end` in Unix seconds."""

    start: float
    end: float

    def x(self, when: float) -> float:
        """Where a time stands."""
        span = max(self.end - self.start, 1e-9)
        return LEFT + (when - self.start) / span * (WIDTH - LEFT - RIGHT)


def chart(
    title: str, unit: str, axis: Axis, lines: Sequence[Line], bands: Sequence[Band], top: float = 0
) -> str:
    """A figure with its legend. The value axis starts at zero, and reaches `top` at least."""
    values = [value for line in lines for _, value in line.points if value is not None]
    high = nice(max([top, *values], default=top) or 1)
    parts = [*_bands(axis, bands), *_grid(axis, high), *(_path(line, axis, high) for line in lines)]
    legend = " ".join(f'<span class="key {line.style}">{escape(line.name)}</span>' for line in lines)
    return (
        f"<figure><figcaption><b>{escape(title)}</b> <small>{escape(unit)}</small> {legend}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def nice(value: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= value * (1 - 1e-9))


def _y(value: float, high: float) -> float:
    return HEIGHT - BOTTOM - value / high * (HEIGHT - TOP - BOTTOM)


def _bands(axis: Axis, bands: Sequence[Band]) -> Iterable[str]:
    for band in bands:
        x, end = axis.x(band.start), axis.x(band.end)
        yield (
            f'<rect class="band {band.style}" x="{x:.1f}" y="{TOP}" width="{max(end - x, 1):.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"><title>{escape(band.title)}</title></rect>'
        )
        yield f'<text class="step" x="{(x + end) / 2:.1f}" y="{TOP + 12}">{escape(band.name)}</text>'
        if band.judged_from > band.start:
            warm = axis.x(band.judged_from)
            yield (
                f'<rect class="warm" x="{x:.1f}" y="{TOP}" width="{max(warm - x, 0):.1f}" '
                f'height="{HEIGHT - TOP - BOTTOM}"><title>not judged: in force, and warm-up</title></rect>'
            )


def _grid(axis: Axis, high: float) -> Iterable[str]:
    for part in (0, 0.5, 1):
        y = _y(high * part, high)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="value" x="{LEFT - 6}" y="{y + 4:.1f}">{high * part:g}</text>'
    span = axis.end - axis.start
    tick = nice(max(span, 1) / 8)
    for number in range(int(span / tick) + 1):
        x = axis.x(axis.start + number * tick)
        yield f'<text class="time" x="{x:.1f}" y="{HEIGHT - 6}">{number * tick:g} s</text>'


def _path(line: Line, axis: Axis, high: float) -> str:
    words: list[str] = []
    last: float | None = None
    for when, value in line.points:
        if value is not None:
            x, y = axis.x(when), _y(value, high)
            if line.stepped and last is not None:
                words.append(f"H{x:.1f}")
            words.append(
                f"{'L' if last is not None else 'M'}{x:.1f},{y:.1f}" + ("h0" if last is None else "")
            )
        last = value
    drawn = " ".join(words)
    return f'<path class="line {line.style}" d="{drawn}"/>'
