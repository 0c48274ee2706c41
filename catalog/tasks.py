"""The worker's part."""

from __future__ import annotations

from uuid import UUID

from procrastinate.contrib.django import app

from catalog.services import imports


@app.task(name=imports.TASK)
def read_import(import_id: str) -> None:
    imports.read(import_id=UUID(import_id))


@app.periodic(cron="43 3 * * *")
@app.task(name="catalog.keep_house", queueing_lock="catalog.keep_house")
def keep_house(timestamp: int) -> dict[str, int]:
    return imports.keep_house()
