"""One line per event an operator would want, as `key=value` text or as JSON.

    2026-11-22T08:15:30.123Z info  open id=1a user=alice address=192.0.2.7 topic=sms
    {"time": "2026-11-22T08:15:30.123Z", "level": "info", "event": "open", "id": "1a", ...}

An event is a name and fields; nothing that a client sent as payload, password or Authorization header is ever one.
"""

import functools
import json
import logging
import logging.handlers
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

ROOT: Final = "broker"
TOPIC_SHOWN: Final = 8
"""Characters of a topic's name in a log: callback topics are secrets, and names can be long."""

_PLAIN: Final = re.compile(r"[\w.:/@+*~%#,()\[\]-]+")


class Log:
    """Write events; a thin face over `logging` that keeps fields apart from text."""

    __slots__ = ("logger",)

    def __init__(self, name: str = ROOT) -> None:
        self.logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """Write what only somebody who looks for a fault wants to see."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Write what an operator may want to see."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Write what an operator should look at some day."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Write what an operator has to look at now."""
        self._write(logging.ERROR, event, fields)

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        if self.logger.isEnabledFor(level):
            # Not by `Logger.log`, which would look for the line of code that nobody prints: a fifth of the cost.
            extra = {"event": event, "fields": fields}
            text = _as_text(event, fields)
            self.logger.handle(self.logger.makeRecord(self.logger.name, level, "", 0, text, (), None, extra=extra))


def short_topic(name: str) -> str:
    """Shorten a topic's name for the log: enough to recognise one's own, too little to join a secret one."""
    return name if len(name) <= TOPIC_SHOWN else name[: TOPIC_SHOWN // 2] + "…"


def describe(error: BaseException) -> str:
    """Name an exception and where it was raised, without its text, which may quote what a client sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else ""
    return type(error).__name__ + place


def _as_text(event: str, fields: dict[str, object]) -> str:
    return " ".join([event, *(f"{key}={_word(value)}" for key, value in fields.items() if value is not None)])


def _word(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@functools.lru_cache(maxsize=1)
def _second(stamp: int) -> str:
    """Write a second since the epoch; a storm of reconnects has thousands of lines in each."""
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class TextFormatter(logging.Formatter):
    """Time, level, event and `key=value` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        text = record.getMessage().replace("\n", " | ")
        return f"{_time(record)} {record.levelname.lower():7} {text}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        event = getattr(record, "event", None) or record.getMessage()
        line = {"time": _time(record), "level": record.levelname.lower(), "event": event}
        line |= {key: value for key, value in fields.items() if value is not None}
        return json.dumps(line, ensure_ascii=False, default=str)


class LogFile(logging.handlers.WatchedFileHandler):
    """A log file that may be moved away, and whose folder may go: what cannot be written there goes to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; the relay goes on whatever happens to its log."""
        try:
            super().emit(record)
        except OSError:
            print(self.format(record), file=sys.stderr)  # noqa: T201 - there is no other place left


def configure(
    kind: Literal["text", "json"], level: str, file: str = "", root: str = ROOT
) -> logging.handlers.WatchedFileHandler | logging.StreamHandler[Any]:
    """Send a program's events to standard error or to a file.

    Args:
        kind: how a line looks.
        level: the least important level that is written.
        file: where to; empty is standard error.
        root: the logger whose events, and those of the loggers below it, are meant.

    Returns:
        The handler, so that USR1 can open its file again.

    Raises:
        OSError: the file cannot be opened.
    """
    handler: logging.handlers.WatchedFileHandler | logging.StreamHandler[Any]
    handler = LogFile(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if kind == "json" else TextFormatter())
    logger = logging.getLogger(root)
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logger.propagate = False
    set_level(level, root)
    return handler


def set_level(level: str, root: str = ROOT) -> None:
    """Change the least important level that is written."""
    logging.getLogger(root).setLevel(level.upper())
