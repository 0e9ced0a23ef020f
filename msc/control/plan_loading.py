"""Loading a plan beside the traffic of a running switch: in a thread, and without the collector's pauses.

Twenty thousand routes are some three hundred thousand objects. Made in a thread of their own they take half a second
in which the event loop has its turn every few milliseconds. The garbage collector would look at all of them again and
again while they are made, a tenth of a second each time with everything standing still; so it rests meanwhile, and
afterwards they are set aside, where it looks no more. They go as soon as nobody holds them: there are no circles.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

from msc.routing.plan import Plan


async def load_beside(load: Callable[[], Plan]) -> Plan:
    """Load a plan. One at a time: the collector is everybody's.

    Raises:
        RouteError: As `load` does.
    """
    gc.disable()
    try:
        return await asyncio.to_thread(load)
    finally:
        # What was made while it rested is all new to it, and it would look at that first.
        gc.freeze()
        gc.enable()


async def let_go(plan: Plan) -> None:
    """Let go of a plan that nobody uses any more, row by row: all at once the rows take twenty milliseconds."""
    await asyncio.to_thread(plan.dismantle)
