"""Open the receivers of events that the settings name."""

from collections.abc import Awaitable, Callable

from otp.pi import settings
from otp.pi.events import Courier, Events


def open_events(events: settings.Events, publish: Callable[[str, bytes], Awaitable[None]] | None) -> Events:
    """Return what tells the receivers of the settings; without a webhook its HTTP client is not even imported.

    Args:
        events: The table ``[events]``.
        publish: Publishes on a topic of the road that the settings name; ``None`` where there is no road.

    Raises:
        OSError: The file ``webhook_ca`` cannot be read as certificates.
    """
    couriers, close = [], None
    if events.webhook:
        from otp.pi.webhook import Webhook  # noqa: PLC0415 - brings an HTTP client, 10 MB that few need

        hook = Webhook(events.webhook, secret=events.webhook_secret.get_secret_value(), ca=events.webhook_ca)
        couriers.append(Courier("webhook", hook.deliver))
        close = hook.close
    if events.topic and publish is not None:
        send, topic = publish, events.topic
        couriers.append(Courier("topic", lambda body: send(topic, body)))
    return Events(couriers, close)
