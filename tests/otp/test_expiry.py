"""Until when a command is good: seconds, milliseconds, texts, nothing and nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp import expiry

ARRIVED = 1_700_000_000.5
SENT = 1_699_999_990
ABSENT: list[Any] = [
    None,
    0,
    0.0,
    -5,
    "",
    "soon",
    "0",
    "nan",
    "inf",
    "-inf",
    float("nan"),
    float("inf"),
    True,
    [],
    {},
    "9" * 40,
]


@pytest.mark.parametrize(
    "value", [1629685838, 1629685838.0, "1629685838", " 1629685838 ", 1629685838000, "1629685838000"]
)
def test_limit_units(value: Any) -> None:
    """Seconds and milliseconds, as numbers or texts, are one moment."""
    assert expiry.limit({"expiration": value}, ARRIVED) == 1629685838


def test_limit_boundary_of_units() -> None:
    """10^11 is the first that is milliseconds."""
    assert expiry.moment(99_999_999_999) == 99_999_999_999
    assert expiry.moment(100_000_000_000) == 100_000_000


@pytest.mark.parametrize("absent", ABSENT)
def test_limit_absent(absent: Any) -> None:
    """Without a readable expiration it is date_time and the offset; without that, arrival and the offset."""
    assert expiry.limit({"expiration": absent, "date_time": SENT}, ARRIVED, 30) == SENT + 30
    assert expiry.limit({"expiration": absent, "date_time": str(SENT * 1000)}, ARRIVED, 30) == SENT + 30
    assert expiry.limit({"date_time": absent}, ARRIVED, 30) == ARRIVED + 30
    assert expiry.limit({}, ARRIVED) == ARRIVED + expiry.DEFAULT_OFFSET


def test_lifetime() -> None:
    """A lifetime is the difference of the sender's two times, whatever its clock says."""
    assert expiry.lifetime({"date_time": 5000, "expiration": 5060}, ARRIVED) == 60
    assert expiry.lifetime({"date_time": 5000, "expiration": 4990}, ARRIVED) == -10
    assert expiry.lifetime({"expiration": ARRIVED + 60}, ARRIVED) == 60
    assert expiry.lifetime({"date_time": 5000}, ARRIVED) is None


def test_deadline() -> None:
    """A message off the wire says until when it is good, also with a trailing comma."""
    assert expiry.deadline(b'{"command": "send-sms", "data": {"expiration": 1629685838,}}', ARRIVED) == 1629685838


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[]", b"{}", b'{"data": []}', b'{"data": {}}', b'{"data": {"expiration": 0}}']
)
def test_deadline_of_anything_else(payload: bytes) -> None:
    """What does not say until when it is good has no deadline."""
    assert expiry.deadline(payload, ARRIVED) is None


json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(json_scalars, json_scalars)
def test_any_values(expiration: Any, date_time: Any) -> None:
    """Whatever stands there, the limit is a finite moment."""
    limit = expiry.limit({"expiration": expiration, "date_time": date_time}, ARRIVED)
    assert 0 < limit < 1e308
    found = expiry.deadline(json.dumps({"data": {"expiration": expiration}}, default=str), ARRIVED)
    assert found is None or found > 0
