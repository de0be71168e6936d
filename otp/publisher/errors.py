"""The errors of the publisher: ``otp.errors``, and those of its settings and roads."""

from otp.roads.errors import MAYBE_SENT, ConfigError, RoadError

__all__ = ["MAYBE_SENT", "ConfigError", "RoadError"]
