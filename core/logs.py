"""Logs as one JSON object per line, each with the request it belongs to."""

from __future__ import annotations

import logging

from pythonjsonlogger.json import JsonFormatter as BaseFormatter

from core.context import origin


class OriginFilter(logging.Filter):
    """Adds the request's id and the caller's address."""

    def filter(self, record: logging.LogRecord) -> bool:
        where = origin.get()
        record.request_id = where.request_id or None
        record.ip = where.ip
        return True


class JsonFormatter(BaseFormatter):
    def __init__(self) -> None:
        super().__init__(
            "{levelname}{name}{message}{request_id}{ip}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp=True,
            # Django attaches the request object, which is neither JSON nor ours to write down.
            reserved_attrs=[*_reserved(), "request", "server_time", "taskName"],
            json_ensure_ascii=False,
        )


def _reserved() -> list[str]:
    return [*logging.makeLogRecord({}).__dict__, "message", "asctime"]
