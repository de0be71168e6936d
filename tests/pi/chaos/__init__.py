"""Kill everything, again and again, while messages are on their way; then count what arrived.

``plan`` draws from a seed what is sent and what is killed when, ``processes`` are the OTP-Pi and the modems,
``publishers`` are the applications, ``run`` plays a plan, and ``verdict`` says what the promises are worth.
"""
