"""Hold every setting of the publisher: name, default, unit, meaning; a frozen object per section of the file.

The sections and most keys of existing ``config.ini`` files are here under their names; the others are ours. A
field's metadata says how its text is read (``read``) and what it means (``help``); the reference page is
checked against it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from otp.publisher import values


class Method(StrEnum):
    """A road, by the name that ``method`` has for it; also the name of its section."""

    REST = "REST"
    REDIS = "REDIS"
    AMQP = "AMQP"
    MQTT = "MQTT"
    WS = "WS"


class StoreKind(StrEnum):
    """Where codes of our own live."""

    SQLITE = "sqlite"
    MEMORY = "memory"
    REDIS = "redis"


class MqttProtocol(StrEnum):
    """Which MQTT is spoken."""

    AUTO = "auto"
    V5 = "5"
    V311 = "3.1.1"


def _method(text: str) -> Method:
    try:
        return Method(text.strip().upper())
    except ValueError:
        raise ValueError("must be REST, REDIS, AMQP, MQTT or WS") from None


def _store(text: str) -> StoreKind:
    try:
        return StoreKind(text.strip().lower())
    except ValueError:
        raise ValueError("must be sqlite, memory or redis") from None


def _mqtt_protocol(text: str) -> MqttProtocol:
    try:
        return MqttProtocol(text.strip().lower())
    except ValueError:
        raise ValueError("must be auto, 5 or 3.1.1") from None


def _about(read: Callable[[str], object], meaning: str) -> dict[str, object]:
    return {"read": read, "help": meaning}


@dataclass(frozen=True, slots=True, kw_only=True)
class General:
    """Section ``[GENERAL]``: which road, and the codes of our own."""

    method: Method = field(default=Method.REST, metadata=_about(_method, "The road: REST, REDIS, AMQP, MQTT or WS."))
    username: str = field(default="", repr=False, metadata=_about(values.plain, "Accepted and unused, as before."))
    password: str = field(default="", repr=False, metadata=_about(values.plain, "Accepted and unused, as before."))
    manage_otp: bool = field(
        default=False,
        metadata=_about(
            values.boolean, "Make and verify codes here. Off, the OTP-Pi does, which works best over REST."
        ),
    )
    cache_dir: Path | None = field(
        default=None,
        metadata=_about(Path, "Directory of the SQLite store, made with mode 0700 where missing."),
    )
    cache_max_age: int = field(
        default=3600,
        metadata=_about(values.whole, "Seconds an expired code is remembered, so that a late answer reads 1203."),
    )
    key_file: Path | None = field(
        default=None,
        metadata=_about(Path, "File with the secret key, made where missing. Never inside cache_dir."),
    )
    store: StoreKind = field(
        default=StoreKind.SQLITE, metadata=_about(_store, "Where codes live: sqlite, redis or memory.")
    )
    store_url: str = field(
        default="", repr=False, metadata=_about(values.plain, "redis:// or rediss:// URL for store = redis.")
    )
    otp_digits: int = field(default=6, metadata=_about(values.whole, "Digits of a code, 4 to 10."))
    otp_lifetime: int = field(
        default=300, metadata=_about(values.whole, "Seconds a code lives when no lifetime is given.")
    )
    otp_max_lifetime: int = field(
        default=600, metadata=_about(values.whole, "Seconds a code lives at most; more is shortened.")
    )
    otp_tries: int = field(default=5, metadata=_about(values.whole, "Answers a code takes before it is void."))
    resend_cooldowns: tuple[int, ...] = field(
        default=(30, 60, 120),
        metadata=_about(values.numbers, "Seconds before the first, second, third ... resend."),
    )
    codes_per_hour: int = field(
        default=5, metadata=_about(values.whole, "Codes one receiver is sent in an hour at most.")
    )
    codes_per_day: int = field(
        default=10, metadata=_about(values.whole, "Codes one receiver is sent in a day at most.")
    )
    test_receivers: tuple[str, ...] = field(
        default=(),
        metadata=_about(values.words, "Receivers that are never sent anything, separated by commas; loud in the log."),
    )
    number_policy: str = field(default="normalise", metadata=_about(values.filled, "normalise, strict or raw."))
    region: str = field(
        default="",
        metadata=_about(values.plain, "Where national numbers belong: ID, or its calling code 62."),
    )
    webotp_domain: str = field(
        default="", metadata=_about(values.plain, "Web site whose page may read the code (WebOTP).")
    )
    app_hash: str = field(
        default="", metadata=_about(values.plain, "Hash of the Android app that may read it (SMS Retriever).")
    )
    original_pi: bool = field(
        default=False,
        metadata=_about(
            values.boolean,
            "Write expiration and mail commands the way the Java OTP-Pi with dropExpireOTP needs them.",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """What every road has: credentials, time limits, TLS."""

    username: str = field(default="", repr=False, metadata=_about(values.plain, "Account; empty for none."))
    password: str = field(default="", repr=False, metadata=_about(values.plain, "Its password."))
    timeout: float = field(
        default=10.0, metadata=_about(values.seconds, "Seconds until a command ends, whatever happens.")
    )
    connect_timeout: float = field(
        default=5.0, metadata=_about(values.seconds, "Seconds a connection may take to open.")
    )
    callback_timeout: float = field(
        default=30.0,
        metadata=_about(values.seconds, "Seconds until a command that asks for an answer ends, whatever happens."),
    )
    tls_ca: str = field(
        default="", metadata=_about(values.plain, "File of certificates to trust instead of the system's.")
    )
    tls_certificate: str = field(
        default="", metadata=_about(values.plain, "Our own certificate, where the server asks for one.")
    )
    tls_key: str = field(
        default="", metadata=_about(values.plain, "The key of tls_certificate, where it is in another file.")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest(Road):
    """Section ``[REST]``."""

    url: str = field(
        default="http://127.0.0.1:8899/api/otp",
        metadata=_about(values.web_url, "Where every command is posted."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker(Road):
    """What the four roads through a broker have."""

    host: str = field(default="127.0.0.1", metadata=_about(values.filled, "The broker's name or address."))
    port: int | None = field(
        default=None, metadata=_about(values.port, "Its port; the usual one for the road when left out.")
    )
    topic: str = field(default="sms", metadata=_about(values.filled, "Topic, channel or queue; the same at both ends."))
    callback_delay: int | None = field(
        default=None,
        metadata=_about(values.whole, "Milliseconds the OTP-Pi waits before it answers; sent along when set."),
    )
    tls: bool = field(
        default=False,
        metadata=_about(values.boolean, "Speak TLS; the server's certificate is always verified."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis(Broker):
    """Section ``[REDIS]``."""

    require_receiver: bool = field(
        default=False,
        metadata=_about(values.boolean, "Report 1102 when nobody is subscribed, instead of saying so in the message."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Amqp(Broker):
    """Section ``[AMQP]``."""

    vhost: str = field(default="/", metadata=_about(values.filled, "Virtual host."))
    durable: bool = field(
        default=False,
        metadata=_about(values.boolean, "Declare a missing queue durable; a Java OTP-Pi cannot use such a queue."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt(Broker):
    """Section ``[MQTT]``."""

    client_id: str = field(
        default="otp", metadata=_about(values.plain, "How our client ids begin; the rest is random.")
    )
    qos: int = field(default=1, metadata=_about(values.mqtt_qos, "Quality of service, 1 or 2."))
    protocol: MqttProtocol = field(
        default=MqttProtocol.AUTO,
        metadata=_about(_mqtt_protocol, "5, 3.1.1, or auto: 5 and, where it is refused, 3.1.1."),
    )
    require_receiver: bool = field(
        default=False,
        metadata=_about(values.boolean, "Report 1102 when nobody is subscribed (MQTT 5), instead of saying so only."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ws(Broker):
    """Section ``[WS]``."""

    path: str = field(
        default="/ws", metadata=_about(values.plain, "Path, with or without a query; topic is added to it.")
    )


SECTIONS: dict[Method, type[Road]] = {
    Method.REST: Rest,
    Method.REDIS: Redis,
    Method.AMQP: Amqp,
    Method.MQTT: Mqtt,
    Method.WS: Ws,
}
"""The class of each road's section."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a publisher needs.

    Attributes:
        general: Section ``[GENERAL]``.
        road: The section of the chosen road.
        warnings: What looks wrong but does not stop us, one sentence each.
    """

    general: General
    road: Road
    warnings: tuple[str, ...] = ()
