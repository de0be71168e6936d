"""Settings from a file, the environment and keywords."""

import os
import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from otp.publisher import ConfigError, Publisher
from otp.publisher.config import load
from otp.publisher.settings import SECTIONS, Amqp, Broker, General, Method, Mqtt, Redis, Rest, Settings, Ws

SHIPPED = Path(__file__).parent / "golden" / "config.ini"
"""The sample of the original's documentation, as it stands there, trailing blanks included."""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "otp.ini"
    file.write_text(text, encoding="utf-8")
    return file


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None, **keywords: Any) -> Settings:
    return load(write(tmp_path, text), environment=environment or {}, keywords=keywords)


def test_shipped_file_is_read_unchanged(tmp_path: Path) -> None:
    """The documented configuration works as it is; what cannot work here is warned of and replaced."""
    file = tmp_path / "config.ini"
    file.write_bytes(SHIPPED.read_bytes())
    settings = load(file, environment={})
    general, road = settings.general, settings.road
    assert isinstance(road, Mqtt)
    assert (general.method, general.manage_otp, general.cache_max_age) == (Method.MQTT, True, 300)
    assert (road.host, road.port, road.username, road.password) == ("127.0.0.1", 1883, "user", "pass")
    assert (road.topic, road.callback_delay, road.client_id) == ("sms", 50, "php")
    assert general.cache_dir == tmp_path / "otp-cache"
    assert general.key_file == tmp_path / "config.key"
    [warning] = settings.warnings
    assert r"cache_dir C:\cache\otp is a Windows path" in warning


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("REST", Rest(url="http://127.0.0.1:8899/api/otp", username="kamshory", password="kamshory")),
        ("REDIS", Redis(port=6379, username="kamshory", password="kamshory", callback_delay=50)),
        ("AMQP", Amqp(port=5672, username="guest", password="guest", callback_delay=50)),
        ("WS", Ws(port=9000, username="kamshory", password="kamshory", callback_delay=50, path="/ws/")),
    ],
)
def test_shipped_file_with_each_method(method: str, expected: Any) -> None:
    """Every section of the documented configuration is read, without the trailing blanks of its passwords."""
    assert load(SHIPPED, environment={}, keywords={"method": method, "manage_otp": False}).road == expected


def test_shipped_file_makes_its_directories(tmp_path: Path) -> None:
    """Directory and key file are made, for their owner alone, and the key is not in the directory."""
    file = tmp_path / "config.ini"
    file.write_bytes(SHIPPED.read_bytes())
    with Publisher.from_config(file):
        cache, key = tmp_path / "otp-cache", tmp_path / "config.key"
        assert [stat.S_IMODE(path.stat().st_mode) for path in (cache, key)] == [0o700, 0o600]


def test_later_sources_win(tmp_path: Path) -> None:
    """Keywords win over the environment, the environment over the file, the file over the defaults."""
    text = "[GENERAL]\nmethod = ws\n[WS]\nhost = file\nport = 1\ntopic = file\n"
    environment = {"OTP_PUBLISHER_WS_PORT": "2", "OTP_PUBLISHER_WS_TOPIC": "environment"}
    road = read(tmp_path, text, environment, topic="keyword", port=None).road
    assert isinstance(road, Ws)
    assert (road.host, road.port, road.topic, road.path) == ("file", 2, "keyword", "/ws")


def test_environment_alone() -> None:
    """Everything can come from the environment; what is not ours there is warned of, not refused."""
    environment = {
        "OTP_PUBLISHER_METHOD": "REST",
        "OTP_PUBLISHER_REST_URL": "https://pi.example/api/otp",
        "OTP_PUBLISHER_REST_TIMEOUT": "2m",
        "OTP_PUBLISHER_PORT": "tcp://10.0.0.1:80",
        "OTP_PUBLISHER_CONFIG": "/etc/otp.ini",
        "PATH": "/bin",
    }
    settings = load(environment=environment)
    assert isinstance(settings.road, Rest)
    assert (settings.road.url, settings.road.timeout) == ("https://pi.example/api/otp", 120.0)
    assert [warning for warning in settings.warnings if "OTP_PUBLISHER_PORT" in warning]
    assert len(settings.warnings) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[GENERAL]\nmethod = WS\n[WS]\ntsl = true\n",
            r"otp\.ini, line 4: \[WS\] has no setting 'tsl'\. Did you mean 'tls'\?",
        ),
        (
            "[GENERAL]\nmethod = WS\nchache_dir = x\n",
            r"line 3: \[GENERAL\] has no setting 'chache_dir'\. Did you mean 'cache_dir'",
        ),
        ("[GENERAL]\nmethod = WS\n[REST]\nhost = x\n", r"\[REST\] has no setting 'host'"),
        ("[GENERAL]\nmethod = FTP\n", r"line 2: method of \[GENERAL\] must be REST, REDIS, AMQP, MQTT or WS"),
        ("[GENERAL]\n", "method is not set"),
        ("[GENERAL]\nmethod = WS\n[WS]\nport = 99999\n", r"line 4: port of \[WS\] must be a port from 1 to 65535"),
        ("[GENERAL]\nmethod = WS\n[WS]\ntls = perhaps\n", r"tls of \[WS\] must be true or false"),
        ("[GENERAL]\nmethod = WS\n[WS]\ntimeout = 0\n", r"timeout of \[WS\] must be a duration such as 10s"),
        ("[GENERAL]\nmethod = WS\n[WS]\nhost =\n", r"host of \[WS\] must not be empty"),
        ("[GENERAL]\nmethod = WS\nstore = mysql\n", "store of .GENERAL. must be sqlite, memory or redis"),
        ("[GENERAL]\nmethod = MQTT\n[MQTT]\nprotocol = 4\n", "must be auto, 5 or 3.1.1"),
        ("[GENERAL]\nmethod = WS\notp_digits = six\n", r"otp_digits of \[GENERAL\] must be a whole number"),
    ],
)
def test_mistake_is_named(text: str, message: str, tmp_path: Path) -> None:
    """A mistake is named with its place, and the nearest name where there is one; the value is not repeated."""
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(("keyword", "message"), [("hots", "Did you mean 'host'"), ("url", "no setting 'url' for WS")])
def test_unknown_keyword(keyword: str, message: str) -> None:
    """An unknown keyword is refused, with the nearest one there is."""
    with pytest.raises(ConfigError, match=message):
        load(environment={}, keywords={"method": "WS", keyword: "x"})


def test_unknown_section_is_warned_of(tmp_path: Path) -> None:
    """A section of somebody else is passed over; one that looks misspelt is named with ours."""
    settings = read(tmp_path, "[GENERAL]\nmethod = REST\n[database]\nx = 1\n[Redis]\nport = 1\n")
    assert [warning.partition(": ")[2] for warning in settings.warnings] == [
        "section [database] is not known and was passed over.",
        "section [Redis] is not known and was passed over. Did you mean 'REDIS'?",
    ]


def test_unused_sections_are_not_judged(tmp_path: Path) -> None:
    """A value of a road that is not chosen does no harm."""
    assert read(tmp_path, "[GENERAL]\nmethod = REST\n[WS]\nport = none of this\n").general.method is Method.REST


@pytest.mark.parametrize(("section", "expected"), [("[MQTT]\n", 70), ("[MQTT]\ncallback_delay = 5\n", 5)])
def test_callback_delay_falls_back_to_amqp(section: str, expected: int, tmp_path: Path) -> None:
    """``callback_delay`` is the road's own, else that of [AMQP], which all roads used to read."""
    road = read(tmp_path, f"[GENERAL]\nmethod = MQTT\n[AMQP]\ncallback_delay = 70\n{section}").road
    assert isinstance(road, Broker)
    assert road.callback_delay == expected


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """Paths are relative to the file, wherever the program was started; backslashes separate directories."""
    text = "[GENERAL]\nmethod = WS\nmanage_otp = on\ncache_dir = var\\cache\nkey_file = keys/otp.key\n"
    settings = read(tmp_path, text + "[WS]\ntls_ca = ca.pem\n")
    assert settings.general.cache_dir == tmp_path / "var" / "cache"
    assert settings.general.key_file == tmp_path / "keys" / "otp.key"
    assert settings.road.tls_ca == str(tmp_path / "ca.pem")


def test_key_file_without_a_configuration_file(tmp_path: Path) -> None:
    """Without a file the key lies beside the cache directory, never in it."""
    settings = load(environment={}, keywords={"method": "WS", "manage_otp": True, "cache_dir": tmp_path / "cache"})
    assert settings.general.key_file == tmp_path / "cache.key"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({}, "cache_dir is not set"),
        ({"store": "redis", "store_url": "redis://127.0.0.1"}, "key_file is not set"),
        ({"store": "redis", "key_file": "/tmp/x"}, "store_url is not set"),
        ({"cache_dir": "C:\\cache"}, "Windows path"),
        ({"store": "memory", "otp_digits": 3}, "otp_digits of .GENERAL. must be a whole number from 4 to 10"),
        ({"store": "memory", "otp_lifetime": 900}, "otp_lifetime of .GENERAL. must be a whole number from 1 to 600"),
        ({"store": "memory", "codes_per_day": 0}, "codes_per_hour or codes_per_day of .GENERAL. must be"),
        ({"store": "memory", "resend_cooldowns": "90000"}, "resend_cooldowns of .GENERAL. must be"),
        ({"store": "memory", "region": "XX"}, "region must be"),
        ({"store": "memory", "test_receivers": "a@b@c"}, "test_receivers of .GENERAL. cannot be used"),
        ({"store": "memory", "number_policy": "odd"}, "number policy must be"),
    ],
)
def test_managed_codes_need_a_place(keywords: dict[str, Any], message: str) -> None:
    """``manage_otp`` without what it needs stops at the start, not at the first code."""
    with pytest.raises(ConfigError, match=message):
        Publisher(method="WS", manage_otp=True, **keywords)


def test_key_in_the_cache_directory(tmp_path: Path) -> None:
    """A key inside the cache directory is refused: whoever copies the store would have it."""
    from otp.errors import KeyFileError

    with pytest.raises(KeyFileError, match="lies in cache_dir"):
        Publisher(method="WS", manage_otp=True, cache_dir=tmp_path, key_file=tmp_path / "otp.key")


@pytest.mark.parametrize(
    ("keywords", "warned"),
    [
        ({"method": "WS", "host": "broker.example"}, True),
        ({"method": "WS", "host": "broker.example", "tls": True}, False),
        ({"method": "WS", "host": "localhost"}, False),
        ({"method": "WS", "host": "::1"}, False),
        ({"method": "REST", "url": "http://pi.example/api/otp"}, True),
        ({"method": "REST", "url": "https://pi.example/api/otp"}, False),
    ],
)
def test_open_connection_over_a_network_is_warned_of(keywords: dict[str, Any], warned: bool) -> None:
    """Credentials and codes in the clear over a network are warned of; on this machine they are not."""
    warnings = load(environment={}, keywords={**keywords}).warnings
    assert any("not encrypted" in warning for warning in warnings) == warned


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[GENERAL]\nmethod = \xff", "byte 19 is not UTF-8"), (None, "No such file")],
)
def test_file_that_cannot_be_read(content: bytes | None, message: str, tmp_path: Path) -> None:
    """A file that is missing or not text is named, with the reason."""
    file = tmp_path / "otp.ini"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"otp\.ini.*{message}"):
        load(file, environment={})


@pytest.mark.parametrize("name", ["tls_ca", "tls_certificate"])
@pytest.mark.parametrize("content", [None, "not PEM"])
def test_tls_file_that_cannot_be_used(name: str, content: str | None, tmp_path: Path) -> None:
    """A TLS file that is missing or no PEM stops at the start, by its name."""
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=name):
        Publisher(settings=load(environment={}, keywords={"method": "WS", "tls": True, name: file}))


def test_secrets_are_in_no_representation() -> None:
    """Settings can be printed: passwords and user names are left out."""
    keywords = {"method": "WS", "username": "canary-user", "password": "canary-password"}
    settings = load(environment={}, keywords=keywords)
    assert "canary" not in repr(settings)


def test_every_setting_explains_itself() -> None:
    """Every setting has a reader and a sentence of help."""
    sections: list[Any] = [General, *SECTIONS.values()]
    for section in sections:
        for setting in fields(section):
            assert callable(setting.metadata["read"]), setting.name
            assert setting.metadata["help"].endswith("."), setting.name


@pytest.mark.skipif(os.name == "nt", reason="a Windows path is a path there")
def test_windows_path_of_cache_dir_is_not_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No directory called ``C:`` comes to be, wherever the program runs."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config.ini"
    file.write_bytes(SHIPPED.read_bytes())
    with Publisher.from_config(file):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.ini", "config.key", "otp-cache"]
