"""The report for people: one HTML file that needs nothing else, neither network nor scripts."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from html import escape

from loadtests.canary.report.chart import Axis, Band, Line, chart
from loadtests.canary.route import BASELINE, CANARY
from loadtests.canary.verdicts import Finding, Point, Result, Side, StepResult
from loadtests.openloop.lines import UNKNOWN

STYLE = """
:root{color-scheme:light;--b:#2563a8;--c:#d97706;--u:#777}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1060px;padding:0 1rem;color:#1c2430}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}small,.dim{color:#667}
.verdict{display:inline-block;border-radius:4px;padding:.05rem .5rem;color:#fff;font-weight:600}
.verdict.pass{background:#1a7f43}.verdict.fail{background:#b3261e}.verdict.inconclusive{background:#9a6700}
.verdict.error{background:#7b3fa0}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;
border-bottom:1px solid #dde;vertical-align:top}figure{margin:.8rem 0}
svg{width:100%;height:auto;background:#fff;border:1px solid #dde}
.line{fill:none;stroke-width:2;stroke-linecap:round}.grid{stroke:#e3e6ec}
.baseline{stroke:var(--b)}.canary{stroke:var(--c)}.unknown{stroke:var(--u)}
.line.p99{stroke-dasharray:5 4}text{font-size:12px;fill:#556}.value{text-anchor:end}
.time,.step{text-anchor:middle}
.band{opacity:.10}.band.pass{fill:#1a7f43}.band.fail{fill:#b3261e}.band.inconclusive{fill:#e0a400}
.band.error{fill:#7b3fa0}.band.pause{fill:#889}.warm{fill:#fff;opacity:.6}
.key{margin-left:.9rem;border-bottom:3px solid #999}.key.baseline{border-color:var(--b)}
.key.canary{border-color:var(--c)}.key.unknown{border-color:var(--u)}.key.p99{border-bottom-style:dashed}
"""


def render(result: Result) -> str:
    """The text of the file."""
    title = f"Canary {result.rollout}"
    body = "".join([_head(title, result), _charts(result), _steps(result), _events(result)])
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}: '
        f"{result.verdict.value}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def _badge(verdict: str) -> str:
    return f'<span class="verdict {verdict}">{verdict}</span>'


def _head(title: str, result: Result) -> str:
    state = "promoted" if result.promoted else "rolled back" if result.restored else "NOT ROLLED BACK"
    began = datetime.fromtimestamp(result.start, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        f"<h1>{escape(title)} {_badge(result.verdict.value)} {state}</h1>"
        f'<p class="dim">VirtualService {escape(result.namespace)}/{escape(result.virtual_service)}, '
        f"{began}, "
        f"{result.end - result.start:.1f} s</p><p>{escape(result.words)}</p>"
    )


def _charts(result: Result) -> str:
    axis = Axis(result.start, max(result.end, result.start + 1))
    bands = [_band(number, step, result.end) for number, step in enumerate(result.steps, 1)]
    weight: list[tuple[float, float | None]] = [(result.start, 0.0)]
    weight.extend((step.start, float(step.weight)) for step in result.steps)
    weight.append((result.steps[-1].end if result.steps else result.end, 100.0 if result.promoted else 0.0))
    weight.append((result.end, weight[-1][1]))
    figures = [
        chart(
            "Weight of the canary", "%", axis, [Line("canary", "canary", weight, stepped=True)], bands, 100
        ),
        chart("Answers", "requests/s", axis, [*_lines(result, _rate), *_unknown(result)], bands),
        chart("p50", "ms, from when each request was due", axis, [*_lines(result, _p50)], bands),
        chart("p99", "ms, from when each request was due", axis, [*_lines(result, _p99)], bands),
        chart("Errors", "% of the answers", axis, [*_lines(result, _errors)], bands, 1),
    ]
    return "<h2>Timeline</h2>" + "".join(figures)


def _band(number: int, step: StepResult, end: float) -> Band:
    style = step.verdict.value if step.judged else "pause"
    title = f"{step.title}: {step.verdict.value}"
    return Band(str(number), step.start, step.end or end, style, title, step.judged_from)


SILENT = 1.0
"""Seconds between two windows over which no line is drawn."""
Figure = Callable[[Point, Side], float | None]


def _lines(result: Result, figure: Figure) -> Iterable[Line]:
    for side in (BASELINE, CANARY):
        yield Line(side, side, _points(result, side, figure))


def _unknown(result: Result) -> Iterable[Line]:
    if any(UNKNOWN in point.sides for point in result.points):
        yield Line("unknown side", "unknown", _points(result, UNKNOWN, _rate))


def _points(result: Result, side: str, figure: Figure) -> list[tuple[float, float | None]]:
    """A point in the middle of each window in which the side answered; a gap where it was silent."""
    found: list[tuple[float, float | None]] = []
    before: Point | None = None
    for point in sorted(result.points, key=lambda each: each.start):
        seen = point.sides.get(side)
        if seen is None or not seen.count:
            continue
        if before is not None and point.start - before.end > SILENT:
            found.append((before.end, None))
        found.append(((point.start + point.end) / 2, figure(point, seen)))
        before = point
    return found


def _rate(point: Point, side: Side) -> float | None:
    return side.count / max(point.end - point.start, 0.1)


def _p50(_: Point, side: Side) -> float | None:
    return None if side.p50 is None else side.p50 * 1000


def _p99(_: Point, side: Side) -> float | None:
    return None if side.p99 is None else side.p99 * 1000


def _errors(_: Point, side: Side) -> float | None:
    return 100 * side.failed / side.count


def _steps(result: Result) -> str:
    rows = "".join(_row(number, step) for number, step in enumerate(result.steps, 1))
    return f"<h2>Steps</h2><table><tr><th>#<th>step<th>verdict<th>seconds<th>why</tr>{rows}</table>"


def _row(number: int, step: StepResult) -> str:
    why = "".join(map(_finding, step.findings)) or escape(step.words)
    verdict = _badge(step.verdict.value) if step.judged or step.verdict.value != "pass" else "pause"
    return (
        f"<tr><td>{number}<td>{escape(step.title)}<td>{verdict}<td>{step.end - step.start:.1f}<td>{why}</tr>"
    )


def _finding(finding: Finding) -> str:
    return (
        f"<div>{_badge(finding.verdict.value)} <b>{escape(finding.gate)}</b>: {escape(finding.words)}</div>"
    )


def _events(result: Result) -> str:
    rows = "".join(
        f"<tr><td>{when - result.start:.1f} s<td>{escape(text)}</tr>" for when, text in result.events
    )
    return f"<h2>What happened</h2><table>{rows}</table>"
