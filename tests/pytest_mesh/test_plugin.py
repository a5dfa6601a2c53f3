"""The plugin in runs of its own: markers are demanded where a table is set, and the table is written."""

import pytest

pytestmark = pytest.mark.behaviour("H2")
pytest_plugins = ("pytester",)

TABLE = """
| id | behaviour |
|---|---|
| W1 | Automatic injection. More words. |
| W2 | Traffic interception. |
"""
MARKED = """
import pytest

@pytest.mark.behaviour("W1")
def test_good(): pass

@pytest.mark.behaviour("W1", "W2")
def test_bad(): assert False
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makefile(".md", BEHAVIOURS=TABLE)
    pytester.makeini("[pytest]\nmesh_behaviours = BEHAVIOURS.md\n")
    return pytester


def test_a_test_without_behaviour_stops_the_run(project: pytest.Pytester) -> None:
    project.makepyfile("def test_nameless(): pass")
    result = project.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*every test names the behaviour*", "*test_nameless has no *behaviour*"])


def test_an_id_that_the_table_has_not_stops_the_run(project: pytest.Pytester) -> None:
    project.makepyfile('import pytest\n@pytest.mark.behaviour("W9")\ndef test_x(): pass')
    result = project.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_x names 'W9', which the table has not*"])


def test_other_projects_are_left_in_peace(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nameless(): pass")
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=1)


def test_the_table_counts_what_passed_and_failed(project: pytest.Pytester) -> None:
    project.makepyfile(MARKED)
    result = project.runpytest_subprocess("--behaviour-report")
    result.stdout.fnmatch_lines(
        ["| W1 | Automatic injection | 2 | 1 | 1 |", "| W2 | Traffic interception. | 1 | 0 | 1 |"]
    )


def test_the_table_holds_under_xdist_and_goes_to_a_file(project: pytest.Pytester) -> None:
    project.makepyfile(MARKED)
    project.runpytest_subprocess("-n", "2", "--behaviour-report=report.md")
    assert "| W1 | Automatic injection | 2 | 1 | 1 |" in (project.path / "report.md").read_text()


def test_a_cluster_that_cannot_be_had_fails_the_test_with_the_remedy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_x(cluster): pass")
    result = pytester.runpytest_subprocess("--mesh-cluster=/no/such/kubeconfig")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*kubeconfig /no/such/kubeconfig does not exist*"])
