"""Groups: nested and never in a circle, resolved to mnemonics and ORIs, each of them where somebody is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msc.errors import RouteError
from msc.limits import GROUP_STATIONS_MAX
from msc.protocol.catalog import Catalog
from msc.routing.groups import Group, Groups, Scope, Station, cycles
from msc.routing.plan import Plan, PlanFiles, load_plan

LINES = ("clets-a", "ncic-a")
DESK = Station("DISPATCH1", attended=True)
CAR = Station("MOBILE1", attended=False)
JAIL = Station("JAIL1", attended=False, waiver="WAIVER-1")


class County:
    """A county of a few names, as the loader asks for them."""

    _named: ClassVar = {
        "EXA1": [DESK], "EXC1": [CAR], "EXJ1": [JAIL], "EXM1": [], "CA0990000": [DESK], "CA0990100": [DESK, CAR],
    }  # fmt: skip
    _devices: ClassVar = {each.device: each for each in (DESK, CAR, JAIL)}

    def named(self, name: str) -> Sequence[Station] | None:
        return self._named.get(name)

    def device(self, name: str) -> Station | None:
        return self._devices.get(name)


def group(code: str, members: str, scope: str = "county", to: str = "[]") -> str:
    return f'[[group]]\ncode = "{code}"\nname = "{code}"\nscope = "{scope}"\nmembers = {members}\nto = {to}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes.toml").write_text("")
    return tmp_path


def load(folder: Path, groups: str, routes: str = "") -> Plan:
    (folder / "groups.toml").write_text(groups)
    (folder / "routes.toml").write_text(routes)
    files = PlanFiles(folder / "routes.toml", folder / "groups.toml")
    return load_plan(files, Catalog(()), LINES, County())


def faults(folder: Path, groups: str, routes: str = "") -> list[str]:
    with pytest.raises(RouteError) as refused:
        load(folder, groups, routes)
    return [f"{fault.where}: {fault.problem}" for fault in refused.value.faults]


@pytest.mark.requirement("C-ADMIN")
def test_a_group_ends_at_the_members_of_all_groups_in_it(folder: Path) -> None:
    groups = load(
        folder,
        group("EXALL", '["EXSO", "EXJ1", "EXSO2"]', "state", '["ncic-a"]')
        + group("EXSO", '["EXA1", "CA0990000"]')
        + group("EXSO2", '["EXSO", "EXJ1"]', "state", '["clets-a", "ncic-a"]'),
    ).groups
    assert groups.members("EXALL") == {"EXA1", "EXJ1", "CA0990000"}
    assert groups.members("EXSO") == {"EXA1", "CA0990000"}
    assert groups.lines("EXALL") == ("ncic-a", "clets-a")
    assert groups.lines("EXSO") == ()
    assert "EXSO" in groups and "EXA1" not in groups
    assert groups.members("NONE") == frozenset()
    assert [each.code for each in groups] == ["EXALL", "EXSO", "EXSO2"]


def test_a_group_of_the_nation_may_go_to_a_line_alone(folder: Path) -> None:
    found = load(folder, group("NATION", "[]", "nation", '["ncic-a"]')).groups.get("NATION")
    assert found == Group("NATION", "NATION", Scope.NATION, (), ("ncic-a",))


@pytest.mark.requirement("C-ADMIN")
def test_a_group_that_holds_itself_is_refused_with_its_way_named(folder: Path) -> None:
    assert faults(folder, group("AA", '["BB", "EXA1"]') + group("BB", '["CC"]') + group("CC", '["BB"]')) == [
        "group (BB): holds itself: BB -> CC -> BB"
    ]
    assert faults(folder, group("AA", '["AA"]')) == ["group (AA): holds itself: AA -> AA"]


@pytest.mark.requirement("C-STAFFED")
def test_a_member_where_nobody_is_is_refused_unless_its_agency_has_a_waiver(folder: Path) -> None:
    unstaffed = "MOBILE1 is neither a printer nor staffed at every hour, and its agency has no waiver (C-STAFFED)"
    found = faults(folder, group("EXAPB", '["EXA1", "EXC1", "EXJ1", "EXM1", "CA0990100", "ZZZZ", "CA0990900"]'))
    assert found == [
        f"group.0 (EXAPB).members: EXC1: {unstaffed}",
        "group.0 (EXAPB).members: EXM1: no station gets administrative messages for it (C-STAFFED)",
        f"group.0 (EXAPB).members: CA0990100: {unstaffed}",
        "group.0 (EXAPB).members: ZZZZ is not a mnemonic, ORI or group that is known here",
        "group.0 (EXAPB).members: CA0990900 is not a mnemonic, ORI or group that is known here",
    ]


@pytest.mark.requirement("C-STAFFED")
def test_stations_that_get_a_routes_copies_are_held_to_the_same(folder: Path) -> None:
    routes = (
        '[[route]]\nname = "r"\nto = ["clets-a"]\nstations = ["DISPATCH1", "MOBILE1", "JAIL1", "EXAPB", "NONE"]\n'
    )
    assert faults(folder, group("EXAPB", '["EXA1"]'), routes) == [
        "route.0 (r).stations: MOBILE1 is neither a printer nor staffed at every hour, and its agency has no waiver "
        "(C-STAFFED)",
        "route.0 (r).stations: there is no device or group 'NONE'",
    ]


def test_every_other_fault_is_told_at_once(folder: Path) -> None:
    text = (
        group("ALL", '["EXA1"]')
        + group("EXA1", '["EXA1"]')
        + group("CA0990000", '["EXA1"]')
        + group("DISPATCH1", '["EXA1"]')
        + group("AA", "[]")
        + group("BB", '["EXA1", "EXA1"]', to='["clets-a"]')
        + group("CC", '["DD"]')
        + group("DD", "[]", "state", '["clets-z", "ncic-a", "ncic-a"]')
        + group("DD", '["EXA1"]')
    )
    assert faults(folder, text) == [
        "group.0 (ALL).code: ALL is every device that takes administrative messages, and no group",
        "group.1 (EXA1).code: EXA1 is a mnemonic or an ORI",
        "group.2 (CA0990000).code: CA0990000 is a mnemonic or an ORI",
        "group.3 (DISPATCH1).code: DISPATCH1 is a device",
        "group.4 (AA).members: it has none, and goes to no line",
        "group.5 (BB).members: names one twice",
        "group.5 (BB).to: a county's group goes to no line: give it the scope state or nation",
        "group.7 (DD).code: another group has this code",
        "group.7 (DD).to: there is no line 'clets-z'",
        "group.7 (DD).to: names a line twice",
        "group.8 (DD).code: another group has this code",
        "group (EXA1): holds itself: EXA1 -> EXA1",
    ]
    assert faults(folder, group("BULLETIN", '["EXA1"]')) == [
        "group.0 (BULLETIN).code: BULLETIN is the bulletin board, and no group"
    ]


def test_a_group_reaches_no_further_than_its_scope(folder: Path) -> None:
    text = group("EXAPB", '["EXST"]') + group("EXST", "[]", "state", '["clets-a"]')
    assert faults(folder, text) == ["group.0 (EXAPB).members: EXST reaches the state, and this group only the county"]


def test_faults_of_form_and_of_both_files_are_told_at_once(folder: Path) -> None:
    found = faults(folder, group("x", '["EXA1"]', "planet"), '[[route]]\nname = "r"\nto = ["clets-z"]\n')
    assert [fault.split(":")[0] for fault in found] == ["group.0.code", "group.0.scope", "route.0 (r).to"]


def test_a_group_has_a_largest_number_of_members_in_all(folder: Path) -> None:
    names = [f"{n:09}" for n in range(GROUP_STATIONS_MAX + 1)]
    parts = [names[start : start + 1000] for start in range(0, len(names), 1000)]
    text = "".join(group(f"G{n}", str(part)) for n, part in enumerate(parts))
    text += group("WHOLE", str([f"G{n}" for n in range(len(parts))]))
    (folder / "groups.toml").write_text(text)
    files = PlanFiles(folder / "routes.toml", folder / "groups.toml")
    with pytest.raises(RouteError, match=rf"WHOLE\): has {GROUP_STATIONS_MAX + 1} members in all"):
        load_plan(files, Catalog(()), LINES, None)


def test_a_missing_file_is_told_and_a_site_may_have_none(folder: Path) -> None:
    with pytest.raises(RouteError, match="cannot be read"):
        load_plan(PlanFiles(folder / "routes.toml", folder / "groups.toml"), None, LINES, None)
    plan = load_plan(PlanFiles(folder / "routes.toml"), None, LINES, None)
    assert plan.counts() == {"routes": 0, "groups": 0, "forwards": 0}


CODES = [f"G{n}" for n in range(8)]
TABLES = st.dictionaries(
    st.sampled_from(CODES), st.lists(st.sampled_from([*CODES, "EXA1", "EXA2", "EXA3"]), max_size=4, unique=True)
)


@settings(max_examples=80, deadline=None)
@given(TABLES)
def test_groups_in_any_order_resolve_or_a_circle_of_them_is_found(table: dict[str, list[str]]) -> None:
    found = {code: Group(code, code, Scope.COUNTY, tuple(members)) for code, members in table.items()}
    groups, circles = Groups(found.values()), list(cycles(found))
    for way in circles:
        assert way[0] == way[-1]
        assert all(after in table[before] for before, after in pairwise(way))

    def leaves(code: str, above: frozenset[str]) -> set[str]:
        """Go down as a person would; a code met again on the way is a circle."""
        ends: set[str] = set()
        for member in table[code]:
            if member in above:
                assert circles
            elif member in table:
                ends |= leaves(member, above | {member})
            else:
                ends.add(member)
        return ends

    expected = {code: leaves(code, frozenset({code})) for code in table}
    assert {code: groups.members(code) for code in table} == expected
