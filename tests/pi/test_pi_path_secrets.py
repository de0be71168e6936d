"""Codes, bodies, PINs and passwords are nowhere but where they have to be."""

import json
import logging
from pathlib import Path

import aiohttp
import pytest

from otp.pi.control import ControlClient
from otp.pi.emulator import Emulator, Knobs
from otp.pi.service import Service
from otp.pi.settings import Settings
from tests.conftest import until
from tests.pi.mail_servers import mail_server
from tests.pi.path_rigs import MODEM, NAMES, WholePath, whole_path
from tests.pi.rest_doubles import AUTHORIZED, PASSWORD, write_accounts
from tests.publisher.certificates import Certificates

NUMBER = "081299988877"
BODY, SUBJECT, WRONG, QUERY = "canary-of-a-body", "canary-of-a-subject", "918273", "canary-of-an-echo"
PIN, MAIL_PASSWORD = "7391", "canary-of-a-mail-password"


async def public_words(path: WholePath) -> str:
    """Return all that the service shows of itself."""
    async with aiohttp.ClientSession(headers=AUTHORIZED) as session:
        shown = [
            await (await session.get(f"{path.service.url}/{page}")).text()
            for page in ("metrics", "readyz", "api/journal")
        ]
    return "\n".join([*shown, json.dumps(await path.control.get("/status"))])


def files_of(directory: Path) -> bytes:
    """Return every byte below a directory."""
    return b"\n".join(file.read_bytes() for file in sorted(directory.rglob("*")) if file.is_file())


@pytest.mark.parametrize("road", NAMES)
async def test_bodies_codes_and_passwords_stay_out_of_sight(
    road: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No log line at any level, metric, status, journal page or file left behind has one of them."""
    caplog.set_level(logging.DEBUG, "otp")
    async with mail_server() as server:
        account = {
            "name": "one",
            "host": "127.0.0.1",
            "port": server.port,
            "tls": "none",
            "sender": "otp@example.com",
        }
        async with (
            whole_path(tmp_path, request, certificates, road, mail=[account]) as path,
            path.publisher(road) as publisher,
        ):
            await publisher.send_sms(receiver=NUMBER, message=BODY)
            await until(lambda: BODY in path.texts, 20)
            await publisher.send_email(receiver="someone@example.com", subject=SUBJECT, message=BODY)
            await until(lambda: server.arrived, 20)
            await publisher.request("echo", {"said": QUERY})
            await path.raw(road, f'{{"command": "send-sms", "data": {{"message": "{BODY}"'.encode())
            await path.row_comes(state="rejected")
            wanted = {"command": "request-otp", "data": {"receiver": NUMBER, "reference": "r", "message": f"{BODY} %s"}}
            await path.raw(road, wanted)
            await until(lambda: len(path.texts) == 2, 20)
            code = path.texts[1].split()[-1]
            await path.raw(
                road, {"command": "verify-otp", "data": {"receiver": NUMBER, "reference": "r", "otp": WRONG}}
            )
            await path.raw(road, {"command": "verify-otp", "data": {"receiver": NUMBER, "reference": "r", "otp": code}})
            await until(lambda: path.service.counts.commands.total() >= 6, 20)
            shown = await public_words(path)
    left = files_of(tmp_path / "data")
    secrets = [BODY, SUBJECT, QUERY, PASSWORD, WRONG, code]
    spoken = f"{shown}\n{caplog.text}\n{''.join(capfd.readouterr())}"
    assert "sms_sent" in spoken
    assert [secret for secret in secrets if secret in spoken] == []
    assert NUMBER[1:] not in caplog.text
    for secret in secrets:
        hidden = [secret.encode(), secret.encode("utf-16-le"), secret.encode().hex().encode()]
        assert not any(each in left for each in hidden), secret


async def test_pin_and_mail_password_stay_out_of_sight(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Given to card and server, right or refused, and to nobody else."""
    caplog.set_level(logging.DEBUG, "otp")
    async with mail_server() as server:
        values = {
            "data_dir": tmp_path / "data",
            "rest": {"port": 0, "answer_timeout": "1s", "password_file": str(write_accounts(tmp_path / "accounts"))},
            "modem": [{"name": MODEM, "port": str(tmp_path / "modem"), "pin": PIN}],
            "mail": [
                {
                    "name": "one",
                    "host": "127.0.0.1",
                    "port": server.port,
                    "tls": "none",
                    "username": "otp",
                    "password": MAIL_PASSWORD,
                    "sender": "otp@example.com",
                }
            ],
        }
        settings = Settings.model_validate(values)
        async with (
            Emulator(link=tmp_path / "modem", knobs=Knobs(pin=PIN)) as emulator,
            Service(settings) as service,
            ControlClient(tmp_path / "data") as control,
        ):
            await until(lambda: any(f'AT+CPIN="{PIN}"' in line for line in emulator.commands), 20)
            mail = {"command": "send-email", "data": {"receiver": "someone@example.com", "message": BODY}}
            answer = await control.command(mail)
            assert answer["response_code"] != "0000", "the server offers no login, so nothing may be sent"
            shown = json.dumps([answer, await control.get("/status")])
            async with aiohttp.ClientSession() as session:
                shown += await (await session.get(f"{service.url}/metrics")).text()
    spoken = f"{shown}\n{caplog.text}\n{''.join(capfd.readouterr())}\n{settings!r}"
    assert f'"{PIN}"' not in spoken
    assert f"={PIN}" not in spoken
    assert MAIL_PASSWORD not in spoken
    assert MAIL_PASSWORD.encode() not in files_of(tmp_path / "data")
