"""What the Redis store promises beyond the contract: about time to live, outages and passwords."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from otp.codes import ResponseCode
from otp.errors import MissingExtra, StoreError
from otp.store import OtpPolicy, redis_store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.otp.conftest import Clock, RedisServer

RECEIVER = "+628126666666"


def keys(server: RedisServer) -> dict[str, int]:
    """Return every key with its time to live in seconds; -1 is for ever."""
    import redis

    client: Any = redis.Redis.from_url(server.url)
    with client:
        return {key.decode(): client.ttl(key) for key in client.scan_iter()}


def test_everything_expires(own_redis: RedisServer, tmp_path: Path, clock: Clock) -> None:
    """Records and budgets carry a time to live; only the key's fingerprint stays."""
    with redis_store(own_redis.url, tmp_path / "key", policy=OtpPolicy(keep=100), clock=clock) as store:
        issued = store.create(receiver=RECEIVER, reference="r", lifetime=60)
        store.verify(receiver=RECEIVER, reference="r", otp="0")
        clock.advance(30)
        store.resend(receiver=RECEIVER, reference="r")
        assert store.verify(receiver=RECEIVER, reference="r", otp=issued.code) is ResponseCode.SUCCESS
    ttls = {name.split(":")[1]: ttl for name, ttl in keys(own_redis).items()}
    assert ttls.pop("key") == -1
    assert 100 < ttls["code"] <= 160
    assert 86_000 < ttls["budget"] <= 86_400
    assert set(ttls) == {"code", "budget"}


def test_nothing_readable_in_redis(own_redis: RedisServer, tmp_path: Path) -> None:
    """Neither code nor receiver, reference or parameter is found in Redis."""
    import redis

    with redis_store(own_redis.url, tmp_path / "key") as store:
        issued = store.create(receiver="canary@example.com", reference="canary", params=["canary"])
    client: Any = redis.Redis.from_url(own_redis.url)
    with client:
        found = b"".join(key + (client.dump(key) or b"") for key in client.scan_iter())
    assert len(found) > 200
    assert b"canary" not in found
    assert issued.code.encode() not in found


def test_prefix_keeps_two_apart(own_redis: RedisServer, tmp_path: Path) -> None:
    """Two stores with prefixes of their own do not see each other's codes or keys."""
    with (
        redis_store(own_redis.url, tmp_path / "key-a", prefix="{a}:") as one,
        redis_store(own_redis.url, tmp_path / "key-b", prefix="{b}:") as two,
    ):
        code = one.create(receiver=RECEIVER, reference="r").code
        two.create(receiver=RECEIVER, reference="r")
        assert one.verify(receiver=RECEIVER, reference="r", otp=code) is ResponseCode.SUCCESS
    assert all(name.startswith(("{a}:", "{b}:")) for name in keys(own_redis))


def test_another_key(own_redis: RedisServer, tmp_path: Path) -> None:
    """A server with another key is told so at its start: its users would get 1202 for right codes."""
    redis_store(own_redis.url, tmp_path / "key-a").close()
    with pytest.raises(StoreError, match=r"filled under another key\. Copy the key_file of the other servers"):
        redis_store(own_redis.url, tmp_path / "key-b")
    redis_store(own_redis.url, tmp_path / "key-a").close()


def test_redis_not_there(own_redis: RedisServer, tmp_path: Path) -> None:
    """Without Redis opening is refused, naming the fault."""
    own_redis.stop()
    with pytest.raises(StoreError, match="Redis cannot be used") as refusal:
        redis_store(own_redis.url, tmp_path / "key")
    assert (refusal.value.code, refusal.value.reason) == ("1102", "store_unavailable")


def test_redis_dies_and_comes_back(own_redis: RedisServer, tmp_path: Path) -> None:
    """While Redis is away every call is refused; when it is back the same store goes on, the reference is free."""
    with redis_store(own_redis.url, tmp_path / "key") as store:
        store.create(receiver=RECEIVER, reference="before")
        own_redis.stop()
        with pytest.raises(StoreError):
            store.create(receiver=RECEIVER, reference="r")
        with pytest.raises(StoreError):
            store.verify(receiver=RECEIVER, reference="before", otp="123456")
        with pytest.raises(StoreError):
            store.sweep()
        own_redis.start()
        code = store.create(receiver=RECEIVER, reference="r").code
        assert store.verify(receiver=RECEIVER, reference="r", otp=code) is ResponseCode.SUCCESS


def test_redis_forgets_its_scripts(own_redis: RedisServer, tmp_path: Path) -> None:
    """A restarted or failed-over Redis does not know the scripts; they are sent again."""
    import redis

    with redis_store(own_redis.url, tmp_path / "key") as store:
        code = store.create(receiver=RECEIVER, reference="r").code
        client: Any = redis.Redis.from_url(own_redis.url)
        with client:
            client.script_flush()
        assert store.verify(receiver=RECEIVER, reference="r", otp=code) is ResponseCode.SUCCESS


def test_password(own_redis: RedisServer, tmp_path: Path) -> None:
    """The URL's password is used, and a wrong one is refused without being shown."""
    own_redis.stop()
    own_redis.start("--requirepass", "s3cret-canary")
    address = own_redis.url.removeprefix("redis://")
    redis_store(f"redis://:s3cret-canary@{address}", tmp_path / "key").close()
    with pytest.raises(StoreError) as refusal:
        redis_store(f"redis://:wrong-canary@{address}", tmp_path / "key")
    assert "canary" not in str(refusal.value)


def test_url_that_is_none(tmp_path: Path) -> None:
    """Another kind of URL is refused without repeating it: it may hold a password."""
    pytest.importorskip("redis")
    with pytest.raises(StoreError, match="must begin with redis://") as refusal:
        redis_store("http://user:canary@localhost", tmp_path / "key")
    assert "canary" not in str(refusal.value)


def test_library_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library the refusal says how to install it."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtra, match="pip install 'wsmessagebroker\\[publisher\\]'"):
        redis_store("redis://127.0.0.1:1/0", tmp_path / "key")
