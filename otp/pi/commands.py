"""Carry out commands, whatever road they came over.

| command                                  | what is done                              | stored as            |
|------------------------------------------|-------------------------------------------|----------------------|
| send-sms send-email send-mail            | the message is stored and sent            | a message            |
| send-message                             | the same; an ``@`` makes it a mail        | a message            |
| request-otp resend-otp                   | a code is made (again) and sent           | a message            |
| verify-otp cancel-otp                    | the code is compared, or forgotten        | a command            |
| block-msisdn unblock-msisdn              | the block list changes                    | a command            |
| request-ussd                             | a modem asks the network                  | a command            |
| get-modem-list echo                      | answered                                  | nothing              |
| anything with a ``response_code``        | nothing: it is an answer, not a command   | nothing              |
| anything else                            | refused                                   | a rejected command   |

``take`` returns when a command is stored, so that its road may forget it; ``ask`` returns its answer.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from broker.logs import Log, describe
from otp import incoming as wire
from otp.codes import ResponseCode
from otp.errors import DuplicateReference, InvalidMessage, OtpError, StoreError
from otp.incoming import Incoming
from otp.issuing import Codes
from otp.json_reader import read_object
from otp.messages import Command
from otp.numbers import Numbers, is_email
from otp.pi import answers
from otp.pi.callbacks import Callbacks
from otp.pi.counts import Counts
from otp.pi.journal import Journal, StorageError
from otp.pi.model import Origin, Priority, RejectedError, State, UnstoredError
from otp.pi.sending import Sending, priority_of
from otp.pi.telephony import Telephony, check_ussd
from otp.results import Result
from otp.store import Issued
from otp.templates import Template

_ROWS_OF_A_RECEIVER = 200
"""Rows that are looked through for a code's message; the budgets of codes and receivers are far below."""

_NOTHING_TO_STORE = frozenset({Command.ECHO, Command.GET_MODEM_LIST})
_LOG = Log("otp.pi")


@dataclass(frozen=True, slots=True)
class _Call:
    """One command being carried out.

    Attributes:
        incoming: The command.
        origin: Where it came from.
        is_stored: Set once it is stored: from then on it is ours.
        wait: Whether anybody awaits the outcome.
    """

    incoming: Incoming
    origin: Origin
    is_stored: asyncio.Event
    wait: bool

    def stored(self) -> None:
        """Say that it is stored."""
        self.is_stored.set()


class Commands:
    """What a command does.

    Args:
        sending: Stores and sends messages.
        codes: Codes made here.
        journal: Where commands and the block list are kept.
        modems: For the list of modems, and USSD.
        numbers: How receivers are read.
        callbacks: Publishes answers.
        offset: Seconds a command is good for that does not say.
        answer_timeout: Seconds that an answer is waited for.
        clock: Returns Unix seconds.
        counts: Where commands and rejections are counted.
    """

    def __init__(
        self,
        *,
        sending: Sending,
        codes: Codes,
        journal: Journal,
        modems: Telephony,
        numbers: Numbers,
        callbacks: Callbacks,
        offset: float,
        answer_timeout: float,
        clock: Callable[[], float],
        counts: Counts | None = None,
    ) -> None:
        self._sending = sending
        self._codes = codes
        self._journal = journal
        self._modems = modems
        self._numbers = numbers
        self._callbacks = callbacks
        self._offset = offset
        self._answer_timeout = answer_timeout
        self._clock = clock
        self._counts = counts or Counts()
        self._creating: Counter[str] = Counter()
        """How many requests are making and storing a code, by the tag of its reference."""
        self._running: set[asyncio.Task[Result]] = set()
        self._actions: dict[Command, Callable[[_Call], Awaitable[Result]]] = {
            Command.SEND_SMS: self._send,
            Command.SEND_EMAIL: self._send,
            Command.SEND_MESSAGE: self._send,
            Command.REQUEST_OTP: self._request_otp,
            Command.RESEND_OTP: self._resend_otp,
            Command.VERIFY_OTP: self._verify_otp,
            Command.CANCEL_OTP: self._cancel_otp,
            Command.BLOCK_MSISDN: self._block,
            Command.UNBLOCK_MSISDN: self._unblock,
            Command.REQUEST_USSD: self._ussd,
            Command.GET_MODEM_LIST: self._modem_list,
            Command.ECHO: self._echo,
        }

    async def take(self, payload: bytes, origin: Origin) -> None:
        """Store the command a road brought, and see that it is carried out.

        Raises:
            RejectedError: It is no command; it stands in the journal.
            UnstoredError: It could not be stored; it must not be acknowledged.
        """
        try:
            incoming = await self._read(payload, origin)
        except StorageError as error:
            raise UnstoredError(str(error)) from None
        except InvalidMessage as error:
            raise RejectedError(str(error)) from None
        if incoming is None:
            return
        wanted = self._callbacks.wanted(incoming, origin)
        begun = await self._begin(incoming, origin, wait=wanted)
        if wanted:
            self._callbacks.publish(incoming, origin, asyncio.ensure_future(self._answer(incoming, begun)))

    async def ask(self, payload: bytes, origin: Origin) -> dict[str, Any]:
        """Carry out a command and return its answer; whatever goes wrong is in the answer."""
        try:
            incoming = await self._read(payload, origin)
            if incoming is None:
                text = "This has a response_code: it is an answer, not a command."
                return answers.to_json(Result("", ResponseCode.FAILED, message=text, reason="not_a_command"))
            begun = await self._begin(incoming, origin, wait=True)
        except InvalidMessage as error:
            return answers.to_json(Result.refused(error.command, error))
        except (StorageError, UnstoredError) as error:
            return answers.to_json(_unstored("", error))
        return await self._answer(incoming, begun)

    async def close(self) -> None:
        """Stop waiting for outcomes; what is stored stays stored."""
        await self._callbacks.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    # -- from payload to task

    async def _read(self, payload: bytes, origin: Origin) -> Incoming | None:
        """Return the command a payload holds, ``None`` for an answer.

        Raises:
            InvalidMessage: It is neither; it stands in the journal now.
        """
        arrived = self._clock()
        try:
            request = read_object(payload)
            if "response_code" in request or "response-code" in request:
                return None
            return wire.interpret(request, arrived, offset=self._offset)
        except InvalidMessage as error:
            number = await self._journal.record(
                command=error.command if error.reason != "unknown_command" else "",
                origin=origin,
                arrived=arrived,
                state=State.REJECTED,
                reason=error.reason,
                length=len(payload),
                digest_of=payload,
            )
            _LOG.warning("rejected", road=origin.road, journal=number, reason=error.reason)
            self._counts.rejected[error.reason] += 1
            self._counts.commands["unreadable", origin.road, ResponseCode.FAILED] += 1
            raise

    async def _begin(self, incoming: Incoming, origin: Origin, *, wait: bool) -> "asyncio.Task[Result]":
        """Return the task that carries out a command, once the command is stored."""
        stored = asyncio.Event()
        task = asyncio.create_task(self._carry_out(_Call(incoming, origin, stored, wait)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: stored.set())
        await stored.wait()
        if task.done():
            task.result()
        return task

    async def _carry_out(self, call: _Call) -> Result:
        """Carry out a command; only one that could not be stored ends in an exception, ``UnstoredError``."""
        try:
            result = await self._try(call)
        except (StorageError, StoreError) as error:
            if not call.is_stored.is_set():
                raise UnstoredError(str(error)) from None
            result = _unstored(call.incoming.command, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not take the road down, nor show the command
            _LOG.error("command_failed", command=call.incoming.action, road=call.origin.road, error=describe(error))
            result = Result(call.incoming.command, ResponseCode.FAILED, reason="internal_error")
        self._counts.commands[call.incoming.command, call.origin.road, result.response_code] += 1
        return result

    async def _try(self, call: _Call) -> Result:
        """Carry out a command, or keep it as refused; a code that exists already is a duplicate."""
        try:
            return await self._actions[call.incoming.action](call)
        except StoreError:
            raise
        except OtpError as error:
            state = State.DUPLICATE if error.code is ResponseCode.DUPLICATED else State.FAILED
            await self._record(call, state, error.reason)
            return Result.refused(call.incoming.command, error, call.incoming.about())

    async def _answer(self, incoming: Incoming, begun: "asyncio.Task[Result]") -> dict[str, Any]:
        """Return the answer, or that it is not known yet when that takes too long; the work goes on."""
        done, _ = await asyncio.wait({begun}, timeout=self._answer_timeout)
        return answers.to_json(begun.result() if done else _queued(incoming))

    # -- messages

    async def _send(self, call: _Call) -> Result:
        incoming = call.incoming
        return await self._sending.send(
            incoming,
            call.origin,
            call.stored,
            text=incoming.message,
            deadline=incoming.deadline,
            priority=priority_of(incoming, self._clock()),
            wait=call.wait,
        )

    async def _request_otp(self, call: _Call) -> Result:
        incoming = call.incoming
        template = Template(incoming.message)
        if incoming.lifetime is not None and incoming.lifetime <= 0:
            await self._record(call, State.EXPIRED, "expired")
            return Result(
                incoming.command, ResponseCode.EXPIRED, incoming.about(), answers.sentence("expired"), "expired"
            )
        tag = _tag(incoming.reference)
        try:
            return await self._create(call, template)
        except DuplicateReference:
            if self._creating[tag] or await self._is_stored(incoming, tag):
                raise
        # The service ended between making the code and storing its message: nobody has it, and the road asks again.
        await self._codes.cancel(receiver=incoming.receiver, reference=incoming.reference)
        return await self._create(call, template)

    async def _create(self, call: _Call, template: Template) -> Result:
        incoming, tag = call.incoming, _tag(call.incoming.reference)
        self._creating[tag] += 1
        try:
            return await self._codes.create(
                lambda issued: self._deliver(call, template, issued),
                receiver=incoming.receiver,
                reference=incoming.reference,
                params=incoming.params,
                lifetime=incoming.lifetime,
            )
        finally:
            self._creating[tag] -= 1
            self._creating += Counter()  # forgets those at zero

    async def _is_stored(self, incoming: Incoming, tag: str) -> bool:
        """Tell whether the journal has the message of a code."""
        rows = await self._journal.rows(limit=_ROWS_OF_A_RECEIVER, receiver=self._numbers.key(incoming.receiver))
        return any(row.message_id == tag for row in rows)

    async def _resend_otp(self, call: _Call) -> Result:
        template = Template(call.incoming.message or "%s")
        return await self._codes.resend(
            lambda issued: self._deliver(call, template, issued),
            receiver=call.incoming.receiver,
            reference=call.incoming.reference,
        )

    async def _deliver(self, call: _Call, template: Template, issued: Issued) -> Result:
        """Send a code; it is waited for whoever asks, since a code that was not sent is taken back."""
        sms = not is_email(issued.receiver)
        try:
            sent = await self._sending.send(
                call.incoming,
                call.origin,
                call.stored,
                text=template.render(issued.code, sms=sms),
                deadline=issued.expires_at,
                priority=Priority.OTP,
                wait=True,
                message_id=_tag(call.incoming.reference),
            )
        except asyncio.CancelledError:
            if not call.is_stored.is_set():
                raise
            # The service ends with the code stored: it will be sent after the next start and must be right then.
            return _queued(call.incoming)
        if not sent.ok:
            return sent
        shortened = f" Its lifetime is {issued.lifetime} s, the longest allowed." if issued.shortened else ""
        return Result(
            sent.command,
            sent.response_code,
            sent.data,
            sent.message + shortened,
            sent.reason,
            expires_at=issued.expires_at,
            resend_after=issued.resend_after,
        )

    async def _verify_otp(self, call: _Call) -> Result:
        incoming = call.incoming
        code = await self._codes.verify(
            receiver=incoming.receiver, otp=incoming.otp, reference=incoming.reference, params=incoming.params
        )
        reason = None if code.ok else code.name.lower()
        return Result(incoming.command, code, incoming.about(), reason=reason)

    async def _cancel_otp(self, call: _Call) -> Result:
        incoming = call.incoming
        await self._codes.cancel(receiver=incoming.receiver, reference=incoming.reference)
        return await self._done(call)

    # -- everything else

    async def _block(self, call: _Call) -> Result:
        await self._journal.block(self._numbers.key(call.incoming.receiver))
        return await self._done(call)

    async def _unblock(self, call: _Call) -> Result:
        await self._journal.unblock(self._numbers.key(call.incoming.receiver))
        return await self._done(call)

    async def _ussd(self, call: _Call) -> Result:
        """Ask the network; it is stored first and asked once, since a USSD code may buy something."""
        check_ussd(call.incoming.ussd_code)
        number = await self._record(call, State.SENDING, "")
        call.stored()
        result = await self._modems.ussd(call.incoming)
        state = State.DONE if result.ok else State.FAILED
        await self._journal.finish_command(number, state, result.reason or "")
        return result

    async def _modem_list(self, call: _Call) -> Result:
        call.stored()
        data = {**call.incoming.about(), "modem_list": self._modems.modem_list()}
        return Result(call.incoming.command, ResponseCode.SUCCESS, data)

    async def _echo(self, call: _Call) -> Result:
        call.stored()
        return Result(call.incoming.command, ResponseCode.SUCCESS, call.incoming.data)

    async def _done(self, call: _Call) -> Result:
        await self._record(call, State.DONE, "")
        return Result(call.incoming.command, ResponseCode.SUCCESS, call.incoming.about())

    async def _record(self, call: _Call, state: State, reason: str) -> int:
        incoming = call.incoming
        if incoming.action in _NOTHING_TO_STORE:
            return 0
        payload = json.dumps(incoming.request, separators=(",", ":")).encode()
        return await self._journal.record(
            command=incoming.command,
            origin=call.origin,
            arrived=self._clock(),
            state=state,
            receiver=incoming.receiver,
            reason=reason,
            length=len(payload),
            digest_of=payload,
        )


def _tag(reference: str) -> str:
    """Return what the journal has for the id of a code's message: it is looked up by the code's reference."""
    return f"otp-{hashlib.sha256(reference.encode()).hexdigest()[:16]}"


def _queued(incoming: Incoming) -> Result:
    text = answers.sentence("queued")
    return Result(incoming.command, ResponseCode.HANDED_OVER, incoming.about(), text, "queued")


def _unstored(command: str, error: Exception) -> Result:
    text = f"It could not be stored, so nothing was done: {error}"
    return Result(command, ResponseCode.FAILED, message=text, reason="store_unavailable")
