"""What a password must be: policies by name, and the list of those everybody tries first."""

from __future__ import annotations

import string
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Final

from msc.directory.rows import User
from msc.errors import Fault, SettingsError
from msc.settings import PasswordPolicySettings

_CLASSES: Final = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_PERSONAL_CHARS_MIN: Final = 4
"""Shorter parts of a name stand in too many good passwords by chance."""


def load_banned(file: Path | None) -> frozenset[str]:
    """Read banned passwords, one a line; `#` begins a comment. Without a file, the list that MSC brings.

    Raises:
        SettingsError: The file cannot be read.
    """
    try:
        if file is None:
            content = (resources.files("msc.access") / "banned-passwords.txt").read_text("utf-8")
        else:
            content = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError([Fault(file or Path("banned-passwords.txt"), "", f"cannot be read: {exc}")]) from exc
    return frozenset(line.strip().casefold() for line in content.splitlines() if line.strip() and line[0] != "#")


def objection(
    password: str, policy: PasswordPolicySettings, banned: frozenset[str], user: User, words: Iterable[str] = ()
) -> str | None:
    """Say what is wrong with a new password, or None.

    Args:
        user: Whose it is: neither their id nor a part of their name may stand in it.
        words: More that may not stand in it, such as the agency's name.
    """
    if len(password) < policy.chars_min:
        return f"the new password must have at least {policy.chars_min} characters"
    folded = password.casefold()
    # "Password1!" is "password" to whoever guesses.
    if folded in banned or folded.strip(string.digits + string.punctuation) in banned:
        return "the new password is one of those that are tried first"
    personal = [user.user, *user.name.replace(",", " ").split(), *words]
    if any(len(word) >= _PERSONAL_CHARS_MIN and word.casefold() in folded for word in personal):
        return "the new password holds the user's id or name, or the agency's"
    found = sum(any(char in members for char in password) for members in _CLASSES)
    found += any(char not in "".join(_CLASSES) for char in password)
    if found < policy.classes:
        return f"the new password needs {policy.classes} of: small letters, capitals, digits, others"
    return None
