"""The OTP path: the wire format, one-time codes and telephone numbers, shared by both ends.

    codes                what an answer can say
    errors               every refusal, each with its response code and a reason token
    fields               what may stand in a field, and what odd input becomes
    numbers templates    receivers; message texts with one place for the code
    limits               how often
    json_reader expiry   JSON as leniently as existing senders need it; how long a command is good
    results              what every method answers with
    messages             building commands (the sending end)
    incoming             reading commands (the receiving end)
    store                one-time codes: create, verify, send again, cancel
    throttle accounts    who may ask over HTTP, and how often he may be wrong
    http                 serving commands over HTTP

Imports point upwards in this list only.
"""
