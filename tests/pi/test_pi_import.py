"""A Java OTP-Pi's data becomes our settings, accounts and block list, and a note tells what became of every key."""

import json
import re
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from htpasswd import load as load_accounts
from htpasswd import verify
from otp.pi import settings as pi
from otp.pi.config import load
from otp.pi.importing import Converted, ImportFault, convert, write
from otp.pi.importing.files import FILES

JAVA = Path(__file__).parent / "java_data"
DATA = JAVA / "resource" / "data"


@pytest.fixture(scope="module")
def converted() -> Converted:
    return convert(JAVA)


@pytest.fixture(scope="module")
def loaded(converted: Converted, tmp_path_factory: pytest.TempPathFactory) -> pi.Settings:
    target = tmp_path_factory.mktemp("imported") / "etc"
    write(converted, target)
    return load(target / "pi.toml").settings


def notes(converted: Converted, beginning: str) -> str:
    return "\n".join(line for line in converted.notes if line.startswith(beginning))


def make(directory: Path, name: str, content: Any) -> Converted:
    """Convert a directory that holds one file."""
    file = directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return convert(directory)


def read(converted: Converted, directory: Path) -> pi.Settings:
    file = directory / "read-back.toml"
    file.write_text(converted.config_toml)
    file.chmod(0o600)
    return load(file).settings


def test_convert_modems(loaded: pi.Settings) -> None:
    """Modems keep name, place, prefixes and PIN; one that dials into the internet, or is nowhere, is off."""
    found = {modem.name: modem for modem in loaded.modem}
    assert list(found) == ["Modem-Satu", "Modem-Satu-2", "c3", "Internet", "Ubrig"]
    first, second = found["Modem-Satu"], found["Modem-Satu-2"]
    assert (first.port, first.imei, first.imsi) == ("", "490154203237518", "510101234567890")
    assert first.prefixes == ("+62812", "+62813", "0811")
    assert first.pin.get_secret_value() == "7391"
    assert (first.active, first.sms, first.default, first.smsc, first.per_hour) == (True, True, True, "", 0)
    assert (second.port, second.baud_rate, second.prefixes) == ("/dev/serial0", 9600, ("+62814",))
    assert [found[name].active for name in ("c3", "Internet", "Ubrig")] == [False, False, False]
    assert (found["Ubrig"].port, found["Ubrig"].sms) == ("/dev/serial/by-id/usb-HUAWEI-if00", False)


def test_convert_mail_accounts(loaded: pi.Settings) -> None:
    """Accounts keep server and login; nothing leaves this machine unencrypted any more."""
    found = {mail.name: mail for mail in loaded.mail}
    assert {name: (mail.port, mail.tls, mail.username, mail.active) for name, mail in found.items()} == {
        "Utama": (587, "starttls", "otp@example.com", True),
        "Cadangan": (465, "tls", "otp@example.com", True),
        "Relay": (25, "starttls", "", True),
        "Lokal": (25, "none", "", False),
    }
    assert found["Utama"].password.get_secret_value() == "mail-s3cret"
    assert found["Cadangan"].sender_name == "Toko"


def test_convert_ways_in(loaded: pi.Settings) -> None:
    """Enabled ways in are taken over, the others left out."""
    assert set(loaded.inputs()) == {"ws", "amqp", "mqtt"}
    (ws,), (amqp,), (mqtt,) = loaded.ws, loaded.amqp, loaded.mqtt
    assert (ws.host, ws.port, ws.path, ws.tls, ws.topic) == ("broker.example.com", 8000, "/ws", True, "sms")
    assert (ws.username, ws.password.get_secret_value()) == ("pi", "ws-s3cret")
    assert (amqp.host, amqp.vhost, amqp.durable, amqp.tls) == ("rabbit.example.com", "/", False, False)
    assert (mqtt.qos, mqtt.tls, mqtt.topic, mqtt.client_id) == (1, True, "sms", "")


def test_convert_the_rest(loaded: pi.Settings) -> None:
    """Region, times, digits and the HTTP server."""
    assert loaded.numbers.region == "ID"
    assert loaded.expiration_offset == 60.0
    assert loaded.otp.digits == 8
    assert (loaded.rest.enabled, loaded.rest.host, loaded.rest.port) == (True, "0.0.0.0", 8899)
    assert loaded.rest.tls_certificate == ""


def test_convert_block_list(converted: Converted) -> None:
    """Blocked numbers come in the spelling that is compared; an invalid one in every way it may come in."""
    assert converted.blocked == ["+628126666666", "3636", "6281", "629999999999", "+629999999999"]
    assert "1 were unblocked before" in notes(converted, "api/blocking.json: ")
    assert "it is no number" in notes(converted, "api/blocking.json +491511234567x")


def test_convert_accounts(converted: Converted, tmp_path: Path) -> None:
    """A bare hash gets a new password that opens, a plain one goes on to open, who is off stays out."""
    write(converted, tmp_path / "etc")
    stored = load_accounts(tmp_path / "etc" / ".htpasswd")
    assert set(stored) == {"shop", "portal", "legacy"} == {account.user for account in converted.accounts}
    for account in converted.accounts:
        assert stored[account.user].startswith("$2y$")
        assert verify(account.new_password or "plain-s3cret", stored[account.user])
    assert [account.user for account in converted.accounts if account.new_password is None] == ["legacy"]
    passwords = [account.new_password for account in converted.accounts if account.new_password]
    assert len(set(passwords)) == 2
    assert min(map(len, passwords)) >= 20
    assert "left out: it is not active" in notes(converted, "api/urses.json gone")
    assert "left out: it is blocked" in notes(converted, "api/urses.json barred")


def test_convert_never_takes_a_hash_as_password(converted: Converted) -> None:
    """Whoever has the old file does not get in with what is written there."""
    stored = json.loads((DATA / "api/urses.json").read_text())["shop"]["password"]
    line = next(line for line in converted.password_file.splitlines() if line.startswith("shop:"))
    assert not verify(stored, line.partition(":")[2])


def test_convert_notes_every_key(converted: Converted) -> None:
    """Of each key of each file that was used a note says what became of it."""
    said = "\n".join(converted.notes)
    for name in FILES:
        content = json.loads((DATA / name).read_text())
        if name in {"api/blocking.json", "otp/otp.json", "email/smtp.json"} or f"{name}: left out" in said:
            assert name in said
            continue
        entries = content if isinstance(content, list) else list(content.values())
        objects = entries if all(isinstance(entry, dict) for entry in entries) else [content]
        for key in {key for entry in objects for key in entry}:
            bare = re.sub(r"^subscriber(Ws|Amqp|Mqtt|Stomp|ActiveMQ)", "", key)
            assert re.search(rf"^{re.escape(name)}.*(\b{bare}\b|not supported)", said, re.MULTILINE), key
    assert not re.search(r"not known, not taken$", said, re.MULTILINE)


def test_convert_notes_config_ini(converted: Converted) -> None:
    """The properties are accounted for, and the variables over them are mentioned."""
    said = notes(converted, "config.ini")
    for key in ("device.name", "device.secret.key", "otp.length", "otp.salt", "otp.lifetime", "server.port"):
        assert f"otppi.{key}" in said
    assert "other.key: not taken" in said
    assert "OTPPI_OTP_LENGTH" in said


def test_convert_notes_what_is_not_supported(converted: Converted) -> None:
    """What is missing here is said, with what to do instead."""
    assert "use AMQP, MQTT, Redis or WebSocket" in notes(converted, "subscriber/subscriber-stomp.json")
    assert "and off" in notes(converted, "subscriber/subscriber-activemq.json")
    assert "blockingPath: not supported" in notes(converted, "api/services.json")
    assert "PEM" in notes(converted, "api/services.json: httpsEnable")
    assert "left to the system" in notes(converted, "network/")


def test_convert_shows_no_secret(converted: Converted) -> None:
    """Neither notes nor repr hold a password, a PIN, a salt or a hash; the password file holds hashes only."""
    shown = "\n".join(converted.notes) + repr(converted)
    secrets = ["s3cret", "7391", *(account.new_password or "s3cret" for account in converted.accounts)]
    secrets += [user["password"] for user in json.loads((DATA / "api/urses.json").read_text()).values()]
    for secret in secrets:
        assert secret not in shown
        assert secret not in converted.password_file
    assert "$2y$" not in shown


@pytest.mark.parametrize("directory", [JAVA, JAVA / "resource", DATA])
def test_convert_finds_the_data(directory: Path, converted: Converted) -> None:
    """The program's directory will do as well as its data; config.ini is found from each."""
    found = convert(directory)
    assert found.config_toml == converted.config_toml
    assert found.notes == converted.notes


def test_convert_nothing_there_says_where_to_point(tmp_path: Path) -> None:
    """A wrong directory is no empty import."""
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ImportFault, match=r"none of the files of a Java OTP-Pi.*resource/data"):
            convert(directory)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds nothing"),
        ('{"a":1}', "holds nothing"),
        ('{"countryCode": 62,,}', "line 1, column 20"),
        ('{"countryCode":\n "62"', "line 2, column"),
        ('["countryCode"]', "not an object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"countryCode": 1' + "0" * 5000 + "}", "too long"),
    ],
)
def test_convert_unusable_file_is_noted(tmp_path: Path, content: str, says: str) -> None:
    """A file that cannot be read is named with the place of the fault, and the rest is converted."""
    shutil.copytree(DATA, tmp_path / "data")
    found = make(tmp_path / "data", "gsm/sms.json", content)
    assert says in notes(found, "gsm/sms.json")
    assert len(read(found, tmp_path).modem) == 5
    assert read(found, tmp_path).numbers.region == ""


def test_convert_unreadable_files_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no text, a directory in the place of a file, a file without end."""
    data = tmp_path / "data"
    shutil.copytree(DATA, data)
    (data / "gsm/sms.json").write_bytes(b'{"countryCode": "\xff\xfe"}')
    (data / "api/urses.json").unlink()
    (data / "api/urses.json").mkdir()
    (data / "otp/otp.json").unlink()
    monkeypatch.setattr("otp.pi.importing.files._LARGEST", 3000)
    found = convert(data)
    assert "not UTF-8 (byte 17)" in notes(found, "gsm/sms.json")
    assert "cannot be read" in notes(found, "api/urses.json")
    assert "larger than" in notes(found, "gsm/devices.json")
    assert found.accounts == []
    assert "#" in found.password_file


def test_convert_lists_with_other_things_in_them(tmp_path: Path) -> None:
    """An entry that is no object is noted and the others are taken."""
    make(tmp_path, "gsm/devices.json", {"a": 1, "b": {"name": "b", "port": "/dev/ttyUSB0", "active": True}})
    make(tmp_path, "api/urses.json", {"alice": 1, "bad:name": {"password": "x"}, "bob": {"password": "secret"}})
    found = make(tmp_path, "email/sender-account.json", [1, 2, 3, 4])
    assert [modem.name for modem in read(found, tmp_path).modem] == ["b"]
    assert [account.user for account in found.accounts] == ["bob"]
    for place in ("gsm/devices.json a", "api/urses.json alice", "email/sender-account.json account 4"):
        assert "not an object" in notes(found, place)
    assert "colon" in notes(found, "api/urses.json bad:name")


@pytest.mark.parametrize("password", [None, "", 12345678, "x" * 100, "bell\x07bell", "\ud800"])
def test_convert_password_that_cannot_be_kept_is_renewed(tmp_path: Path, password: object) -> None:
    """What bcrypt or HTTP Basic cannot carry is replaced, never cut."""
    (account,) = make(tmp_path, "api/urses.json", {"alice": {"password": password}}).accounts
    assert account.new_password
    assert "new password" in account.note


@pytest.mark.parametrize(
    ("services", "enabled", "says"),
    [
        ({"httpEnable": False, "httpsEnable": True, "httpsPort": 443}, False, "set rest.enabled"),
        ({"httpEnable": "true", "httpPort": "8080", "httpsEnable": False}, True, "not in use"),
        ({"httpEnable": True, "httpPort": 70000, "httpsEnable": 1}, True, "not in use"),
    ],
)
def test_convert_http_server(tmp_path: Path, services: dict[str, Any], enabled: bool, says: str) -> None:
    """A server that spoke only https is not turned into one that speaks http."""
    found = make(tmp_path, "api/services.json", services)
    assert read(found, tmp_path).rest.enabled is enabled
    assert says in notes(found, "api/services.json: httpsEnable")


def test_convert_odd_values(tmp_path: Path) -> None:
    """Numbers in quotes are numbers; what is out of bounds has its default and is said."""
    make(tmp_path, "general/general-config.json", {"otpExpirationOffset": 1e30, "surprise": "x"})
    make(tmp_path, "config.ini", "otppi.otp.length=99\n")
    make(tmp_path, "gsm/sms.json", {"countryCode": 999})
    make(tmp_path, "email/smtp.json", {"active": True})
    make(tmp_path, "odd/odd.json", {})
    (tmp_path / "feeder").mkdir()
    make(tmp_path, "api/blocking.json", {"08126666666": "true"})
    found = make(
        tmp_path, "subscriber/subscriber-mqtt.json", {"subscriberMqttEnable": "true", "subscriberMqttQos": 2.0}
    )
    loaded = read(found, tmp_path)
    assert (loaded.expiration_offset, loaded.otp.digits, loaded.numbers.region) == (300.0, 6, "")
    assert (loaded.mqtt[0].qos, loaded.mqtt[0].host) == (2, "127.0.0.1")
    assert "surprise: not known, not taken" in notes(found, "general/general-config.json")
    assert "not known" in notes(found, "odd/odd.json")
    assert "in use" in notes(found, "email/smtp.json")
    assert notes(found, "feeder/")


def test_convert_ws_path_without_slash(tmp_path: Path) -> None:
    """A path gets its slash, and redis has nothing special."""
    make(tmp_path, "subscriber/subscriber-redis.json", {"subscriberRedisEnable": True, "subscriberRedisSSL": True})
    found = make(
        tmp_path,
        "subscriber/subscriber-ws.json",
        {"subscriberWsEnable": True, "subscriberWsPath": "ws", "subscriberWsTopic": 'a"b\\c\x7f\u00e9'},
    )
    loaded = read(found, tmp_path)
    assert (loaded.ws[0].path, loaded.ws[0].topic) == ("/ws", 'a"b\\c\x7f\u00e9')
    assert loaded.redis[0].tls


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["true", "62", "0", "/dev/ttyUSB0", "a@b.c", "+62812,x", "99999999999999999999"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_convert_any_values_make_settings_that_load(
    data: st.DataObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands under the known keys, the outcome is a file that loads, and never a traceback."""
    monkeypatch.setattr("otp.pi.importing.users.hash_password", lambda _password: "$2y$")
    for name in FILES:
        content = json.loads((DATA / name).read_text())
        spoiled = _spoil(content, data)
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(spoiled))
    found = convert(tmp_path / "data")
    read(found, tmp_path)
    assert all(line.isprintable() for line in found.notes)


def _spoil(content: Any, data: st.DataObject) -> Any:
    """Replace some values by others."""
    if isinstance(content, dict):
        return {key: _spoil(value, data) for key, value in content.items()}
    if isinstance(content, list):
        return [_spoil(value, data) for value in content]
    return data.draw(VALUES) if data.draw(st.integers(0, 3)) == 0 else content


def test_write_makes_private_files(converted: Converted, tmp_path: Path) -> None:
    """Directory and files are for their owner alone."""
    target = tmp_path / "new" / "etc"
    files = write(converted, target)
    assert sorted(file.name for file in files) == [".htpasswd", "blocked.txt", "pi.toml"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert (target / "blocked.txt").read_text().splitlines() == converted.blocked
    assert load(target / "pi.toml").warnings == ()


@pytest.mark.parametrize("name", ["pi.toml", ".htpasswd", "blocked.txt"])
def test_write_never_overwrites(converted: Converted, tmp_path: Path, name: str) -> None:
    """One file that is there stops all of them, a dangling link too."""
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(ImportFault, match=f"{re.escape(name)} is there already"):
        write(converted, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_write_without_block_list_makes_none(tmp_path: Path) -> None:
    """Nobody blocked, no file."""
    found = make(tmp_path / "data", "gsm/sms.json", {"countryCode": "62"})
    assert sorted(file.name for file in write(found, tmp_path / "etc")) == [".htpasswd", "pi.toml"]


def test_write_where_it_cannot_says_so(converted: Converted, tmp_path: Path) -> None:
    """A target that is a file is told in words."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ImportFault, match="cannot be written"):
        write(converted, tmp_path / "file" / "etc")
