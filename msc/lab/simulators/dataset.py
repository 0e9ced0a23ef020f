"""The data set: some of the people, vehicles, guns and articles of `msc.lab.world`, the same for the same seed.

A seed says which of them, and what is on file against them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from msc.lab import world
from msc.lab.simulators import specimen
from msc.lab.simulators.subject import Arrest, Article, Entry, Gun, Kind, Person, Vehicle, normalise_name

PERSONS: Final = 1_200
VEHICLES: Final = 1_200
GUNS: Final = 400
ARTICLES: Final = 400

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class DataSet:
    """All records, and what finds them. Names are keys as `normalise_name` writes them."""

    persons: tuple[Person, ...]
    vehicles: tuple[Vehicle, ...]
    guns: tuple[Gun, ...]
    articles: tuple[Article, ...]
    by_name_and_dob: Mapping[tuple[str, str], tuple[Person, ...]]
    by_name: Mapping[str, tuple[Person, ...]]
    by_oln: Mapping[str, Person]
    by_cii: Mapping[str, Person]
    by_fbi: Mapping[str, Person]
    by_plate: Mapping[str, tuple[Vehicle, ...]]
    by_vin: Mapping[str, Vehicle]
    by_gun_serial: Mapping[str, tuple[Gun, ...]]
    by_article_serial: Mapping[str, tuple[Article, ...]]
    person_by_nic: Mapping[str, Person]
    gun_by_nic: Mapping[str, Gun]
    article_by_nic: Mapping[str, Article]

    def find_persons(self, fields: Mapping[str, str]) -> tuple[Person, ...]:
        """Find whom an inquiry may mean: who has any of its numbers, or its name (and DOB, where given)."""
        found: dict[str, Person] = {}
        for code, index in (
            ("NIC", self.person_by_nic),
            ("OLN", self.by_oln),
            ("CII", self.by_cii),
            ("FBI", self.by_fbi),
        ):
            if code in fields and (person := index.get(fields[code])):
                found[person.oln] = person
        if "NAM" in fields:
            name, dob = normalise_name(fields["NAM"]), fields.get("DOB")
            named = self.by_name_and_dob.get((name, dob), ()) if dob else self.by_name.get(name, ())
            found.update((person.oln, person) for person in named)
        return tuple(found.values())

    def find_vehicles(self, fields: Mapping[str, str]) -> tuple[Vehicle, ...]:
        """Find the registered vehicles with a plate, or else with a VIN; of the state `LIS`, where given."""
        if "LIC" in fields:
            found = self.by_plate.get(fields["LIC"], ())
        else:
            vehicle = self.by_vin.get(fields.get("VIN", ""))
            found = (vehicle,) if vehicle else ()
        state = fields.get("LIS")
        return tuple(v for v in found if v.plate_state == state) if state else found


def make_dataset(seed: int = 1) -> DataSet:
    """Make the data set of a seed, specimens included."""
    rng = random.Random(seed)
    persons = (*specimen.PERSONS, *(_person(rng, n) for n in _numbers(seed, PERSONS, world.PERSONS)))
    vehicles = (
        *specimen.VEHICLES,
        *(_vehicle(rng, n, rng.choice(persons)) for n in _numbers(seed, VEHICLES, world.VEHICLES)),
    )
    guns = (*specimen.GUNS, *(_gun(rng, n) for n in _numbers(seed, GUNS, world.THINGS)))
    articles = (*specimen.ARTICLES, *(_article(rng, n) for n in _numbers(seed, ARTICLES, world.THINGS)))
    return DataSet(
        persons=persons,
        vehicles=vehicles,
        guns=guns,
        articles=articles,
        by_name_and_dob=_group(((p.name, p.dob), p) for p in persons),
        by_name=_group((p.name, p) for p in persons),
        by_oln={p.oln: p for p in persons},
        by_cii={p.cii: p for p in persons},
        by_fbi={p.fbi: p for p in persons},
        by_plate=_group((v.plate, v) for v in vehicles),
        by_vin={v.vin: v for v in vehicles},
        by_gun_serial=_group((g.serial, g) for g in guns),
        by_article_serial=_group((a.serial, a) for a in articles),
        person_by_nic={e.nic: p for p in persons for e in p.on_file},
        gun_by_nic={e.nic: g for g in guns for e in g.on_file},
        article_by_nic={e.nic: a for a in articles for e in a.on_file},
    )


Key = TypeVar("Key")


def _group(pairs: Iterable[tuple[Key, Item]]) -> dict[Key, tuple[Item, ...]]:
    groups: dict[Key, list[Item]] = {}
    for key, item in pairs:
        groups.setdefault(key, []).append(item)
    return {key: tuple(items) for key, items in groups.items()}


def _numbers(seed: int, count: int, among: int) -> Iterable[int]:
    """Return which of the world's records are a seed's."""
    return ((seed * count + n) % among for n in range(count))


# --- one record ---------------------------------------------------------------------------------


def _date(rng: random.Random, first: int, last: int) -> str:
    return f"{rng.randint(first, last)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"


def _ori(rng: random.Random) -> str:
    return world.ori_of(rng.randint(0, 20))


def _entry(rng: random.Random, kind: Kind, letter: str, number: int, remark: str = "") -> Entry:
    """Make an entry that stands at the state, at NCIC, or most often in both."""
    place = rng.choice(("both", "both", "both", "state", "ncic"))
    return Entry(
        kind=kind,
        nic=f"{letter}990{number:06}",
        ori=_ori(rng),
        oca=f"T{rng.randint(20, 26)}-{rng.randint(1000, 9999)}",
        date=_date(rng, 2020, 2025),
        remark=remark,
        in_state=place != "ncic",
        in_ncic=place != "state",
    )


def _person(rng: random.Random, number: int) -> Person:
    on_file = []
    if rng.random() < 0.20:
        on_file.append(_entry(rng, Kind.WANTED, "W", number, rng.choice(world.OFFENCES)))
    if rng.random() < 0.08:
        on_file.append(_entry(rng, Kind.MISSING, "M", number, "LAST SEEN IN TESTVILLE"))
    if rng.random() < 0.08:
        on_file.append(_entry(rng, Kind.RESTRAINED, "H", number, "PROTECTS PLACEHOLDER, ALPHA"))
    if rng.random() < 0.08:
        on_file.append(_entry(rng, Kind.RELEASED, "C", number, "REPORT CONTACT TO ORI"))
    history = []
    if rng.random() < 0.20:
        for _ in range(rng.randint(1, 4)):
            arrest = (_date(rng, 1995, 2025), _ori(rng), rng.choice(world.OFFENCES), rng.choice(world.DISPOSITIONS))
            history.append(Arrest(*arrest))
    return Person(
        *world.person(number)[:13],
        licence=rng.choice(world.LICENCES),
        armed=bool(on_file) and rng.random() < 0.2,
        on_file=tuple(on_file),
        history=tuple(history),
    )


def _vehicle(rng: random.Random, number: int, owner: Person) -> Vehicle:
    stolen = rng.random() < 0.25
    return Vehicle(
        *world.vehicle(number)[:9],
        owner=owner.name,
        address=owner.address,
        on_file=(_entry(rng, Kind.STOLEN_VEHICLE, "V", number),) if stolen else (),
    )


def _gun(rng: random.Random, number: int) -> Gun:
    kind = rng.choice((Kind.STOLEN_GUN, Kind.LOST_GUN, None))
    return Gun(
        *world.gun(number)[:5],
        on_file=(_entry(rng, kind, "G", number),) if kind else (),
    )


def _article(rng: random.Random, number: int) -> Article:
    kind = rng.choice((Kind.STOLEN_ARTICLE, Kind.LOST_ARTICLE, None))
    return Article(
        *world.article(number)[:4],
        on_file=(_entry(rng, kind, "A", number),) if kind else (),
    )
