"""What differs between two tables: added, removed, changed, moved, and who is routed elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from msc.protocol.catalog import load_catalog
from msc.routing.criteria import Criteria, Subject
from msc.routing.difference import difference, elsewhere
from msc.routing.table import Deliver, Route, RouteTable

CATALOG = load_catalog(Path(__file__).parents[2] / "config" / "catalog")


def route(name: str, *lines: str, precedence: int = 100, **criteria: tuple[str, ...]) -> Route:
    return Route(name, precedence, Criteria.of(**criteria), Deliver.LINES, lines or ("a",))


def table(*routes: Route) -> RouteTable:
    return RouteTable(routes)


def test_added_removed_changed_and_moved_routes_are_told_apart() -> None:
    old = table(route("a"), route("b"), route("c"), route("d"), route("gone"))
    new = table(route("c"), route("a"), route("b", "z", keys=("QW",)), route("d"), route("new"))
    found = difference(old, new)
    assert (found.added, found.removed, found.moved) == (["new"], ["gone"], ["c"])
    (changed,) = found.changed
    assert changed.name == "b"
    assert changed.what == {"to": (["a"], ["z"]), "keys": (None, ["QW"])}
    assert not found.nothing
    assert difference(old, old).nothing


def test_a_new_precedence_is_a_change_and_not_a_move() -> None:
    found = difference(table(route("a"), route("b")), table(route("a"), route("b", precedence=1)))
    assert [(each.name, each.what) for each in found.changed] == [("b", {"precedence": (100, 1)})]
    assert found.moved == []


@given(st.permutations(range(12)))
def test_the_fewest_moves_are_told(order: list[int]) -> None:
    old = table(*[route(f"{n}") for n in range(12)])
    new = table(*[route(f"{n}") for n in order])
    moved = set(difference(old, new).moved)
    left = [n for n in order if f"{n}" not in moved]
    assert left == sorted(left)
    # By a plain search over all that could have stayed where it was.
    longest = [1] * 12
    for i in range(12):
        longest[i] = 1 + max((longest[j] for j in range(i) if order[j] < order[i]), default=0)
    assert len(left) == max(longest)


def test_messages_that_would_go_elsewhere_are_put_together() -> None:
    def subject(code: str, mnemonic: str, **more: Any) -> Subject:
        key = CATALOG.get(code)
        assert key is not None
        return Subject(key, mnemonic, "CA0990000", "EXSO", **more)

    old = table(route("one", keys=("IW.QW",)), route("rest"))
    new = table(route("one", "b", keys=("IW.QW",), mnemonics=("EXA1", "EXA2")), route("rest", keys=("I*",)))
    asked = [subject(code, name) for code in ("IW.QW", "QW") for name in ("EXA1", "EXA2", "EXA3")]
    assert [tuple(each) for each in elsewhere(old, new, asked)] == [
        ("IW.QW", "one", "one", ["EXA1", "EXA2"]),
        ("IW.QW", "one", "rest", ["EXA3"]),
        ("QW", "rest", None, ["EXA1", "EXA2", "EXA3"]),
    ]
