"""The directory as files, from the command line: applied, pruned, refused, exported, in force in a running switch."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from msc import clock
from msc.cli.main import main
from msc.directory.document import Document, to_toml
from msc.directory.rows import Account, Directory, Status, User
from msc.directory.store import DirectoryChanged, DirectoryStore, LoggedChange
from msc.settings import load_settings
from msc.site.administer import administer
from msc.site.declare import plan
from tests.support.county import OTP_SECRET, PASSWORD, PASSWORD_HASH, county
from tests.support.site import Site, run_msc

NEW = """[[user]]
user = "N70001"
name = "Deputy Example Seven"
agency = "EXSO"
operator_class = "full_access"
authorised_by = "the coordinator"
cleared = 2025-01-31
certified = {today}
statement = 2025-01-31
dmv_statement = {today}
password_hash = '{password_hash}'
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A demo site nobody changes: made once, as hashing its passwords takes a moment."""
    return Site.make(tmp_path_factory.mktemp("directory") / "site")


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def msc(*args: str | Path, **env: str) -> Done:
    """Run a command in this process: there are many here, and a new process takes longer than what it does."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        patch.setattr("sys.argv", ["msc", *map(str, args)])
        patch.setattr("sys.stdin", io.StringIO())
        for name, value in env.items():
            patch.setenv(name, value)
        main()
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, out.getvalue(), err.getvalue())


class Place:
    """A site with a directory of its own, and a folder for files."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.toml, self.folder = folder / "msc.toml", folder
        text = site.toml.read_text("utf-8").replace("data/directory.db", f"{folder}/directory.db")
        self.toml.write_text(text.replace("data/journal.db", f"{folder}/journal.db"), "utf-8")
        self.url = f"sqlite+aiosqlite:///{folder}/directory.db"
        self.put(county())

    def read(self) -> tuple[Directory, list[LoggedChange]]:
        async def read() -> tuple[Directory, list[LoggedChange]]:
            store = DirectoryStore(self.url)
            try:
                return await store.load(), await store.changes_since(0)
            finally:
                await store.close()

        return asyncio.run(read())

    def put(self, directory: Directory) -> None:
        async def put() -> None:
            store = DirectoryStore(self.url)
            await store.save(directory)
            await store.close()

        asyncio.run(put())

    def file(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text, "utf-8")
        return file

    def apply(self, *args: str | Path) -> Done:
        return msc("directory", "apply", self.toml, *args)

    def applied(self, *args: str | Path) -> dict[str, Any]:
        done = self.apply("--json", "--yes", *args)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def place(made: Site, tmp_path: Path) -> Place:
    return Place(made, tmp_path)


AGENCIES = "agency,title,ori\nEXLP,City police,CA0980000\nFIRE,Fire,CA0980100\n"
USERS = "user;name;agency;operator_class\nK20331;DOE, JANE;FIRE;query_only\n"


def test_files_are_shown_and_applied_together(place: Place) -> None:
    files = [place.file("agencies.csv", AGENCIES), place.file("users.csv", USERS)]
    shown = place.apply(*files)
    assert shown.returncode == 1
    assert "~ EXLP  title: Police → City police" in shown.stdout
    assert "+ FIRE  title: Fire  ori: CA0980100" in shown.stdout
    assert "1 user stands in no file; --prune removes it" in shown.stdout
    assert "--yes applies it" in shown.stderr
    assert place.apply("--dry-run", *files).returncode == 0
    assert place.read()[1] == []
    done = place.apply("--yes", "--as", "R. ADMIN", "--reason", "new fire agency", *files)
    assert done.returncode == 0 and "no switch is running" in done.stdout
    directory, log = place.read()
    assert directory.agencies["EXLP"].title == "City police"
    assert directory.users["K20331"].added == clock.today()
    assert "J40217" in directory.users and "SHERIFF" in directory.agencies
    assert {(c.table, c.key, c.action) for c in log} == {
        ("agency", "EXLP", "changed"), ("agency", "FIRE", "added"), ("user", "K20331", "added"),
    }  # fmt: skip
    assert {(c.operator, c.reason) for c in log} == {("R. ADMIN", "new fire agency")}
    again = place.apply("--yes", *files)
    assert again.returncode == 0 and "nothing to change" in again.stdout
    assert place.read()[1] == log


def test_the_environment_names_site_operator_and_reason(place: Place) -> None:
    file = place.file("agencies.csv", AGENCIES)
    env = {"MSC_CONFIG": str(place.toml), "MSC_OPERATOR": "R. ADMIN"}
    assert msc("directory", "apply", file, "--yes", **env).returncode == 0
    assert {(c.operator, c.reason) for c in place.read()[1]} == {("R. ADMIN", "directory apply agencies.csv")}
    assert msc("directory", "export", **env).stdout.startswith("[[agency]]")


def test_all_or_nothing_and_every_fault_of_every_file_with_its_line(place: Place) -> None:
    users = (
        "user,name,agency,operator_class,certified\nK20331,DOE,FIRE,query_only,31.1.2026\nK2,DOE,EXLP,query_only,\n"
    )
    toml = '[[device]]\ndevice = "x"\nkind = "terminal"\nagency = "NONE"\nmnemonic = "NONE"\n'
    files = [place.file("agencies.csv", AGENCIES), place.file("users.csv", users), place.file("more.toml", toml)]
    done = place.apply("--yes", *files)
    assert done.returncode == 2
    told = done.stderr.replace(f"msc: {place.folder}/", "").splitlines()
    assert told == [
        "more.toml:1: device x: there is no agency 'NONE'",
        "more.toml:1: device x: there is no mnemonic 'NONE'",
        "users.csv:2: certified: '31.1.2026' must be a date such as 2026-01-31",
        "users.csv:3: user K2: a user id is six capital letters and digits (C-OIF)",
    ]
    assert place.read()[1] == []
    ((first, *_),) = json.loads(place.apply("--yes", "--json", *files).stdout).values()
    assert first == {
        "file": f"{place.folder}/more.toml", "line": 1, "where": "device x", "problem": "there is no agency 'NONE'",
    }  # fmt: skip


def test_a_rule_that_a_row_of_no_file_breaks_names_table_and_key(place: Place) -> None:
    text = "device,kind,agency,mnemonic,staffed\nprinter-1,terminal,EXLP,P001,no\n"
    done = place.apply("--yes", place.file("devices.csv", text))
    assert done.returncode == 2
    assert "directory.db: pool cars: unsolicited_to: printer-1 is neither a printer nor staffed" in done.stderr


@pytest.mark.requirement("C-UID")
def test_pruning_takes_rows_out_and_a_removed_user_id_rests(place: Place) -> None:
    directory, _ = place.read()
    toml = to_toml(Directory(
        users=[replace(directory.users["J40217"], user="K20331", name="DOE, JANE")],
        devices=[row for row in directory.devices.values() if row.device != "car-3"],
    ))  # fmt: skip
    found = place.applied("--prune", place.file("less.toml", toml))
    assert found == {"added": 1, "changed": 0, "removed": 2, "revision": 3, "in_force": None}
    directory, log = place.read()
    gone = directory.users["J40217"]
    assert (gone.status, gone.status_since) == (Status.REMOVED, clock.today())
    assert directory.account("J40217").password_hash == ""
    assert "car-3" not in directory.devices and len(directory.agencies) == 2
    assert {c.action for c in log if c.key in ("J40217", "car-3")} == {"removed"}
    assert place.applied("--prune", place.folder / "less.toml")["removed"] == 0

    other = to_toml(Directory(users=[replace(gone, name="ROE, RICHARD", status=Status.ACTIVE, status_since=None)]))
    done = place.apply("--yes", place.file("other.toml", other))
    free = clock.today() + timedelta(days=365)
    assert done.returncode == 2
    assert (
        f"other.toml:1: user: user id J40217 was another person's; it is free from {free} on (C-UID)" in done.stderr
    )
    # The person themself may come back, and so may the id, once it has rested.
    back = other.replace("ROE, RICHARD", gone.name)
    assert place.applied("--dry-run", place.file("back.toml", back))["changed"] == 1
    rested = replace(gone, status_since=clock.today() - timedelta(days=365))
    place.put(Directory(
        directory.agencies.values(), [rested], directory.devices.values(), directory.pools.values(),
        directory.mnemonics.values(), accounts=[Account("J40217", previous_sign_on=5, otp_secret=OTP_SECRET)],
    ))  # fmt: skip
    place.applied(place.folder / "other.toml")
    directory, _ = place.read()
    assert directory.users["J40217"].name == "ROE, RICHARD"
    assert directory.accounts["J40217"] == Account("J40217")


@pytest.mark.requirement("C-SANCTION")
def test_a_file_that_says_nothing_of_status_lifts_no_suspension(place: Place) -> None:
    directory, _ = place.read()
    plain = place.file("users.toml", to_toml(Directory(users=directory.users.values())))
    since = clock.today() - timedelta(days=3)
    held = replace(directory.users["J40217"], status=Status.SUSPENDED, status_reason="INQUIRY", status_since=since)
    directory.replace([held])
    place.put(directory)
    assert place.applied(plain)["changed"] == 0
    stated = place.file("stated.toml", plain.read_text("utf-8") + 'status = "active"\n')
    assert place.applied(stated)["changed"] == 1
    row = place.read()[0].users["J40217"]
    assert (row.status, row.status_reason, row.status_since) == (Status.ACTIVE, "", clock.today())
    assert place.applied(stated)["changed"] == 0


@pytest.mark.parametrize("credentials", [False, True])
def test_an_export_changes_nothing_and_is_the_same_again(place: Place, credentials: bool) -> None:
    directory, _ = place.read()
    directory.replace([
        User("Q00001", "ROE", "GONE", directory.users["J40217"].operator_class, status=Status.REMOVED),
        replace(directory.users["J40217"], name="=DOE", status_since=clock.today()),
        replace(directory.devices["car-1"], locked_at=5),
    ])  # fmt: skip
    place.put(directory)
    option = ["--with-credentials"] if credentials else []
    first, again, folder = place.folder / "first.toml", place.folder / "again.toml", place.folder / "csv"
    for args in ([first], [folder, "--csv"]):
        assert msc("directory", "export", place.toml, *args, *option).returncode == 0
    # Only that secrets were taken out is noted, twice.
    noted = 2 if credentials else 0
    assert place.applied(first)["revision"] == place.applied(*folder.iterdir(), "--prune")["revision"] == noted
    assert msc("directory", "export", place.toml, again, *option).returncode == 0
    assert again.read_bytes() == first.read_bytes()
    assert msc("directory", "export", place.toml, *option).stdout == first.read_text("utf-8")
    for file in (first, *folder.iterdir()):
        assert (file.stat().st_mode & 0o077 == 0) == credentials
        assert (PASSWORD_HASH in file.read_text("utf-8-sig")) == (
            credentials and "user" in file.name + file.read_text()
        )
    assert 'user = "Q00001"' in first.read_text() and 'status = "removed"' in first.read_text()


@pytest.mark.requirement("C-AUTH")
def test_credentials_are_set_and_never_shown_or_logged(place: Place) -> None:
    text = NEW.format(today=clock.today(), password_hash=PASSWORD_HASH).replace("EXSO", "EXLP")
    file = place.file("new.toml", text + f'otp_secret = "{OTP_SECRET}"\n')
    done = place.apply("--yes", file)
    assert done.returncode == 0 and "password_hash: set" in done.stdout
    directory, log = place.read()
    assert directory.accounts["N70001"] == Account("N70001", PASSWORD_HASH, otp_secret=OTP_SECRET)
    for secret in (PASSWORD_HASH, OTP_SECRET):
        assert secret not in done.stdout + done.stderr + str(log)
    assert place.applied(file)["changed"] == 0
    other = PASSWORD_HASH[:-2] + "AA"
    assert place.applied(place.file("new.toml", text.replace(PASSWORD_HASH, other)))["changed"] == 1
    account = place.read()[0].accounts["N70001"]
    assert (account.password_hash, account.otp_secret) == (other, OTP_SECRET)
    # With a policy that asks for it, earlier ones are kept and the new one expires.
    agency = '[[agency]]\nagency = "EXLP"\ntitle = "Police"\nori = "CA0980000"\npassword_policy = "cjleads"\n'
    place.applied(place.file("new.toml", text + agency))
    account = place.read()[0].accounts["N70001"]
    assert (account.password_hash, account.password_history) == (PASSWORD_HASH, (other,))
    assert account.password_expires == clock.today() + timedelta(days=90)


def test_long_changes_are_summarised(place: Place) -> None:
    rows = "".join(f"U{n:05},ROE,EXLP,query_only\n" for n in range(40))
    file = place.file("users.csv", "user,name,agency,operator_class\n" + rows)
    short, full = place.apply("--dry-run", file), place.apply("--dry-run", "--full", file)
    assert "user  40 added" in short.stdout and "… and 28 more" in short.stdout
    assert short.stdout.count("+ U") == 12 and full.stdout.count("+ U") == 40


def test_a_plan_is_not_carried_out_on_a_directory_somebody_else_changed(place: Place) -> None:
    asyncio.run(change_twice(place))


async def change_twice(place: Place) -> None:
    document = Document()
    document.read(Path("agencies.csv"), AGENCIES)
    settings = load_settings(place.toml)
    async with administer(settings) as one, administer(settings) as other:
        await other.change(plan(other, document, prune=False).changes, "first")
        with pytest.raises(DirectoryChanged, match="somebody else changed the directory"):
            await one.change(plan(one, document, prune=False).changes, "second")


@pytest.fixture
def running(made: Site) -> Iterator[Site]:
    made.serve()
    yield made
    made.stop()


@pytest.mark.requirement("C-AUTH")
async def test_a_new_user_can_sign_on_a_moment_after(running: Site, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    file.write_text(NEW.format(today=clock.today(), password_hash=PASSWORD_HASH), "utf-8")
    arguments = ("directory", "apply", running.toml, file, "--yes", "--json")
    done = await asyncio.to_thread(run_msc, *arguments)
    assert json.loads(done.stdout) == {"added": 1, "changed": 0, "removed": 0, "revision": 1, "in_force": True}
    async with running.station("DISPATCH1") as station:
        began = time.monotonic()
        assert (await station.sign_on("N70001", PASSWORD))["ori"] == "CA0990000"
        assert time.monotonic() - began < 1.0
