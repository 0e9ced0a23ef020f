"""The campaign: much traffic, lines cut, the switch killed; and everything accounted for at the end.

`make campaign-switching` runs the long form; `MSC_CAMPAIGN_MESSAGES`, `_TERMINALS`, `_KILLS`, `_CUTS`, `_SECONDS` and
`_SEED` say how long it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import assert_quiet
from tests.support.campaign import Campaign, Plan
from tests.support.campaign_verdict import figures, judge
from tests.support.site import Site

SHORT = Plan()


def asked(name: str, otherwise: float) -> float:
    return float(os.environ.get(f"MSC_CAMPAIGN_{name}", otherwise))


LONG = "MSC_CAMPAIGN_MESSAGES" in os.environ
PLAN = Plan(
    messages=int(asked("MESSAGES", SHORT.messages)),
    terminals=int(asked("TERMINALS", SHORT.terminals)),
    kills=int(asked("KILLS", SHORT.kills)),
    cuts=int(asked("CUTS", SHORT.cuts)),
    seconds=asked("SECONDS", SHORT.seconds),
    seed=int(asked("SEED", SHORT.seed)),
    hangs=LONG,
)


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.make(tmp_path_factory.mktemp("campaign") / "site")
    if LONG:
        made.start_s = 300.0
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.requirement("C-TRAFFIC", "C-JOURNAL", "C-HDR", "C-ADMIN", "C-UNSOL")
async def test_everything_ends_and_is_told_while_lines_are_cut_and_the_switch_is_killed(site: Site) -> None:
    campaign = Campaign(site, PLAN)
    campaign.prepare()
    await campaign.run()
    evidence = campaign.evidence()
    told = figures(evidence)
    print()
    for what, count in {**told, **campaign.events}.items():
        print(f"  {what:36}{count:>9}")
    rate = told["acknowledged"] / campaign.seconds
    print(f"  {'seconds of traffic, messages a second':36}{campaign.seconds:>9.1f}{rate:>9.0f}")
    if times := sorted(campaign.failovers()):
        print(f"  {'failovers, p50 and max, s':36}{times[len(times) // 2]:>9.3f}{times[-1]:>9.3f} ({len(times)})")
    print(f"  {'restart, s':36}" + " ".join(f"{s:.1f}" for s in campaign.restarts))
    breaches = judge(evidence)
    for promise, found in breaches.items():
        print(f"  BROKEN: {promise}: {len(found)} times", *found[:8], sep="\n    ")
    assert not breaches.keys()
    assert told["acknowledged"] + told["refused"] > 0.8 * PLAN.messages or campaign.stopped_short
    assert campaign.events["switch killed"] == PLAN.kills or campaign.stopped_short
    assert_quiet(site)
