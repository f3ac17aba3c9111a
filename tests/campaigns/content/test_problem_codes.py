"""The levels of content problems: the preparation takes a Problem's, the typology's form shows the catalogue's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from campaigns.models.control_rule_catalogue import CONTROL_RULES

CONTENT = Path(__file__).parents[3] / "campaigns" / "content"
# Always at the level of the Problem: no typology names them.
NOT_IN_THE_CATALOGUE = {
    "dropped-element",
    "event-handler",
    "script",
    "style-not-inlined",
    "too-many-elements",
    "too-many-links",
    "unclosed-tag",
}
# What makes a problem: (place of the code among its arguments, its default, place of the severity, its default).
MAKERS = {"Problem": (4, "syntax", 3, "error"), "problem": (1, "", 3, "warning")}


def raised() -> set[tuple[str, str]]:
    """(code, severity) of every problem that the source makes; of a variable each text that its function gives it."""
    trees = [ast.parse(path.read_text()) for path in CONTENT.rglob("*.py")]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {pair for function in functions for call in calls(function) for pair in told(call, function)}


def calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            yield node


def told(call: ast.Call, function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    assert isinstance(call.func, ast.Name)
    code_at, code, severity_at, severity = MAKERS[call.func.id]
    for one in texts(argument(call, code_at, "code"), code, function):
        for level in texts(argument(call, severity_at, "severity"), severity, function):
            yield one, level


def argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    named = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    return named or (call.args[place] if len(call.args) > place else None)


def texts(given: ast.expr | None, default: str, function: ast.FunctionDef) -> list[str]:
    """What the argument may be."""
    if given is None:
        return [default]
    if isinstance(given, ast.Name):
        named = given.id
        assigned = [n for n in ast.walk(function) if isinstance(n, ast.Assign) and is_to(n, named)]
        return [text for node in assigned for text in constants(node.value)]
    return constants(given)


def is_to(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def constants(node: ast.expr) -> list[str]:
    found = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    return [str(one.value) for one in found if isinstance(one, ast.Constant)]


def test_problem_and_catalogue_agree_on_the_level() -> None:
    found = raised()
    assert {code for code, _ in found} >= {"script", "work", "syntax", "optout-missing", "url-relative"}
    listed = {(code, level) for code, level in found if code in CONTROL_RULES}
    assert {(code, CONTROL_RULES[code].level) for code, _ in listed} == listed


def test_every_content_rule_has_its_problem_and_the_others_are_named_here() -> None:
    codes = {code for code, _ in raised()}
    assert codes - set(CONTROL_RULES) == NOT_IN_THE_CATALOGUE
    assert {code for code, rule in CONTROL_RULES.items() if rule.content} == codes & set(CONTROL_RULES)
