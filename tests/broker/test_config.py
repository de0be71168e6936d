"""Flags, environment and file become one settings object; errors name place and nearest name."""

import re
import tomllib
from pathlib import Path

import pytest

from broker.config import ConfigError, default_config, from_environment, load_settings, toml_value
from broker.settings import Settings, about


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "wsbroker.toml"


def faults(file: Path, text: str) -> list[str]:
    """Load a file that is at fault; return its faults with the path cut off."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file=file)
    return [problem.removeprefix(str(file)) for problem in caught.value.problems]


# -- precedence


def test_load_settings_takes_flags_over_environment_over_file_over_defaults(file: Path) -> None:
    """The nearer source wins."""
    file.write_text("port = 1\nmax_topics = 1\nmax_fragments = 1\n")
    environment = {"WSBROKER_PORT": "2", "WSBROKER_MAX_TOPICS": "2", "PATH": "/bin"}
    settings = load_settings({"port": "3", "max_fragments": None}, environment, file)
    assert (settings.port, settings.max_topics, settings.max_fragments) == (3, 2, 1)
    assert settings.max_header_size == 8192


def test_load_settings_without_a_file_reads_the_one_the_environment_names(file: Path) -> None:
    """WSBROKER_CONFIG stands for --config, which wins."""
    file.write_text("port = 1")
    other = file.with_name("other.toml")
    other.write_text("port = 2")
    assert load_settings(environment={"WSBROKER_CONFIG": str(file)}).port == 1
    assert load_settings(environment={"WSBROKER_CONFIG": str(file)}, file=other).port == 2


def test_load_settings_of_the_same_text_reads_it_alike_from_every_source(file: Path) -> None:
    """Durations, sizes, words and switches are spelt the same everywhere."""
    written = {"write_timeout": "2m", "max_queued_bytes": "64MiB", "admin_users": "a,b", "binary_as_text": "true"}
    file.write_text("".join(f'{name} = "{value}"\n' for name, value in written.items()))
    from_file = load_settings(file=file)
    assert from_file == load_settings(written)
    assert from_file == load_settings(environment={f"WSBROKER_{name.upper()}": text for name, text in written.items()})
    assert (from_file.write_timeout, from_file.max_queued_bytes, from_file.admin_users) == (120, 2**26, ("a", "b"))
    assert from_file.binary_as_text is True


def test_from_environment_reads_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's own door: this process' variables and the flags."""
    monkeypatch.setenv("WSBROKER_PORT", "1234")
    assert from_environment().port == 1234
    assert from_environment(flags={"port": "4321"}).port == 4321


def test_from_environment_ignores_the_variable_of_the_little_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who exported WSBROKER_URL for `pub` and `sub` can still start a broker."""
    monkeypatch.setenv("WSBROKER_URL", "ws://alice:secret@127.0.0.1:9000/ws")
    assert from_environment().port == 9000


# -- errors


def test_unknown_key_is_named_with_its_line_and_the_nearest_one(file: Path) -> None:
    """A typing mistake is found at once."""
    assert faults(file, "# comment\nport = 1\nmax_mesage_size = 5\n") == [
        ":3: unknown setting max_mesage_size; did you mean max_message_size?"
    ]


def test_unknown_key_far_from_any_points_to_the_list(file: Path) -> None:
    """Where nothing is near, the list of all settings is named."""
    assert faults(file, "xyzzy = 1\n") == [":1: unknown setting xyzzy; `wsbroker default-config` lists them all"]


def test_table_is_refused_with_its_line(file: Path) -> None:
    """Settings stand at the top of the file."""
    assert faults(file, "port = 1\n\n[server]\nport = 2\n") == [
        ":3: table [server] is unknown: settings stand at the top of the file, without tables"
    ]


def test_bad_value_is_named_with_line_setting_value_and_rule(file: Path) -> None:
    """What is wrong, where, and what is accepted."""
    assert faults(file, "port = 1\nping_interval = 'fast'\n") == [
        ":2: ping_interval = 'fast': must be a duration such as 25s, 2m or 500ms"
    ]


def test_every_fault_is_told_at_once(file: Path) -> None:
    """Nobody mends one mistake to find the next."""
    found = faults(file, "prot = 1\nport = 99999\nlog_level = 'loud'\n")
    assert [re.match(r":(\d+): (unknown setting )?(\w+)", fault).groups() for fault in found] == [  # type: ignore[union-attr] # it must match
        ("1", "unknown setting ", "prot"),
        ("2", None, "port"),
        ("3", None, "log_level"),
    ]


def test_long_value_is_shortened_in_the_error(file: Path) -> None:
    """An error stays one line."""
    (fault,) = faults(file, f"ping_interval = '{'x ' * 500}'\n")
    assert len(fault) < 150


def test_contradiction_names_the_line_of_the_setting(file: Path) -> None:
    """A cross check points at one of the two."""
    (fault,) = faults(file, "port = 1\nmax_queued_bytes = '1MiB'\n")
    assert fault.startswith(":2: max_queued_bytes (1048576) must be at least 4 x max_message_size (1048576)")


def test_contradiction_of_a_flag_names_the_flag() -> None:
    """The place is the source that the setting came from."""
    with pytest.raises(ConfigError, match=r"^option --host: host and socket_path are both empty"):
        load_settings({"host": []})


def test_unknown_variable_and_flag_are_named_as_such() -> None:
    """The place is the variable's or the option's name."""
    with pytest.raises(ConfigError) as caught:
        load_settings({"prot": "1"}, {"WSBROKER_MAX_TOPIC": "1"})
    assert caught.value.problems == (
        "variable WSBROKER_MAX_TOPIC: unknown setting max_topic; did you mean max_topics?",
        "option --prot: unknown setting prot; did you mean port?",
    )


def test_bad_value_of_a_flag_names_the_flag() -> None:
    """`--ping-interval`, not the name of a Python attribute."""
    with pytest.raises(ConfigError, match=r"^option --ping-interval: ping_interval = 'x': must be a duration"):
        load_settings({"ping_interval": "x"})


def test_keyword_of_the_library_that_is_unknown_is_refused() -> None:
    """The same check guards `WSMessageBroker(prot=1)`."""
    with pytest.raises(ConfigError, match="did you mean port"):
        load_settings({"prot": 1})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"port = \n", "1: is not TOML: Invalid value"),
        (b"port = 1\nport = 2\n", "2: is not TOML: Cannot overwrite a value"),
        (b"host = [", "end: is not TOML: "),
        (b"\xff\xfe", " is not UTF-8 text"),
    ],
)
def test_file_that_is_no_toml_is_one_clear_error(file: Path, content: bytes, text: str) -> None:
    """The line stands where it stands for every other problem."""
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(f"{file}:{text}")):
        load_settings(file=file)


def test_file_that_is_missing_is_one_clear_error(file: Path) -> None:
    """The file is named."""
    with pytest.raises(ConfigError, match=re.escape(f"{file}: cannot be read: No such file or directory")):
        load_settings(file=file)


def test_file_with_a_byte_order_mark_is_read(file: Path) -> None:
    """Editors on Windows write one."""
    file.write_bytes(b"\xef\xbb\xbfport = 5\n")
    assert load_settings(file=file).port == 5


@pytest.mark.parametrize("key", ["prot", '"prot"', "'prot'", "  prot", "prot.x", "[prot]\ny"])
def test_line_of_a_key_is_found_in_every_spelling(file: Path, key: str) -> None:
    """Bare, quoted, indented, dotted keys and tables all have a line."""
    (fault,) = faults(file, f"port = 1\n\n# prot = 2\n{key} = 1\n")
    assert fault.startswith(":4: ")


# -- default-config


def test_default_config_read_back_gives_the_defaults(file: Path) -> None:
    """What is printed is a valid file that changes nothing."""
    file.write_text(default_config())
    assert load_settings(file=file) == Settings()


def test_default_config_has_each_setting_once_with_its_explanation() -> None:
    """Every key stands there with text, unit and consequence above it."""
    text = default_config()
    assert list(tomllib.loads(text)) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        comment = re.search(rf"((?:^# .*\n)+)^{name} = ", text, re.MULTILINE)
        assert comment, name
        words = " ".join(line.removeprefix("# ") for line in comment[1].splitlines())
        assert (field.description or "") in words
        assert not about(name).unit or f"Unit: {about(name).unit}." in words
        assert not about(name).crossed or f"When crossed: {about(name).crossed}." in words
        assert ("Another value needs a restart." in words) is not about(name).reload


def test_default_config_fits_the_screen() -> None:
    """No line is longer than a terminal is wide."""
    assert max(len(line) for line in default_config().splitlines()) <= 110


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("ping_interval", 25.0, '"25s"'),
        ("max_message_size", 2**20, '"1MiB"'),
        ("byte_rate", 0, "0"),
        ("port", 9000, "9000"),
        ("binary_as_text", False, "false"),
        ("binary_as_text", True, "true"),
        ("admin_users", (), "[]"),
        ("admin_users", ("a", 'b"c'), '["a", "b\\"c"]'),
        ("path", "/ws", '"/ws"'),
    ],
)
def test_toml_value_writes_units_lists_and_switches_as_toml(name: str, value: object, written: str) -> None:
    """What is written is read back as the same."""
    assert toml_value(name, value) == written
    assert getattr(load_settings(tomllib.loads(f"{name} = {written}")), name) == value
