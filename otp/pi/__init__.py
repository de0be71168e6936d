"""The OTP-Pi: takes messages from any road and sends them through GSM modems or by mail, once and in time."""
