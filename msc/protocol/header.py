"""The supplemental header and its extensions, the OIF and the TAF.

    MMMMxxxxxx . *UUUUUU . #tttttttttttt . message
    ^^^^ mnemonic  ^ OIF     ^ TAF
        ^^^^^^ for the switch

PPP glossary, 1.6.6.C: the supplemental header is 4 to 10 alphanumerics; the first four are the terminal
mnemonic, the rest belongs to the message switch. PPP 1.6.7: the OIF follows after a period, is
introduced by an asterisk, is exactly six alphanumerics and ends with a period. PPP 1.6.8: the TAF
follows the OIF, is introduced by a number sign, is 6 to 18 alphanumerics and ends with a period. One
period both ends a field and separates it from the next. Letters are capitals: the state's journal and
ours must find the same string.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from msc.errors import BadHeader, BadOif, BadTaf

MNEMONIC_CHARS: Final = 4
TOKEN_CHARS: Final = 6
OIF_CHARS: Final = 6
TAF_CHARS_MIN: Final = 6
TAF_CHARS_MAX: Final = 18

_BASE36: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAIRS: Final = tuple(high + low for high in _BASE36 for low in _BASE36)
"""Two base-36 digits at a time: a header is made for every message."""

TOKENS: Final = 36**TOKEN_CHARS
"""How many correlation tokens there are before they come round again: 2.18e9."""

# [0-9] and [A-Z], never \w: the fields are ASCII.
_HEADER: Final = re.compile(r"[0-9A-Z]{4,10}")
_MNEMONIC: Final = re.compile(r"[0-9A-Z]{4}")
_OIF: Final = re.compile(r"[0-9A-Z]{6}")
_TAF: Final = re.compile(r"[0-9A-Z]{6,18}")
_MAC: Final = re.compile(r"[0-9A-F]{12}")


class MessageHead(NamedTuple):
    """What stands before the message: header, OIF and TAF (either may be absent on a line's answer)."""

    header: str
    oif: str | None = None
    taf: str | None = None

    @property
    def mnemonic(self) -> str:
        """The terminal mnemonic: the header's first four characters."""
        return self.header[:MNEMONIC_CHARS]


def is_mnemonic(text: str) -> bool:
    """Tell whether a text has the form of a terminal mnemonic: four alphanumerics."""
    return _MNEMONIC.fullmatch(text) is not None


def is_oif(text: str) -> bool:
    """Tell whether a text has the form of an OIF, and so of a user id: six alphanumerics."""
    return _OIF.fullmatch(text) is not None


def is_taf(text: str) -> bool:
    """Tell whether a text has the form of a TAF: 6 to 18 alphanumerics."""
    return _TAF.fullmatch(text) is not None


def parse_header(text: str) -> tuple[str, str]:
    """Split off the supplemental header and its period.

    Returns:
        The header and the rest of the text.

    Raises:
        BadHeader: The text does not begin with 4 to 10 alphanumerics and a period.
    """
    header, period, rest = text.partition(".")
    if not period:
        raise BadHeader("no period ends the supplemental header")
    if not _HEADER.fullmatch(header):
        raise BadHeader("the supplemental header is not 4 to 10 capital letters and digits")
    return header, rest


def parse_head(text: str) -> tuple[MessageHead, str]:
    """Split a host's text into header, OIF and TAF, and the message.

    Returns:
        The head (its TAF is None where absent) and the message after it.

    Raises:
        BadHeader, BadOif, BadTaf: The first field that is not as it must be.
    """
    header, rest = parse_header(text)
    if not rest.startswith("*"):
        raise BadOif("no OIF follows the supplemental header")
    oif, period, rest = rest[1:].partition(".")
    if not period:
        raise BadOif("no period ends the OIF")
    if not _OIF.fullmatch(oif):
        raise BadOif("the OIF is not exactly six capital letters and digits")
    if not rest.startswith("#"):
        return MessageHead(header, oif), rest
    taf, period, rest = rest[1:].partition(".")
    if not period:
        raise BadTaf("no period ends the TAF")
    if not _TAF.fullmatch(taf):
        raise BadTaf("the TAF is not 6 to 18 capital letters and digits")
    return MessageHead(header, oif, taf), rest


def write_head(head: MessageHead) -> str:
    """Write a head as it stands before a message, last period included."""
    text = f"{head.header}."
    if head.oif is not None:
        text += f"*{head.oif}."
    if head.taf is not None:
        text += f"#{head.taf}."
    return text


def base36(number: int, width: int) -> str:
    """Write a number in base 36, capitals, filled with zeros to a width."""
    digits = ""
    while number:
        number, pair = divmod(number, 1296)
        digits = _PAIRS[pair] + digits
    return digits.lstrip("0").rjust(width, "0")


def make_header(mnemonic: str, msn: int) -> str:
    """Make the supplemental header of a transaction: the mnemonic and six characters made of the MSN.

    Two transactions share one only after 36**6 messages, long after the first was closed.
    """
    return mnemonic + base36(msn % TOKENS, TOKEN_CHARS)


def normalise_mac(text: str) -> str:
    """Read a MAC address written with or without separators.

    Returns:
        Twelve hexadecimal capitals.

    Raises:
        BadTaf: It is not a MAC address.
    """
    digits = text.upper().replace(":", "").replace("-", "").replace(".", "")
    if not _MAC.fullmatch(digits):
        raise BadTaf("the terminal's MAC address is not twelve hexadecimal digits")
    return digits


def make_taf(ip: str | None, mac: str | None, name: str) -> str:
    """Make the TAF of a terminal.

    PPP 1.6.6.D: IP and MAC where there are both, else the MAC first, else any other unique identifier. An
    IPv4 address and a MAC in hexadecimal need 20 characters, more than the 18 there are, so both are
    written in base 36: 7 characters and 10.

    Args:
        ip: The terminal's IP address, or None. An IPv6 address does not fit and counts as none.
        mac: Twelve hexadecimal capitals, or None.
        name: The device's name, for a terminal that has neither.
    """
    v4 = None
    if ip is not None:
        address = ipaddress.ip_address(ip)
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        v4 = address if isinstance(address, ipaddress.IPv4Address) else None
    if v4 is not None:
        return base36(int(v4), 7) + (base36(int(mac, 16), 10) if mac else "")
    if mac:
        return mac
    letters = re.sub(r"[^0-9A-Z]", "", name.upper())
    return letters[:TAF_CHARS_MAX].ljust(TAF_CHARS_MIN, "0")


def read_taf(taf: str) -> str:
    """Say what a TAF made by `make_taf` holds, for people: `10.0.0.23 mac 02005E0000AA`."""
    if len(taf) in (7, 17):
        number = int(taf[:7], 36)
        if number < 2**32:
            text = str(ipaddress.IPv4Address(number))
            return f"{text} mac {int(taf[7:], 36):012X}" if len(taf) == 17 else text
    return taf
