"""What everybody shares who speaks AMQP 0-9-1 to RabbitMQ."""

import logging

from aiormq import exceptions

PORT, TLS_PORT = 5672, 5671

HEARTBEAT = 20
"""Seconds: a dead connection is noticed within twice that, even while nothing is sent."""

LONGEST_NAME = 255
"""Bytes of a routing key (AMQP 0-9-1, short string)."""

LOST = (exceptions.AMQPError, exceptions.ChannelInvalidStateError, OSError, RuntimeError)
"""What the library raises when a connection cannot be opened, or has broken."""

BAD_CREDENTIALS = (exceptions.ProbableAuthenticationError, exceptions.AuthenticationError)


def refused_virtual_host(error: Exception) -> bool:
    """Tell whether the broker closed the connection when the virtual host was to be opened.

    The library takes that Close for a malformed answer where it expected OpenOk.
    """
    opening = isinstance(error, exceptions.InvalidFrameError) and "Connection.OpenOk" in str(error)
    return opening or isinstance(error, exceptions.ConnectionClosed)


def silence_bodies() -> None:
    """Keep the library from writing the frames it sends, bodies included, into a log at level DEBUG."""
    for name in ("aiormq.connection", "aiormq.channel", "aio_pika"):
        logger = logging.getLogger(name)
        if _above_debug not in logger.filters:
            logger.addFilter(_above_debug)


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
