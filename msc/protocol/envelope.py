"""The payload of a data frame: `[envelope LF] text`.

If the first byte is `{`, everything up to the first line feed is a JSON object; the rest is the text.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from msc.errors import BadJson
from msc.limits import PERSON_CHARS_MAX, REASON_CHARS_MAX, REF_CHARS_MAX

URGENT: Final = "urgent"
ROUTINE: Final = "routine"

_BOUNDS: Final = {
    "ref": REF_CHARS_MAX,
    "requester": PERSON_CHARS_MAX,
    "secondary": PERSON_CHARS_MAX,
    "reason": REASON_CHARS_MAX,
    "mnemonic": 4,
}


class Envelope(NamedTuple):
    """What a device or host may say beside its text. Everything is optional.

    Attributes:
        ref: The sender's own id, returned in answers.
        requester: Who asked (criminal history).
        secondary: Who else receives the answer (criminal history).
        priority: `urgent` or `routine`.
        reason: Case number or note.
        mnemonic: For hosts: the mnemonic it sends for.
    """

    ref: str | None = None
    requester: str | None = None
    secondary: str | None = None
    priority: str | None = None
    reason: str | None = None
    mnemonic: str | None = None


NO_ENVELOPE: Final = Envelope()


def parse_json(data: bytes) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        BadJson: It is not UTF-8, not JSON, or no object.
    """
    try:
        # orjson takes UTF-8 alone and no half of a surrogate pair, which the journal could not hold.
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise BadJson("not a JSON object in UTF-8") from exc
    if not isinstance(value, dict):
        raise BadJson("not a JSON object")
    return value


def split_payload(payload: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """Split a data payload into its envelope, if it has one, and its text.

    Raises:
        BadJson: There is an envelope, but it is not a JSON object, or no line feed ends it.
    """
    if payload[:1] != b"{":
        return None, payload
    head, line_feed, text = payload.partition(b"\n")
    if not line_feed:
        raise BadJson("no line feed ends the envelope")
    return parse_json(head), text


def parse_envelope(members: dict[str, Any] | None) -> Envelope:
    """Read the envelope of a device or host; members unknown to this version are passed over.

    Raises:
        BadJson: A member has the wrong type, is too long or holds control characters.
    """
    if members is None:
        return NO_ENVELOPE
    known: dict[str, str] = {}
    for name, bound in _BOUNDS.items():
        value = members.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or len(value) > bound or not value.isprintable():
            raise BadJson(f"envelope member {name} is not a printable text of at most {bound} characters")
        known[name] = value
    priority = members.get("priority")
    if priority is not None:
        if priority not in (URGENT, ROUTINE):
            raise BadJson("envelope member priority is neither urgent nor routine")
        known["priority"] = priority
    return Envelope(**known)


def encode_payload(members: dict[str, Any] | None, text: str) -> bytes:
    """Write a data payload. A text that would be taken for an envelope gets an empty one before it."""
    if members is None:
        if not text.startswith("{"):
            return text.encode()
        members = {}
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE) + text.encode()
