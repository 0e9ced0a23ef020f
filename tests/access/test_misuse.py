"""Which accepted messages are put on the list for review, and that looking at them disturbs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from msc import limits
from msc.access.control_point import OperatorSession
from msc.access.misuse import Asked, MisuseWatch, Pattern, load_high_profile, read_name
from msc.access.review import MisuseReview
from msc.audit import AuditEvent
from msc.directory.rows import Directory, OperatorClass
from msc.directory.store import DirectoryStore, DirectoryUnavailable
from msc.errors import SettingsError
from msc.protocol.catalog import load_catalog
from msc.settings import MisuseSettings
from tests.support.county import county, user

CATALOG = load_catalog(Path(__file__).parents[2] / "config" / "catalog")
HOUR = 3_600_000_000
DAY = 24 * HOUR
NOON = 20_000 * DAY + 12 * HOUR
ALL_OFF = {"own_name": False, "own_surname": False, "colleague": False, "repeated": False, "inquiries_per_hour": 0}

OWN, FAMILY, COLLEAGUE = Pattern.OWN_NAME, Pattern.OWN_SURNAME, Pattern.COLLEAGUE


def session(of: str = "J40217") -> OperatorSession:
    return OperatorSession(
        "s1", of, "EXLP", "CA0980000", OperatorClass.FULL_ACCESS, "A123", None, None, "desk-1", "device:desk-1"
    )


def asked(
    at: int = NOON, *, key: str = "IW.QW", of: str = "J40217", reason: str | None = None, **fields: str
) -> Asked:
    entry = CATALOG.get(key)
    assert entry is not None
    return Asked(7, at, session(of), entry, fields, reason)


def watch(directory: Directory | None = None, high_profile: Iterable[str] = (), **settings: object) -> MisuseWatch:
    known = frozenset().union(*(read_name(name).known_as for name in high_profile))
    return MisuseWatch(directory or county(), MisuseSettings(**settings), known, b"salt")  # type: ignore[arg-type]


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.requirement("C-SELF")
@pytest.mark.parametrize(
    ("own", "inquired", "pattern"),
    [
        ("DOE, JOHN", "DOE,JOHN", OWN),
        ("DOE, JOHN", "DOE, JOHN", OWN),
        ("DOE, JOHN", "DOE,JOHN ALLEN", OWN),
        ("DOE, JOHN ALLEN", "DOE,JOHN", OWN),
        ("DOE, JOHN ALLEN", "DOE,JOHN B", OWN),
        ("DOE, JOHN", "JOHN,DOE", OWN),
        ("John Allen Doe", "DOE,JOHN", OWN),
        ("Deputy John Doe", "DOE,JOHN", OWN),
        ("John Doe, Jr.", "DOE,JOHN", OWN),
        ("John Doe, Jr.", "DOE,JANE", FAMILY),
        ("Doe, John Jr.", "DOE JR,JOHN", OWN),
        ("José O'Brien-Núñez", "OBRIEN NUNEZ,JOSE", OWN),
        ("Maria de la Cruz", "DE LA CRUZ,MARIA", OWN),
        ("DOE, JOHN", "DOE,JANE", FAMILY),
        ("John Doe", "DOE,JANE", FAMILY),
        ("Maria de la Cruz", "CRUZ,ANNA", FAMILY),
        ("DOE, JOHN", "ROE,JOHN", None),
        ("DOE, JOHN", "DOES,JOHN", None),
        ("DOE", "DOE,JOHN", None),  # one word is not a name
        ("", "DOE,JOHN", None),
    ],
)
def test_an_inquiry_into_ones_own_name_is_seen(own: str, inquired: str, pattern: Pattern | None) -> None:
    one = watch(county(user("U00001", name=own)))
    # In the county stands John Doe as well, and is a colleague.
    found = [p for p in one.look(asked(of="U00001", NAM=inquired)) if p is not COLLEAGUE]
    assert found == ([pattern] if pattern else [])


@pytest.mark.requirement("C-SELF")
@pytest.mark.parametrize("key", ["IW.QW", "IB.QRR", "YQ"])
def test_every_message_that_names_somebody_is_looked_at(key: str) -> None:
    assert CATALOG.get(key) is not None
    assert OWN in watch().look(asked(key=key, NAM="DOE,JOHN"))


@pytest.mark.requirement("C-SELF")
def test_an_inquiry_into_a_colleague_is_seen_and_follows_the_directory() -> None:
    directory = county(user("U00001", name="ROE, RICHARD"), user("U00002", name="Sam Poe"))
    one = watch(directory)
    assert one.look(asked(NAM="ROE,RICHARD LEE")) == [COLLEAGUE]
    assert one.look(asked(NAM="POE,SAM")) == [COLLEAGUE]
    directory.replace(
        [replace(directory.users["U00001"], name="MOE, RICHARD"), user("U00003", name="NEW, ANNA")],
        [("user", "U00002")],
    )
    one.refresh()
    assert [list(one.look(asked(NAM=name))) for name in ("ROE,RICHARD", "POE,SAM", "MOE,RICHARD", "NEW,ANNA")] == [
        [], [], [COLLEAGUE], [COLLEAGUE],
    ]  # fmt: skip


def test_two_people_of_one_name_are_each_their_own() -> None:
    directory = county(user("U00001", name="DOE, JOHN"))
    one = watch(directory)
    assert one.look(asked(NAM="DOE,JOHN")) == [OWN] == one.look(asked(of="U00001", NAM="DOE,JOHN"))
    directory.replace([], [("user", "U00001")])
    one.refresh()
    assert one.look(asked(of="U99999", NAM="DOE,JOHN")) == [COLLEAGUE]


@pytest.mark.requirement("C-SELF")
def test_a_name_of_the_sites_list_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "high-profile.txt"
    file.write_text("# people of interest\n\nSTAR,FAMOUS\nWell Known\n")
    one = MisuseWatch(county(), MisuseSettings(), load_high_profile(file), b"salt")
    assert one.look(asked(NAM="STAR,FAMOUS ANN")) == [Pattern.HIGH_PROFILE]
    assert one.look(asked(NAM="KNOWN,WELL")) == [Pattern.HIGH_PROFILE]
    assert not one.look(asked(NAM="STAR,OTHER"))
    assert load_high_profile(None) == frozenset()


def test_a_list_that_cannot_be_used_is_refused_with_its_lines_and_no_name(tmp_path: Path) -> None:
    file = tmp_path / "high-profile.txt"
    with pytest.raises(SettingsError, match="cannot be read"):
        load_high_profile(file)
    file.write_text("SECRET\nSTAR,FAMOUS\n,\n")
    with pytest.raises(SettingsError) as told:
        load_high_profile(file)
    assert [fault.where for fault in told.value.faults] == ["line 1", "line 3"]
    assert "SECRET" not in str(told.value)


# --- what comes again ---------------------------------------------------------------------------------


@pytest.mark.requirement("C-SELF")
@pytest.mark.parametrize(
    ("days", "flagged"),
    [
        ([0, 1, 1], [2]),
        ([0, 0, 1], [2]),
        ([0, 1, 2], [2]),
        ([0, 0, 0, 0], []),  # one day's work
        ([0, 1], []),
        ([0, 6, 6], [2]),
        ([0, 7, 7], []),  # longer than a week ago
        ([0, 0, 1, 1, 1], [2]),  # once a day is enough
        ([0, 0, 1, 2, 2], [2, 3]),
    ],
    ids=str,
)
@pytest.mark.parametrize("field", ["LIC", "VIN", "NAM", "OLN"])
def test_asking_again_on_another_day_without_a_reason_is_seen(
    field: str, days: list[int], flagged: list[int]
) -> None:
    one = watch()
    found = [one.look(asked(NOON + day * DAY + n, **{field: "SEEN,BEFORE"})) for n, day in enumerate(days)]
    assert [n for n, patterns in enumerate(found) if patterns] == flagged
    assert {p for patterns in found for p in patterns} <= {Pattern.REPEATED}


@pytest.mark.parametrize(
    "other",
    [
        {"reason": "26-1042"},
        {"of": "U00001"},
        {"LIC": "1SAM002"},
        {"key": "IA.EV"},
    ],
    ids=str,
)
def test_what_has_a_reason_or_is_another_matter_is_no_repetition(other: dict[str, str]) -> None:
    one = watch()
    for day in range(2):
        assert not one.look(asked(NOON + day * DAY, LIC="1SAM001"))
    third = {"LIC": "1SAM001"} | other
    assert not one.look(asked(NOON + 2 * DAY, **third))  # type: ignore[arg-type]
    assert one.look(asked(NOON + 3 * DAY, LIC="1SAM001")) == [Pattern.REPEATED]


def test_what_is_remembered_has_a_bound_and_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msc.access.misuse.MISUSE_REMEMBERED_MAX", 2)
    one = watch()
    for day in range(2):
        for plate in ("1SAM001", "1SAM002", "1SAM003"):
            one.look(asked(NOON + day * DAY, LIC=plate))
    assert not one.look(asked(NOON + 2 * DAY, LIC="1SAM001"))  # forgotten for the others
    assert "1SAM" not in repr(vars(one))
    assert limits.MISUSE_REMEMBERED_MAX > 2


# --- how many -----------------------------------------------------------------------------------------


@pytest.mark.requirement("C-SELF")
def test_more_than_an_hour_allows_is_seen_once_an_hour() -> None:
    one, minute = watch(inquiries_per_hour=3), HOUR // 60
    times = [0, 1, 2, 3, 4, 62, 63, 64, 65]
    found = [one.look(asked(NOON + m * minute, key="IV.4", LIC=f"1SAM{m:03}")) for m in times]
    assert [m for m, patterns in zip(times, found, strict=True) if patterns] == [3, 65]
    assert not one.look(asked(NOON + 65 * minute, key="IV.4", of="U00001", LIC="1SAM001"))


def test_messages_that_are_no_inquiries_are_not_counted() -> None:
    one = watch(inquiries_per_hour=1)
    assert not [p for n in range(5) for p in one.look(asked(NOON + n, key="IA.EV", LIC=f"1SAM{n:03}"))]


def test_every_pattern_can_be_turned_off() -> None:
    directory = county(user("U00001", name="ROE, RICHARD"))
    one = watch(directory, **ALL_OFF)
    for day in range(3):
        for name in ("DOE,JOHN", "DOE,JANE", "ROE,RICHARD"):
            assert not one.look(asked(NOON + day * DAY, NAM=name))


# --- the review ---------------------------------------------------------------------------------------


@pytest.fixture
async def review(store: DirectoryStore) -> tuple[MisuseReview, list[AuditEvent]]:
    await store.open()
    audited: list[AuditEvent] = []
    return MisuseReview(watch(), store, audited.append), audited


@pytest.mark.requirement("C-SELF", "F-AUDIT")
async def test_a_flag_is_audited_at_once_and_on_the_list_a_moment_later(
    review: tuple[MisuseReview, list[AuditEvent]], store: DirectoryStore
) -> None:
    one, audited = review
    one.take(asked(NAM="DOE,JOHN"))
    one.take(asked(NAM="NOBODY,KNOWN"))
    assert not audited  # nothing is looked at before the turn is over
    await asyncio.sleep(0)
    assert audited == [
        AuditEvent(
            NOON, "misuse.flagged", device="desk-1", user="J40217", mnemonic="A123", session="s1", subject="MSN 7",
            detail="own_name",
        )
    ]  # fmt: skip
    assert await store.misuse(closed=True) == []
    await one.write()
    await one.write()
    (flag,) = await store.misuse(closed=False)
    assert (flag.at, flag.msn, flag.user, flag.agency, flag.pattern) == (NOON, 7, "J40217", "EXLP", "own_name")
    assert "DOE" not in repr(flag) + repr(audited)


async def test_flags_wait_while_the_directory_cannot_be_written(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No tables yet: a write fails as it would on a broken disk.
    one = MisuseReview(watch(repeated=False), store, lambda _event: None)
    monkeypatch.setattr("msc.access.review.MISUSE_FLAGS_WAITING_MAX", 2)
    for msn in (1, 2, 3):
        one.look(asked(NAM="DOE,JOHN")._replace(msn=msn))
    with pytest.raises(DirectoryUnavailable):
        await one.write()
    await store.open()
    await one.write()
    assert [flag.msn for flag in await store.misuse(closed=False)] == [2, 3]  # within the bound, the newest


async def test_a_fault_of_the_watch_ends_with_that_message(
    review: tuple[MisuseReview, list[AuditEvent]],
) -> None:
    one, audited = review
    one.take(asked()._replace(fields=None))  # type: ignore[arg-type]
    one.take(asked(NAM="DOE,JOHN"))
    await asyncio.sleep(0)
    assert [event.detail for event in audited] == ["own_name"]
