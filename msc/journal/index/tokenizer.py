"""Words: what a text is indexed by, and what somebody who looks for it types.

A word is a run of letters and digits, in capitals and without accents. What people write with separators and
without is found either way:

    LIC/7ABC-123        LIC, 7ABC, 123, 7ABC123         a hyphen or an apostrophe joins, anywhere in a text
    NAM/O'BRIEN,ANN     NAM, O, BRIEN, OBRIEN, ANN
    SER/AB 123-45       SER, AB, 123, 45, 12345, AB12345    a blank joins within the value of a field, if the
                                                        pieces look like those of a number
    NAM/DE LA CRUZ,JUAN NAM, DE, LA, CRUZ, DELACRUZ, JUAN   and within a surname that a comma ends

A query is turned into alternatives in the same way: `7ABC-123` finds what holds 7ABC and 123, and what holds
7ABC123. Its pieces may stand anywhere in the text, so it may find too much, but a separator never hides a match.

A word longer than `WORD_CHARS` is cut into chunks, each a word of its own that says which chunk it is, and whether
more follow: a run of 40 is `<32 characters>~` and `~1~<8 characters>`. So it is found whole and by any beginning of
it. No letter or digit is a tilde, so chunks are never mistaken for words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from msc.journal.criteria import BadCriteria

WORD_CHARS: Final = 32
"""Longer than any identifier of the field (a VIN has 17, a name 30, a securities number 20). A segment's first terms
stand in memory, and a picture sent as one run of hexadecimal digits must not."""
_PIECES_JOINED: Final = 4
"""Pieces of a value that are joined at most: a serial is not written in more, a remark soon is."""

_MORE: Final = "~"
_SPLIT: Final = bytes(
    ord(chr(byte).upper()) if byte < 128 and (chr(byte).isalnum() or chr(byte) in "-'") else ord(" ")
    for byte in range(256)
)
"""ASCII to words and blanks in one pass; a regular expression takes four times as long."""
_WORD: Final = re.compile(r"[^\W_]+")
_WRITTEN: Final = re.compile(r"(?:[^\W_]|[-'])+")
"""Words with hyphens and apostrophes, as they are written."""
_VALUE: Final = re.compile(r"(?:[^\W_]|[-' ])+")
_PIECE: Final = r"(?:[A-Z0-9'-]*[0-9][A-Z0-9'-]*+|[A-Z'-]{1,4}+)(?![A-Z0-9'/-])"
# A piece holds a digit or is at most four letters, and is not the code of the field that follows. What does not go on
# after its first blank but with the next field (nearly all) is passed over early.
_SPACED: Final = re.compile(
    rf"/[A-Z0-9'-]++(?= {{1,2}}(?![A-Z]{{2,4}}/))(?: {{1,2}}{_PIECE}){{1,{_PIECES_JOINED - 1}}}+"
)
_SURNAME: Final = re.compile(rf"NAM/[A-Z'-]++(?: {{1,2}}[A-Z'-]++){{1,{_PIECES_JOINED - 1}}}+,")
_SEPARATED: Final = str.maketrans("", "", "-'/")
_UNJOINED: Final = str.maketrans("", "", " -',")

_LIKE_ASCII: Final = {
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad"), "-"),
    **dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u02b9\u00b4`"), "'"),
    # Letters with a stroke have no accent that could be taken off.
    **str.maketrans({"Ø": "O", "Đ": "D", "Ð": "D", "Ł": "L", "Ħ": "H", "Ŧ": "T", "Æ": "AE", "Œ": "OE"}),
}


class Sought(NamedTuple):
    """What is looked up in the index.

    Attributes:
        term: A term.
        prefix: Whether any term that begins with it will do.
    """

    term: str
    prefix: bool = False


Alternatives = tuple[tuple[Sought, ...], ...]
"""Any of these, each of them: all of those."""


def words(text: str) -> list[str]:
    """Return the distinct words of a text, in no order."""
    if text.isascii():
        upper = text.upper()
        found = set(text.encode("ascii").translate(_SPLIT).decode("ascii").split())
    else:
        upper = _fold(text)
        found = set(_WRITTEN.findall(upper))
    if "-" in upper or "'" in upper:
        for written in [written for written in found if "-" in written or "'" in written]:
            found.remove(written)
            found.update(written.replace("'", "-").split("-"))
            found.add(written.replace("-", "").replace("'", ""))
        found.discard("")
    if "/" in upper:
        for value in _SPACED.findall(upper):
            found.update(_joined_beginnings(value))
        if "NAM/" in upper:
            for surname in _SURNAME.findall(upper):
                found.add(surname[4:].translate(_UNJOINED))
    if found and max(map(len, found)) > WORD_CHARS:
        for word in [word for word in found if len(word) > WORD_CHARS]:
            found.remove(word)
            found.update(_chunks(word))
    return list(found)


def query_words(query: str) -> Alternatives:
    """Turn what somebody looks for into words: a text is meant if it holds all words of any of the alternatives.

    Args:
        query: A word, or several in one with separators; one that ends in `*` is a beginning.

    Raises:
        BadCriteria: It holds no letter or digit.
    """
    typed = query.strip()
    prefix = typed.endswith("*")
    upper = typed.upper() if typed.isascii() else _fold(typed)
    values = [value for value in map(_words_of_value, _VALUE.findall(upper)) if value]
    if not values:
        raise BadCriteria(f"text: {query!r} holds no letter or digit")
    apart = [piece for value in values for written in value for piece in _WORD.findall(written)]
    hyphens_joined = [written.translate(_UNJOINED) for value in values for written in value]
    blanks_joined = ["".join(value).translate(_UNJOINED) for value in values]
    written_ways = dict.fromkeys(map(tuple, (blanks_joined, hyphens_joined, apart)))
    return tuple(dict.fromkeys(_sought(way, prefix) for way in written_ways))


def _words_of_value(value: str) -> list[str]:
    """Return the words of a value with their hyphens and apostrophes, but none that is nothing else."""
    return [written for written in _WRITTEN.findall(value) if _WORD.search(written)]


def _sought(way: tuple[str, ...], prefix: bool) -> tuple[Sought, ...]:
    """Write words as what is looked up; the last of them may be a beginning."""
    *whole, last = way
    sought = [Sought(chunk) for word in whole for chunk in _chunks(word)]
    chunks = _chunks(last)
    sought += [Sought(chunk) for chunk in chunks[:-1]]
    sought.append(Sought(chunks[-1], prefix))
    return tuple(dict.fromkeys(sought))


def _chunks(word: str) -> list[str]:
    """Cut a word that is too long; return one that is not as it is."""
    if len(word) <= WORD_CHARS:
        return [word]
    cut = [word[at : at + WORD_CHARS] for at in range(0, len(word), WORD_CHARS)]
    last = len(cut) - 1
    return [
        (f"~{number}~" if number else "") + chunk + (_MORE if number < last else "")
        for number, chunk in enumerate(cut)
    ]


def _joined_beginnings(value: str) -> list[str]:
    """Join a value's first two pieces, its first three ...: where the value ends and a remark begins is not known."""
    joined, found = "", []
    for piece in value.translate(_SEPARATED).split():
        joined += piece
        found.append(joined)
    return [joined for joined in found[1:] if not joined.isalpha()]  # two words, not a number


def _fold(text: str) -> str:
    """Write a text in capitals, without accents, and with the separators of ASCII."""
    for _ in range(2):  # some capitals are written with accents of their own
        text = unicodedata.normalize("NFKD", text.translate(_LIKE_ASCII))
        text = "".join([c for c in text if unicodedata.category(c) != "Mn"]).upper().translate(_LIKE_ASCII)
    return unicodedata.normalize("NFKC", text)
