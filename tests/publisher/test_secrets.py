"""Codes, message bodies and passwords are in no log, no exception and no representation, at any level."""

import logging
import traceback
from collections.abc import Iterator

import pytest

from otp.publisher import AsyncPublisher
from otp.publisher.errors import RoadError
from otp.publisher.transports import base
from tests.publisher.conftest import MakePublisher, arrived
from tests.publisher.rigs import Rig
from tests.publisher.servers import PASSWORD
from tests.publisher.test_roads_contract import code_in

NUMBER = "08126666666"
BODY = "canary-body"


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Catch every record of every logger, DEBUG included."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    caplog.handler.setLevel(logging.DEBUG)
    yield caplog
    root.setLevel(before)


async def _use(publisher: AsyncPublisher, rig: Rig) -> list[str]:
    """Go through all that handles bodies; return the secrets and, first, all that was shown."""
    async with rig.receiving() as inbox:
        created = await publisher.create_otp(receiver=NUMBER, reference="t", message=f"{BODY} %s")
        code = code_in(await arrived(inbox))
        wrong = await publisher.verify_otp(receiver=NUMBER, otp="000000" + code, reference="t")
        right = await publisher.verify_otp(receiver=NUMBER, otp=code, reference="t")
        sent = await publisher.send_sms(receiver=NUMBER, message=f"{BODY} {code}")
        await arrived(inbox)
        invalid = await publisher.send_sms(receiver=NUMBER, message=f"{BODY} {code}" * 1000)
    shown = "\n".join(f"{result!r} {result}" for result in (created, wrong, right, sent, invalid))
    return [shown + repr(publisher) + repr(publisher.settings) + repr(publisher.codes), code]


async def test_no_secret_is_shown(
    rig: Rig, make_publisher: MakePublisher, everything: pytest.LogCaptureFixture
) -> None:
    """On a working road nothing of a message is logged or shown, also at DEBUG of every library."""
    shown, code = await _use(make_publisher(rig.keywords()), rig)
    logged = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in everything.records)
    for secret in (BODY, code, PASSWORD):
        assert secret not in shown
        assert secret not in logged


async def test_failing_road_shows_no_secret(
    rig: Rig, make_publisher: MakePublisher, everything: pytest.LogCaptureFixture
) -> None:
    """On a failing road neither the answer, nor the log, nor the error with its causes shows the message."""
    publisher = make_publisher(rig.keywords(timeout="300ms"))
    async with rig.receiving():
        await publisher.send_sms(receiver=NUMBER, message="warm")
        await rig.pause()
        try:
            result = await publisher.send_sms(receiver=NUMBER, message=BODY)
            with pytest.raises(RoadError) as silent:
                await base.send(publisher.road, BODY.encode(), lifetime=None, timeout=0.3)
        finally:
            await rig.resume()
    nowhere = {"url": "http://127.0.0.1:1/"} if rig.method == "REST" else {"port": 1}
    with pytest.raises(RoadError) as down:
        await base.send(make_publisher(rig.keywords(**nowhere)).road, BODY.encode(), lifetime=None, timeout=5)
    errors = "".join(line for caught in (silent, down) for line in traceback.format_exception(caught.value))
    logged = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in everything.records)
    for text in (repr(result), result.to_json(), errors, logged):
        assert BODY not in text
        assert PASSWORD not in text
