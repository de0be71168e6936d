"""Remember what was logged last, for whoever looks at the service while it runs."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

KEPT: Final = 50
"""Events that are remembered; a screen shows fewer."""


class Recent(logging.Handler):
    """The last events of the log, each with its time, level, name and fields. None of them holds a secret."""

    def __init__(self, kept: int = KEPT) -> None:
        super().__init__(logging.INFO)
        self._events: deque[Mapping[str, Any]] = deque(maxlen=kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Take an event."""
        fields: dict[str, Any] = getattr(record, "fields", {})
        name = getattr(record, "event", None) or record.getMessage()
        told = {key: value for key, value in fields.items() if value is not None}
        self._events.append({"at": record.created, "level": record.levelname.lower(), "event": name, **told})

    def events(self) -> Sequence[Mapping[str, Any]]:
        """Return the last events, the oldest first."""
        return tuple(self._events)
