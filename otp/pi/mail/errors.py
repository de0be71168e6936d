"""Say what became of a mail that no server took for certain.

| error            | the mail                                   | what to do                                           |
|------------------|--------------------------------------------|------------------------------------------------------|
| MailNotSentError | is with no server                          | permanent: give up; else again from ``retry_at`` on  |
| MailUnknownError | was handed over and nobody said it arrived | one retry, flagged as a possible duplicate           |

No text here quotes a server's reply, which may hold an address: the step, the code and the enhanced code say enough.
"""


class MailNotSentError(Exception):
    """A mail was not sent: no server took it.

    Attributes:
        reason: A token such as ``smtp_550``, ``mail_timeout``, ``mail_budget``.
        permanent: No account will ever take it: the receiver does not exist, or the content is refused everywhere.
        retry_at: Unix seconds from when on an account is ready again; ``None`` where that is not known.
    """

    def __init__(self, reason: str, *, permanent: bool, retry_at: float | None = None) -> None:
        super().__init__(f"mail was not sent: {reason}")
        self.reason = reason
        self.permanent = permanent
        self.retry_at = retry_at


class MailUnknownError(Exception):
    """The content was handed over, and then nobody said whether it was taken.

    Attributes:
        reason: ``mail_timeout``, ``mail_lost`` or ``mail_protocol``.
        account: Who may have sent it.
    """

    def __init__(self, reason: str, account: str) -> None:
        super().__init__(f"mail may have been sent: {reason}")
        self.reason = reason
        self.account = account
