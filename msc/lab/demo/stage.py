"""What `msc demo` adds to a demo site, so that there is something to see: a backup line, a group, a forward.

A county adds them in the same way: tables of `msc.toml`, `groups.toml` and `forwarding.toml`, and a certificate.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from msc.pki.authority import Authority, Holder, HolderKind, load_profile
from msc.pki.certificate import certificate_folder, usual_stem
from msc.settings import load_settings
from msc.site.make import free_ports, line_files

PRIMARY: Final = "clets-a"
BACKUP: Final = "clets-b"
GROUP: Final = "EXAPB"

_BACKUP_OF: Final = f'backup = "{BACKUP}"\nfailback_s = 0.5\nreconnect_last_s = 0.2\n'
_LINE: Final = """
[[line]]
name = "{name}"
host = "127.0.0.1"
port = {port}
peer = "msc://host/{name}"

[[simulator]]
name = "state"
line = "{name}"
certificate = "{certificate}"
key = "{key}"
seed = 1
"""
_GROUPS: Final = f"""
[[group]]
code = "{GROUP}"
name = "All points of the county"
members = ["EXA1", "EXA2", "EXPR"]
"""
_FORWARD: Final = """
zone = "UTC"

[[forward]]
name = "records is closed at this hour"
from = "RECORDS1"
to = "DISPATCH1"
begins = "{begins:%H:%M}"
ends = "{ends:%H:%M}"
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A demo site, ready for the demo.

    Attributes:
        simulators: The settings of the simulators, whose end of the primary line's cable is another port.
        port, end: The two ends of that cable: where the switch finds the line's host, and where the host is.
    """

    simulators: Path
    port: int
    end: int


def set_stage(folder: Path) -> Stage:
    """Add to a demo site what the demo needs.

    Raises:
        SiteError: A certificate cannot be made, or no port is free.
    """
    file = folder / "msc.toml"
    facts = json.loads((folder / "demo.json").read_text("utf-8"))
    lines = {row["name"]: row["port"] for row in facts["lines"]}
    taken = {facts["switch"]["port"], facts["monitor"]["port"], *lines.values()}
    port, end = [free for free in free_ports(len(taken) + 2) if free not in taken][:2]
    certificate, key = line_files(BACKUP)
    head = f'[[line]]\nname = "{PRIMARY}"\n'
    text = file.read_text("utf-8")
    assert head in text
    text = text.replace(head, head + _BACKUP_OF, 1)
    text += _LINE.format(name=BACKUP, port=port, certificate=certificate, key=key)
    file.write_text(text, "utf-8")
    # A copy but for one port: switch and simulator read the same table, and the cable is between them.
    simulators = folder / "demo-simulators.toml"
    simulators.write_text(text.replace(f"port = {lines[PRIMARY]}\n", f"port = {end}\n"), "utf-8")
    with (folder / "groups.toml").open("a", encoding="utf-8") as groups:
        groups.write(_GROUPS)
    _certify(folder, facts["ca_passphrase"])
    return Stage(simulators, lines[PRIMARY], end)


def _certify(folder: Path, passphrase: str) -> None:
    """Issue the certificate of the host at the end of the backup, as `msc certs issue` does."""
    settings = load_settings(folder / "msc.toml")
    certificates, holder = certificate_folder(settings), Holder(HolderKind.HOST, BACKUP)
    profile = load_profile(certificates.folder / "profile.toml")
    authority = Authority.load(profile, certificates.ca, certificates.ca_key, passphrase)
    certificates.issue(authority, holder, usual_stem(settings, holder), hosts=("localhost", "127.0.0.1"))


def forward_now() -> str:
    """Return a `forwarding.toml` by which Records' messages go to Dispatch at this hour."""
    now = datetime.now(UTC)
    return _FORWARD.format(begins=now - timedelta(hours=1), ends=now + timedelta(hours=1))
