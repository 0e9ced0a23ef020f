"""Sites made and checked from the command line."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import Site, run_msc


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo site that nobody changes."""
    yield Site.make(tmp_path_factory.mktemp("cli") / "site")


def shapes(rows: list[dict[str, object]], names: set[str]) -> None:
    for row in rows:
        assert names <= set(row), row


def test_demo_json_keeps_its_contract(site: Site) -> None:
    demo = site.demo
    assert set(demo) >= {"switch", "ca", "devices", "users", "lines", "mnemonics", "examples"}
    shapes([demo["switch"]], {"host", "port"})
    shapes(demo["devices"], {"name", "kind", "certificate", "key", "mnemonic", "pool", "agency", "ori"})
    shapes(demo["users"], {"user", "password", "otp_secret", "agency", "ori", "class"})
    shapes(demo["lines"], {"name", "host", "port", "certificate", "key"})
    kinds = [row["kind"] for row in demo["devices"]]
    assert set(kinds) == {"terminal", "printer", "host"}
    terminals = [row for row in demo["devices"] if row["kind"] == "terminal"]
    assert len([row for row in terminals if row["mnemonic"] and not row["pool"]]) >= 2
    assert len([row for row in terminals if row["pool"] and not row["mnemonic"]]) >= 1
    users = demo["users"]
    assert len(users) >= 6 and len({row["agency"] for row in users}) >= 2
    assert any(row["class"] == "less_than_full_access" for row in users)
    assert any(row["otp_secret"] for row in users)
    assert all(re.fullmatch(r"[A-Z0-9]{6}", row["user"]) for row in users)  # C-OIF
    assert len({row["password"] for row in users}) == len(users)


def test_the_paths_of_demo_json_are_relative_and_hold_what_they_say(site: Site) -> None:
    demo = site.demo
    rows = [*demo["devices"], *demo["lines"]]
    for path in (demo["ca"], *(row["certificate"] for row in rows), *(row["key"] for row in rows)):
        assert not Path(path).is_absolute() and (site.folder / path).is_file(), path
    for row in demo["devices"]:
        site.device_context(row["name"])
    for row in demo["lines"]:
        site.context(row["certificate"], row["key"], server=True)
    keys = [site.folder / row["key"] for row in rows]
    assert all(key.stat().st_mode & 0o077 == 0 for key in keys), "a private key others may read"


def test_the_ports_of_demo_json_are_free_and_different(site: Site) -> None:
    at = [site.demo["switch"], site.demo["monitor"], *site.demo["lines"]]
    ports = [row["port"] for row in at]
    assert len(set(ports)) == len(ports)
    for row in at:
        with socket.create_server((row["host"], row["port"])):
            pass


def test_demo_json_gives_examples(site: Site) -> None:
    examples = site.demo["examples"]
    shapes(examples, {"text", "expect"})
    assert {row["expect"] for row in examples} == {"hit", "no_hit", "refused"}
    for row in examples:
        if row["expect"] == "refused":
            assert re.fullmatch(r"E\d{3}", row["code"]), row


def test_a_new_site_has_no_faults(site: Site) -> None:
    done = run_msc("check", site.toml)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_names_every_fault_with_file_and_key(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    site.edit(
        "msc.toml",
        (r"^drain_s = 10", "drain_s = -3"),
        (r"^window = 32", 'window = "wide"'),
        (r"^idle_lock_s = 1800", "idle_lock_s = 1800\nidle_lokc_s = 1"),
        (r'^level = "info"', 'level = "shout"'),
    )
    done = run_msc("check", site.toml)
    told = done.stdout + done.stderr
    assert done.returncode in (1, 2)
    for key in ("switch.drain_s", "listener.window", "listener.idle_lokc_s", "log.level"):
        assert re.search(rf"msc\.toml.*{re.escape(key)}", told), f"{key} is not named:\n{told}"


def test_check_names_faults_of_several_files_at_once(tmp_path: Path) -> None:
    """A fault in one file hides none in another."""
    site = Site.make(tmp_path / "site")
    site.edit("msc.toml", (r"^drain_s = 10", "drain_s = -3"))
    site.edit("routes.toml", (r'^to = \["ncic-a"\]', 'to = ["ncic-z"]'))
    site.edit("catalog/ncic.toml", (r'(code = "QG"\nname = "[^"]*"\nfunction = )"inquiry"', r'\1"guess"'))
    site.edit("catalog/california.toml", (r'(code = "IV.4".*?)timeout_s = 15', r"\1timeout_s = -1"))
    (site.folder / "certs/switch.key").write_text("not a key")
    site.directory("UPDATE mnemonic SET agency = 'NOBODY' WHERE mnemonic = 'EXA1'")
    done = run_msc("check", site.toml)
    told = done.stdout + done.stderr
    assert done.returncode in (1, 2)
    wanted = [
        r"msc\.toml.*switch\.drain_s", r"routes\.toml.*\bto\b", r"ncic\.toml.*function",
        r"california\.toml.*timeout_s", r"switch\.(key|pem)", r"directory.*EXA1",
    ]  # fmt: skip
    missing = [pattern for pattern in wanted if not re.search(pattern, told)]
    assert not missing, f"not told: {missing}\n{told}"


@pytest.mark.requirement("C-TEST")
def test_check_remarks_on_a_line_that_has_ended_and_not_on_a_backup_that_no_route_uses(tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    site.edit("msc.toml", (r'(name = "clets-a"\n.*?mode = "production"\n)', r'\1backup = "clets-b"\n'))
    with site.toml.open("a") as file:
        for name, more in (("clets-b", ""), ("old-test", 'mode = "test"\nexpires = 2026-01-31')):
            file.write(f'[[line]]\nname = "{name}"\nhost = "::1"\nport = 1\npeer = "msc://host/{name}"\n{more}\n')
    done = run_msc("check", site.toml)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "line old-test ended on 2026-01-31" in told
    assert "no route uses line old-test" in told
    assert "clets-b" not in told


@pytest.mark.parametrize("content", ["[switch", "\x00\x01"], ids=["cut", "binary"])
def test_check_of_a_broken_file_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "msc.toml").write_text(content)
    done = run_msc("check", tmp_path / "msc.toml")
    assert done.returncode in (1, 2)
    assert "msc.toml" in done.stdout + done.stderr


def test_a_site_that_is_not_there_is_told(tmp_path: Path) -> None:
    for args in (["serve"], ["journal", "search"]):
        done = run_msc(*args, tmp_path / "nowhere.toml")
        assert done.returncode in (1, 2), args
        assert "nowhere.toml" in done.stdout + done.stderr, args


def test_init_leaves_a_folder_that_is_not_empty_alone(tmp_path: Path) -> None:
    kept = tmp_path / "precious.txt"
    kept.write_text("mine")
    for args in (["--demo", tmp_path], ["--demo", kept]):
        done = run_msc("init", *args)
        assert done.returncode in (1, 2) and done.stderr + done.stdout
        assert [path.name for path in tmp_path.rglob("*")] == ["precious.txt"] and kept.read_text() == "mine"


def test_init_makes_a_site_that_is_not_a_demo(site: Site, tmp_path: Path) -> None:
    done = run_msc("init", tmp_path / "county")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "county" / "msc.toml").is_file() and not (tmp_path / "county" / "demo.json").exists()
    assert run_msc("check", tmp_path / "county" / "msc.toml").returncode == 0
    other = (tmp_path / "county" / "certs" / "ca.pem").read_bytes()
    assert other != (site.folder / site.demo["ca"]).read_bytes()


def test_version_is_a_version() -> None:
    done = run_msc("version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+", done.stdout)


@pytest.mark.parametrize("args", [["fly"], ["init"], ["check", "--sideways"], ["journal", "show"]])
def test_wrong_usage_is_told_and_returns_2(args: list[str]) -> None:
    done = run_msc(*args)
    assert done.returncode == 2, done
    assert done.stdout + done.stderr


def test_demo_json_is_for_its_owner_alone(site: Site) -> None:
    """It holds passwords."""
    assert (site.folder / "demo.json").stat().st_mode & 0o077 == 0
    json.loads((site.folder / "demo.json").read_text())
