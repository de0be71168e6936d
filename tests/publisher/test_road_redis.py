"""Redis: log-in as existing configurations need it, and rights."""

import logging
from collections.abc import Iterator

import pytest

from tests.publisher.certificates import Certificates
from tests.publisher.conftest import MakePublisher
from tests.publisher.rigs import RedisRig
from tests.publisher.servers import RedisServer

NUMBER = "08126666666"


@pytest.fixture
def redis(redis_server: RedisServer, certificates: Certificates) -> RedisRig:
    return RedisRig(redis_server, certificates)


@pytest.fixture
def open_redis(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RedisRig]:
    """A server that asks nobody for a password."""
    server = RedisServer(tmp_path_factory.mktemp("open"), certificates, open_to_all=True)
    server.start()
    yield RedisRig(server, certificates)
    server.kill()


async def test_credentials_nobody_asks_for(
    open_redis: RedisRig, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """Credentials of an old configuration that were never sent do not stop an open server, but are reported."""
    publisher = make_publisher(open_redis.keywords(username="kamshory", password="kamshory"))
    with caplog.at_level(logging.WARNING):
        result = await publisher.send_sms(receiver=NUMBER, message="hello")
    assert result.response_code.value == "0000"
    assert "did not accept username and password" in caplog.text
    assert "kamshory" not in caplog.text


async def test_no_credentials_at_all(open_redis: RedisRig, make_publisher: MakePublisher) -> None:
    """Without credentials an open server is used as it is."""
    publisher = make_publisher(open_redis.keywords(username="", password=""))
    assert (await publisher.send_sms(receiver=NUMBER, message="hello")).ok


async def test_no_credentials_where_some_are_needed(redis: RedisRig, make_publisher: MakePublisher) -> None:
    """A server that wants a password and is given none is reported as that."""
    publisher = make_publisher(redis.keywords(username="", password=""))
    result = await publisher.send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason) == ("1102", "unauthorized")


async def test_account_that_may_not_publish(redis: RedisRig, make_publisher: MakePublisher) -> None:
    """An account without the right to publish is told so."""
    result = await make_publisher(redis.keywords(username="reader")).send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason) == ("1102", "forbidden")


async def test_number_of_receivers(redis: RedisRig, make_publisher: MakePublisher) -> None:
    """The answer says how many were handed the message."""
    publisher = make_publisher(redis.keywords())
    async with redis.receiving(), redis.receiving():
        result = await publisher.send_sms(receiver=NUMBER, message="hello")
    assert result.data["listeners"] == 2
