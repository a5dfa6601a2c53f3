"""H4: the reports hold what happened, and need nothing beside themselves."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from loadtests.canary.report import write
from loadtests.canary.report.chart import nice
from loadtests.canary.verdicts import About, Finding, Limit, Look, Point, Result, Side, StepResult, Verdict

pytestmark = pytest.mark.behaviour("H4")


class Strict(HTMLParser):
    """Gathers what a page refers to, and its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.references += [
            value or "" for name, value in attrs if name in ("src", "href") and value != "data:,"
        ]


def result(verdict: Verdict = Verdict.FAIL) -> Result:
    finding = Finding("p99", verdict, "p99 <b>300 ms</b> & more\x00")
    step = StepResult(
        "weight 10", 10, 1000, 1002, 1004, verdict, finding.words, [Look(1002, 1004, (finding,))]
    )
    sides = {"baseline": Side(90, 0, 0.01, 0.02), "canary": Side(10, 1, 0.3, None)}
    points = [Point(1000 + n, 1001 + n, 10, "weight 10", sides if n else {}, 100, 100) for n in range(4)]
    made = Result("it", "weather", "forecast", 1000, 1005, verdict, "why", steps=[step], points=points)
    made.promoted, made.restored = verdict is Verdict.PASS, verdict is not Verdict.PASS
    made.events.append((1001, "<script>alert(1)</script>"))
    return made


@pytest.mark.parametrize("verdict", list(Verdict))
def test_reports_are_written_and_well_formed(verdict: Verdict, tmp_path: Path) -> None:
    paths = write(result(verdict), tmp_path / "new")
    page = Strict()
    text = paths["html"].read_text()
    page.feed(text)
    assert page.elements.count("figure") == 5
    assert "script" not in page.elements
    assert page.references == []
    assert not re.search(r"url\(|@import", text)
    assert f">{verdict.value}<" in text
    told = json.loads(paths["json"].read_text())
    assert (told["verdict"], told["steps"][0]["looks"][0]["verdict"]) == (verdict.value, verdict.value)
    suite = ET.parse(paths["xml"]).getroot()[0]
    found = {kind: len(suite.findall(f".//{kind}")) for kind in ("failure", "error")}
    assert found == {"failure": int(suite.get("failures", "")), "error": int(suite.get("errors", ""))}
    bad = 0 if verdict is Verdict.PASS else 2
    assert sum(found.values()) == bad


def test_it_tells_what_was_not_reached_and_how_far_the_limits_are(tmp_path: Path) -> None:
    made = result()
    made.about = About("v1", "v2", "constant:100", 0.95, ("weight 10", "weight 50"), (Limit("p50", 0.25),))
    made.about = replace(made.about, limits=(*made.about.limits, Limit("p99", 60), Limit("errors", 0.01)))
    made.weights, made.rolled_back_from = [(1000.5, 10), (1004.5, 0)], 1004.2
    text = write(made, tmp_path)["html"].read_text()
    assert re.search(r'class="unreached"><b>2 weight 50</b>not reached', text)
    assert "Failed: rolled back" in text
    assert text.count('<path class="line limit" d="M80,') == 2  # those of p50 and of the errors
    assert "limit 60000 ms: far above" in text
    assert "rolled back</text>" in text
    assert "v2 (canary): 300 ms, 2.5 s</title>" in text


def test_a_figure_without_data_says_so(tmp_path: Path) -> None:
    made = result()
    made.points.clear()
    assert write(made, tmp_path)["html"].read_text().count(">no data</text>") == 4


def test_a_rollout_that_ended_before_its_first_step(tmp_path: Path) -> None:
    empty = Result("it", "weather", "forecast", 1000, 1000, Verdict.ERROR, "no way")
    assert "NOT ROLLED BACK" in write(empty, tmp_path)["html"].read_text()
    assert empty.exit_code == 6


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(Verdict.PASS, 0), (Verdict.FAIL, 1), (Verdict.ERROR, 4), (Verdict.INCONCLUSIVE, 5)],
)
def test_exit_codes(verdict: Verdict, code: int) -> None:
    made = result(verdict)
    assert made.exit_code == code
    made.interrupted = True
    assert made.exit_code == 130
    made.promoted = made.restored = False
    assert made.exit_code == 6


def test_axes_end_at_round_figures() -> None:
    assert [nice(value) for value in (0.013, 1, 1.1, 2.4, 30, 99, 1000)] == [0.02, 1, 2, 2.5, 50, 100, 1000]
