"""Drive GSM modems: the SMS codec, the AT dialogue, and which modem a message goes to."""
