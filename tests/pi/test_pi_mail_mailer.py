"""Several accounts: whose turn it is, who rests, what counts against a day, and what is reported when none sends."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.ports import free_port
from otp.errors import InvalidInput
from otp.pi import settings
from otp.pi.journal import Charge
from otp.pi.mail.account import FIRST_REST, LONGEST_REST, Account
from otp.pi.mail.errors import MailNotSentError, MailUnknownError
from otp.pi.mail.mailer import SCOPE, Mailer
from tests.pi.mail_servers import HOST, PASSWORD, MailServer, mail_server

TEXT = "Your code is 123456"


class Counters:
    """Budgets of one window, as the journal counts them."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.stale = False

    async def charge(self, charges: Sequence[Charge], amount: int = 1) -> str | None:
        for charge in charges:
            if self.counts[charge.scope, charge.name, charge.span] + amount > charge.limit:
                return charge.scope
        for charge in charges:
            self.counts[charge.scope, charge.name, charge.span] += amount
        return None

    async def used(self, scope: str, name: str, span: str) -> int:
        return 0 if self.stale else self.counts[scope, name, span]


class Office:
    """A mailer with a clock that is set by hand, and what was announced before content left."""

    def __init__(self, *accounts: settings.Mail) -> None:
        self.now = 1000.0
        self.counters = Counters()
        self.announced: list[str] = []
        self.mailer = Mailer(accounts, self.counters, clock=lambda: self.now)

    async def send(self, receiver: str = "bob@example.org", subject: str = "") -> str:
        async def before_data(account: str) -> None:
            self.announced.append(account)

        return await self.mailer.send(receiver, subject, TEXT, message_id="otp-pi.1.a", before_data=before_data)

    async def failure(self, receiver: str = "bob@example.org", subject: str = "") -> MailNotSentError:
        with pytest.raises(MailNotSentError) as caught:
            await self.send(receiver, subject)
        return caught.value

    def states(self) -> list[str]:
        return [status.state for status in self.mailer.statuses()]


def dead(name: str = "dead", **given: Any) -> settings.Mail:
    """An account on a port where nobody listens."""
    return MailServer(port=free_port()).account(name=name, **given)


async def test_send_returns_who_took_it() -> None:
    """The name goes into the journal, before the content leaves and after it arrived."""
    async with mail_server() as server:
        office = Office(server.account(name="shop"))
        assert await office.send(subject="Hello") == "shop"
    assert office.announced == ["shop"]
    assert server.arrived[0].text == TEXT
    assert server.arrived[0].message["Subject"] == "Hello"
    assert server.arrived[0].message["Message-ID"] == "<otp-pi.1.a@example.com>"


async def test_send_takes_turns() -> None:
    """The account that was used longest ago is next."""
    async with mail_server() as server:
        office = Office(*(server.account(name=name) for name in ("a", "b", "c")))
        assert [await office.send() for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


async def test_send_skips_inactive_accounts() -> None:
    """An account that is switched off is never asked."""
    async with mail_server() as server:
        office = Office(server.account(name="off", active=False), server.account(name="on"))
        assert [await office.send() for _ in range(3)] == ["on"] * 3
        assert office.mailer.configured
    assert office.states() == ["inactive", "ready"]


async def test_send_without_accounts_fails_for_good() -> None:
    """Without an active account no mail will ever go."""
    for office in (Office(), Office(dead(active=False))):
        assert not office.mailer.configured
        error = await office.failure()
        assert (error.reason, error.permanent, error.retry_at) == ("no_mail_account", True, None)


async def test_send_goes_on_to_the_next_account() -> None:
    """An account that cannot be reached costs a moment, not the mail, and is left alone afterwards."""
    async with mail_server() as server:
        office = Office(dead(), server.account(name="alive"))
        assert await office.send() == "alive"
        assert office.states() == ["resting", "ready"]
        assert await office.send() == "alive"
    assert office.announced == ["alive", "alive"]


async def test_send_asks_a_rested_account_again() -> None:
    """When its rest is over an account has its turn, and a mail that it takes clears its name."""
    async with mail_server() as server:
        office = Office(server.account(name="one"))
        server.knobs.mail = "451 4.3.0 later"
        error = await office.failure()
        assert (error.reason, error.permanent, error.retry_at) == ("smtp_451", False, office.now + FIRST_REST)
        error = await office.failure()
        assert (error.reason, error.retry_at, server.connections) == ("mail_resting", office.now + FIRST_REST, 1)
        office.now += FIRST_REST
        server.knobs.mail = ""
        assert await office.send() == "one"
    (status,) = office.mailer.statuses()
    assert (status.state, status.reason) == ("ready", "")


async def test_send_doubles_the_rest() -> None:
    """An account that keeps failing is asked less and less often, up to a limit."""
    office = Office(dead())
    rests = []
    for _ in range(9):
        error = await office.failure()
        assert error.retry_at is not None
        rests.append(error.retry_at - office.now)
        office.now = error.retry_at
    assert rests[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST]
    assert rests[-1] == LONGEST_REST


def test_account_failing_many_times_at_once_is_one_fault() -> None:
    """Ten mails on the way when the link breaks do not silence an account for ten times as long."""
    account = Account(dead())
    for _ in range(10):
        account.failed("mail_lost", 0.0)
    assert account.until == FIRST_REST
    assert account.status(1.0).reason == "mail_lost"


def test_rest_when_the_clock_was_set_back() -> None:
    """A clock that is set back by years, as on a board without one of its own, leaves no account resting for years."""
    account = Account(settings.Mail(name="a", host=HOST, sender="otp@example.com"))
    account.failed("mail_timeout", 1e9)
    assert account.rests(1e9)
    assert not account.rests(0.0)
    assert account.status(0.0).state == "ready"


async def test_send_unknown_receiver_is_final() -> None:
    """A receiver that does not exist is not tried elsewhere, and is no fault of the account."""
    async with mail_server() as server:
        server.knobs.rcpt = "550 5.1.1 unknown"
        office = Office(server.account(name="a"), server.account(name="b"))
        error = await office.failure()
    assert (error.reason, error.permanent) == ("smtp_550", True)
    assert (server.connections, office.announced) == (1, [])
    assert office.states() == ["ready", "ready"]


async def test_send_refused_content_is_tried_elsewhere() -> None:
    """What one server calls spam another may take; nobody rests for it."""
    async with mail_server() as strict, mail_server() as kind:
        strict.knobs.data = "554 5.7.1 spam"
        office = Office(strict.account(name="strict"), kind.account(name="kind"))
        assert await office.send() == "kind"
    assert office.announced == ["strict", "kind"]
    assert office.states() == ["ready", "ready"]


async def test_send_refused_by_every_account_is_final() -> None:
    """Content that all accounts refuse for good is refused for good."""
    async with mail_server() as server:
        server.knobs.data = "554 5.7.1 spam"
        error = await Office(server.account(name="a"), server.account(name="b")).failure()
    assert (error.reason, error.permanent, error.retry_at) == ("smtp_554", True, None)


async def test_send_refused_here_and_unreachable_there_may_work_later() -> None:
    """As long as one account might take it, it is not final."""
    async with mail_server() as server:
        server.knobs.data = "554 5.7.1 spam"
        office = Office(server.account(name="a"), dead())
        error = await office.failure()
    assert (error.permanent, error.retry_at) == (False, office.now + FIRST_REST)


async def test_send_greylisted_may_work_later() -> None:
    """A temporary refusal of the receiver is nobody's fault: nobody rests, and it may be tried again."""
    async with mail_server() as server:
        server.knobs.rcpt = "450 4.2.0 greylisted"
        office = Office(server.account())
        error = await office.failure()
    assert (error.reason, error.permanent, error.retry_at) == ("smtp_450", False, None)
    assert office.states() == ["ready"]


async def test_send_unknown_outcome_asks_nobody_else() -> None:
    """After the content, silence is no reason to send it a second time through another account."""
    async with mail_server() as silent, mail_server() as other:
        silent.knobs.cut = "data"
        office = Office(silent.account(name="silent"), other.account(name="other"))
        with pytest.raises(MailUnknownError) as caught:
            await office.send()
    assert (caught.value.account, caught.value.reason) == ("silent", "mail_lost")
    assert (office.announced, other.connections) == (["silent"], 0)
    assert office.states() == ["resting", "ready"]


async def test_send_keeps_the_limit_of_a_day() -> None:
    """Each account sends as many mails a day as it may, then the others do, then none."""
    async with mail_server() as server:
        office = Office(server.account(name="a", per_day=1), server.account(name="b", per_day=2))
        assert [await office.send() for _ in range(3)] == ["a", "b", "b"]
        error = await office.failure()
        assert server.connections == 3
    assert (error.reason, error.permanent, error.retry_at) == ("mail_budget", False, None)


async def test_send_counts_only_what_was_handed_over() -> None:
    """An attempt that fails before the content costs nothing of the day."""
    async with mail_server() as server:
        office = Office(server.account(name="a", per_day=5))
        server.knobs.rcpt = "550 5.1.1 unknown"
        await office.failure()
        assert office.counters.counts[SCOPE, "a", "day"] == 0
        server.knobs.rcpt = ""
        await office.send()
    assert office.counters.counts[SCOPE, "a", "day"] == 1


async def test_send_that_loses_the_race_for_the_last_one_goes_on() -> None:
    """Two mails at once never share the last place: the later one takes another account, unannounced here."""
    async with mail_server() as server:
        office = Office(server.account(name="a", per_day=1), server.account(name="b"))
        office.counters.stale = True
        office.counters.counts[SCOPE, "a", "day"] = 1
        assert await office.send() == "b"
    assert office.announced == ["b"]
    assert office.states() == ["ready", "ready"]


async def test_send_many_at_once_share_the_accounts() -> None:
    """Mails that are sent at the same time are spread."""
    async with mail_server() as server:
        office = Office(*(server.account(name=name) for name in ("a", "b")))
        taken = Counter(await asyncio.gather(*(office.send() for _ in range(10))))
    assert taken == {"a": 5, "b": 5}
    assert len(server.arrived) == 10


@pytest.mark.parametrize("receiver", ["bob", "bob@example.org\r\nBcc: eve@example.com"])
async def test_send_to_no_address_is_final(receiver: str) -> None:
    """What is no address is refused before any server is asked."""
    async with mail_server() as server:
        error = await Office(server.account()).failure(receiver)
    assert (error.reason, error.permanent, server.connections) == ("invalid_mail", True, 0)


async def test_send_with_a_line_break_in_the_subject_is_final() -> None:
    """No header can be smuggled in."""
    async with mail_server() as server:
        error = await Office(server.account()).failure(subject="a\nBcc: eve@example.com")
    assert (error.reason, server.connections) == ("invalid_mail", 0)


async def test_send_with_an_unusable_authority_rests(tmp_path: Path) -> None:
    """A certificate file that cannot be read is the account's fault and names no password."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    for file in (broken, tmp_path / "missing.pem"):
        office = Office(dead(tls="starttls", tls_ca=str(file), password=PASSWORD))
        assert (await office.failure()).reason == "mail_tls_ca"
        assert office.states() == ["resting"]


async def test_send_builds_tls_once_for_each_account() -> None:
    """Reading the system's authorities takes long enough to be done once."""
    account = Account(dead(tls="tls"))
    first = await account.context()
    assert first is not None
    assert await account.context() is first
    assert await Account(dead(tls="none")).context() is None


async def test_before_data_failing_stops_the_mail() -> None:
    """The journal's own error comes through, and no account is blamed."""

    async def broken(_account: str) -> None:
        raise RuntimeError("journal is full")

    async with mail_server() as server:
        office = Office(server.account())
        with pytest.raises(RuntimeError, match="journal is full"):
            await office.mailer.send("bob@example.org", "", TEXT, message_id="otp-pi.1", before_data=broken)
    assert (server.arrived, office.states()) == ([], ["ready"])


def test_mailer_refuses_a_sender_that_is_no_address() -> None:
    """A mistake in the settings is told at start, with the account's name."""
    with pytest.raises(InvalidInput, match="mail account shop: sender is not a mail address"):
        Office(settings.Mail(name="shop", host=HOST, sender="Shop"))


async def test_failures_are_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """The log says which account and why; neither code nor password nor receiver."""
    async with mail_server() as server:
        server.knobs.rcpt = "550 5.1.1 <bob@example.org> unknown"
        with caplog.at_level("DEBUG"):
            await Office(server.account(name="shop", password=PASSWORD)).failure()
    assert "mail_refused account=shop reason=smtp_550" in caplog.text
    for secret in ("bob@example.org", PASSWORD, "123456"):
        assert secret not in "".join(record.getMessage() for record in caplog.records if record.name == "otp.pi")
