"""listchecker's lists as conditions, with its words, which name the value that was (not) found.

Envoy can write most values into an answer. Where it cannot, istio-policy is asked about those who are
refused; the others still cost no call. Envoy writes only the first of several headers of one name, Mixer sees
them joined by commas: a refused value with a comma is istio-policy's too.
"""

from collections.abc import Iterator

from mesh.pilot.compile.mixer.formula import NEVER, Formula, one_of
from mesh.pilot.compile.mixer.known import Known
from mesh.pilot.compile.mixer.outcome import Outcome, Reply, said
from mesh.pilot.compile.mixer.terms import Header, Kind, NotHere, Term, Test, constant
from mesh.pilot.compile.mixer.values import Fixed, Value, present
from mesh.rules import answers
from mesh.rules.static import InList

KINDS = {
    "STRINGS": Kind.EXACT,
    "CASE_INSENSITIVE_STRINGS": Kind.ANY_CASE,
    "REGEX": Kind.FOUND,
}
LONGEST = 1000
COMMA = Test(Kind.FOUND, ",")
WHY = "Envoy cannot write a value that is refused into its answer"
MARK = "\x00"
"""Stands for the value in the words of a refusal."""


def in_list(meaning: InList, handler: str, found: Value, known: Known) -> Outcome:
    """What a list says of a value."""
    if meaning.kind not in KINDS:
        raise NotHere(f"handler {handler}: Envoy takes no texts for addresses")
    if len(meaning.entries) > LONGEST:
        raise NotHere(f"handler {handler}: a list of more than {LONGEST} entries")
    asked, refusals = [~present(found)], []
    for choice in found:
        hit = one_of(hits(meaning, choice.what, known))
        refused = choice.when & (hit if meaning.blacklist else ~hit)
        own, left = divided(refused, choice.what)
        asked.append(left)
        if own != NEVER:
            refusals.append((own, words(meaning, handler, choice.what)))
    return Outcome(one_of(asked), tuple(refusals), WHY)


def hits(meaning: InList, what: Fixed | Term, known: Known) -> Iterator[Formula]:
    """When a value is each of the entries."""
    for entry in meaning.entries:
        test = Test(KINDS[meaning.kind], entry)
        yield constant(known.passes(what.value, test)) if isinstance(what, Fixed) else what.test(test)


def divided(refused: Formula, what: Fixed | Term) -> tuple[Formula, Formula]:
    """Refusals that Envoy can put into words, and those that it cannot."""
    if isinstance(what, Fixed):
        return refused, NEVER
    try:
        what.operator()
    except NotHere:
        return NEVER, refused
    several = what.test(COMMA) if isinstance(what, Header) and not what.pseudo else NEVER
    return refused & ~several, refused & several


def words(meaning: InList, handler: str, what: Fixed | Term) -> Reply:
    """The answer to a value that is refused."""
    if isinstance(what, Fixed):
        return said(answers.unlisted(str(what.value), blacklist=meaning.blacklist), handler)
    reply = said(answers.unlisted(MARK, blacklist=meaning.blacklist), handler)
    body = reply.body.replace("%", "%%").replace(MARK, what.operator())
    return Reply(reply.status, body, reply.headers, format=True)
