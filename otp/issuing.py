"""Keep the store of codes and the sending of its codes in step, off the event loop.

A code that was not handed over must not exist: its reference has to be free for the next try. That holds for refusals,
for exceptions and for a caller that goes away in the middle.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from otp.codes import ResponseCode
from otp.messages import Scalar
from otp.results import Result
from otp.store import Issued, OtpStore

Deliver = Callable[[Issued], Awaitable[Result]]
"""Sends a code and says what became of it."""


class Codes:
    """The store, off the event loop, with every code that was not handed over taken back."""

    def __init__(self, store: OtpStore) -> None:
        self._store = store

    async def create(
        self,
        deliver: Deliver,
        *,
        receiver: str,
        reference: Scalar,
        params: Sequence[Scalar | None],
        lifetime: int | None,
    ) -> Result:
        """Make a code and have it delivered; raises what ``OtpStore.create`` and ``deliver`` raise."""

        def make() -> Issued:
            return self._store.create(receiver=receiver, reference=reference, params=params, lifetime=lifetime)

        return await self._issue(make, deliver)

    async def resend(self, deliver: Deliver, *, receiver: str, reference: Scalar) -> Result:
        """Have a code delivered once more; raises what ``OtpStore.resend`` and ``deliver`` raise."""
        return await self._issue(lambda: self._store.resend(receiver=receiver, reference=reference), deliver)

    async def verify(
        self, *, receiver: str, otp: Scalar, reference: Scalar, params: Sequence[Scalar | None]
    ) -> ResponseCode:
        """Say whether a code is right; see ``OtpStore.verify``."""

        def compare() -> ResponseCode:
            return self._store.verify(receiver=receiver, otp=otp, reference=reference, params=params)

        return await asyncio.to_thread(compare)

    async def cancel(self, *, receiver: str, reference: Scalar) -> bool:
        """Forget a code; see ``OtpStore.cancel``."""
        return await asyncio.to_thread(lambda: self._store.cancel(receiver=receiver, reference=reference))

    async def sweep(self) -> int:
        """Forget what is past its time, which shows that the store can be written."""
        return await asyncio.to_thread(self._store.sweep)

    async def close(self) -> None:
        """Close the store."""
        await asyncio.to_thread(self._store.close)

    async def _issue(self, make: Callable[[], Issued], deliver: Deliver) -> Result:
        making = asyncio.ensure_future(asyncio.to_thread(make))
        try:
            issued = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(self._take_back_later)
            raise
        try:
            result = await deliver(issued)
        except BaseException:
            await self._take_back(issued)
            raise
        if not result.ok:
            await self._take_back(issued)
        return result

    async def _take_back(self, issued: Issued) -> None:
        await asyncio.shield(asyncio.to_thread(self._store.undo, issued))

    def _take_back_later(self, making: "asyncio.Future[Issued]") -> None:
        """Take back a code whose caller went away while it was made."""
        if not making.cancelled() and making.exception() is None:
            making.get_loop().run_in_executor(None, self._store.undo, making.result())
