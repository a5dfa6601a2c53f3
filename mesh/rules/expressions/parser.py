"""From tokens to a tree, by precedence."""

from mesh.rules.expressions.errors import ExpressionError
from mesh.rules.expressions.lexer import Token, tokens
from mesh.rules.expressions.literals import literal
from mesh.rules.expressions.tree import OPERATORS, Attribute, Call, Constant, Node

DEEPEST = 40
"""Brackets within brackets."""

HIGHEST = 150
"""Operators of one chain, whose tree is as deep: what compiles and evaluates it recurses."""


def parse(text: str) -> Node:
    """The tree of an expression. Raises `ExpressionError` with the position of the fault."""
    parser = Parser(text)
    found = parser.binary(1)
    parser.expect("end", "")
    return found


class Parser:
    """Reads the tokens of a text from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.words, self.at, self.depth = text, tokens(text), 0, 0

    @property
    def word(self) -> Token:
        """The next token."""
        return self.words[self.at]

    def take(self) -> Token:
        """The next token, taken."""
        self.at += 1
        return self.words[self.at - 1]

    def is_sign(self, *signs: str) -> bool:
        """Whether the next token is one of these signs."""
        return self.word.kind == "sign" and self.word.text in signs

    def expect(self, kind: str, text: str) -> Token:
        """The next token, which must be this one."""
        if self.word.kind != kind or (text and self.word.text != text):
            wanted = repr(text) if text else {"end": "an operator or the end", "name": "a name"}[kind]
            raise self.unexpected(wanted)
        return self.take()

    def fault(self, position: int, message: str, remedy: str = "") -> ExpressionError:
        """A fault of this text."""
        return ExpressionError(self.text, position, message, remedy)

    def unexpected(self, wanted: str) -> ExpressionError:
        """What stands here, and what should."""
        found = repr(self.word.text[:40]) if self.word.kind != "end" else "the end"
        return self.fault(self.word.position, f"found {found} where {wanted} is expected")

    def binary(self, lowest: int) -> Node:
        """Operators of at least this precedence; they bind to the left."""
        left = self.unary()
        chain = 0
        while self.word.kind == "sign" and OPERATORS.get(self.word.text, 0) >= lowest:
            sign = self.take()
            chain += 1
            if chain > HIGHEST:
                raise self.fault(sign.position, f"has more than {HIGHEST} operators in a row", "split it")
            right = self.binary(OPERATORS[sign.text] + 1)
            left = Call(sign.text, (left, right), position=sign.position)
        return left

    def unary(self) -> Node:
        """`!`, or a value with what follows it."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fault(self.word.position, "is nested too deeply", "split it into several rules")
        if self.is_sign("!"):
            sign = self.take()
            found: Node = Call("!", (self.unary(),), position=sign.position)
        else:
            found = self.trailers(self.primary())
        self.depth -= 1
        return found

    def trailers(self, found: Node) -> Node:
        """`[key]`, `.method(...)` behind a value."""
        trailers = 0
        while self.is_sign("[", "."):
            sign = self.take()
            trailers += 1
            if trailers > DEEPEST:
                raise self.fault(sign.position, "is nested too deeply", "split it into several rules")
            if sign.text == "[":
                found = Call("[]", (found, self.binary(1)), position=sign.position)
                self.expect("sign", "]")
            else:
                name = self.expect("name", "")
                found = Call(name.text, (found, *self.arguments()), method=True, position=name.position)
        return found

    def arguments(self) -> tuple[Node, ...]:
        """`(a, b)`."""
        self.expect("sign", "(")
        found: list[Node] = []
        while not self.is_sign(")"):
            if found:
                self.expect("sign", ",")
            found.append(self.binary(1))
        self.take()
        return tuple(found)

    def primary(self) -> Node:
        """A literal, a name, a call or something in brackets."""
        word = self.word
        if word.kind == "name":
            return self.named()
        if self.is_sign("("):
            self.take()
            found = self.binary(1)
            self.expect("sign", ")")
            return found
        if word.kind in ("string", "int", "float"):
            return Constant(literal(self.take(), self.text), word.position)
        raise self.unexpected("a value")

    def named(self) -> Node:
        """`true`, an attribute, a function, or a method of an attribute."""
        words = [self.take()]
        while self.is_sign(".") and self.words[self.at + 1].kind == "name":
            self.take()
            words.append(self.take())
        first, last = words[0], words[-1]
        if self.is_sign("("):
            inner = self.arguments()
            if len(words) == 1:
                return Call(first.text, inner, position=first.position)
            target = Attribute(".".join(each.text for each in words[:-1]), first.position)
            return Call(last.text, (target, *inner), method=True, position=last.position)
        if len(words) == 1 and first.text.lower() in ("true", "false"):
            return Constant(first.text.lower() == "true", first.position)
        return Attribute(".".join(each.text for each in words), first.position)
