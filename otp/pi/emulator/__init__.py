"""A GSM modem in software, on a pty: the test double and the demonstration modem.

It shares nothing with the driver it is meant to test.
"""

from otp.pi.emulator.arrived import Arrived, Joiner, Part
from otp.pi.emulator.knobs import Knobs, Ussd
from otp.pi.emulator.modem import Emulator

__all__ = ["Arrived", "Emulator", "Joiner", "Knobs", "Part", "Ussd"]
