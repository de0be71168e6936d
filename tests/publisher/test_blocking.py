"""The publisher without asyncio: the same methods, from threads and from forked processes."""

import inspect
import json
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from otp.publisher import AsyncPublisher, Publisher
from tests.publisher.certificates import Certificates
from tests.publisher.rigs import WsRig
from tests.publisher.servers import BrokerServer

NUMBER = "08126666666"


@pytest.fixture
def ws(broker: BrokerServer, certificates: Certificates) -> WsRig:
    return WsRig(broker, certificates)


def _public(kind: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and name != "close"
    }


def test_same_methods() -> None:
    """Both publishers have the same methods with the same parameters and the same explanation."""
    awaited, blocking = _public(AsyncPublisher), _public(Publisher)
    assert set(awaited) == set(blocking)
    for name, method in awaited.items():
        assert inspect.signature(method).parameters.keys() == inspect.signature(blocking[name]).parameters.keys()
        assert method.__doc__ == blocking[name].__doc__


def test_from_a_configuration_file(ws: WsRig, tmp_path: Path) -> None:
    """The example of the documentation: a file, a code, a wrong answer."""
    lines = [f"{name} = {value}" for name, value in ws.keywords().items() if name != "method"]
    file = tmp_path / "otp.ini"
    file.write_text("\n".join(["[GENERAL]", "method = WS", "manage_otp = true", "[WS]", *lines]))
    with Publisher.from_config(file) as otp:
        created = otp.create_otp(receiver=NUMBER, reference="trx-1", lifetime=60, message="Kode %s", params=["1"])
        wrong = otp.verify_otp(receiver=NUMBER, otp="12345", reference="trx-1", params=["1"])
    assert (created.response_code.value, created.ok, created.resend_after) == ("1111", True, 30)
    assert wrong.response_code.value == "1202"


def test_many_threads(ws: WsRig, tmp_path: Path) -> None:
    """Any number of threads may call at once; of fifty right answers exactly one is right."""
    with Publisher(manage_otp=True, cache_dir=tmp_path / "cache", **ws.keywords()) as otp:

        def send(n: int) -> str:
            return otp.send_sms(receiver=NUMBER, message=f"number {n}").response_code.value

        with ThreadPoolExecutor(20) as pool:
            assert set(pool.map(send, range(100))) == {"0000"}


def test_closed_and_closed_again(ws: WsRig) -> None:
    """Closing twice is fine, leaves no thread, and a call afterwards says what is wrong."""
    before = threading.active_count()
    publisher = Publisher(**ws.keywords())
    assert publisher.send_sms(receiver=NUMBER, message="hello").ok
    publisher.close()
    publisher.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="is closed"):
        publisher.send_sms(receiver=NUMBER, message="hello")


def _send_in_child(publisher: Publisher, results: Any) -> None:
    results.put(json.loads(publisher.send_sms(receiver=NUMBER, message="from the child").to_json()))
    publisher.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_process(ws: WsRig) -> None:
    """A process forked from one that has used the publisher uses it as well, and the parent's goes on."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with Publisher(**ws.keywords()) as publisher:
        assert publisher.send_sms(receiver=NUMBER, message="before").ok
        child = context.Process(target=_send_in_child, args=(publisher, results))
        child.start()
        found = results.get(timeout=30)
        child.join(30)
        assert (found["response_code"], child.exitcode) == ("0000", 0)
        assert publisher.send_sms(receiver=NUMBER, message="after").ok
