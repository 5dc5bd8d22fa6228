"""How web process and worker write their log: a readable line, or one JSON object a line, for each record."""

from __future__ import annotations

import json
from typing import Any

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

FORMATS = ("plain", "json")

#: What stands in a plain line by itself; everything else follows as ``name=value``.
_PLACED = ("time", "level", "logger", "message", "exception", "stack")


def formatter(log_format: str) -> ProcessorFormatter:
    """Return the formatter of a handler; ``log_format`` is one of ``FORMATS``.

    What is bound with ``structlog.contextvars`` (a worker binds job and attempt) stands in each record of that thread.
    """
    render: dict[str, Processor] = {"plain": _plain_line, "json": structlog.processors.JSONRenderer(serializer=_dump)}
    return ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _add_time,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.EventRenamer("message"),
            render[log_format],
        ],
    )


_add_time = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")


def _plain_line(logger: WrappedLogger, name: str, record: EventDict) -> str:  # noqa: ARG001 - structlog's signature
    """Return one line, and under it the traceback where there is one; no message can pretend to be another line."""
    # By name: what is bound comes in an order that changes from one process to the next.
    bound = "".join(f" {key}={value}" for key, value in sorted(record.items()) if key not in _PLACED)
    head = f"{record['time']} {str(record['level']).upper()} {record['logger']}: {record['message']}{bound}"
    lines = [head.replace("\r", "\\r").replace("\n", "\\n")]
    lines += [str(record[key]) for key in ("stack", "exception") if record.get(key)]
    return "\n".join(lines)


def _dump(record: dict[str, Any], **options: Any) -> str:
    """Return the record as JSON, what people look for first in front."""
    placed = {key: record[key] for key in _PLACED[:4] if key in record}
    return json.dumps(placed | dict(sorted(record.items())), **options)
