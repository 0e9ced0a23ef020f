"""What the switch writes itself, and whose word holds when a command was there first."""

from __future__ import annotations

import pytest

from msc.directory.store import Actor, Change, DirectoryStore
from msc.directory.write_behind import Keeper
from tests.support.county import county

ROE = Actor("Roe", "cli:roe")


@pytest.mark.requirement("F-AUDIT", "C-AUTH")
async def test_a_commands_word_holds_over_a_change_that_was_under_way(store: DirectoryStore) -> None:
    directory = county()
    await store.save(directory)
    keeper = Keeper(directory, store)
    before = directory.account("J40217").password_hash
    await store.change(
        [Change("account", "J40217", "password_reset", account={"password_hash": "$reset"})], ROE, "", 1
    )
    assert not await keeper.account_if("J40217", {"password_hash": before}, password_hash="$own")
    assert directory.account("J40217").password_hash == before
    assert (await store.load()).account("J40217").password_hash == "$reset"
    assert await keeper.account_if("J40217", {"password_hash": "$reset"}, password_hash="$own")
    assert directory.account("J40217").password_hash == "$own"


async def test_rows_read_between_two_equal_counts_are_what_memory_holds(store: DirectoryStore) -> None:
    directory = county()
    await store.save(directory)
    keeper = Keeper(directory, store)
    before = keeper.writes(["J40217"])
    write = keeper.account("J40217", locked_at=17)
    assert keeper.writes(["J40217"]) is None
    await write
    after = keeper.writes(["J40217"])
    assert after is not None
    assert after != before
    assert keeper.writes(["J40218"]) == 0
