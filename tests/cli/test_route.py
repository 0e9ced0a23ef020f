"""`msc route` from a site's files, without a switch; what a running one answers stands in tests/e2e."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import call_msc
from tests.support.site import GROUPS, Site

ADDED = '\n[[route]]\nname = "one desk"\nprecedence = 1\nkeys = ["IV.*"]\nmnemonics = ["EXA1"]\nto = ["ncic-a"]\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo site that nothing runs in."""
    site = Site.make(tmp_path_factory.mktemp("route") / "site")
    (site.folder / "groups.toml").write_text(GROUPS)
    yield site


@pytest.fixture(scope="module")
def new(made: Site) -> Path:
    file = made.folder / "new.toml"
    text = (made.folder / "routes.toml").read_text()
    file.write_text(text.replace('databases = ["NCIC"]', 'databases = ["NCIC"]\nmnemonics = ["EXA1"]') + ADDED)
    return file


def route(made: Site, verb: str, *more: str | Path, code: int = 0) -> Any:
    done = call_msc("route", verb, made.toml, *more, "--json")
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.requirement("C-ADMIN")
def test_a_message_is_explained_down_to_its_stations(made: Site) -> None:
    (found,) = route(made, "explain", "AM.CA0990000.EXSTATE.TXT MEET", "--mnemonic", "EXA1")
    assert (found["lines"], sorted(found["devices"])) == (["clets-a"], ["PRINTER1", "RECORDS1"])
    assert (found["route"], found["code"]) == ("administrative messages to the stations they name", None)
    done = call_msc("route", "explain", made.toml, "IW.QW.CA0990000.NAM/DOE,JOHN", "--mnemonic", "EXA1")
    assert "takes it" in done.stdout
    assert "functions: inquiry is none of administrative" in done.stdout
    assert 'goes to line clets-a, line ncic-a, by route "wanted persons: the state\'s file and NCIC"' in done.stdout


def test_what_would_be_refused_is_explained_with_its_code(made: Site) -> None:
    (found,) = route(made, "explain", "AM.CA0990000.ZZZZ.TXT MEET", "--mnemonic", "EXA1", code=1)
    assert found["code"] == "E306"
    for text, mnemonic, told in (("GOOD MORNING", "EXA1", "E205"), ("IV.4.CA0990000.LIC/1", "ZZZZ", "no mnemonic")):
        done = call_msc("route", "explain", made.toml, text, "--mnemonic", mnemonic)
        assert done.returncode == 2 and told in done.stderr


def test_routes_are_listed_as_they_are_tried(made: Site) -> None:
    rows = route(made, "list")
    assert [row["place"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[3]["databases"] == ["NCIC"]
    done = call_msc("route", "list", made.toml, "--first", "4")
    assert "wanted" not in done.stdout and "5 routes, 3 groups" in done.stdout


def test_a_new_table_is_compared_with_the_sites(made: Site, new: Path) -> None:
    (found,) = route(made, "diff", new)
    assert found["changes"] == [
        {"change": "added", "route": "one desk"},
        {"change": "changed", "route": "NCIC asked alone", "what": {"mnemonics": [None, ["EXA1"]]}},
    ]
    assert {(each["key"], each["new"]) for each in found["decisions"] if each["old"] != "NCIC asked alone"} == {
        ("IV.4", "one desk")
    }
    done = call_msc("route", "diff", made.toml, new)
    assert "added    one desk" in done.stdout and "mnemonics: nothing -> ['EXA1']" in done.stdout
    assert "1 added, 0 removed, 1 changed, 0 moved" in done.stdout


def test_a_faulty_table_is_told_with_every_fault(made: Site) -> None:
    file = made.folder / "faulty.toml"
    file.write_text('[[route]]\nname = "a"\nto = ["x"]\n[[route]]\nname = "a"\n')
    done = call_msc("route", "diff", made.toml, file)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 3 and "there is no line 'x'" in done.stderr


@pytest.mark.parametrize("verb", ["reload", "replay"])
def test_what_only_a_running_switch_does_says_that_none_runs(made: Site, new: Path, verb: str) -> None:
    more = (new, "--since", "2h") if verb == "replay" else ()
    done = call_msc("route", verb, made.toml, *more, "--as", "admin", "--reason", "a test")
    assert (done.returncode, done.stderr.strip()) == (3, "msc: no switch of this site is running")
    assert "say why" in call_msc("route", verb, made.toml, *more, "--as", "admin").stderr


@pytest.mark.requirement("C-STAFFED")
def test_a_check_tells_what_is_wrong_with_groups_and_whom_routes_name_in_vain(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    (site.folder / "groups.toml").write_text(GROUPS)
    site.edit("routes.toml", (r'(name = "NCIC asked alone")', r'\1\nmnemonics = ["EXA9"]'))
    report = json.loads(call_msc("check", site.toml, "--json").stdout)
    assert report["faults"] == []
    assert "not in the directory: EXA9" in [each["problem"] for each in report["remarks"]]
    assert (report["counts"]["routes"], report["counts"]["groups"]) == (5, 3)
    site.edit("groups.toml", (r'members = \["EXDESKS", "EXPR"\]', 'members = ["EXSTATE", "EXM9"]'))
    report = json.loads(call_msc("check", site.toml, "--json").stdout)
    told = [each["problem"] for each in report["faults"]]
    assert "holds itself: EXAPB -> EXSTATE -> EXAPB" in told
    assert "EXM9 is not a mnemonic, ORI or group that is known here" in told
    # A site of before had no groups, and needs none.
    site.edit("msc.toml", (r"^groups = [^\n]*\n", ""))
    assert json.loads(call_msc("check", site.toml, "--json").stdout)["faults"] == []


@pytest.mark.requirement("C-STAFFED")
def test_a_change_of_the_directory_that_a_group_would_not_stand_is_refused(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    (site.folder / "groups.toml").write_text(GROUPS)
    done = call_msc("mnemonic", "set", site.toml, "EXPR", "administrative=no", "--reason", "moved")
    assert done.returncode == 2
    assert "groups.toml group.1 (EXAPB).members: EXPR: no station gets administrative messages for it" in done.stderr
    # What was wrong before is not a reason to refuse something else.
    site.edit("groups.toml", (r'"EXDESKS", "EXPR"', '"EXDESKS", "EXXX"'))
    site.run("device", "set", "CAD1", "location=Hall", "--reason", "moved")
    (site.folder / "groups.toml").write_text("")
    site.run("mnemonic", "set", "EXPR", "administrative=no", "--reason", "moved")
