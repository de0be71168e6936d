"""The publisher: every command over every road, for application servers.

    errors               what can go wrong on a road
    ini values settings  the configuration file, piece by piece
    config               file, environment and keywords, merged
    transports           the five roads: bytes in, the server's word out
    sender               commands in, answers out, over one road
    codes_of_our_own     codes made and verified here
    client               AsyncPublisher: every method, awaited
    blocking             Publisher: the same methods, without asyncio
    check                what works, and how long it takes
    accounts dispatch    who may ask, and what is done for them
    server               /api/otp in front of it all
    cli                  the command line

Imports point upwards in this list only.
"""

from otp.publisher.blocking import Publisher
from otp.publisher.client import AsyncPublisher
from otp.publisher.errors import ConfigError, RoadError

__all__ = ["AsyncPublisher", "ConfigError", "Publisher", "RoadError"]
