"""The settings file: what loads, and what is said about what does not."""

import re
from pathlib import Path
from typing import Any

import pytest

from otp.pi.config import ConfigError, Loaded, default_config, load
from otp.pi.config.places import Places
from otp.pi.config.schema import REPEATED, TABLES, TOP
from otp.pi.settings import Modem, Settings

DEFAULTS = Settings.model_validate({})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pi.toml"


def read(file: Path, text: str, environment: dict[str, str] | None = None, **options: Any) -> Loaded:
    file.write_text(text)
    file.chmod(0o600)
    return load(file, environment, options)


def problems(file: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    """Return what is wrong, without the directory."""
    with pytest.raises(ConfigError) as caught:
        read(file, text, environment)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [each.replace(f"{file.parent}/", "") for each in caught.value.problems]


# -- what loads


def test_nothing_is_the_defaults() -> None:
    """Without a file everything has its default."""
    assert load() == Loaded(DEFAULTS)


def test_default_config_is_the_defaults(file: Path) -> None:
    """The file that is written loads, and is the defaults, with paths beside it."""
    loaded = read(file, default_config())
    rest = DEFAULTS.rest.model_copy(update={"password_file": str(file.parent / ".htpasswd")})
    assert loaded.settings == DEFAULTS.model_copy(update={"data_dir": file.parent / "otp-pi-data", "rest": rest})
    assert (loaded.warnings, loaded.file) == ((), file)


def test_default_config_uncommented(file: Path) -> None:
    """With the # before its tables taken away it has one of each, with their defaults."""
    text = re.sub(r"^#(?=\[\[|[a-z_]+ = )", "", default_config(), flags=re.MULTILINE)
    loaded = read(file, text)
    assert loaded.settings.modem[0].model_copy(update={"name": "x", "port": "y"}) == Modem(name="x", port="y")
    assert list(loaded.settings.inputs()) == ["ws", "amqp", "redis", "mqtt"]
    assert loaded.settings.mqtt[0] == TABLES["mqtt"]()


def test_default_config_explains_everything() -> None:
    """Every key stands there once per table with its text before it, and its unit."""
    text = default_config()
    unwrapped = re.sub(r"\n# ", " ", text)
    for name, kind in TABLES.items():
        assert text.count(f"[[{name}]]\n" if name in REPEATED else f"\n[{name}]\n") == 1
        for key, field in kind.model_fields.items():
            assert f"{field.description}" in unwrapped, (name, key)
    for name in TOP:
        assert re.search(rf"^# .*\n{name} = ", text, flags=re.MULTILINE)
    assert "Time for an AT command. Unit: duration.\nat_timeout = " in text
    assert 'One of: starttls, tls, none.\n#tls = "starttls"' in text
    assert 'max_body = "1MiB"' in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("kind", sorted(REPEATED))
def test_single_table_is_a_list_of_one(kind: str, file: Path) -> None:
    """What may come several times may stand there once in single brackets."""
    needed = {"modem": 'name = "a"\nport = "emulate"', "mail": 'name = "a"\nhost = "h"\nsender = "a@b"'}
    loaded = read(file, f"[{kind}]\n{needed.get(kind, '')}\n")
    assert len(getattr(loaded.settings, kind)) == 1


def test_paths_are_relative_to_the_file(file: Path) -> None:
    """Relative paths are those beside the file; absolute and empty ones stay."""
    text = """
    data_dir = "data"
    [rest]
    password_file = "/etc/accounts"
    tls_certificate = "c.pem"
    [events]
    webhook_ca = "ca.pem"
    [[ws]]
    tls_ca = "x/ca.pem"
    """
    settings = read(file, text).settings
    beside = file.parent
    assert settings.data_dir == beside / "data"
    assert settings.rest.password_file == "/etc/accounts"
    assert (settings.rest.tls_certificate, settings.rest.tls_key) == (str(beside / "c.pem"), "")
    assert settings.events.webhook_ca == str(beside / "ca.pem")
    assert settings.ws[0].tls_ca == str(beside / "x/ca.pem")


def test_byte_order_mark_is_fine(file: Path) -> None:
    """An editor of another system may begin the file with a mark."""
    assert read(file, "\ufeff[rest]\nport = 0\n").settings.rest.port == 0


# -- environment and options


def test_variables_win_over_the_file(file: Path) -> None:
    """Variables set keys at the top, in tables and in items; their paths are those of the working directory."""
    environment = {
        "OTP_PI_DATA_DIR": "elsewhere",
        "OTP_PI_REST_PORT": "8080",
        "OTP_PI_REST_METRICS_OPEN": "false",
        "OTP_PI_SMS_AT_TIMEOUT": "2s",
        "OTP_PI_GUARDS_COUNTRIES": "+62, ID",
        "OTP_PI_WS_1_PASSWORD": "secret",
        "OTP_PI_MODEM_1_PIN": "0042",
        "HOME": "/",
    }
    text = '[rest]\nport = 1\n[[ws]]\nhost = "a"\npassword = "x"\n[[modem]]\nname = "a"\nport = "emulate"\n'
    loaded = read(file, text, environment)
    settings = loaded.settings
    assert settings.data_dir == Path("elsewhere")
    assert (settings.rest.port, settings.rest.metrics_open, settings.sms.at_timeout) == (8080, False, 2.0)
    assert settings.guards.countries == ("+62", "ID")
    assert (settings.ws[0].host, settings.ws[0].password.get_secret_value()) == ("a", "secret")
    assert settings.modem[0].pin.get_secret_value() == "0042"
    assert loaded.warnings == ()


def test_variables_alone_make_items() -> None:
    """Without a file, items begin at 1 and come in the order of numbers."""
    environment = {f"OTP_PI_WS_{number}_HOST": f"h{number}" for number in range(1, 12)}
    assert [each.host for each in load(None, environment).settings.ws] == [f"h{number}" for number in range(1, 12)]


def test_variable_that_leaves_a_gap() -> None:
    """An item whose predecessor does not exist is refused, and says which that is."""
    with pytest.raises(ConfigError, match=r"^variable OTP_PI_WS_3_HOST: there is no number 2 before it$"):
        load(None, {"OTP_PI_WS_1_HOST": "a", "OTP_PI_WS_3_HOST": "c"})


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("OTP_PI_PORT", "tcp://10.0.0.1:8899", ""),
        ("OTP_PI_SERVICE_HOST", "10.0.0.1", ""),
        ("OTP_PI_DATADIR", "x", "OTP_PI_DATA_DIR"),
        ("OTP_PI_WS_PASSWORD", "canary", "OTP_PI_WS_1_PASSWORD"),
        ("OTP_PI_WS_0_PASSWORD", "canary", "OTP_PI_WS_1_PASSWORD"),
        ("OTP_PI_WS_1_PASWORD", "canary", "OTP_PI_WS_1_PASSWORD"),
    ],
)
def test_unknown_variable_is_a_warning(variable: str, value: str, hint: str) -> None:
    """What others put into the environment is no error; a misspelling is pointed out, its value is not shown."""
    loaded = load(None, {variable: value})
    [warning] = loaded.warnings
    assert warning.startswith(f"variable {variable} is not a setting and is ignored")
    assert value not in warning or value == "x"
    assert warning.endswith(f"did you mean {hint}?" if hint else "ignored")
    assert loaded.settings == DEFAULTS


def test_service_link_in_a_port() -> None:
    """A port that Kubernetes made for a Service of that name is ignored, and said so."""
    loaded = load(None, {"OTP_PI_REST_PORT": "tcp://10.0.0.1:8899"})
    assert loaded.settings == DEFAULTS
    assert "enableServiceLinks" in loaded.warnings[0]


def test_variable_names_the_file(file: Path) -> None:
    """OTP_PI_CONFIG names the file where nothing else does."""
    file.write_text("journal_keep = '1d'\n")
    assert load(None, {"OTP_PI_CONFIG": str(file)}).settings.journal_keep == 86_400


def test_options_win_over_all(file: Path) -> None:
    """Options win over variables; one that is None was not given."""
    options = {"rest.port": 3, "rest.host": None, "modem": [{"name": "m", "port": "emulate"}], "log.level": "debug"}
    loaded = read(file, "[rest]\nport = 1\n", {"OTP_PI_REST_PORT": "2"}, **options)
    assert (loaded.settings.rest.port, loaded.settings.modem[0].name) == (3, "m")
    assert loaded.settings.log.level == "debug"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rest.prot": 1}, "option rest.prot: unknown key prot in [rest]; did you mean port?"),
        ({"rest.port": -1}, "option rest.port: rest.port = -1: must be greater than or equal to 0"),
        ({"otp.lifetime": "1h"}, "settings: otp.max_lifetime must not be less than otp.lifetime"),
    ],
)
def test_wrong_option(options: dict[str, Any], expected: str) -> None:
    """A wrong option is named as such."""
    with pytest.raises(ConfigError) as caught:
        load(options=options)
    assert str(caught.value) == expected


# -- what does not load


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ndata_dri = 'x'", "pi.toml:2: unknown key data_dri; did you mean data_dir?"),
        ("[ret]\nport = 1", "pi.toml:1: unknown key ret; did you mean [rest]?"),
        ("[[modme]]\nport = 1", "pi.toml:1: unknown key modme; did you mean [[modem]]?"),
        ("[rest]\nhost = 'x'\nprot = 1", "pi.toml:3: unknown key prot in [rest]; did you mean port?"),
        (
            "[[ws]]\nhost = 'x'\n\n[[ws]]\nname = 'b'\npasword = 'canary'",
            "pi.toml:6: unknown key pasword in [[ws]]; did you mean password?",
        ),
        (
            "[rest]\njournal_keep = '1d'",
            "pi.toml:2: unknown key journal_keep in [rest]; it stands at the top of the file, before the first table",
        ),
        ("retry_unknown = true", "pi.toml:1: unknown key retry_unknown; it belongs into [sms]"),
        ("starttls = true", "pi.toml:1: unknown key starttls; `otp-pi default-config` lists them all"),
        ("[rest]\nport = 99999", "pi.toml:2: rest.port = 99999: must be less than or equal to 65535"),
        ("rest.port = 'x'", "pi.toml:1: rest.port = 'x': must be a valid integer"),
        ("[ws]\n\nport = -1", "pi.toml:3: ws.port = -1: must be greater than or equal to 0"),
        ("ws = [\n  {port = -1},\n]", "pi.toml:1: ws.port = -1: must be greater than or equal to 0"),
        ('"rest" . "port" = -1', "pi.toml:1: rest.port = -1: must be greater than or equal to 0"),
        (
            "[sms]\nat_timeout = '5 parsecs'",
            (
                "pi.toml:2: sms.at_timeout = '5 parsecs': unknown unit 'parsecs': "
                "must be a duration such as 25s, 2m or 500ms"
            ),
        ),
        ("[log]\nlevel = 'loud'", "pi.toml:2: log.level = 'loud': must be 'debug', 'info', 'warning' or 'error'"),
        ("[[mail]]\nname = 'a'\nhost = 'h'", "pi.toml:1: sender is missing in [[mail]]: Address that stands in From."),
        (
            "[[modem]]\nname = 'a'\nimei = 356938035643809",
            "pi.toml:3: modem.imei = 356938035643809: must be text: write it in quotes",
        ),
        ("[[modem]]\nname = 'a'\nport = 'x'\npin = 1234", "pi.toml:4: modem.pin: must be text: write it in quotes"),
        ("[events]\nwebhook = 'ftp://u:canary@h'", "pi.toml:2: events.webhook: must match pattern '^(https?://.*)?$'"),
        (
            "[guards]\ncountries = [1]",
            'pi.toml:2: guards.countries: must be a list of words, such as ["one", "two"] or "one,two"',
        ),
        ("rest = 5", "pi.toml:1: rest must be a table: write [rest] and its keys below"),
        ("[[rest]]\nport = 1", "pi.toml:1: rest must be a table: write [rest] and its keys below"),
        ("modem = 'canary'", "pi.toml:1: modem must be a table: write [[modem]] and its keys below"),
        ("modem = ['canary']", "pi.toml:1: modem must be a table: write [[modem]] and its keys below"),
        ("[[modem]]\nname = 'a.b'", "pi.toml:1: modem a.b needs port, imei or imsi: nothing tells where it is"),
        (
            "[[modem]]\nname = 'a'\nport = 'x'\n[[modem]]\nname = 'a'\nport = 'y'",
            "pi.toml:4: two [[modem]] have the same name",
        ),
        ("[[ws]]\nname = 'amqp'\n[[amqp]]", "pi.toml: two ways in have the same name"),
        (
            "[otp]\nlifetime = '1h'\nmax_lifetime = '1m'",
            "pi.toml:3: otp.max_lifetime must not be less than otp.lifetime",
        ),
        ("[rest\nport = 1", "pi.toml:1: is not TOML: Expected ']' at the end of a table declaration"),
        ("x = ", "pi.toml:end: is not TOML: Invalid value"),
    ],
)
def test_fault_has_its_place(text: str, expected: str, file: Path) -> None:
    """A fault names file, line, what is wrong and what was probably meant; never a secret."""
    assert problems(file, text) == [expected]


def test_all_faults_at_once(file: Path) -> None:
    """Faults of file and environment come together."""
    text = "[rest]\nport = -1\nhots = 'x'\n[[modem]]\nport = 5\n"
    found = problems(file, text, {"OTP_PI_OTP_DIGITS": "77", "OTP_PI_MODEM_9_PIN": "canary"})
    assert found == [
        "variable OTP_PI_MODEM_9_PIN: there is no number 2 before it",
        "variable OTP_PI_OTP_DIGITS: otp.digits = '77': must be less than or equal to 10",
        "pi.toml:2: rest.port = -1: must be greater than or equal to 0",
        "pi.toml:3: unknown key hots in [rest]; did you mean host?",
        "pi.toml:4: name is missing in [[modem]]: What the journal, answers and the log call it.",
        "pi.toml:5: modem.port = 5: must be text: write it in quotes",
    ]


def test_gap_alone_is_refused(file: Path) -> None:
    """A variable that fits nowhere is not passed over because the rest is in order."""
    assert problems(file, "", {"OTP_PI_WS_2_HOST": "a"}) == [
        "variable OTP_PI_WS_2_HOST: there is no number 1 before it"
    ]


@pytest.mark.parametrize(
    ("text", "variable"),
    [("rest = 5", "OTP_PI_REST_PORT"), ("ws = 5", "OTP_PI_WS_1_PORT"), ("ws = [5]", "OTP_PI_WS_1_PORT")],
)
def test_variable_into_what_is_no_table(text: str, variable: str, file: Path) -> None:
    """A variable for a table that the file has wrong leaves the file's fault as it is."""
    assert "must be a table" in problems(file, text, {variable: "1"})[0]


def test_variable_for_a_new_item_with_a_fault() -> None:
    """What is missing in an item made by a variable is blamed on that variable."""
    with pytest.raises(ConfigError, match=r"^variable OTP_PI_MODEM_1_PORT: name is missing in \[\[modem\]\]"):
        load(None, {"OTP_PI_MODEM_1_PORT": "emulate"})


@pytest.mark.parametrize("kind", ["missing", "directory", "binary"])
def test_unreadable_file(kind: str, tmp_path: Path) -> None:
    """What is no readable text is named, and a missing file comes with the command that makes one."""
    file = tmp_path / "pi.toml"
    if kind == "directory":
        file.mkdir()
    if kind == "binary":
        file.write_bytes(b"\xff\xfe")
    expected = {
        "missing": f"No such file or directory; make one with: otp-pi default-config > {file}",
        "directory": "Is a directory",
        "binary": "is not UTF-8 text",
    }[kind]
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).endswith(expected)


# -- secrets


def test_file_with_passwords_that_everybody_can_read(file: Path) -> None:
    """A file others can read is warned of while it holds a password, and only then."""
    file.write_text("[[ws]]\npassword = 'canary'\n")
    file.chmod(0o644)
    [warning] = load(file).warnings
    assert warning == f"{file} can be read by everybody and holds ws.password: chmod 640 it, or 600"
    file.chmod(0o640)
    assert load(file).warnings == ()
    file.write_text("[[ws]]\npassword = ''\n")
    file.chmod(0o644)
    assert load(file).warnings == ()


SECRETS = [
    (name, key) for name, kind in TABLES.items() for key, field in kind.model_fields.items() if "Secret" in str(field)
]


@pytest.mark.parametrize(("table", "key"), SECRETS)
def test_no_secret_in_any_fault(table: str, key: str, file: Path) -> None:
    """Whatever is wrong around it, a secret is in no error and in no repr."""
    assert len(SECRETS) >= 7
    for value in ("'canary'", "['canary']", "{canary = 'canary'}"):
        heading = f"[[{table}]]" if table in REPEATED else f"[{table}]"
        text = f"{heading}\n{key} = {value}\nunknown = 'canary'\nunknown2 = ['canary']\n"
        assert "canary'" not in "\n".join(problems(file, text))


# -- places


def test_lines_inside_a_text_are_no_keys() -> None:
    """What looks like a key inside a text of several lines is none."""
    text = "a = \"\"\"\nport = 1\n[rest]\n\"\"\"\nb = '''x'''\n[rest]\nport = 2\n"
    places = Places(text)
    assert [places.line(path) for path in (("b",), ("rest",), ("rest", "port"))] == [5, 6, 7]


def test_lines_of_nested_and_unknown_places() -> None:
    """A table within an item belongs to the last item; what has no line of its own has that of what is around it."""
    places = Places("[[ws]]\nx = 1\n[[ws]]\n[ws.more]\ny = 2\n")
    assert places.line(("ws", 1, "more", "y")) == 5
    assert places.line(("ws", 1, "z")) == 3
    assert places.line(("ws", 0, "x", 3)) == 2
    assert places.line(("elsewhere",)) == 1
