"""The REST road of the publisher against a real OTP-Pi: every method and every refusal, as an application sees it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from otp.publisher import AsyncPublisher, Publisher
from tests.pi.path_rigs import MODEM, Shifted, WholePath, whole_path
from tests.publisher.certificates import Certificates

NUMBER = "08126666666"


@pytest.fixture
def clock() -> Shifted:
    return Shifted()


@pytest.fixture
async def path(
    tmp_path: Path, request: pytest.FixtureRequest, certificates: Certificates, clock: Shifted
) -> AsyncIterator[WholePath]:
    """A running OTP-Pi with one emulated modem."""
    async with whole_path(tmp_path, request, certificates, clock=clock) as found:
        yield found


@pytest.fixture
async def publisher(path: WholePath) -> AsyncIterator[AsyncPublisher]:
    """A publisher that leaves codes to the OTP-Pi."""
    async with path.publisher("rest", manage_otp=False) as found:
        yield found


async def test_message_is_answered_with_what_became_of_it(path: WholePath, publisher: AsyncPublisher) -> None:
    """0000 says that the network has it, and which modem gave it away."""
    answer = await publisher.send_sms(receiver=NUMBER, message="hello")
    assert (str(answer.response_code), answer.data["modemID"]) == ("0000", MODEM)
    assert path.texts == ["hello"]


async def test_refusals_have_a_code_and_a_reason(path: WholePath, publisher: AsyncPublisher) -> None:
    """Blocked, no mail account, unknown USSD code: 1102 and why."""
    await publisher.block_msisdn(receiver=NUMBER)
    refused = [
        await publisher.send_sms(receiver=NUMBER, message="x"),
        await publisher.send_email(receiver="a@example.com", message="x"),
        await publisher.request_ussd(ussd_code="*999#", modem_id=MODEM),
        await publisher.request_ussd(ussd_code="*123#", modem_id="nobody"),
    ]
    assert {str(answer.response_code) for answer in refused} == {"1102"}
    assert [answer.reason for answer in refused[:2]] == ["blocked", "no_mail_account"]
    assert all(answer.message for answer in refused)
    assert path.texts == []


async def test_code_resent_cancelled_and_used_up(path: WholePath, publisher: AsyncPublisher, clock: Shifted) -> None:
    """The same code comes again after its cooldown; a cancelled one is void; a reference has one code."""
    wanted = {"receiver": NUMBER, "reference": "r1"}
    assert (await publisher.create_otp(message="Kode: %s", lifetime=300, **wanted)).ok
    assert str((await publisher.create_otp(message="Kode: %s", lifetime=300, **wanted)).response_code) == "1201"
    clock.by = 40.0
    assert (await publisher.resend_otp(message="Kode: %s", **wanted)).ok
    assert path.texts[1].split()[-1] == path.texts[0].split()[-1]
    assert (await publisher.cancel_otp(**wanted)).ok
    code = path.texts[0].split()[-1]
    assert str((await publisher.verify_otp(otp=code, **wanted)).response_code) == "1202"


async def test_wrong_password_is_refused(path: WholePath) -> None:
    """The reason says who was refused, and nothing gets to the modem."""
    async with path.publisher("rest", password="guess") as publisher:
        answer = await publisher.send_sms(receiver=NUMBER, message="x")
    assert (str(answer.response_code), answer.reason) == ("1102", "unauthorized")
    assert path.texts == []


async def test_publisher_without_asyncio_gets_the_same(path: WholePath) -> None:
    """The blocking publisher sends and verifies over REST as the other does."""
    import asyncio

    def work() -> list[str]:
        with Publisher(**path.keywords("rest"), manage_otp=False) as publisher:
            wanted = {"receiver": NUMBER, "reference": "r1"}
            created = publisher.create_otp(message="Kode: %s", lifetime=60, **wanted)
            code = path.texts[-1].split()[-1]
            verified = [publisher.verify_otp(otp=code, **wanted) for _ in range(2)]
        return [str(answer.response_code) for answer in (created, *verified)]

    assert await asyncio.to_thread(work) == ["0000", "0000", "1202"]
