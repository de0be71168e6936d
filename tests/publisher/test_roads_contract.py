"""What every road promises, shown on real servers: one suite, five roads."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from otp.codes import ResponseCode
from tests.publisher.conftest import MakePublisher, arrived
from tests.publisher.rigs import Rig, success

CODE = re.compile(r"[0-9]{6}")
NUMBER = "08126666666"


def code_in(payload: bytes) -> str:
    """Return the code in the message that carried it."""
    found = CODE.search(json.loads(payload)["data"]["message"])
    assert found is not None
    return found[0]


async def test_send_arrives_whole(rig: Rig, make_publisher: MakePublisher) -> None:
    """What is sent is what the receiving end gets, whatever the text, and the answer is 0000."""
    publisher = make_publisher(rig.keywords())
    text = 'é ñ \u0627 \U0001f600 "quoted" \\ % {code} \n' + "x" * 400
    async with rig.receiving() as inbox:
        result = await publisher.send_sms(receiver=NUMBER, message=text, id=7)
        assert json.loads(await arrived(inbox))["data"]["message"] == text
    assert (result.response_code, result.command, bool(result)) == (ResponseCode.SUCCESS, "send-sms", True)


async def test_create_and_verify(rig: Rig, make_publisher: MakePublisher) -> None:
    """A code of our own arrives, is right once and not twice; only REST can say more than 1111 of its sending."""
    publisher = make_publisher(rig.keywords())
    async with rig.receiving() as inbox:
        result = await publisher.create_otp(receiver=NUMBER, reference="t-1", message="Kode %s", params=["a"])
        code = code_in(await arrived(inbox))
    expected = ResponseCode.SUCCESS if rig.method == "REST" else ResponseCode.HANDED_OVER
    assert result.response_code is expected
    assert result.expires_at is not None
    assert result.resend_after == 30
    again = [await publisher.verify_otp(receiver=NUMBER, otp=code, reference="t-1", params=["a"]) for _ in range(2)]
    assert [answer.response_code.value for answer in again] == ["0000", "1202"]


async def test_many_at_once(rig: Rig, make_publisher: MakePublisher) -> None:
    """Fifty commands at once all arrive, and each gets its own answer."""
    publisher = make_publisher(rig.keywords())
    async with rig.receiving() as inbox:
        sends = [publisher.send_sms(receiver=NUMBER, message=f"number {n}", id=n) for n in range(50)]
        results = await asyncio.gather(*sends)
        got = {json.loads(await arrived(inbox))["data"]["id"] for _ in range(50)}
    assert {result.response_code.value for result in results} == {"0000"}
    assert got == set(range(50))


async def test_wrong_password(rig: Rig, make_publisher: MakePublisher) -> None:
    """A wrong password is 1102 and ``unauthorized``; the password is in no part of the answer."""
    publisher = make_publisher(rig.keywords(password="wrong-canary"))
    result = await publisher.send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason) == ("1102", "unauthorized")
    assert "wrong-canary" not in result.to_json() + repr(result)


async def test_server_killed_and_restarted(rig: Rig, make_publisher: MakePublisher, tmp_path: Path) -> None:
    """While the server is down the answer is 1102, and the reference is free again.

    Once it is back, the first command of a connection from before goes through, and so does the freed reference.
    """
    idle = make_publisher(rig.keywords())
    trying = make_publisher(rig.keywords(cache_dir=tmp_path / "other"))
    async with rig.receiving():
        assert (await idle.send_sms(receiver=NUMBER, message="before")).ok
    await rig.kill()
    try:
        failed = await trying.create_otp(receiver=NUMBER, reference="t-1", message="Kode %s")
    finally:
        await rig.start()
    assert (failed.response_code.value, failed.reason) == ("1102", "unreachable")
    async with rig.receiving() as inbox:
        assert (await idle.send_sms(receiver=NUMBER, message="after")).response_code.value == "0000"
        assert json.loads(await arrived(inbox))["data"]["message"] == "after"
        assert (await trying.create_otp(receiver=NUMBER, reference="t-1", message="Kode %s")).ok
        code = code_in(await arrived(inbox))
    assert (await trying.verify_otp(receiver=NUMBER, otp=code, reference="t-1")).ok


async def test_silent_server_times_out(rig: Rig, make_publisher: MakePublisher) -> None:
    """A server that takes the connection and says nothing is 1102 ``timeout``; afterwards all works again."""
    publisher = make_publisher(rig.keywords(timeout="500ms", codes_per_hour=50))
    async with rig.receiving():
        assert (await publisher.send_sms(receiver=NUMBER, message="warm")).ok
        await rig.pause()
        try:
            silent = await publisher.create_otp(receiver=NUMBER, reference="t-1", message="Kode %s")
        finally:
            await rig.resume()
        assert (silent.response_code.value, silent.reason) == ("1102", "timeout")
        assert (await _until_ok(publisher, reference="t-1")).ok


async def _until_ok(publisher: Any, reference: str) -> Any:
    """Create until it works: a server that was asleep needs a moment on a busy machine."""
    for _ in range(20):
        result = await publisher.create_otp(receiver=NUMBER, reference=reference, message="Kode %s")
        if result.ok:
            break
    return result


async def test_cancelled_create_frees_the_reference(rig: Rig, make_publisher: MakePublisher) -> None:
    """A caller that goes away in the middle leaves no code behind."""
    publisher = make_publisher(rig.keywords(codes_per_hour=50))
    async with rig.receiving():
        assert (await publisher.send_sms(receiver=NUMBER, message="warm")).ok
        await rig.pause()
        try:
            creating = asyncio.create_task(publisher.create_otp(receiver=NUMBER, reference="t-1", message="Kode %s"))
            await asyncio.wait([creating], timeout=0.3)
            creating.cancel()
            await asyncio.wait([creating])
        finally:
            await rig.resume()
        assert creating.cancelled()
        assert (await _until_ok(publisher, reference="t-1")).ok


async def test_cancellation_is_never_lost(rig: Rig, make_publisher: MakePublisher) -> None:
    """Whatever step a call has come to when its caller goes away, it ends as cancelled."""
    publisher = make_publisher(rig.keywords())
    async with rig.receiving():
        assert (await publisher.send_sms(receiver=NUMBER, message="warm")).ok
        for steps in range(40):
            sending = asyncio.create_task(publisher.send_sms(receiver=NUMBER, message=f"{steps} steps"))
            for _ in range(steps):
                await asyncio.sleep(0)
            if sending.done():
                break
            sending.cancel()
            await asyncio.wait([sending])
            assert sending.cancelled(), f"lost after {steps} steps"


async def test_question_is_answered(rig: Rig, make_publisher: MakePublisher) -> None:
    """A question comes back with its answer, even when that is published the moment the question arrives."""
    publisher = make_publisher(rig.keywords())

    def reply(command: dict[str, Any]) -> dict[str, Any]:
        return {**success(command), "data": {"modem_list": {"1": {"id": "1", "connected": True}}}}

    async with rig.answering(reply):
        results = [await publisher.get_modem_list() for _ in range(3)]
    assert [result.response_code.value for result in results] == ["0000"] * 3
    assert results[0].data["modem_list"]["1"]["connected"] is True


async def test_question_of_an_odd_name_is_answered(rig: Rig, make_publisher: MakePublisher) -> None:
    """A command may have a name that no topic or queue could have; its answer arrives all the same."""
    publisher = make_publisher(rig.keywords())
    async with rig.answering(success):
        results = [await publisher.request(name, {}, callback=True) for name in ("a b/#+\n\u00e9", "x" * 255)]
    assert [result.response_code.value for result in results] == ["0000"] * 2


async def test_lifetime_longer_than_the_road_can_say(rig: Rig, make_publisher: MakePublisher) -> None:
    """A lifetime above what a broker can count is sent as it is; the broker's own limit is as long as it can be."""
    publisher = make_publisher(rig.keywords())
    async with rig.receiving() as inbox:
        for lifetime in (2**31, 10**300):
            result = await publisher.send_sms(receiver=NUMBER, message="hello", lifetime=lifetime)
            data = json.loads(await arrived(inbox))["data"]
            assert (result.response_code.value, data["expiration"] - data["date_time"]) == ("0000", lifetime)


async def test_question_without_answer(broker_rig: Rig, make_publisher: MakePublisher) -> None:
    """A question nobody answers ends within its timeout, as 1102 ``no_answer``."""
    publisher = make_publisher(broker_rig.keywords(callback_timeout="3s"))
    async with broker_rig.receiving():
        result = await publisher.request_ussd(ussd_code="*123#", modem_id=1)
    assert (result.response_code.value, result.reason) == ("1102", "no_answer")


async def test_tls_is_verified(rig: Rig, make_publisher: MakePublisher, request: Any, tmp_path_factory: Any) -> None:
    """Over TLS a trusted certificate is needed: with it the command goes through, without it nothing is sent."""
    if rig.method == "WS":
        from tests.publisher.servers import BrokerServer

        rig.server = BrokerServer(tmp_path_factory.mktemp("tls"), rig.certificates, tls=True)
        rig.server.start()
        request.addfinalizer(rig.server.kill)
    trusting = make_publisher(rig.tls_keywords())
    assert (await trusting.send_sms(receiver=NUMBER, message="hello")).response_code.value == "0000"
    distrusting = make_publisher(rig.tls_keywords(tls_ca=""))
    result = await distrusting.send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason) == ("1102", "tls_failed")


async def test_tls_for_another_name_is_refused(rig: Rig, make_publisher: MakePublisher, other_name: int) -> None:
    """A trusted certificate for another name than the one we called is not accepted."""
    url = f"https://127.0.0.1:{other_name}/"
    keywords = rig.tls_keywords(**({"url": url} if rig.method == "REST" else {"port": other_name}))
    result = await make_publisher(keywords).send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason) == ("1102", "tls_failed")


async def test_check_says_what_works(rig: Rig, make_publisher: MakePublisher) -> None:
    """A check reaches the server and changes nothing there."""
    publisher = make_publisher(rig.keywords())
    assert "answered" in await publisher.road.check()


async def test_server_that_never_speaks(rig: Rig, make_publisher: MakePublisher, silent: int) -> None:
    """A port that accepts and never says a word ends in 1102 within the time limits."""
    place = {"url": f"http://127.0.0.1:{silent}/"} if rig.method == "REST" else {"port": silent}
    publisher = make_publisher(rig.keywords(timeout="400ms", connect_timeout="300ms", **place))
    result = await publisher.send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason in ("timeout", "unreachable")) == ("1102", True)


async def test_server_that_speaks_nonsense(rig: Rig, make_publisher: MakePublisher, nonsense: int) -> None:
    """A port of another service ends in 1102 with a reason, for commands and for questions; nothing is raised."""
    place = {"url": f"http://127.0.0.1:{nonsense}/"} if rig.method == "REST" else {"port": nonsense}
    limits = {"timeout": "500ms", "connect_timeout": "400ms", "callback_timeout": "500ms"}
    publisher = make_publisher(rig.keywords(**limits, **place))
    for result in (await publisher.send_sms(receiver=NUMBER, message="hello"), await publisher.get_modem_list()):
        assert result.response_code.value == "1102"
        assert result.reason in ("unreachable", "rejected", "connection_lost", "timeout", "bad_answer")


async def test_certificate_of_our_own(
    rig: Rig, make_publisher: MakePublisher, demanding: tuple[int, list[Any]]
) -> None:
    """A server that demands a certificate is shown the one of the settings."""
    port, shown = demanding
    files = {"tls_certificate": str(rig.certificates.certificate), "tls_key": str(rig.certificates.key)}
    place = {"url": f"https://127.0.0.1:{port}/"} if rig.method == "REST" else {"port": port}
    publisher = make_publisher(rig.tls_keywords(**files, **place, timeout="2s", connect_timeout="1s"))
    assert not (await publisher.send_sms(receiver=NUMBER, message="hello")).ok
    assert shown
    assert all(each["subject"] == ((("commonName", "server"),),) for each in shown)
