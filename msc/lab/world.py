"""The county that does not exist: its agencies, people, vehicles, guns and articles, each a function of its number.

Simulators, demo and filling all draw from here. Whoever sees one must see that it is invented, on a screen, in a
print or in a journal: surnames are made-up words, plates begin with ZZ, VINs with TESTV (their check digits are
right), serials with TEST, mnemonics with EX, and ORIs with CA099, for California has no county of that number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

AGENCIES: Final = (
    "EXSO", "EXPD", "EXDA", "EXPB", "EXCP", "EXUP", "EXHP", "EXJC", "EXMB", "EXNT", "EXRV", "EXSC",
)  # fmt: skip
"""Their codes, in the order of their ORIs: the sheriff, the police of its town, and others."""
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
DISPOSITIONS: Final = ("CONVICTED", "DISMISSED", "NO DISPOSITION REPORTED")
LICENCES: Final = ("VALID", "VALID", "VALID", "SUSPENDED", "EXPIRED")
_STREETS: Final = ("EXAMPLE ST", "SPECIMEN WAY", "PLACEHOLDER AVE", "SAMPLE BLVD", "MOCKINGBIRD CT", "LOREM LN")
TOWNS: Final = ("TESTVILLE", "EXAMPLETON", "DUMMY SPRINGS", "FICTION BEACH")
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
    """A person; `chance` is a number of their own, to decide by."""

    name: str
    dob: str
    sex: str
    race: str
    height: str
    weight: str
    eyes: str
    hair: str
    oln: str
    oln_state: str
    cii: str
    fbi: str
    address: str
    chance: int

    @property
    def printed(self) -> str:
        """How answers describe them."""
        return (
            f"NAM/{self.name.replace(',', ', ')} SEX/{self.sex} RAC/{self.race} DOB/{self.dob}\n"
            f"HGT/{self.height} WGT/{self.weight} EYE/{self.eyes} HAI/{self.hair}\n"
            f"FBI/{self.fbi} CII/{self.cii} OLN/{self.oln}"
        )


class Vehicle(NamedTuple):
    """A vehicle; `owner` is a person's number, `chance` as with a person."""

    plate: str
    plate_state: str
    plate_year: str
    vin: str
    year: str
    make: str
    model: str
    style: str
    colour: str
    owner: int
    chance: int

    @property
    def plated(self) -> str:
        """How answers describe its plate."""
        return f"LIC/{self.plate} LIS/{self.plate_state} LIY/{self.plate_year} LIT/PC"

    @property
    def described(self) -> str:
        """How answers describe the vehicle itself."""
        return f"VIN/{self.vin} VYR/{self.year} VMA/{self.make} VMO/{self.model} VST/{self.style} VCO/{self.colour}"


class Gun(NamedTuple):
    """A gun; `chance` as with a person."""

    serial: str
    make: str
    calibre: str
    model: str
    type: str
    chance: int

    @property
    def described(self) -> str:
        """How answers describe it."""
        return f"SER/{self.serial} MAK/{self.make} CAL/{self.calibre} MOD/{self.model} TYP/{self.type}"


class Article(NamedTuple):
    """An article; `chance` as with a person."""

    serial: str
    type: str
    brand: str
    model: str
    chance: int

    @property
    def described(self) -> str:
        """How answers describe it."""
        return f"SER/{self.serial} TYP/{self.type} BRA/{self.brand} MOD/{self.model}"


def ori_of(agency: int) -> str:
    """Return the ORI of the agency with a number."""
    return f"CA099{agency:02}00"


ORI: Final = ori_of(0)
"""The sheriff's."""


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
    more = chance >> 24
    body = scattered(number, 2)
    return Person(
        name=name_of(chance),
        dob=f"{1942 + more % 65}{1 + more // 65 % 12:02}{1 + more // 780 % 28:02}",
        sex="MMFX"[body // 20 % 4],
        race="ABIUW"[body // 80 % 5],
        height=f"{5 + body // 400 % 2}{body // 800 % 12:02}",
        weight=str(100 + body // 9600 % 160),
        eyes=("BLU", "BRO", "BRO", "GRN", "HAZ")[(body >> 24) % 5],
        hair=("BLK", "BLN", "BRO", "BRO", "GRY", "RED")[(body >> 28) % 6],
        oln=f"TST{number:06}",
        oln_state=STATES[body % 20],
        cii=f"A99{number:06}",
        fbi=f"TEST{number % 90_000:05}",
        address=f"{1 + (body >> 32) % 9800} {_STREETS[(body >> 46) % 6]}, {TOWNS[(body >> 50) % 4]}",
        chance=body >> 8,
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
    make = _MAKES[(chance >> 5) % 7]
    maker = f"TESTV{make[0]}{(chance >> 12) % 10}{'ABCDEFGH'[(chance >> 16) % 8]}"
    serial = f"{_YEAR_CODES[age]}{'ACEGKTVZ'[(chance >> 20) % 8]}{number:06}"
    return Vehicle(
        plate=plate_of(number),
        plate_state=STATES[(chance >> 24) % 20],
        plate_year=str(2024 + (chance >> 30) % 4),
        vin=f"{maker}{check_digit(f'{maker}0{serial}')}{serial}",
        year=str(1995 + age),
        make=make,
        model=_MODELS[(chance >> 8) % 6],
        style=_STYLES[(chance >> 32) % 8],
        colour=_COLOURS[(chance >> 36) % 9],
        owner=scattered(number, 4) % PERSONS,
        chance=chance >> 20,
    )


def gun(number: int) -> Gun:
    """Return a gun by number."""
    chance = scattered(number, 5)
    return Gun(
        serial=f"TESTGUN{number:06}",
        make=("FIC", "MOK", "TST")[(chance >> 4) % 3],
        calibre=("9", "22", "38", "45", "12")[(chance >> 8) % 5],
        model=f"DUMMY{1 + (chance >> 12) % 9}",
        type=("PI", "PI", "PR", "RI", "SG")[chance % 5],
        chance=chance >> 20,
    )


def article(number: int) -> Article:
    """Return an article by number."""
    chance = scattered(number, 6)
    return Article(
        serial=f"TESTART{number:06}",
        type=("BBICYCL", "CCAMERA", "DCOMPUT", "YTOOL")[chance % 4],
        brand=("FICTA", "MOCKO", "TESTEX")[(chance >> 4) % 3],
        model=f"DUMMY{1 + (chance >> 8) % 9}",
        chance=chance >> 20,
    )
