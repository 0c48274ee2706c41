"""The worker's part."""

from __future__ import annotations

from procrastinate.contrib.django import app

from subscriptions.services import upkeep


@app.periodic(cron="17 3 * * *")
@app.task(name="subscriptions.keep_house", queueing_lock="subscriptions.keep_house")
def keep_house(timestamp: int) -> dict[str, int]:
    return upkeep.keep_house()
