"""Fixtures of the OTP-Pi's tests: the same real servers as the publisher's, started for this directory."""

from tests.publisher.conftest import broker, certificates, mosquitto, nonsense, rabbit, redis_server, silent

__all__ = ["broker", "certificates", "mosquitto", "nonsense", "rabbit", "redis_server", "silent"]
