"""Every setting: its default, its bounds, and what it says of itself."""

from typing import Any

import pytest
from pydantic import ValidationError

from broker.settings import Settings, about
from broker.units import format_size

NAMES = list(Settings.model_fields)


def test_defaults_are_valid_and_frozen() -> None:
    """The broker runs without any setting, and nobody changes one in passing."""
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize("name", NAMES)
def test_each_setting_says_what_it_does(name: str) -> None:
    """A description, a unit where there is a number of something, and whether HUP takes it over."""
    description = Settings.model_fields[name].description or ""
    assert description[0].isupper()
    assert description.endswith(".")
    if name.startswith("max_") or name.endswith(("_rate", "_time", "_timeout", "_interval")):
        assert about(name).unit
    if name.startswith("max_") or name.endswith("_rate"):
        assert about(name).crossed


def test_defaults_cut_no_healthy_client() -> None:
    """Caps that healthy clients could meet are off, and a reader may be behind by far more than one batch."""
    settings = Settings()
    off = ("max_connections_per_user", "max_connections_per_address", "max_subscribers_per_topic", "max_topics")
    assert [getattr(settings, name) for name in (*off, "message_rate", "byte_rate")] == [0] * 6
    assert format_size(settings.max_queued_bytes) == "16MiB"
    assert settings.connection_rate == settings.max_unauthenticated == 2000
    assert (settings.ping_interval, settings.ping_timeout, settings.settle_time) == (25, 300, 0.1)


@pytest.mark.parametrize(
    "values",
    [
        {"max_message_size": 2**30 + 1},
        {"max_message_size": 0},
        {"max_fragments": 0},
        {"max_header_size": 1023},
        {"port": 65536},
        {"port": -1},
        {"max_topics": -1},
        {"handshake_timeout": 0},
        {"close_timeout": 0},
        {"slow_consumer": "kill"},
        {"log_format": "xml"},
        {"log_level": "loud"},
        {"path": "ws"},
        {"path": "/ws?x"},
        {"topic_pattern": "("},
        {"trusted_proxies": "10.0.0.0/33"},
        {"trusted_proxies": [1]},
        {"allow_plaintext": "perhaps"},
        {"unheard_of": 1},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_refused(values: dict[str, Any]) -> None:
    """A value that makes no sense never reaches the broker."""
    with pytest.raises(ValidationError):
        Settings(**values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"max_message_size": 2**20, "max_queued_bytes": 2**22 - 1}, "at least 4 x max_message_size"),
        ({"tls_key": "key.pem"}, "tls_key needs tls_certificate"),
        ({"host": []}, "there is nowhere to listen"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, Any], text: str) -> None:
    """Each value alone may be right, and the whole wrong."""
    with pytest.raises(ValidationError, match=text):
        Settings(**values)


def test_settings_at_the_edge_of_a_contradiction_are_taken() -> None:
    """Four messages may wait; a Unix socket alone is somewhere to listen."""
    assert Settings(max_message_size=2**20, max_queued_bytes=2**22).max_queued_bytes == 2**22
    assert Settings(host=(), socket_path="/run/wsbroker.sock").host == ()


@pytest.mark.parametrize("written", [["a", "b"], "a,b", " a , b ,", ["a,b"], ("a", "b")])
def test_settings_words_are_written_as_list_or_with_commas(written: object) -> None:
    """TOML has lists, a variable has commas."""
    assert Settings(admin_users=written).admin_users == ("a", "b")  # type: ignore[arg-type] # what a file gives


def test_settings_trusted_proxies_take_networks_addresses_and_the_word_unix() -> None:
    """A network may be written with host bits set."""
    proxies = ("10.0.0.1/8", "::1", "unix")
    assert Settings(trusted_proxies=proxies).trusted_proxies == proxies


def test_settings_that_need_a_restart_are_those_of_sockets_and_logs() -> None:
    """Everything else is taken over on HUP."""
    fixed = {name for name in NAMES if not about(name).reload}
    assert fixed == {
        "host",
        "port",
        "socket_path",
        "admin_host",
        "admin_port",
        "tls_certificate",
        "tls_key",
        "password_file",
        "log_format",
        "log_file",
    }
