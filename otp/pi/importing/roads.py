"""Take over the ways in of ``subscriber/*.json``.

| key (without ``subscriberWs`` and so on) | WS    | AMQP      | Redis  | MQTT  |
|------------------------------------------|-------|-----------|--------|-------|
| Address Port Username Password Topic     | taken | taken     | taken  | taken |
| SSL                                      | taken | taken     | taken  | taken |
| Path                                     | taken | -         | -      |       |
| Qos                                      |       |           |        | 1 or 2 |
| ClientID                                 |       |           |        | -     |
| Version                                  |       | 0-9-1     |        |       |
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from otp.pi.importing.notes import Notes, Record

Reader = Callable[[str], dict[str, Any]]
"""Returns the object in a file; empty where there is none."""

KINDS: Final = {"ws": "Ws", "amqp": "Amqp", "redis": "Redis", "mqtt": "Mqtt"}
"""Our table by the word in the original's keys."""

_UNSUPPORTED: Final = {"stomp": "Stomp", "activemq": "ActiveMQ"}
_LONGEST_TOPIC: Final = 255


def roads(read: Reader, notes: Notes) -> dict[str, list[dict[str, Any]]]:
    """Return the tables ``[[ws]]``, ``[[amqp]]``, ``[[redis]]`` and ``[[mqtt]]``."""
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, word in KINDS.items():
        values = read(file := _file(kind))
        if not values:
            continue
        record = Record(file, _bare(values, word), notes)
        if record.flag("Enable"):
            found[kind] = [_road(kind, record)]
        else:
            notes.add(file, "left out: it is not enabled")
    for kind, word in _UNSUPPORTED.items():
        if values := read(file := _file(kind)):
            enabled = Record(file, _bare(values, word), notes).flag("Enable")
            notes.add(
                file, f"not supported{': use AMQP, MQTT, Redis or WebSocket instead' if enabled else ', and off'}"
            )
    return found


def _file(kind: str) -> str:
    return f"subscriber/subscriber-{kind}.json"


def _bare(values: Mapping[str, Any], word: str) -> dict[str, Any]:
    return {key.removeprefix(f"subscriber{word}"): value for key, value in values.items()}


def _road(kind: str, record: Record) -> dict[str, Any]:
    topic = record.text("Topic")[:_LONGEST_TOPIC]
    table: dict[str, Any] = {
        "host": record.text("Address") or "127.0.0.1",
        "port": record.port("Port"),
        "username": record.text("Username"),
        "password": record.text("Password"),
        "tls": record.flag("SSL"),
    } | ({"topic": topic} if topic else {})
    record.note("Enable Address Port Username Password", f"taken as [[{kind}]]")
    record.note("Topic", "taken" if topic else "empty: sms is used")
    _note_tls(kind, record)
    table |= _special(kind, record)
    record.note("Timeout Refresh ReconnectDelay", "no longer needed: it reconnects by itself, at most 30 s later")
    record.done()
    return table


def _note_tls(kind: str, record: Record) -> None:
    if not record.flag("SSL"):
        record.note("SSL", "taken as tls = false")
    elif kind in {"redis", "mqtt"}:
        record.note("SSL", "taken as tls = true: so far the connection was unencrypted all the same")
    else:
        record.note("SSL", "taken as tls = true, the certificate is verified")


def _special(kind: str, record: Record) -> dict[str, Any]:
    """Return what only one kind has."""
    path = record.text("Path")
    if kind == "ws":
        record.note("Path", "taken")
        return {"path": path if path.startswith("/") else f"/{path}"}
    record.note("Path", "not taken: it was never applied")
    if kind == "amqp":
        speaks = "0-9-1, as before" if record.number("Version") == 0 else "not supported: AMQP 0-9-1 is spoken instead"
        record.note("Version", speaks)
    if kind != "mqtt":
        return {}
    record.note("ClientID", "not taken: it was never applied, and two with one name throw each other out")
    qos = 2 if record.number("Qos") == 2 else 1  # noqa: PLR2004 - MQTT knows 0, 1 and 2
    record.note("Qos", f"taken as {qos}: so far every subscription was 0; with less than 1 messages get lost")
    return {"qos": qos}
