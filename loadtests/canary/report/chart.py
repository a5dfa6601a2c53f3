"""Line charts over time as inline SVG, on one time axis, with the steps as bands behind them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1000, 190, 80, 16, 26, 26
LETTER = 7.0
"""The width of a letter of the labels, at most."""
FAR = 2.5
"""A limit so many times higher than all that was measured would press the lines to the ground."""
Points = Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line; a value None leaves a gap. `style` is a class of the page; `stepped` holds its value."""

    name: str
    style: str
    points: Points
    stepped: bool = False
    dotted: bool = True


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time with a name and a verdict's class; before `judged_from` it was not judged."""

    names: tuple[str, ...]
    start: float
    end: float
    style: str
    title: str
    judged_from: float = 0.0


@dataclass(frozen=True, slots=True)
class Axis:
    """From `start` to `end` in Unix seconds."""

    start: float
    end: float

    def x(self, when: float) -> float:
        """Where a time stands."""
        span = max(self.end - self.start, 1e-9)
        return LEFT + (min(max(when, self.start), self.end) - self.start) / span * (WIDTH - LEFT - RIGHT)


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure: `unit` of its values, `limit` that a gate sets them; the axis reaches `top` at least."""

    title: str
    unit: str
    lines: Sequence[Line]
    note: str = ""
    limit: float | None = None
    top: float = 0

    def render(self, axis: Axis, bands: Sequence[Band]) -> str:
        """With its legend. The value axis starts at zero."""
        measured = max([value for line in self.lines for _, value in line.points if value is not None] or [0])
        limit = self.limit if self.limit is not None and self.limit <= max(measured, self.top) * FAR else None
        high = nice(max(self.top, measured, limit or 0) or 1)
        empty = not any(line.points for line in self.lines)
        parts = [
            *_bands(axis, bands),
            *_grid(axis, high, self.unit),
            *_limit(limit, high),
            *(_path(line, axis, high) for line in self.lines),
            *(_dots(line, axis, high, self.unit) for line in self.lines if line.dotted),
            _nothing() if empty else "",
        ]
        return (
            f"<figure><figcaption><b>{escape(self.title)}</b> <small>{escape(self.note)}</small>"
            f"{self._legend(limit)}</figcaption>"
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.title)}">'
            f"{''.join(parts)}</svg></figure>"
        )

    def _legend(self, drawn: float | None) -> str:
        keys = [_key(line.name, line.style) for line in self.lines]
        if self.limit is not None:
            words = f"limit {self.limit:g} {self.unit}"
            far = f'<small class="key">{words}: far above</small>'
            keys.append(far if drawn is None else _key(words, "limit"))
        return " ".join(keys)


def nice(value: float, factors: Sequence[float] = (1, 2, 2.5, 5, 10)) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1
    return next(factor * power for factor in factors if factor * power >= value * (1 - 1e-9))


def _key(name: str, style: str) -> str:
    return (
        f'<span class="key"><svg viewBox="0 0 26 10"><path class="line {style}" d="M1,5H25"/></svg>'
        f"{escape(name)}</span>"
    )


def _y(value: float, high: float) -> float:
    return HEIGHT - BOTTOM - value / high * (HEIGHT - TOP - BOTTOM)


def _bands(axis: Axis, bands: Sequence[Band]) -> Iterable[str]:
    for band in bands:
        x, end = axis.x(band.start), axis.x(band.end)
        yield _rectangle(f"band {band.style}", x, end, band.title)
        name = next((each for each in band.names if len(each) * LETTER < end - x), "")
        yield f'<text class="step" x="{(x + end) / 2:.1f}" y="{TOP - 9}">{escape(name)}</text>'
        if band.judged_from > band.start:
            yield _rectangle("warm", x, axis.x(band.judged_from), "not judged: put in force, and warm-up")


def _rectangle(style: str, start: float, end: float, title: str) -> str:
    return (
        f'<rect class="{style}" x="{start:.1f}" y="{TOP}" width="{max(end - start, 1):.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}"><title>{escape(title)}</title></rect>'
    )


def _grid(axis: Axis, high: float, unit: str) -> Iterable[str]:
    for part in (0, 0.5, 1):
        y = _y(high * part, high)
        words = f"{high * part:g}" + (f" {unit}" if part == 1 else "")
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="value" x="{LEFT - 6}" y="{y + 4:.1f}">{words}</text>'
    span = axis.end - axis.start
    tick = nice(max(span, 1) / 14, (1, 2, 5, 10))
    for number in range(int(span / tick) + 1):
        x = axis.x(axis.start + number * tick)
        if x <= WIDTH - RIGHT - 3 * LETTER:
            yield f'<text class="time" x="{x:.1f}" y="{HEIGHT - 8}">{number * tick:g} s</text>'


def _limit(limit: float | None, high: float) -> Iterable[str]:
    if limit is not None:
        y = _y(limit, high)
        yield f'<path class="line limit" d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}"/>'


def _nothing() -> str:
    middle = (LEFT + WIDTH - RIGHT) / 2
    return f'<text class="nothing" x="{middle:.0f}" y="{(TOP + HEIGHT - BOTTOM) / 2 + 4:.0f}">no data</text>'


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


def _dots(line: Line, axis: Axis, high: float, unit: str) -> str:
    """What a pointer shows; of many windows only that, so that the lines are seen."""
    radius = 2.6 if len(line.points) <= 120 else 1.2
    found = ((when, value) for when, value in line.points if value is not None)
    return "".join(
        f'<circle class="dot {line.style}" cx="{axis.x(when):.1f}" cy="{_y(value, high):.1f}" r="{radius}">'
        f"<title>{escape(line.name)}: {value:.4g} {escape(unit)}, {when - axis.start:.1f} s</title></circle>"
        for when, value in found
    )
