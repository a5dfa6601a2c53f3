"""The report for people: one HTML file that needs nothing else, neither network nor scripts."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from html import escape

from loadtests.canary.report.chart import Axis, Band, Chart, Line
from loadtests.canary.route import BASELINE, CANARY
from loadtests.canary.verdicts import Finding, Point, Result, Side, StepResult, Verdict
from loadtests.openloop.lines import UNKNOWN

STYLE = """
:root{color-scheme:light;--b:#1f5fa8;--c:#d55e00;--u:#767676;--pass:#1a7f43;--fail:#b3261e;
--inconclusive:#8a5d00;--error:#7b3fa0;--pause:#667}
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,sans-serif;margin:1.6rem auto;max-width:1080px;padding:0 1rem;color:#1c2430}
h1{font-size:1.45rem;margin:0 0 .7rem}h2{font-size:1.1rem;margin:1.7rem 0 .5rem}small,.dim{color:#586274}
.pass{--v:var(--pass)}.fail{--v:var(--fail)}.inconclusive{--v:var(--inconclusive)}.error{--v:var(--error)}
.pause,.unreached{--v:var(--pause)}
.verdict{display:inline-block;border-radius:4px;padding:0 .5rem;color:#fff;font-weight:600;
background:var(--v)}
.banner{border:1px solid var(--v);border-left-width:10px;border-radius:6px;padding:.7rem 1rem;background:#fff}
.banner>b{font-size:1.35rem;color:var(--v)}.banner p{margin:.2rem 0 0}
.banner ul{margin:.2rem 0 0;padding-left:1.2rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .9rem;margin:.8rem 0}
dt{color:#586274}dd{margin:0}
ol.steps{list-style:none;display:flex;flex-wrap:wrap;gap:.5rem;margin:0;padding:0}
ol.steps li{flex:1 1 9rem;border:1px solid #d5dae3;border-top:5px solid var(--v);border-radius:5px;
padding:.35rem .6rem;background:#fff}
ol.steps b{display:block}.unreached{opacity:.65}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;
border-bottom:1px solid #e1e5ec;vertical-align:top}th{font-weight:600}
tr.head td{background:#f3f5f9;font-weight:600}
td.badge{width:8rem}td.gate{width:13rem}
td.when{white-space:nowrap;text-align:right;color:#586274;width:6rem}
figure{margin:.9rem 0}figcaption{margin-bottom:.2rem}
figure>svg{width:100%;height:auto;background:#fff;border:1px solid #d5dae3;border-radius:5px}
.key{margin-left:.9rem;white-space:nowrap}.key svg{width:26px;height:10px;margin-right:.3rem}
.line{fill:none;stroke-width:2.2;stroke-linecap:round;stroke-linejoin:round}.grid{stroke:#dfe3ea}
.line.baseline{stroke:var(--b)}.line.canary{stroke:var(--c)}
.line.unknown{stroke:var(--u);stroke-dasharray:2 5}
.line.due{stroke:#333;stroke-width:1.2;stroke-dasharray:7 4}
.line.limit{stroke:var(--fail);stroke-width:1.4;stroke-dasharray:9 5}
.dot.baseline{fill:var(--b)}.dot.canary{fill:var(--c)}.dot.unknown{fill:var(--u)}
text{font-size:12px;fill:#475166}.value{text-anchor:end}.time,.step,.nothing{text-anchor:middle}
.step{font-weight:600}.nothing{font-size:14px;fill:#767676}
.band{opacity:.13;fill:var(--v)}.band.back{fill:#444;opacity:.16}.warm{fill:#fff;opacity:.55}
"""
WORDS = {
    Verdict.PASS: "Passed",
    Verdict.FAIL: "Failed",
    Verdict.INCONCLUSIVE: "Inconclusive",
    Verdict.ERROR: "Error",
}


def render(result: Result) -> str:
    """The text of the file."""
    title = f"Canary {result.rollout}"
    body = "".join(
        [_head(result), _steps(result), _charts(result), _findings(result), _events(result.events, result)]
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}: {result.verdict.value}</title><style>{STYLE}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _badge(verdict: str) -> str:
    return f'<span class="verdict {verdict}">{verdict}</span>'


def ending(result: Result) -> str:
    """What became of the rule."""
    return "promoted" if result.promoted else "rolled back" if result.restored else "NOT ROLLED BACK"


def _head(result: Result) -> str:
    about = result.about
    began = datetime.fromtimestamp(result.start, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    facts = {
        "Rule": f"VirtualService {result.namespace}/{result.virtual_service}",
        "Versions": f"baseline {about.baseline}, canary {about.canary}",
        "Load": about.load,
        "Certainty": f"{about.confidence:.0%} for each step" if about.confidence else "",
        "Time": f"{began}, {result.end - result.start:.1f} s",
    }
    rows = "".join(f"<dt>{name}<dd>{escape(text)}" for name, text in facts.items() if text)
    verdict = "interrupted" if result.interrupted else WORDS[result.verdict].lower()
    return (
        f"<h1>Canary {escape(result.rollout)}</h1>"
        f'<div class="banner {result.verdict.value}"><b>{verdict.capitalize()}: {ending(result)}</b>'
        f"{_why(result)}</div><dl>{rows}</dl>"
    )


def _why(result: Result) -> str:
    """The findings that decided, else the words of the end."""
    last = result.steps[-1] if result.steps else None
    telling = [each for each in last.findings if each.verdict is last.verdict] if last else []
    if last is None or last.verdict is Verdict.PASS or result.verdict is not last.verdict or not telling:
        return f"<p>{escape(result.words)}</p>"
    items = "".join(f"<li><b>{escape(each.gate)}</b>: {escape(each.words)}" for each in telling)
    undone = "" if result.restored else f"<p>{escape(result.words)}</p>"
    return f"<p>Step {len(result.steps)}, {escape(last.title)}:</p><ul>{items}</ul>{undone}"


def _steps(result: Result) -> str:
    """A card a step, those too that were not reached, and the end."""
    planned = result.about.steps[len(result.steps) :]
    cards = [_card(number, step) for number, step in enumerate(result.steps, 1)]
    cards += [
        f'<li class="unreached"><b>{number} {escape(title)}</b>not reached'
        for number, title in enumerate(planned, len(result.steps) + 1)
    ]
    return f'<h2>Steps</h2><ol class="steps">{"".join(cards)}</ol>'


def _card(number: int, step: StepResult) -> str:
    style = step.verdict.value if step.judged or step.verdict is not Verdict.PASS else "pause"
    word = "not judged" if style == "pause" else step.verdict.value
    return (
        f'<li class="{style}"><b>{number} {escape(step.title)}</b>'
        f'<span class="verdict {style}">{word}</span> '
        f"<small>{max(step.end - step.start, 0):.1f} s</small>"
    )


def _charts(result: Result) -> str:
    axis = Axis(result.start, max(result.end, result.start + 1))
    limits = {each.figure: each.value for each in result.about.limits}
    due = "from when each request was due"
    p50, p99, errors = (limits.get(name) for name in ("p50", "p99", "errors"))
    charts = [
        Chart("Weight of the canary", "%", [_weight(result)], "in force at every proxy", top=100),
        Chart(
            "Answers", "/s", [*_lines(result, _rate), *_due(result)], "requests a second, answered and due"
        ),
        Chart("p50", "ms", _lines(result, _p50), f"response time {due}", None if p50 is None else p50 * 1000),
        Chart("p99", "ms", _lines(result, _p99), f"response time {due}", None if p99 is None else p99 * 1000),
        Chart(
            "Errors",
            "%",
            _lines(result, _errors),
            "of the answers",
            None if errors is None else round(errors * 100, 6),
            1,
        ),
    ]
    drawn = "".join(each.render(axis, list(_bands(result))) for each in charts)
    back = ", the way back grey" if result.rolled_back_from else ""
    words = f"Steps are shaded by their verdict{back}; paler at a step's start, where nothing is judged."
    return f'<h2>Timeline</h2><p class="dim">{words}</p>{drawn}'


def _bands(result: Result) -> Iterable[Band]:
    back = result.rolled_back_from
    for number, step in enumerate(result.steps, 1):
        style = step.verdict.value if step.judged or step.verdict is not Verdict.PASS else "pause"
        names = (f"{number} {step.title}", str(number))
        title = f"{step.title}: {step.verdict.value if step.judged else 'not judged'}"
        end = step.end or back or result.end
        yield Band(names, step.start, end, style, title, step.judged_from)
    if back:
        yield Band(
            ("rolled back" if result.restored else "way back", "back"), back, result.end, "back", "way back"
        )


def _weight(result: Result) -> Line:
    points: list[tuple[float, float | None]] = [(result.start, 0.0), *result.weights]
    points.append((result.end, points[-1][1]))
    return Line(f"{result.about.canary} (canary)", "canary", points, stepped=True, dotted=False)


SILENT = 1.0
"""Seconds between two windows over which no line is drawn."""
SHORT = 0.5
"""Seconds; windows at an end that are shorter have too few answers to tell a rate."""
Figure = Callable[[Point, Side], float | None]


def _lines(result: Result, figure: Figure) -> list[Line]:
    about = result.about
    lines = [
        Line(f"{about.baseline} (baseline)", "baseline", _points(result, BASELINE, figure)),
        Line(f"{about.canary} (canary)", "canary", _points(result, CANARY, figure)),
    ]
    if any(UNKNOWN in point.sides for point in result.points):
        lines.append(Line("side unknown", "unknown", _points(result, UNKNOWN, figure)))
    return lines


def _due(result: Result) -> Iterable[Line]:
    """What the schedule asked for."""
    found: list[tuple[float, float | None]] = []
    before: Point | None = None
    for point in sorted(result.points, key=lambda each: each.start):
        length = point.end - point.start
        if point.scheduled and length >= SHORT:
            if before is not None and point.start - before.end > SILENT:
                found.append((before.end, None))
            found.append(((point.start + point.end) / 2, point.scheduled / length))
            before = point
    yield Line("due", "due", found, dotted=False)


def _points(result: Result, side: str, figure: Figure) -> list[tuple[float, float | None]]:
    """A point in the middle of each window in which the side answered; a gap where it was silent."""
    found: list[tuple[float, float | None]] = []
    before: Point | None = None
    for point in sorted(result.points, key=lambda each: each.start):
        seen = point.sides.get(side)
        value = figure(point, seen) if seen is not None and seen.count else None
        if value is None:
            continue
        if before is not None and point.start - before.end > SILENT:
            found.append((before.end, None))
        found.append(((point.start + point.end) / 2, value))
        before = point
    return found


def _rate(point: Point, side: Side) -> float | None:
    length = point.end - point.start
    return side.count / length if length >= SHORT else None


def _p50(_: Point, side: Side) -> float | None:
    return None if side.p50 is None else side.p50 * 1000


def _p99(_: Point, side: Side) -> float | None:
    return None if side.p99 is None else side.p99 * 1000


def _errors(_: Point, side: Side) -> float | None:
    return 100 * side.failed / side.count


def _findings(result: Result) -> str:
    rows = "".join(_rows(number, step) for number, step in enumerate(result.steps, 1))
    return f"<h2>What the gates said</h2><table>{rows}</table>" if rows else ""


def _rows(number: int, step: StepResult) -> str:
    looks = f"; looked at {len(step.looks)} times" if len(step.looks) > 1 else ""
    head = f'<tr class="head"><td colspan="3">{number} {escape(step.title)}<small>{looks}</small></tr>'
    if not step.findings:
        return f'{head}<tr><td colspan="3">{escape(step.words)}</tr>'
    return head + "".join(map(_finding, step.findings))


def _finding(finding: Finding) -> str:
    return (
        f'<tr><td class="badge">{_badge(finding.verdict.value)}<td class="gate">{escape(finding.gate)}'
        f"<td>{escape(finding.words)}</tr>"
    )


def _events(events: Iterable[tuple[float, str]], result: Result) -> str:
    rows = "".join(
        f'<tr><td class="when">{when - result.start:.1f} s<td>{escape(text)}</tr>' for when, text in events
    )
    return f"<h2>What happened</h2><table>{rows}</table>"
