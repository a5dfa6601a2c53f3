"""P1: handlers, instances and rules: who they are for, how they change live, what is refused at admission."""

import pytest

from e2e.conftest import Command
from e2e.mixer import Mixer, denial, handler, instance, mixer_object, rule
from mesh.platform.mixer import POLICY
from pytest_mesh import ApiRefused, all_ok, eventually, status
from pytest_mesh.demo import Weather
from pytest_mesh.kube import Obj

pytestmark = [pytest.mark.behaviour("P1"), pytest.mark.usefixtures("fresh_connections", "steady")]
FORECAST = 'destination.labels["app"] == "forecast"'


def statuses(weather: Weather, **headers: str) -> list[int]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [weather.client.get(weather.forecast, headers=named)[0].status]


def test_an_expression_says_which_requests_a_rule_is_for(weather: Weather, mixer: Mixer) -> None:
    words = 'match(request.headers["end-user"] | "", "bad*") && (request.size | 0) < 100'
    mixer.apply(denial("no-bad-users", f"{FORECAST} && {words}"))
    assert statuses(weather, end_user="bad-boy") + statuses(weather, end_user="good") == [403, 200]
    assert statuses(weather) == [200]


def test_a_rule_of_a_namespace_is_for_its_services_and_one_of_the_root_for_all(
    weather: Weather, mixer: Mixer
) -> None:
    ads = "http://advertisement:3003/ads"
    mixer.apply(denial("elsewhere", "", namespace="default"))
    weather.client.get(weather.forecast).check(all_ok())
    everywhere = 'request.headers["x-everywhere"] == "yes"'
    mixer.apply(denial("everywhere", everywhere, namespace="istio-system"))
    headers = {"x-everywhere": "yes"}
    for url in (weather.forecast, ads):
        weather.client.get(url, headers=headers).check(status(403))
        weather.client.get(url).check(all_ok())


def test_rules_change_while_requests_are_under_way(weather: Weather, mixer: Mixer) -> None:
    """Every request has an answer of the rules before or after the change, none fails otherwise."""
    with weather.client.load(weather.forecast, rate=50) as load:
        for code, answer in ((7, 403), (5, 404), (16, 401)):
            mixer.apply(denial("changing", FORECAST, status={"code": code, "message": "changed"}))
            weather.client.get(weather.forecast, count=5).check(status(answer))
        load.wait_for(10)
    assert {response.status for response in load.responses} <= {200, 401, 403, 404}


def test_when_a_rule_is_gone_it_holds_no_more(weather: Weather, mixer: Mixer) -> None:
    with weather.mesh.undoing():
        mixer.apply(denial("short", FORECAST))
        weather.client.get(weather.forecast).check(status(403))
    weather.client.get_until(weather.forecast, all_ok(), count=5)


def test_a_handler_that_cannot_start_leaves_the_last_good_one(weather: Weather, mixer: Mixer) -> None:
    name = "list-that-fails"
    good: Obj = {"overrides": ["client"], "blacklist": True}
    mixer.apply(
        [
            handler(name, "listchecker", **good),
            instance(name, "listentry", value='source.labels["app"] | ""'),
            rule(name, FORECAST, (name, name)),
        ]
    )
    weather.client.get(weather.forecast).check(status(403))
    broken: Obj = {"providerUrl": "http://127.0.0.1:1/nobody", "blacklist": True}
    weather.mesh.apply(handler(name, "listchecker", **broken), wait=False)

    def told() -> bool:
        return f"{name}.weather" in mixer.debug(mixer.pod(POLICY))["broken"]

    eventually(told, 20)
    weather.client.get(weather.forecast, count=5).check(status(403))


def bad_match(text: str) -> Obj:
    """A rule whose match is at fault."""
    return rule("bad", text, ("a", "b"))


BAD: dict[str, tuple[Obj, tuple[str, ...]]] = {
    "unknown attribute": (
        bad_match('request.heders["x"] == "y"'),
        ("request.heders", "match"),
    ),
    "wrong type": (bad_match('response.code == "200"'), ("INT64", "STRING", "match")),
    "a match that is no yes or no": (bad_match("request.path"), ("BOOL", "match")),
    "syntax": (bad_match('request.path == "a" &&'), ("match",)),
    "a function that is not there": (bad_match('matsch(request.path, "a")'), ("matsch",)),
    "unknown handler": (rule("bad", "", ("nobody", "nothing")), ("nobody",)),
    "unknown adapter": (handler("bad", "denyer"), ("denyer", "denier")),
    "unknown template": (instance("bad", "checknothin"), ("checknothin",)),
    "parameter out of range": (
        handler("bad", "memquota", quotas=[{"name": "a.instance.b", "maxAmount": -1, "validDuration": "1s"}]),
        ("maxAmount",),
    ),
    "unknown parameter": (handler("bad", "denier", stats={"code": 7}), ("stats",)),
    "a field of the wrong type": (
        instance("bad", "authorization", subject={"user": "response.code"}),
        ("subject.user", "STRING"),
    ),
    "older form": (mixer_object("listentry", "bad", value="nowhere.at.all"), ("nowhere.at.all",)),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_rules_are_refused_with_place_and_remedy(weather: Weather, what: str) -> None:
    item, words = BAD[what]
    with pytest.raises(ApiRefused) as refused:
        weather.mesh.apply(item, wait=False)
    text = str(refused.value)
    assert all(word in text for word in words), text
    assert "Traceback" not in text


def test_the_position_of_a_mistake_is_told(weather: Weather) -> None:
    with pytest.raises(ApiRefused, match=r"(?i)(position|column|character) \d+"):
        weather.mesh.apply(bad_match('source.namespace == "a" && nobody.knows == "b"'), wait=False)


def test_the_plan_says_which_way_a_rule_goes(weather: Weather, mixer: Mixer, meshctl: Command) -> None:
    mixer.apply(denial("by-proxy", f'{FORECAST} && request.headers["x-way"] == "proxy"'))
    mixer.apply(denial("by-call", f'{FORECAST} && source.labels["version"] == "v9"'))
    shown = meshctl("mixer", "plan")
    assert shown.returncode == 0, shown.stderr
    assert {"by-proxy", "by-call"} <= set(shown.stdout.replace("/", " ").split()), shown.stdout
