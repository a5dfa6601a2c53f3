"""The result as JUnit's XML: a test case a step, and one for the rollout itself, so that CI shows them."""

import re
from xml.etree import ElementTree as ET

from loadtests.canary.verdicts import Result, StepResult, Verdict

NOT_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(result: Result) -> str:
    """The text of the file."""
    cases = [_case(result, f"{n}. {step.title}", step) for n, step in enumerate(result.steps, 1)]
    end = ET.Element("testcase", classname=_class(result), name="promoted", time="0")
    if not result.promoted:
        _add(end, result.verdict, result.words)
    if not result.promoted and not result.restored:
        _add(end, Verdict.ERROR, "the rule was not rolled back")
    suite = ET.Element(
        "testsuite",
        name=f"canary {result.rollout}",
        tests=str(len(cases) + 1),
        failures=str(sum(case.find("failure") is not None for case in (*cases, end))),
        errors=str(sum(case.find("error") is not None for case in (*cases, end))),
        time=f"{result.end - result.start:.3f}",
    )
    suite.extend([*cases, end])
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _class(result: Result) -> str:
    return f"canary.{result.namespace}.{result.virtual_service}"


def _case(result: Result, name: str, step: StepResult) -> ET.Element:
    case = ET.Element(
        "testcase", classname=_class(result), name=_clean(name), time=f"{step.end - step.start:.3f}"
    )
    if step.verdict is not Verdict.PASS:
        _add(case, step.verdict, step.words)
    lines = [f"{each.verdict}: {each.gate}: {each.words}" for each in step.findings]
    ET.SubElement(case, "system-out").text = _clean("\n".join(lines))
    return case


def _add(case: ET.Element, verdict: Verdict, words: str) -> None:
    """A failed gate is a failure; what could not be judged, or went wrong, an error."""
    kind = "failure" if verdict is Verdict.FAIL else "error"
    ET.SubElement(case, kind, type=verdict.value, message=_clean(words))


def _clean(text: str) -> str:
    return NOT_XML.sub("?", text)
