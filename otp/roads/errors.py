"""Name what can go wrong between a command and the road's word that it has it.

In the publisher every failure of a road becomes response code 1102 with one of these reasons:

| reason          | what happened                                          | sent? | what helps            |
|-----------------|--------------------------------------------------------|-------|-----------------------|
| unreachable     | no connection: name, address, port, server down        | no    | the server            |
| tls_failed      | the server's certificate (or ours) was not accepted    | no    | tls_ca, the host name |
| unauthorized    | user name or password was not accepted                 | no    | the credentials       |
| forbidden       | the account may not use this topic                     | no    | the server's rights   |
| rejected        | the server answered, and refused                       | no    | read the message      |
| nobody_listens  | nobody is subscribed, and ``require_receiver`` is on   | no    | the receiving end     |
| connection_lost | the connection broke before the server's word          | maybe | send again            |
| timeout         | no word within the timeout                             | maybe | send again            |
| no_answer       | handed over, but nobody answered on the callback topic | yes   | the receiving end     |
| bad_answer      | what came back is no answer                            | maybe | the url, the server   |

"Send again" is safe: the receiving end knows a message by its id and content, and a code of our own that was
not handed over is forgotten, so that its reference can be used again.
"""

from otp.errors import OtpError

MAYBE_SENT = frozenset({"connection_lost", "timeout", "bad_answer", "no_answer"})
"""Reasons after which the message may have arrived all the same."""


class ConfigError(OtpError, ValueError):
    """A setting is missing, misspelt or out of range; the text names it and where it stands."""

    reason = "config"


class RoadError(OtpError):
    """A road did not take a message, or nobody answered.

    Args:
        reason: A token of the table above.
        text: One sentence for a human. It names the server, never a credential or a body.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason

    @property
    def maybe_sent(self) -> bool:
        """Whether the message may have arrived all the same."""
        return self.reason in MAYBE_SENT
