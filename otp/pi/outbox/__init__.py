"""Send what waits in the journal, once and in time.

``queue`` orders what waits, ``feed`` fills it from the journal, ``sms`` and ``mail`` carry one message each,
``policy`` and ``verdicts`` decide what follows a failure, ``outcomes`` tells those who wait, and ``dispatcher`` puts
them together.
"""

from otp.pi.outbox.dispatcher import Outbox

__all__ = ["Outbox"]
