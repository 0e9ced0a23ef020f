"""Who and what the filling's messages speak of: people, vehicles, guns, articles, each a function of its number.

Whoever sees one must see that it is invented, as with the stand-ins' data: surnames are made-up words, plates begin
with ZZ, VINs with TESTV (their check digits are right), serials with TEST, agencies with CA099.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

PERSONS: Final = 500_000
VEHICLES: Final = 400_000
THINGS: Final = 60_000
"""Guns, and as many articles."""

_FIRST_PARTS: Final = (
    "TEST", "FICT", "MOCK", "FAUX", "LOREM", "DUMMY", "SAMPLE", "NULL", "FABLE", "PSEUDO", "STUB", "TRIAL", "PHANTA",
    "DEMO", "IPSUM", "QUX", "FOOBAR", "MADEUP", "NONSUCH", "UNREAL", "INVENT", "PRETEND", "IMAGIN", "FIXTUR",
    "SYNTH", "EXAMPL", "PLACEH", "BLANK", "GHOST", "ZILCH", "NOBOD", "ACME", "MUSTER", "ARBITR", "RANDOM", "ERSATZ",
    "NOWHER", "HYPOTH", "VIRTU", "MODEL",
)  # fmt: skip
_LAST_PARTS: Final = (
    "SON", "MAN", "WORTH", "LEY", "TON", "STEIN", "SKI", "EZ", "FIELD", "WOOD", "BERG", "FORD", "HAM", "ADO", "INI",
    "ER", "BY", "WICK", "DALE", "HURST", "SHAW", "WELL", "STED", "BROOK", "RIDGE", "LAND", "MORE", "OVA", "ESCU",
    "IAN", "AKIS", "SEN", "QUIST", "STROM", "BACH", "MEIER", "ARD", "EAU", "ELLI", "ILLO",
)  # fmt: skip
GIVEN_NAMES: Final = (
    "ALPHA", "BRAVO", "CHARLIE", "DELTA", "ECHO", "FOXTROT", "GOLF", "HOTEL", "INDIA", "JULIETT", "KILO", "LIMA",
    "MIKE", "NOVEMBER", "OSCAR", "PAPA", "QUEBEC", "ROMEO", "SIERRA", "TANGO", "UNIFORM", "VICTOR", "WHISKEY",
    "XRAY", "YANKEE", "ZULU",
)  # fmt: skip
SURNAMES: Final = tuple(first + last for last in _LAST_PARTS for first in _FIRST_PARTS)
_STREETS: Final = ("EXAMPLE ST", "SPECIMEN WAY", "PLACEHOLDER AVE", "SAMPLE BLVD", "MOCKINGBIRD CT", "LOREM LN")
_TOWNS: Final = ("TESTVILLE", "EXAMPLETON", "DUMMY SPRINGS", "FICTION BEACH")
STATES: Final = ("CA",) * 16 + ("NV", "AZ", "OR", "WA")
OFFENCES: Final = (
    "TEST ASSAULT", "TEST BURGLARY", "TEST FRAUD", "TEST THEFT", "TEST FAILURE TO APPEAR", "TEST VANDALISM",
    "TEST DUI", "TEST ROBBERY", "TEST TRESPASS", "TEST FORGERY",
)  # fmt: skip
_MAKES: Final = ("FICT", "MOCK", "TEST", "DUMY", "NULL", "FAUX", "SMPL")
_MODELS: Final = ("ALF", "BET", "GAM", "DEL", "EPS", "ZET")
_STYLES: Final = ("2D", "4D", "4D", "4D", "PK", "PK", "VN", "SW")
_COLOURS: Final = ("BLK", "BLU", "GRN", "RED", "SIL", "SIL", "WHI", "WHI", "GRY")
_PLATE_LETTERS: Final = "ABCDEFGHJKLMNPRSTUVW"
"""Without X, which marks specimens, and without I, O and Q, which are read as digits."""
_YEAR_CODES: Final = "STVWXY123456789ABCDEFGHJKLMNPRST"
"""Model years 1995 to 2026 as a VIN writes them."""
_VIN_VALUES: Final = {
    **{str(digit): digit for digit in range(10)},
    **dict(zip("ABCDEFGH", range(1, 9), strict=True)),
    **dict(zip("JKLMN", range(1, 6), strict=True)),
    **{"P": 7, "R": 9},
    **dict(zip("STUVWXYZ", range(2, 10), strict=True)),
}
_VIN_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_64_BITS: Final = 2**64 - 1


class Person(NamedTuple):
    """A person. `printed` is how answers describe them; `chance` is a number of their own, to decide by."""

    name: str
    dob: str
    oln: str
    state: str
    cii: str
    printed: str
    address: str
    chance: int


class Vehicle(NamedTuple):
    """A vehicle; `chance` as with a person."""

    plate: str
    state: str
    vin: str
    plated: str
    described: str
    owner: int
    chance: int


class Thing(NamedTuple):
    """A gun or an article; `chance` as with a person."""

    serial: str
    type: str
    described: str
    chance: int


def scattered(number: int, salt: int) -> int:
    """Return 64 bits that look random and are always the same for the same number (splitmix64)."""
    mixed = (number * 0x9E3779B97F4A7C15 + salt) & _64_BITS
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return mixed ^ (mixed >> 31)


def check_digit(vin: str) -> str:
    """Return the ninth character a VIN of 17 characters must have."""
    rest = sum(_VIN_VALUES[c] * weight for c, weight in zip(vin, _VIN_WEIGHTS, strict=True)) % 11
    return "X" if rest == 10 else str(rest)


def name_of(chance: int) -> str:
    """Return a name: a few surnames are common, most are rare."""
    share = (chance & 0xFFFF) / 0x10000
    surname = SURNAMES[int(len(SURNAMES) * share * share * share)]
    first, middle = divmod((chance >> 16) % 1014, 39)
    given = GIVEN_NAMES[first]
    return f"{surname},{given} {GIVEN_NAMES[middle]}" if middle < 26 else f"{surname},{given}"


@lru_cache(maxsize=20_000)
def person(number: int) -> Person:
    """Return a person by number."""
    chance = scattered(number, 1)
    name = name_of(chance)
    more = chance >> 24
    dob = f"{1942 + more % 65}{1 + more // 65 % 12:02}{1 + more // 780 % 28:02}"
    oln, cii = f"TST{number:06}", f"A99{number:06}"
    body = scattered(number, 2)
    return Person(
        name,
        dob,
        oln,
        STATES[body % 20],
        cii,
        f"NAM/{name.replace(',', ', ')} SEX/{'MMFX'[body // 20 % 4]} RAC/{'ABIUW'[body // 80 % 5]} DOB/{dob}\n"
        f"HGT/{5 + body // 400 % 2}{body // 800 % 12:02} WGT/{100 + body // 9600 % 160} "
        f"EYE/{('BLU', 'BRO', 'BRO', 'GRN', 'HAZ')[(body >> 24) % 5]} "
        f"HAI/{('BLK', 'BLN', 'BRO', 'BRO', 'GRY', 'RED')[(body >> 28) % 6]}\n"
        f"FBI/TEST{number % 100_000:05} CII/{cii} OLN/{oln}",
        f"{1 + (body >> 32) % 9800} {_STREETS[(body >> 46) % 6]}, {_TOWNS[(body >> 50) % 4]}",
        body >> 8,
    )


def plate_of(number: int) -> str:
    """Return the plate of a vehicle: `ZZ0001A` or `ZZA0001`."""
    place = number * 7919 % VEHICLES  # coprime: no two vehicles share one
    letter, digits = _PLATE_LETTERS[place % 20], place // 20 % 10_000
    return f"ZZ{digits:04}{letter}" if place < VEHICLES // 2 else f"ZZ{letter}{digits:04}"


@lru_cache(maxsize=20_000)
def vehicle(number: int) -> Vehicle:
    """Return a vehicle by number."""
    chance = scattered(number, 3)
    age = chance % 32
    make, model = _MAKES[(chance >> 5) % 7], _MODELS[(chance >> 8) % 6]
    maker = f"TESTV{make[0]}{(chance >> 12) % 10}{'ABCDEFGH'[(chance >> 16) % 8]}"
    serial = f"{_YEAR_CODES[age]}{'ACEGKTVZ'[(chance >> 20) % 8]}{number:06}"
    vin = f"{maker}{check_digit(f'{maker}0{serial}')}{serial}"
    plate, state = plate_of(number), STATES[(chance >> 24) % 20]
    return Vehicle(
        plate,
        state,
        vin,
        f"LIC/{plate} LIS/{state} LIY/{2024 + (chance >> 30) % 4} LIT/PC",
        f"VIN/{vin} VYR/{1995 + age} VMA/{make} VMO/{model} VST/{_STYLES[(chance >> 32) % 8]} "
        f"VCO/{_COLOURS[(chance >> 36) % 9]}",
        scattered(number, 4) % PERSONS,
        chance >> 20,
    )


def gun(number: int) -> Thing:
    """Return a gun by number."""
    chance = scattered(number, 5)
    serial, kind = f"TESTGUN{number:06}", ("PI", "PI", "PR", "RI", "SG")[chance % 5]
    described = (
        f"SER/{serial} MAK/{('FIC', 'MOK', 'TST')[(chance >> 4) % 3]} "
        f"CAL/{('9', '22', '38', '45', '12')[(chance >> 8) % 5]} MOD/DUMMY{1 + (chance >> 12) % 9} TYP/{kind}"
    )
    return Thing(serial, kind, described, chance >> 20)


def article(number: int) -> Thing:
    """Return an article by number."""
    chance = scattered(number, 6)
    serial, kind = f"TESTART{number:06}", ("BBICYCL", "CCAMERA", "DCOMPUT", "YTOOL")[chance % 4]
    described = (
        f"SER/{serial} TYP/{kind} BRA/{('FICTA', 'MOCKO', 'TESTEX')[(chance >> 4) % 3]} "
        f"MOD/DUMMY{1 + (chance >> 8) % 9}"
    )
    return Thing(serial, kind, described, chance >> 20)
