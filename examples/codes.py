"""Second scene: a one-time password that the publisher makes, hands to the broker and verifies."""

import asyncio
import json
from pathlib import Path

from websockets.asyncio.client import connect

from examples.relay import TOPIC, WAIT, url
from examples.stage import masked, say
from otp.publisher import AsyncPublisher


async def one_time_password(port: int, passwords: dict[str, str], folder: Path) -> bool:
    """Create a code, read it where the SMS would be sent, verify it once; tell whether all went well."""
    publisher = AsyncPublisher(
        method="WS",
        host="127.0.0.1",
        port=port,
        topic=TOPIC,
        username="app",
        password=passwords["app"],
        manage_otp=True,
        cache_dir=str(folder / "codes"),
        key_file=str(folder / "otp.key"),
    )
    receiver, reference, params = "0812661111", "order-1", ["250000"]
    async with publisher, connect(url(port, "gateway", passwords["gateway"]), proxy=None) as gateway:
        created = await publisher.create_otp(
            receiver=receiver, reference=reference, params=params, lifetime=60, message="Your code is %s"
        )
        outcome = "the broker has the message" if created.ok else created.message
        say("app", f"asked the publisher for a code: {created.response_code}, {outcome}")
        data = json.loads(await asyncio.wait_for(gateway.recv(), WAIT))["data"]
        code = data["message"].removeprefix("Your code is ")
        say("gateway", f"would now send an SMS to {data['receiver']}: Your code is {masked(code)}")
        wrong = f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"
        answers = []
        for otp, what in ((wrong, "a wrong code"), (code, "the right code"), (code, "the same code again")):
            answer = await publisher.verify_otp(receiver=receiver, reference=reference, params=params, otp=otp)
            say("app", f"verified {what}: {answer.response_code}")
            answers.append(str(answer.response_code))
    return created.ok and answers == ["1202", "0000", "1202"]
