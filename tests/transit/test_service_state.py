"""What the state says of its own service: recognised as the data say, remembered, and never for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc.errors import RouteError
from msc.protocol.catalog import load_catalog
from msc.transit.service_state import (
    Means,
    Service,
    ServiceBoard,
    Services,
    ServiceState,
    load_services,
    must_be_staffed,
)

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = int(os.environ.get("MSC_CLOCK_EXAMPLES", "50"))
HOUR_US = 3_600_000_000

SERVICES = Services(
    [
        Service("$.2", Means.OUT, None, False, "{line} IS OUT"),
        Service("$.3", Means.BACK, None, False, "{line} IS BACK"),
        Service("$.5", Means.OUT, frozenset({"NCIC"}), False, "NCIC IS OUT"),
        Service("$.6", Means.BACK, frozenset({"NCIC"}), False, "NCIC IS BACK"),
        Service("$.1", Means.CLOSING, None, False, "{line} CLOSES"),
        Service("$.7", Means.NOTICE, None, False, "SAID TO NOBODY"),
        Service("SM.01", Means.OUT, frozenset({"NLETS"}), False, "NLETS IS OUT"),
        Service("SM.02", Means.OUT, frozenset({"NLETS"}), True, "NLETS FORWARDS"),
        Service("ER", Means.NOTICE, None, False, ""),
    ]
)


def said(rest: str, line: str = "clets-a") -> ServiceState:
    state = SERVICES.recognise(line, rest)
    assert state is not None
    return state


# --- recognised ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "code", "text"),
    [
        ("$.2.LINE DOWN UNTIL 0400", "$.2", "CLETS-A IS OUT"),
        ("$.2", "$.2", "CLETS-A IS OUT"),
        ("\r\n$.2\r\nLINE DOWN", "$.2", "CLETS-A IS OUT"),
        ("$.7.TEXT", "$.7", None),
        ("SM.02 WILL FORWARD", "SM.02", "NLETS FORWARDS"),
        ("SM.NL0000000.CA.TXT .02 WILL FORWARD", "SM.02", "NLETS FORWARDS"),
        ("SM.NL0000000.CA,NV.X1.TXT.01", "SM.01", "NLETS IS OUT"),
        ("ER.19 BAD DESTINATION", "ER", None),
        ("ER.NL0000000.CA0990000.TXT .19 BAD DESTINATION", "ER", None),
    ],
)
def test_a_service_message_is_known_by_its_beginning(rest: str, code: str, text: str | None) -> None:
    state = said(rest)
    assert (state.code, state.text) == (code, text)


@pytest.mark.parametrize(
    "rest", ["", "$", "$.A.MEET AT THE GATE", "$.22", "$.2A", "SM", "SM.03", "AM.CA0990000.EXA1.TXT $.2", "SM.TXT 02"]
)
def test_anything_else_says_nothing_of_service(rest: str) -> None:
    assert SERVICES.recognise("clets-a", rest) is None


@given(rest=st.text(max_size=60))
def test_no_text_makes_it_fail(rest: str) -> None:
    for start in ("", "$.", "SM.", "SM.NL0000000.CA.TXT"):
        SERVICES.recognise("clets-a", start + rest)
        must_be_staffed(start + rest)


@pytest.mark.requirement("C-STAFFED")
@pytest.mark.parametrize(
    ("rest", "staffed"),
    [
        ("$.H.DELAYED HIT", True),
        ("$.L.LOCATE", True),
        ("$.A.MEET AT THE GATE", True),
        ("AM.NV0990000.CA0990000.TXT HELLO", True),
        ("YQ.NV0990000.CA0990000.TXT.OCA/1", True),
        ("YR.NV0990000.CA0990000.TXT.OCA/1", False),
        ("$.2.LINE DOWN", False),
        ("AMEN", False),
        ("", False),
    ],
)
def test_delayed_hits_locates_administrative_messages_and_hit_confirmations_need_eyes(
    rest: str, staffed: bool
) -> None:
    assert must_be_staffed(rest) is staffed


# --- remembered ---------------------------------------------------------------------------------


def test_a_line_out_of_service_makes_all_its_messages_wait_until_it_is_back() -> None:
    board = ServiceBoard()
    assert board.waiting("clets-a", "WPS", 0) is None
    assert board.take(said("$.2"), 5) is True
    assert board.waiting("clets-a", "WPS", 6) == "clets-a is out of service, by the state's word ($.2)"
    assert board.waiting("clets-a", None, 6) is not None
    assert board.waiting("ncic-a", "WPS", 6) is None
    assert board.take(said("$.3"), 7) is True
    assert board.waiting("clets-a", "WPS", 8) is None


def test_a_database_out_of_service_makes_only_its_messages_wait() -> None:
    board = ServiceBoard()
    board.take(said("$.5"), 0)
    assert board.waiting("clets-a", "NCIC", 1) == "NCIC is out of service, by the state's word ($.5)"
    assert board.waiting("clets-a", "WPS", 1) is None
    assert board.waiting("ncic-a", "NCIC", 1) is None, "the other line has its own word"
    board.take(said("$.6"), 2)
    assert list(board.outages(3)) == []


def test_what_the_state_will_forward_does_not_wait() -> None:
    board = ServiceBoard()
    assert board.take(said("SM.02"), 0)
    assert board.waiting("clets-a", "NLETS", 1) is None
    assert [outage.forwards for outage in board.outages(1)] == [True]
    assert board.take(said("SM.01"), 2), "it has changed its mind"
    assert board.waiting("clets-a", "NLETS", 3) is not None
    assert [outage.since_us for outage in board.outages(3)] == [0]


def test_a_line_that_is_back_brings_its_databases_back() -> None:
    board = ServiceBoard()
    board.take(said("$.5"), 0)
    board.take(said("$.2"), 1)
    board.take(said("$.3"), 2)
    assert list(board.outages(3)) == []


def test_a_state_that_repeats_itself_tells_nothing_new() -> None:
    board = ServiceBoard()
    assert board.take(said("$.2"), 0)
    assert not board.take(said("$.2"), 1)
    assert board.take(said("$.3"), 2)
    assert not board.take(said("$.3"), 3)
    assert board.take(said("$.1"), 4), "a closing is told whenever it is said"
    assert not board.take(said("$.7"), 5)
    assert list(board.outages(6)) == []


def test_a_word_that_is_not_repeated_holds_for_an_hour() -> None:
    board = ServiceBoard()
    board.take(said("$.2"), 0)
    assert board.waiting("clets-a", "WPS", HOUR_US - 1) is not None
    board.take(said("$.2"), HOUR_US - 1)
    assert board.waiting("clets-a", "WPS", 2 * HOUR_US - 2) is not None
    assert board.waiting("clets-a", "WPS", 2 * HOUR_US - 1) is None
    assert board.take(said("$.2"), 3 * HOUR_US), "and is new after it"


def test_an_operator_knows_better() -> None:
    board = ServiceBoard()
    board.take(said("$.2"), 0)
    board.take(said("$.5"), 0)
    board.take(said("$.2", "ncic-a"), 0)
    assert board.clear("clets-a") is True
    assert board.clear("clets-a") is False
    assert [outage.line for outage in board.outages(1)] == ["ncic-a"]


def test_what_was_said_before_a_restart_still_holds() -> None:
    board = ServiceBoard()
    board.replay([(said("$.2"), 10), (said("$.5"), 20), (said("$.3"), 30), (said("$.5"), 40)])
    assert [(outage.database, outage.since_us) for outage in board.outages(50)] == [("NCIC", 40)]


CODES = ["$.2", "$.3", "$.5", "$.6", "SM.01", "SM.02", "$.1"]


@settings(max_examples=EXAMPLES)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(CODES), st.sampled_from(["l1", "l2"]), st.integers(0, HOUR_US)), max_size=30
    )
)
def test_a_replay_finds_what_there_was(steps: list[tuple[str, str, int]]) -> None:
    """The board after a restart is the one before it, if the journal's last hour is replayed."""
    board, at, spoken = ServiceBoard(), 0, []
    for code, line, later in steps:
        at += later
        state = said(code, line)
        board.take(state, at)
        spoken.append((state, at))
    again = ServiceBoard()
    again.replay([(state, when) for state, when in spoken if at - when < HOUR_US])
    for line in ("l1", "l2"):
        for database in ("NCIC", "NLETS", "WPS", None):
            assert (again.waiting(line, database, at) is None) == (board.waiting(line, database, at) is None)


# --- loaded -------------------------------------------------------------------------------------


def test_the_shipped_messages_are_in_order() -> None:
    databases = {key.database for key in load_catalog(CONFIG / "catalog")}
    services = load_services(CONFIG / "service.toml", databases)
    assert {f"$.{n}" for n in "1234567UVWX"} | {"SM.01", "SM.02", "SM.04", "ER"} <= {
        service.code for service in services._services
    }
    for code, forwards in (("SM.01", False), ("SM.02", True), ("SM.04", False)):
        state = services.recognise("clets-a", f"{code} TEXT")
        assert state is not None and state.out and state.forwards is forwards


def test_every_fault_of_the_file_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text("""
[[service]]
code = "$.2"
scope = "line"
means = "out"
say = "X"
[[service]]
code = "$.2"
scope = "line"
databases = ["WPS"]
means = "back"
say = "X"
[[service]]
code = "$.3"
means = "back"
forwards = true
say = "X"
[[service]]
code = "$.4"
databases = ["NOSUCH"]
means = "out"
""")
    with pytest.raises(RouteError) as refused:
        load_services(file, {"WPS"})
    assert [(fault.where, fault.problem) for fault in refused.value.faults] == [
        ("service.1 ($.2).code", "stands twice"),
        ("service.1 ($.2)", 'needs scope = "line" or databases, and not both'),
        ("service.2 ($.3)", 'needs scope = "line" or databases, and not both'),
        ("service.2 ($.3).forwards", 'goes with means = "out" alone'),
        ("service.3 ($.4).databases", "the catalog has no database NOSUCH"),
        ("service.3 ($.4).say", "is empty: terminals must be told something"),
    ]


@pytest.mark.parametrize(
    "text",
    ["[[service]", '[[service]]\ncode = "2"\nmeans = "out"', '[[service]]\ncode = "$.2"\nmeans = "gone"', "x = 1"],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "service.toml"
    file.write_text(text)
    with pytest.raises(RouteError):
        load_services(file, None)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RouteError):
        load_services(tmp_path / "service.toml", None)
