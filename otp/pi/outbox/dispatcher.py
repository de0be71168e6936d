"""Give what waits to modems and mail accounts, as they become free.

One task looks at the queue whenever something has happened: a row came, a modem became free or well, a message came
back, a rest or a deadline is over. It writes nothing to modems itself: each message under way is a task of its own,
and there are never more of them than modems and ``MAILS_AT_ONCE``.

It ends in this order: nothing new is begun; what is under way has ``drain_time`` to end; what is left is cancelled, and
the journal says of each of them whether the next start may send it again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from broker.logs import Log, describe
from otp.pi import settings
from otp.pi.counts import Counts
from otp.pi.journal import TransitionError
from otp.pi.model import Channel, Message, Outcome, State
from otp.pi.modems.pool import Pool
from otp.pi.outbox import feed, sms, verdicts
from otp.pi.outbox.feed import Feed
from otp.pi.outbox.mail import MailCarrier, Mailer
from otp.pi.outbox.outcomes import Outcomes
from otp.pi.outbox.queue import MAIL, Entry, Queue
from otp.pi.outbox.sms import SmsCarrier
from otp.pi.outbox.storage import persist
from otp.pi.outbox.verdicts import Verdicts

MAILS_AT_ONCE: Final = 4
"""Mails under way at once: a mail server is mostly waited for."""

LOOK: Final = 30.0
"""Seconds after which queue and journal are looked at although nothing was told: the clock may have been set."""

AFTER_FAULT: Final = 5.0
"""Seconds to rest after a fault of ours, so that it does not fill the log."""

_Work = Callable[[], Awaitable[Outcome | None]]
_LOG: Final = Log("otp.pi")


class Journal(feed.Journal, sms.Journal, verdicts.Journal, Protocol):
    """What is needed of the journal."""

    async def recover(self) -> object:
        """Put in order what was under way when the service ended."""
        ...

    async def expire(self) -> int:
        """End messages that wait and whose time is over; return how many."""
        ...


class Outbox:
    """Everything on its way out.

    Args:
        journal: What waits, and what becomes of it.
        pool: The modems; ``None`` where there are none.
        mailer: The mail accounts; ``None`` where there are none.
        sms: Attempts, and what is done about the unknown.
        clock: Returns Unix seconds.
        drain_time: Seconds that messages under way have to end when it stops.
        counts: Where things are counted.
    """

    def __init__(
        self,
        journal: Journal,
        pool: Pool | None,
        mailer: Mailer | None,
        sms: settings.Sms,
        *,
        clock: Callable[[], float],
        drain_time: float = 10.0,
        counts: Counts | None = None,
    ) -> None:
        self._journal = journal
        self._pool = pool
        self._clock = clock
        self._drain_time = drain_time
        self._counts = counts or Counts()
        self._verdicts = Verdicts(journal, pool, sms, clock, self._counts)
        self._sms = None if pool is None else SmsCarrier(journal, pool, self._verdicts, sms, clock, self._counts)
        self._mail = MailCarrier(journal, mailer, self._verdicts, clock, self._counts)
        self._queue = Queue()
        lanes = [MAIL, *(pool.lanes if pool is not None else [""])]
        self._feed = Feed(journal, self._queue, lanes, self._lane_of)
        self._outcomes = Outcomes()
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._mails = 0
        self._withheld: set[int] = set()
        self._something = asyncio.Event()
        self._look_at = 0.0
        self._recovered = False
        if pool is not None:
            pool.on_change = self._something.set

    # -- for others

    def wake(self) -> None:
        """Look for new rows in the journal."""
        self._feed.more()
        self._something.set()

    async def outcome(self, number: int) -> Outcome:
        """Wait until a message has ended; that the network took it counts as an end. Cancel it to wait no longer.

        Raises:
            StorageError: The journal cannot be read.
        """
        future = self._outcomes.expect(number)
        try:
            return await self._ended(number) or await future
        finally:
            self._outcomes.forget(number, future)

    async def give_up(self, number: int, reason: str) -> bool:
        """Fail a message that nobody has begun to send; return whether that was so.

        Raises:
            StorageError: The journal cannot be written; the message waits as before.
        """
        if number in self._under_way or number in self._withheld:
            return False
        self._withheld.add(number)
        try:
            message = await self._journal.message(number)
            if message.state is not State.QUEUED or message.possible_duplicate:
                return False
            self._end(await self._journal.fail(number, reason), message)
        except TransitionError:
            return False  # it has ended just now
        finally:
            self._withheld.discard(number)
            self._something.set()
        return True

    async def look_again(self, number: int) -> None:
        """Take note that a message may have ended without us: the network took it after all.

        Raises:
            StorageError: The journal cannot be read.
        """
        ended = await self._ended(number)
        if ended is None or number in self._under_way:
            return
        entry = self._queue.entries.get(number)
        if entry is None:
            self._outcomes.settle(ended)
        else:
            self._end(ended, entry.message)

    def __len__(self) -> int:
        """Return how many messages are under way."""
        return len(self._under_way)

    # -- the loop

    async def run(self) -> None:
        """Send until cancelled; then end what is under way."""
        try:
            if not self._recovered:
                recovery = await persist(self._journal.recover)
                self._recovered = True
                _LOG.info("recovered", found=str(recovery))
            while True:
                await self._turn()
        finally:
            await self._drain()

    async def _turn(self) -> None:
        """Do all there is to do, and wait until there is more."""
        self._something.clear()
        try:
            await self._look_around()
            await self._feed.fill(self._now())
            await self._expire()
            self._queue.wake(self._now())
            while self._begin_one():
                pass
        except Exception as error:  # noqa: BLE001 - a fault of ours in one message must not stop all others
            _LOG.error("outbox_failed", error=describe(error), again_in=AFTER_FAULT)
            await asyncio.sleep(AFTER_FAULT)
        await self._wait()

    async def _wait(self) -> None:
        rest, deadline = self._queue.next_rest(), self._queue.next_deadline()
        until = min(
            LOOK,
            LOOK if rest is None else rest - self._now(),
            LOOK if deadline is None else deadline - self._clock(),
        )
        try:
            async with asyncio.timeout(max(until, 0.0)):
                await self._something.wait()
        except TimeoutError:
            pass

    async def _drain(self) -> None:
        tasks = list(self._under_way.values())
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=self._drain_time)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _expire(self) -> None:
        """End what is too late and in memory."""
        for entry in self._queue.expired(self._clock()):
            if entry.number not in self._withheld:
                self._end(await self._verdicts.expired(entry.message), entry.message)

    async def _look_around(self) -> None:
        """See now and then to what nobody has told us of."""
        if self._now() < self._look_at:
            return
        self._look_at = self._now() + LOOK
        self._feed.more()
        if await persist(self._journal.expire):
            for number in self._outcomes.numbers():
                await self.look_again(number)

    # -- one message

    def _begin_one(self) -> bool:
        """Begin the first message that can go now, or move one where it holds up nobody; return whether one was."""
        for entry in self._queue.heads():
            if entry.number not in self._withheld and (
                self._begin_mail(entry) if entry.lane == MAIL else self._begin_sms(entry)
            ):
                return True
        return False

    def _begin_mail(self, entry: Entry) -> bool:
        if self._mails >= MAILS_AT_ONCE:
            return False
        self._mails += 1
        self._begin(entry, lambda: self._mail.carry(entry), self._mail_is_done)
        return True

    def _mail_is_done(self) -> None:
        self._mails -= 1

    def _begin_sms(self, entry: Entry) -> bool:
        if self._pool is None or self._sms is None:
            return False
        pool, carrier = self._pool, self._sms
        lease = pool.lend(entry.message.receiver_key, avoid=entry.avoid, pin=entry.pin)
        if lease is None:
            return self._reconsider(entry, pool)
        self._begin(entry, lambda: carrier.carry(entry, lease), lambda: pool.release(lease))
        return True

    def _reconsider(self, entry: Entry, pool: Pool) -> bool:
        """Free an entry from a modem that is gone, or let it rest when all that work have failed with it."""
        key = entry.message.receiver_key
        if entry.pin:
            if pool.works(entry.pin) or not pool.usable(key, frozenset({entry.pin})):
                return False
            entry.avoid, entry.pin, entry.pause = frozenset({entry.pin}), "", 0.0
        elif entry.avoid and not pool.usable(key, entry.avoid):
            self._verdicts.pause(entry)
        else:
            return False
        self._queue.rest(entry, self._now())
        return True

    def _begin(self, entry: Entry, work: _Work, done: Callable[[], None]) -> None:
        self._queue.remove(entry)
        task = asyncio.create_task(self._carry(entry, work, done))
        self._under_way[entry.number] = task

    async def _carry(self, entry: Entry, work: _Work, done: Callable[[], None]) -> None:
        outcome = None
        try:
            outcome = await work()
        except Exception as error:  # noqa: BLE001 - a fault of ours in one message must not stop all others
            _LOG.error("carrier_failed", journal=entry.number, error=describe(error))
            self._verdicts.pause(entry)
        finally:
            del self._under_way[entry.number]
            done()
            self._something.set()
        if outcome is None:
            self._queue.add(entry, self._now())
        else:
            self._end(outcome, entry.message)

    def _end(self, outcome: Outcome, message: Message) -> None:
        """Forget a message that has ended, and tell those who wait for it."""
        entry = self._queue.entries.get(outcome.number)
        if entry is not None:
            self._queue.remove(entry)
        self._counts.messages[outcome.state] += 1
        if outcome.state in {State.SENT, State.DELIVERED}:  # the report may be there first
            self._counts.delivery.observe(self._clock() - message.arrived)
        self._outcomes.settle(outcome)

    async def _ended(self, number: int) -> Outcome | None:
        return await self._journal.outcome(number)

    def _lane_of(self, message: Message) -> str:
        if message.channel is Channel.MAIL:
            return MAIL
        return "" if self._pool is None else self._pool.lane(message.receiver_key)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
