"""Every setting of the OTP-Pi, once: name, type, default, unit, what it does.

Tables of the TOML file are classes here; a table that may come several times (``[[modem]]``) is a tuple of them. The
file made by ``otp-pi default-config`` and ``docs/reference/otp-pi-settings.md`` are made from or tested against this.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from broker.units import parse_duration, parse_size


def _words(value: object) -> object:
    parts = [value] if isinstance(value, str) else value
    if isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts):
        return tuple(word.strip() for part in parts for word in part.split(",") if word.strip())
    raise ValueError('must be a list of words, such as ["one", "two"] or "one,two"')


Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Count = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
Secret = SecretStr
_NO_SECRET = SecretStr("")


def _setting(default: Any, text: str, *, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class Table(BaseModel):
    """A table of the file: frozen, and no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


class Modem(Table):
    """One GSM modem."""

    name: Name = Field(description="What the journal, answers and the log call it.")
    port: str = _setting(
        "",
        "Serial port, best a /dev/serial/by-id/ link, which survives replugging; the word emulate is a modem in "
        "software. Empty: the port that answers with imei or imsi.",
    )
    imei: str = _setting("", "Serial number of the device; with it the port is found, or checked.", pattern=r"^[0-9]*$")
    imsi: str = _setting("", "Number of the SIM card; with it the port is found, or checked.", pattern=r"^[0-9]*$")
    baud_rate: Annotated[int, Field(ge=300, le=4_000_000)] = _setting(115_200, "Speed of the port.", unit="bit/s")
    pin: Secret = _setting(_NO_SECRET, "PIN of the SIM card; tried once, since three wrong ones lock the card.")
    active: bool = _setting(True, "Use it. False leaves its port alone.")
    sms: bool = _setting(True, "Send messages of applications through it. False keeps it for USSD and receiving.")
    default: bool = _setting(False, "Takes the numbers that no modem has a prefix for. None is default: all are.")
    prefixes: Words = _setting(
        (), "Numbers it is meant for, by how they begin: +62812, 0812 (in the region of [numbers]). The longest wins."
    )
    smsc: str = _setting("", "Service centre; empty is the one on the SIM card.", pattern=r"^\+?[0-9]*$")
    per_hour: Count = _setting(0, "SMS parts in an hour; 0 is no limit.", unit="parts")
    per_day: Count = _setting(0, "SMS parts in a day; 0 is no limit.", unit="parts")
    per_month: Count = _setting(0, "SMS parts in a month; 0 is no limit.", unit="parts")
    recipients_per_day: Count = _setting(0, "Different receivers in a day; 0 is no limit.", unit="receivers")
    pause: Duration = _setting(0.0, "Rest between two messages.", unit="duration")
    delivery_reports: bool = _setting(True, "Ask the network to report delivery.")


class Sms(Table):
    """How SMS are sent, by every modem."""

    attempts: Annotated[int, Field(ge=1, le=10)] = _setting(3, "How often a message is given to a modem at most.")
    retry_unknown: bool = _setting(
        True, "Send once more, flagged possible_duplicate, when nobody said whether a message was taken."
    )
    max_parts: Annotated[int, Field(ge=1, le=255)] = _setting(11, "Parts of one message at most.", unit="parts")
    at_timeout: Annotated[Duration, Field(gt=0)] = _setting(5.0, "Time for an AT command.", unit="duration")
    prompt_timeout: Annotated[Duration, Field(gt=0)] = _setting(10.0, "Time for the prompt.", unit="duration")
    result_timeout: Annotated[Duration, Field(gt=0)] = _setting(
        60.0, "Time for the network to take a part; silence after it is unknown.", unit="duration"
    )
    ussd_timeout: Annotated[Duration, Field(gt=0)] = _setting(30.0, "Time for a USSD answer.", unit="duration")
    health_interval: Annotated[Duration, Field(gt=0)] = _setting(
        30.0, "Time between two looks at SIM, registration and signal.", unit="duration"
    )
    reopen_longest: Annotated[Duration, Field(gt=0)] = _setting(
        60.0, "Longest time between two attempts to open a port, from 1 s doubling.", unit="duration"
    )
    breaker_failures: Annotated[int, Field(ge=1)] = _setting(
        3, "Failures of a modem in a row after which it is left alone."
    )
    breaker_pause: Annotated[Duration, Field(gt=0)] = _setting(
        60.0, "How long it is left alone the first time, then doubling.", unit="duration"
    )
    breaker_longest: Annotated[Duration, Field(gt=0)] = _setting(
        900.0, "How long it is left alone at most.", unit="duration"
    )


class Mail(Table):
    """One SMTP account; several take turns."""

    name: Name = Field(description="What the journal and the log call it.")
    host: str = Field(description="SMTP server.")
    port: Port = _setting(0, "Its port; 0 is 587 with starttls, 465 with tls, 25 with none.")
    tls: Literal["starttls", "tls", "none"] = _setting(
        "starttls", "Encryption, with the certificate verified; none only for a server on this machine."
    )
    tls_ca: str = _setting("", "PEM file of the authority that signed the server's certificate; empty is the system's.")
    username: str = _setting("", "Account; empty does not log in.")
    password: Secret = _setting(_NO_SECRET, "Its password.")
    sender: str = Field(description="Address that stands in From.")
    sender_name: str = _setting("", "Name that stands before it.")
    subject: str = _setting("Your OTP Code", "Subject of a mail that comes without one.")
    per_day: Count = _setting(0, "Mails in a day; 0 is no limit.", unit="mails")
    active: bool = _setting(True, "Use it.")
    timeout: Annotated[Duration, Field(gt=0)] = _setting(30.0, "Time for each step of the dialogue.", unit="duration")


class Broker(Table):
    """What every way in has."""

    name: str = _setting("", "What the journal and the log call it; empty is its kind.", pattern=r"^[A-Za-z0-9_.-]*$")
    host: str = _setting("127.0.0.1", "The server.")
    port: Port = _setting(0, "Its port; 0 is the usual one.")
    username: str = _setting("", "Account.")
    password: Secret = _setting(_NO_SECRET, "Its password.")
    topic: Annotated[str, Field(min_length=1, max_length=255)] = _setting(
        "sms", "Topic or queue to take commands from."
    )
    tls: bool = _setting(False, "Encrypt, with the server's certificate verified.")
    tls_ca: str = _setting("", "PEM file of the authority that signed it; empty is the system's.")
    tls_certificate: str = _setting("", "PEM file of a certificate to show; empty shows none.")
    tls_key: str = _setting("", "PEM file of its key; empty when it stands in the same file.")
    active: bool = _setting(True, "Use it.")
    reconnect_longest: Annotated[Duration, Field(gt=0)] = _setting(
        30.0, "Longest time between two attempts to connect, from 1 s doubling, jittered.", unit="duration"
    )


class WebSocket(Broker):
    """A WebSocket broker."""

    path: str = _setting("/ws", "Path, with a query if need be.")
    ping_interval: Annotated[Duration, Field(gt=0)] = _setting(
        25.0, "Time between two pings; a link that answers none for twice that is given up.", unit="duration"
    )


class Amqp(Broker):
    """A RabbitMQ server, or another that speaks AMQP 0-9-1."""

    vhost: str = _setting("/", "Virtual host.")
    durable: bool = _setting(
        False, "Declare the queue durable where it is missing. The Java OTP-Pi cannot share a durable one."
    )
    prefetch: Annotated[int, Field(ge=1, le=10_000)] = _setting(50, "Messages on the way to us at once.")


class Redis(Broker):
    """A Redis server."""

    database: Count = _setting(0, "Database of a stream or list; channels have none.")
    mode: Literal["pubsub", "stream", "list"] = _setting(
        "pubsub",
        "pubsub: the channel topic, as every publisher of the family; what comes while nobody listens is lost. "
        "stream or list: the key topic, of which nothing is lost.",
    )
    group: str = _setting("otp-pi", "Consumer group of a stream.")


class Mqtt(Broker):
    """An MQTT server such as Mosquitto."""

    client_id: str = _setting("", "Identity of the persistent session; empty makes one and keeps it in data_dir.")
    qos: Literal[1, 2] = _setting(1, "Quality of service of the subscription.")
    session_expiry: Annotated[Duration, Field(gt=0)] = _setting(
        604_800.0, "How long the server keeps messages while we are away (MQTT 5).", unit="duration"
    )


class Rest(Table):
    """The HTTP server."""

    enabled: bool = _setting(True, "Serve HTTP.")
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: Port = _setting(8899, "Port; 0 takes a free one.")
    password_file: str = _setting(
        ".htpasswd", "Accounts that may use the API, one user:hash a line; watched for changes."
    )
    tls_certificate: str = _setting("", "PEM file with the certificate chain; with it the port speaks https:// only.")
    tls_key: str = _setting("", "PEM file with the key; empty when it stands in the same file.")
    max_body: Annotated[Size, Field(ge=1024, le=2**26)] = _setting(2**20, "Bytes of a request's body.", unit="size")
    answer_timeout: Annotated[Duration, Field(gt=0)] = _setting(
        30.0, "How long a request waits for the outcome; then it is answered 1111.", unit="duration"
    )
    metrics_open: bool = _setting(
        True, "Serve /livez, /readyz and /metrics without an account. The journal always needs one."
    )


class Otp(Table):
    """Codes made and verified here (request-otp, verify-otp)."""

    digits: Annotated[int, Field(ge=4, le=10)] = _setting(6, "Digits of a code.")
    lifetime: Annotated[Duration, Field(ge=1)] = _setting(300.0, "Life of a code that asks for none.", unit="duration")
    max_lifetime: Annotated[Duration, Field(ge=1)] = _setting(
        600.0, "Life of a code at most; more is shortened.", unit="duration"
    )
    tries: Annotated[int, Field(ge=1, le=100)] = _setting(5, "Wrong answers after which a code is void.")
    codes_per_hour: Annotated[int, Field(ge=1)] = _setting(5, "Codes for one receiver in an hour.")
    codes_per_day: Annotated[int, Field(ge=1)] = _setting(10, "Codes for one receiver in a day.")


class Numbers(Table):
    """How telephone numbers are read."""

    policy: Literal["normalise", "strict", "raw"] = _setting(
        "normalise", "normalise: valid ones become E.164; strict: others are refused; raw: dialled as they come."
    )
    region: str = _setting("", "Where national numbers belong: ID, or its calling code 62.")


class Guards(Table):
    """What one key that leaked can cost."""

    countries: Words = _setting(
        (), "Calling codes or regions that SMS may go to, such as +62 or ID; empty is everywhere."
    )
    per_receiver_hour: Count = _setting(20, "Messages to one receiver in an hour; 0 is no limit.", unit="messages")
    per_receiver_day: Count = _setting(50, "Messages to one receiver in a day; 0 is no limit.", unit="messages")
    per_prefix_hour: Count = _setting(
        0, "Messages to numbers that share all but their last four digits in an hour; 0 is no limit.", unit="messages"
    )
    per_user_hour: Count = _setting(0, "Messages of one API user or road in an hour; 0 is no limit.", unit="messages")
    per_user_day: Count = _setting(0, "Messages of one API user or road in a day; 0 is no limit.", unit="messages")
    total_hour: Count = _setting(0, "Messages in an hour in all; 0 is no limit.", unit="messages")
    total_day: Count = _setting(0, "Messages in a day in all; 0 is no limit.", unit="messages")
    alarm_at: Annotated[int, Field(ge=1, le=100)] = _setting(
        80, "Part of the total at which an alarm is raised before it is used up.", unit="percent"
    )


class Events(Table):
    """Where received SMS, delivery reports and alarms go besides the journal."""

    webhook: str = _setting("", "URL to POST them to as JSON; empty posts nothing.", pattern=r"^(https?://.*)?$")
    webhook_secret: Secret = _setting(
        _NO_SECRET, "Key of the HMAC-SHA-256 over the body, sent as X-OTP-Pi-Signature: sha256=HEX."
    )
    webhook_ca: str = _setting("", "PEM file of the authority that signed its certificate; empty is the system's.")
    topic: str = _setting("", "Topic to publish them on; empty publishes nothing. Never one that commands come from.")
    road: str = _setting("", "Name of the input whose server that topic is on; empty is the first.")


class Log(Table):
    """The log, on standard error."""

    format: Literal["text", "json"] = _setting("text", "One line an event: key=value text, or JSON.")
    level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "The least important events that are logged."
    )


class Settings(Table):
    """All settings, checked and frozen."""

    data_dir: Path = _setting(
        Path("otp-pi-data"), "Directory of journal, keys and control socket, made with mode 0700 where missing."
    )
    expiration_offset: Annotated[Duration, Field(gt=0)] = _setting(
        300.0, "How long a command is good for that does not say.", unit="duration"
    )
    journal_keep: Annotated[Duration, Field(gt=0)] = _setting(
        2_592_000.0, "How long rows of messages that ended are kept.", unit="duration"
    )
    drain_time: Duration = _setting(10.0, "How long messages under way may take to end when it stops.", unit="duration")
    log: Log = Field(Log(), description="The log.")
    numbers: Numbers = Field(Numbers(), description="Telephone numbers.")
    otp: Otp = Field(Otp(), description="Codes made here.")
    sms: Sms = Field(Sms(), description="Sending SMS.")
    guards: Guards = Field(Guards(), description="Guards against abuse.")
    events: Events = Field(Events(), description="Received SMS, delivery reports and alarms.")
    rest: Rest = Field(Rest(), description="The HTTP server.")
    modem: tuple[Modem, ...] = Field((), description="GSM modems.")
    mail: tuple[Mail, ...] = Field((), description="SMTP accounts.")
    ws: tuple[WebSocket, ...] = Field((), description="WebSocket brokers.")
    amqp: tuple[Amqp, ...] = Field((), description="RabbitMQ servers.")
    redis: tuple[Redis, ...] = Field((), description="Redis servers.")
    mqtt: tuple[Mqtt, ...] = Field((), description="MQTT servers.")

    def inputs(self) -> dict[str, Broker]:
        """Return the active ways in by name: the one given, or the kind with a number from the second on."""
        found: dict[str, Broker] = {}
        for kind in ("ws", "amqp", "redis", "mqtt"):
            for index, each in enumerate(getattr(self, kind), 1):
                if each.active:
                    found[each.name or (kind if index == 1 else f"{kind}-{index}")] = each
        return found

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for kind in ("modem", "mail"):
            names = [each.name for each in getattr(self, kind)]
            if len(set(names)) != len(names):
                raise ValueError(f"two [[{kind}]] have the same name")
        active = [each for kind in ("ws", "amqp", "redis", "mqtt") for each in getattr(self, kind) if each.active]
        if len(self.inputs()) != len(active):
            raise ValueError("two ways in have the same name")
        if self.events.topic and any(each.topic == self.events.topic for each in active):
            raise ValueError("events.topic is a topic that commands come from: its messages would come back")
        if self.events.road and self.events.road not in self.inputs():
            raise ValueError(f"events.road {self.events.road} is not the name of a way in")
        for each in self.modem:
            if each.active and not (each.port or each.imei or each.imsi):
                raise ValueError(f"modem {each.name} needs port, imei or imsi: nothing tells where it is")
        if self.otp.max_lifetime < self.otp.lifetime:
            raise ValueError("otp.max_lifetime must not be less than otp.lifetime")
        return self
