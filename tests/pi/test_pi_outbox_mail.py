"""Mail on its way out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from otp.pi import settings
from otp.pi.mail.errors import MailNotSentError, MailUnknownError
from otp.pi.model import Channel, State
from otp.pi.outbox import Outbox
from otp.pi.outbox.dispatcher import MAILS_AT_ONCE
from tests.pi.outbox_doubles import EPOCH, FakeJournal, Rig, clock, virtually

ADDRESS = "somebody@example.com"


class FakeMailer:
    """Accounts that do what the script says, and then take everything after three seconds."""

    def __init__(self, *script: tuple[Exception, bool]) -> None:
        self.script = list(script)
        self.taken: list[tuple[str, str, str, str]] = []
        self.tries: list[tuple[str, float]] = []
        self.at_once = 0
        self.most = 0

    async def send(
        self, receiver: str, subject: str, text: str, *, message_id: str, before_data: Callable[[str], Awaitable[None]]
    ) -> str:
        self.tries.append((message_id, asyncio.get_running_loop().time()))
        error, after = self.script.pop(0) if self.script else (None, True)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(2)
            if error is None or after:
                await before_data("gmail")
            await asyncio.sleep(1)
        finally:
            self.at_once -= 1
        if error is not None:
            raise error
        self.taken.append((receiver, subject, text, message_id))
        return "gmail"


def mail(journal: FakeJournal, **values: object) -> int:
    more = {"channel": Channel.MAIL, "subject": "Code", "command": "send-email", **values}
    return journal.add(receiver=ADDRESS, **more)  # type: ignore[arg-type]


def test_mail_goes_out_with_its_steps_in_the_journal() -> None:
    """Routed, then sending before the content, then sent, with the account's name."""

    async def main() -> None:
        mailer = FakeMailer()
        async with Rig([], mailer=mailer) as rig:
            number = mail(rig.journal)
            rig.outbox.wake()
            outcome = await rig.ended(number)
            assert (outcome.state, outcome.modem) == (State.SENT, "gmail")
            assert [each[:3] for each in mailer.taken] == [(ADDRESS, "Code", "hello")]
            steps = [call[0] for call in rig.journal.calls if call[0] in {"routed", "sending", "part_sent", "sent"}]
            assert steps == ["routed", "sending", "part_sent", "sent"]

    virtually(main())


def test_mails_go_several_at_once_but_not_all() -> None:
    """Twenty mails are not twenty connections."""

    async def main() -> None:
        mailer = FakeMailer()
        async with Rig([], mailer=mailer) as rig:
            numbers = [mail(rig.journal) for _ in range(20)]
            rig.outbox.wake()
            for number in numbers:
                await rig.ended(number)
            assert (mailer.most, len(mailer.taken)) == (MAILS_AT_ONCE, 20)

    virtually(main())


def test_mail_that_is_refused_for_now_is_tried_again_under_the_same_id() -> None:
    """As long as it is good for anything, and not before an account is ready."""

    async def main() -> None:
        errors = [MailNotSentError("smtp_451", permanent=False, retry_at=EPOCH + 33.0)] + [
            MailNotSentError("smtp_451", permanent=False)
        ] * 8
        mailer = FakeMailer(*((error, False) for error in errors))
        async with Rig([], mailer=mailer) as rig:
            number = mail(rig.journal)
            rig.outbox.wake()
            assert (await rig.ended(number)).state is State.SENT
            assert len({message_id for message_id, _ in mailer.tries}) == 1
            assert [at for _, at in mailer.tries][1] == 33.0
            assert len(mailer.tries) == 10

    virtually(main())


@pytest.mark.parametrize(
    ("error", "after", "state", "reason", "tries", "flagged"),
    [
        (MailNotSentError("smtp_550", permanent=True), False, State.FAILED, "smtp_550", 1, False),
        (MailUnknownError("mail_timeout", "gmail"), True, State.SENT, "", 2, True),
        (KeyError("x"), False, State.SENT, "", 2, False),
        (KeyError("x"), True, State.SENT, "", 2, True),
    ],
)
def test_mail_failure_is_followed_by_what_it_means(
    error: Exception, after: bool, state: State, reason: str, tries: int, flagged: bool
) -> None:
    """Permanent is the end; unknown is tried once more with the flag; a fault of ours counts as either."""

    async def main() -> None:
        mailer = FakeMailer((error, after))
        async with Rig([], mailer=mailer) as rig:
            number = mail(rig.journal)
            rig.outbox.wake()
            outcome = await rig.ended(number)
            assert (outcome.state, outcome.reason, outcome.possible_duplicate) == (state, reason, flagged)
            assert len(mailer.tries) == tries

    virtually(main())


def test_mail_that_became_too_late_is_not_handed_over() -> None:
    """The deadline is looked at once more when the server is ready for the content."""

    async def main() -> None:
        mailer = FakeMailer()
        async with Rig([], mailer=mailer) as rig:
            number = mail(rig.journal, deadline=1.0)
            rig.outbox.wake()
            assert (await rig.ended(number)).state is State.EXPIRED
            assert mailer.taken == []

    virtually(main())


def test_mail_without_an_account_fails() -> None:
    """The reason says what to add to the settings."""

    async def main() -> None:
        journal = FakeJournal()
        number = mail(journal)
        outbox = Outbox(journal, None, None, settings.Sms(), clock=clock)
        task = asyncio.create_task(outbox.run())
        outbox.wake()
        outcome = await outbox.outcome(number)
        assert (outcome.state, outcome.reason) == (State.FAILED, "no_mail_account")
        sms = journal.add(deadline=20.0)
        outbox.wake()
        assert (await outbox.outcome(sms)).state is State.EXPIRED
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtually(main())


@pytest.mark.parametrize("broken", ["sending", "part_sent"])
def test_mail_with_a_full_disk_goes_once(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """Before the content it is put back; after it, it waits to be written down."""

    async def main() -> None:
        mailer = FakeMailer()
        async with Rig([], mailer=mailer) as rig:
            number = mail(rig.journal)
            rig.journal.broken.add(broken)
            rig.outbox.wake()
            await asyncio.sleep(100)
            rig.journal.broken.clear()
            assert (await rig.ended(number)).state is State.SENT
            assert len(mailer.taken) == 1

    with caplog.at_level(logging.ERROR):
        virtually(main())
    assert "journal_unavailable" in caplog.text


def test_mail_that_ended_meanwhile_or_was_interrupted_is_read_again_first() -> None:
    """A mail in doubt from before the start goes once more with the flag; one that has ended does not."""

    async def main() -> None:
        mailer = FakeMailer()
        async with Rig([], mailer=mailer) as rig:
            doubtful = mail(rig.journal, state=State.SENDING)
            rig.outbox.wake()
            rig.outbox._recovered = True
            await rig.journal.recover()
            assert (await rig.ended(doubtful)).possible_duplicate
            mailer.script.append((MailNotSentError("smtp_451", permanent=False), False))
            ended = mail(rig.journal)
            rig.outbox.wake()
            await asyncio.sleep(4)
            rig.journal._set(ended, state=State.BLOCKED)
            assert (await rig.ended(ended)).state is State.BLOCKED
            await asyncio.sleep(60)
            assert len(mailer.taken) == 1

    virtually(main())
