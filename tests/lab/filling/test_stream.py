"""The filling: exact, the same for the same seed, and like what the switch writes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256
from itertools import chain
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc import clock
from msc.errors import JournalError
from msc.journal.proof.canonical import decode, encode
from msc.journal.record import AuditRecord, Record, StepsRecord
from msc.lab.filling.rhythm import hour_of_week
from msc.lab.filling.stream import BEGAN, ENDED, YEAR_US, generate
from msc.lab.world import PERSONS, VEHICLES, check_digit, person, plate_of, vehicle
from msc.protocol.catalog import load_catalog
from msc.protocol.header import is_oif, is_taf, make_header, make_taf, parse_head, parse_header, read_taf
from msc.routing.criteria import Subject
from msc.routing.plan import PlanFiles, load_plan
from msc.site.shipped import shipped_config
from msc.transit.event import Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.state import has_ended
from tests.support.journal import events_of

END_US = clock.parse_rfc3339("2026-11-22T06:00:00Z")


def records_of(
    records: int = 30_000, years: float = 3.0, seed: int = 7, end_us: int = END_US, after_msn: int = 0
) -> list[Record]:
    """Make a whole filling."""
    return list(chain.from_iterable(generate(records, years, seed, end_us, after_msn=after_msn)))


def digest_of(records: Sequence[Record]) -> str:
    """Hash what would be stored."""
    return sha256(b"\n".join(encode(n, n, None, record) for n, record in enumerate(records))).hexdigest()


def time_of(record: Record) -> int:
    return record.received if isinstance(record, MessageRecord) else record.at


def messages_of(records: Sequence[Record]) -> list[MessageRecord]:
    return [record for record in records if isinstance(record, MessageRecord)]


@pytest.fixture(scope="module")
def filling() -> list[Record]:
    """Three years of a small county."""
    return records_of()


@pytest.fixture(scope="module")
def busy() -> list[Record]:
    """Nine days of a larger county."""
    return records_of(60_000, 0.025, 3)


sizes = st.tuples(
    st.integers(200, 3_000),
    st.sampled_from([0.001, 0.01, 0.2, 3.0]),
    st.integers(0, 2**32),
    st.integers(0, 2**40),
    st.integers(1, 5_000),
)


# --- exact -----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(sizes)
def test_a_filling_has_as_many_records_as_asked_in_order_of_time_and_msns_without_a_gap(
    size: tuple[int, float, int, int, int],
) -> None:
    records, years, seed, after_msn, chunk = size
    made = list(chain.from_iterable(generate(records, years, seed, END_US, after_msn=after_msn, chunk=chunk)))
    assert len(made) == records
    times = [time_of(record) for record in made]
    assert times == sorted(times)
    assert END_US - int(years * YEAR_US) <= times[0]
    assert times[-1] < END_US
    msns = [message.msn for message in messages_of(made)]
    assert msns == list(range(after_msn + 1, after_msn + 1 + len(msns)))


def test_the_same_seed_makes_the_same_records_byte_for_byte_and_another_makes_others() -> None:
    first = digest_of(records_of(5_000, seed=1))
    assert digest_of(records_of(5_000, seed=1)) == first
    assert digest_of(records_of(5_000, seed=2)) != first


def test_how_it_is_cut_into_chunks_changes_nothing() -> None:
    whole = list(chain.from_iterable(generate(4_000, 1.0, 5, END_US, chunk=100)))
    assert whole == list(chain.from_iterable(generate(4_000, 1.0, 5, END_US, chunk=1_000_000)))


@pytest.mark.parametrize(("records", "years"), [(199, 3.0), (10_000, 0.00001)])
def test_a_filling_without_room_for_a_county_is_refused(records: int, years: float) -> None:
    with pytest.raises(JournalError, match="a filling takes at least"):
        generate(records, years, 1, END_US)


def test_a_filling_says_at_both_ends_what_it_is(filling: list[Record]) -> None:
    first, last = filling[0], filling[-1]
    assert isinstance(first, AuditRecord)
    assert isinstance(last, AuditRecord)
    assert (first.event, last.event) == (BEGAN, ENDED)
    assert first.detail == "seed 7; none of it is real"


def test_every_record_is_canonical(filling: list[Record]) -> None:
    assert all(decode(encode(1, 2, None, record)).record == record for record in filling[:3_000])


# --- as the switch writes it ------------------------------------------------------------------------


@pytest.mark.requirement("C-TRAFFIC")
def test_every_message_of_a_filling_has_ended_at_every_destination(filling: list[Record], busy: list[Record]) -> None:
    for records in (filling, busy):
        lives: dict[tuple[int, str | None], list[str]] = defaultdict(list)
        for event in events_of(records):
            lives[event.msn, event.destination].append(event.event)
        begun = {msn for (msn, _), events in lives.items() if {"routed", "refused", "operator_queue"} & set(events)}
        assert begun == {message.msn for message in messages_of(records)}
        assert all(has_ended(destination or "", events) for (_, destination), events in lives.items())


def test_no_event_comes_before_its_message(busy: list[Record]) -> None:
    seen: set[int] = set()
    for record in busy:
        if isinstance(record, MessageRecord):
            seen.add(record.msn)
        elif isinstance(record, StepsRecord):
            assert record.msn in seen


@pytest.mark.requirement("C-HDR", "C-OIF", "C-TAF")
def test_headers_oifs_and_tafs_are_those_of_the_switch(busy: list[Record]) -> None:
    inquiries: dict[int, MessageRecord] = {}
    for message in messages_of(busy):
        if message.kind == "unsolicited":
            assert message.header == parse_header(message.text)[0]
        elif message.transaction == message.msn:
            inquiries[message.msn] = message
            assert is_oif(message.oif or "")
            assert is_taf(message.taf or "")
            if message.code is None:
                assert message.header == make_header(message.mnemonic or "", message.msn)
            if message.own_header:
                head, _ = parse_head(message.text)
                assert head == (message.own_header, message.oif, message.taf)
        else:
            asked = inquiries[message.transaction or 0]
            shared = ("header", "own_header", "user", "agency", "ori", "mnemonic", "device", "ref", "priority")
            assert all(getattr(message, name) == getattr(asked, name) for name in shared)
            if message.kind == "response":
                assert message.text.startswith(f"{asked.header}.")
                assert (message.key, message.system, message.database) == (asked.key, asked.system, asked.database)


def test_a_terminals_taf_holds_its_address(busy: list[Record]) -> None:
    sources = {r.device: r.source for r in busy if isinstance(r, AuditRecord) and r.event == "connection.opened"}
    tafs = {m.device: m.taf for m in messages_of(busy) if m.taf and m.own_header is None}
    assert len(tafs) > 5
    for device, taf in tafs.items():
        ip, _, mac = read_taf(taf or "").partition(" mac ")
        assert ip == sources[device]
        assert taf == make_taf(ip, mac, device or "")


def test_what_stations_send_is_in_the_shipped_catalog_and_goes_where_the_shipped_routes_say(
    busy: list[Record],
) -> None:
    catalog = load_catalog(shipped_config() / "catalog")
    plan = load_plan(PlanFiles(shipped_config() / "routes.toml"), catalog, {"clets-a", "ncic-a"}, None)
    routed: dict[int, list[tuple[str | None, str | None]]] = defaultdict(list)
    for event in events_of(busy):
        if event.event == Life.ROUTED:
            routed[event.msn].append((event.destination, event.facts.get("route")))
    kinds = set()
    for message in messages_of(busy):
        if message.direction == Direction.INBOUND or message.kind == "status" or message.code is not None:
            continue
        text = parse_head(message.text)[1] if message.own_header else message.text
        key, rest = catalog.find(text)
        body = key.parse(rest)
        key.check_purpose(body)
        key.check_destinations(body)
        kinds.add(key.code)
        assert (key.function.value, key.system, key.key, key.database) == (
            message.kind, message.system, message.key, message.database,
        )  # fmt: skip
        assert body.ori == message.ori
        assert not key.requester_required or message.requester
        assert message.mnemonic and message.ori and message.agency
        sender = message.mnemonic, message.ori, message.agency
        route = plan.routes.decide(Subject(key, *sender, body.destinations, body.fields))
        lines = [(f"line:{line}", route.name) for line in route.lines]
        if lines:
            assert routed[message.msn] == lines
        else:
            assert {name for _, name in routed[message.msn]} == {route.name}
    assert kinds == {key.code for key in catalog if key.code not in ("QG", "QA", "YR")}


def test_refused_messages_say_why_and_go_nowhere(busy: list[Record]) -> None:
    refused = {message.msn: message for message in messages_of(busy) if message.code and message.kind != "status"}
    assert {"E205", "E206", "E207", "E301", "E302", "E303", "E304"} <= {m.code for m in refused.values()}
    for event in events_of(busy):
        if event.msn in refused:
            assert event.event == Life.REFUSED
            assert event.facts["code"] == refused[event.msn].code and event.facts["why"]
    assert all(message.header is None for message in refused.values())


def test_everybody_who_sends_is_signed_on(busy: list[Record]) -> None:
    here: dict[str, tuple[str | None, str | None, str | None]] = {}
    held: dict[str, str] = {}
    for record in busy:
        if isinstance(record, AuditRecord) and record.event == "sign_on.granted":
            assert record.session is not None and record.mnemonic is not None
            if not (record.device or "").startswith("CAD"):
                assert record.mnemonic not in held, "a mnemonic is one person's at a time"
                held[record.mnemonic] = record.session
            here[record.session] = (record.user, record.device, record.mnemonic)
        elif isinstance(record, AuditRecord) and record.event == "session.ended":
            del here[record.session or ""]
            held.pop(record.mnemonic or "", None)
        elif isinstance(record, MessageRecord) and record.session is not None:
            assert here[record.session] == (record.user, record.device, record.mnemonic)
    assert not here


def test_the_frames_of_a_line_are_numbered_without_a_gap(filling: list[Record]) -> None:
    last: dict[str, int] = defaultdict(int)
    for record in filling:
        if isinstance(record, AuditRecord) and record.event == "switch.started":
            last.clear()
        elif isinstance(record, MessageRecord) and record.direction == Direction.INBOUND:
            assert record.sequence == last[record.line or ""] + 1
            last[record.line or ""] = record.sequence


def test_all_sorts_of_ends_occur(filling: list[Record], busy: list[Record]) -> None:
    events = {event.event for event in events_of([*filling, *busy])}
    # The filled county's stations are always there, nothing waits for one; and nobody operates its queues.
    operated = {"forwarded", "alternate_routed", "reprioritised", "cancelled"}
    assert (
        events == {life.value for life in Life} - {"received", "queued", "cleared", "reminded", "overdue"} - operated
    )
    codes = {m.code for m in messages_of([*filling, *busy]) if m.kind == "status"}
    assert codes == {"E401", "E403", "E404", "E405"}


# --- like a county ----------------------------------------------------------------------------------


def test_a_few_users_plates_and_names_are_common_and_most_are_rare(busy: list[Record]) -> None:
    inquiries = [message for message in messages_of(busy) if message.kind == "inquiry"]
    users = Counter(message.user for message in inquiries)
    plates = Counter(m.text.rpartition("LIC/")[2] for m in inquiries if "LIC/" in m.text)
    surnames = Counter(m.text.partition("NAM/")[2].partition(",")[0] for m in inquiries if "NAM/" in m.text)
    for found, at_least in ((users, 5), (plates, 10), (surnames, 10)):
        assert found.most_common(1)[0][1] >= at_least * median(found.values())
    assert len(plates) > 500


def test_friday_nights_are_busier_than_tuesday_mornings_and_every_month_has_traffic(filling: list[Record]) -> None:
    asked = [m.received for m in messages_of(filling) if m.transaction == m.msn]
    by_hour = Counter(hour_of_week(at) for at in asked)
    friday, tuesday = 4 * 24, 24
    assert sum(by_hour[friday + hour] for hour in (20, 21, 22, 23)) > 4 * sum(
        by_hour[tuesday + hour] for hour in (2, 3, 4, 5)
    )
    by_month = Counter(clock.month_of(at) for at in asked)
    assert len(by_month) == 37  # thirty-six and the part of one
    whole = [count for _, count in sorted(by_month.items())[1:-1]]
    assert min(whole) > max(whole) / 3


def test_summers_are_busier_than_winters() -> None:
    asked = Counter(
        clock.day_of(message.received).month
        for message in messages_of(records_of(40_000, 2.0, 11, clock.parse_rfc3339("2026-01-01")))
        if message.transaction == message.msn
    )
    assert sum(asked[month] for month in (6, 7, 8)) > 1.1 * sum(asked[month] for month in (12, 1, 2))


def test_hits_are_long_and_no_hits_are_short(busy: list[Record]) -> None:
    answers = [m.text for m in messages_of(busy) if m.kind == "response"]
    hits = [len(text) for text in answers if "IMMED CONFIRM" in text]
    none = [len(text) for text in answers if "NO RECORD" in text]
    assert 300 <= median(hits) <= 700
    assert median(none) < 100
    assert 0.02 < len(hits) / len(answers) < 0.2


# --- nobody real -----------------------------------------------------------------------------------


@given(st.integers(0, VEHICLES - 1))
def test_a_vehicle_is_invented_and_its_vin_is_sound(number: int) -> None:
    found = vehicle(number)
    assert found.plate.startswith("ZZ")
    assert len(found.plate) == 7
    assert found.vin.startswith("TESTV")
    assert len(found.vin) == 17
    assert found.vin[8] == check_digit(found.vin)
    assert not set(found.vin) & set("IOQ")
    assert found == vehicle(number)


def test_the_check_digit_is_that_of_the_standard() -> None:
    # ISO 3779 and 49 CFR 565: the example every description of it gives, and all ones.
    assert check_digit("1M8GDM9AXKP042788") == "X"
    assert check_digit("1" * 17) == "1"


def test_no_two_vehicles_share_a_plate_and_no_two_people_a_licence() -> None:
    assert len({plate_of(number) for number in range(VEHICLES)}) == VEHICLES
    assert len({person(number).oln for number in range(0, PERSONS, 50)}) == PERSONS // 50


def test_all_oris_are_of_the_county_that_is_none(busy: list[Record]) -> None:
    messages = messages_of(busy)
    assert all((message.ori or "CA099").startswith("CA099") for message in messages)
    assert all((message.mnemonic or "EX").startswith("EX") for message in messages)
