"""The AT dialogue: each answer goes to the command it belongs to, whatever else the modem says."""

import asyncio
from collections.abc import Callable

import pytest

from otp.pi.modems.dialogue import CommandError, Dialogue, NoReferenceError, SilentError, UnpluggedError
from otp.pi.modems.replies import Result

PDU = "0001000B91261812345678F90000AA05C8329BFD06"


class Script:
    """The other end: answers what is written with what the script says, in order of the writes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.news: list[tuple[str, str]] = []
        self.late: list[int] = []
        self.answers: dict[bytes, list[bytes]] = {b"AT\r": [b"\r\nOK\r\n"] * 9, b"AT+CMGF=0\r": [b"\r\nOK\r\n"] * 9}
        self.wrote = asyncio.Event()
        self.dialogue = Dialogue(
            self.write,
            at_timeout=0.2,
            on_news=lambda line, pdu: self.news.append((line, pdu)),
            on_late=self.late.append,
        )
        self.dialogue._owed = 0

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.wrote.set()
        if self.answers.get(data):
            asyncio.get_running_loop().call_soon(self.dialogue.feed, self.answers[data].pop(0))

    async def submit(self, before_body: Callable[[], object] = lambda: None) -> int:
        async def before() -> None:
            before_body()

        return await self.dialogue.submit(20, PDU, before_body=before, prompt_timeout=0.2, result_timeout=0.2)


@pytest.fixture
async def script() -> Script:
    return Script()


async def test_dialogue_command_gets_the_lines_of_its_answer(script: Script) -> None:
    """An answer is what begins as announced; the rest of the noise is news."""
    script.answers[b"AT+CSQ\r"] = [b'AT+CSQ\r\r\n^RSSI:20\r\n+CSQ: 20,99\r\n+CMTI: "SM",3\r\n\r\nOK\r\n']
    assert await script.dialogue.ask("AT+CSQ", prefix="+CSQ:") == ["+CSQ: 20,99"]
    assert script.news == [("^RSSI:20", ""), ('+CMTI: "SM",3', "")]


async def test_dialogue_command_takes_free_text_but_no_noise(script: Script) -> None:
    """A free answer is a line that is neither unsolicited nor the echo."""
    script.answers[b"AT+CGMI\r"] = [b"AT+CGMI\r\r\n^BOOT:1,2\r\nRING\r\nhuawei\r\n\r\nOK\r\n"]
    assert await script.dialogue.ask("AT+CGMI", free=True) == ["huawei"]


async def test_dialogue_stored_message_keeps_its_pdu(script: Script) -> None:
    """The PDU behind a head line belongs to it, also when another message comes in the middle."""
    script.answers[b"AT+CMGR=3\r"] = [
        f"+CMT: ,24\r\n{PDU}\r\n^RSSI:3\r\n+CMGR: 1,,24\r\n^RSSI:9\r\n{PDU}\r\nOK\r\n".encode()
    ]
    assert await script.dialogue.ask("AT+CMGR=3", prefix="+CMGR:") == ["+CMGR: 1,,24", PDU]
    assert script.news == [("+CMT: ,24", PDU), ("^RSSI:3", ""), ("^RSSI:9", "")]


async def test_dialogue_pdu_of_a_command_that_is_over_is_dropped(script: Script) -> None:
    """A head line whose PDU never came does not take the next one."""
    script.answers[b"AT+CMGR=3\r"] = [b"+CMGR: 1,,24\r\nOK\r\n"]
    assert await script.dialogue.ask("AT+CMGR=3", prefix="+CMGR:") == ["+CMGR: 1,,24"]
    script.dialogue.feed(f"{PDU}\r\n".encode())
    assert script.news == [(PDU, "")]


@pytest.mark.parametrize(
    ("final", "token"), [("ERROR", "error"), ("+CME ERROR: 10", "cme_10"), ("+CMS ERROR: 38", "cms_38")]
)
async def test_dialogue_refusal_names_kind_and_number(script: Script, final: str, token: str) -> None:
    """A refused command says with what."""
    script.answers[b"AT+X\r"] = [f"\r\n{final}\r\n".encode()]
    with pytest.raises(CommandError) as caught:
        await script.dialogue.ask("AT+X")
    assert caught.value.token == token


async def test_dialogue_silence_is_counted_and_late_answers_are_thrown_away(script: Script) -> None:
    """The OK of a command that was given up does not answer the next one."""
    with pytest.raises(SilentError):
        await script.dialogue.ask("AT+SLOW")
    assert script.dialogue.silences == 1
    script.answers[b"AT\r"] = [b"\r\n+SLOW: 1\r\nERROR\r\n", b"\r\nOK\r\n\r\nOK\r\n"]
    script.answers[b"AT+CSQ\r"] = [b"\r\n+CSQ: 3,0\r\n\r\nOK\r\n"]
    assert await script.dialogue.ask("AT+CSQ", prefix="+CSQ:") == ["+CSQ: 3,0"]
    assert script.dialogue.silences == 0
    assert script.news == [("+SLOW: 1", "")]
    assert script.written == [b"AT+SLOW\r", b"\x1b", b"AT\r", b"AT\r", b"AT+CSQ\r"]


async def test_dialogue_that_is_not_brought_into_step_is_silent(script: Script) -> None:
    """A modem that does not even answer AT, or refuses it, is silent."""
    script.answers[b"AT\r"] = []
    script.dialogue._owed = 1
    with pytest.raises(SilentError):
        await script.dialogue.ask("AT+CSQ")
    script.answers[b"AT\r"] = [b"ERROR\r\n"] * 9
    with pytest.raises(SilentError):
        await script.dialogue.ask("AT+CSQ")
    assert script.dialogue.silences == 2
    assert b"AT+CSQ\r" not in script.written


async def test_dialogue_settles_when_what_is_owed_never_comes(script: Script) -> None:
    """One OK too few costs a moment, not the dialogue."""
    script.dialogue._owed = 3
    script.answers[b"AT+X\r"] = [b"OK\r\n"]
    assert await script.dialogue.ask("AT+X") == []


async def test_dialogue_final_results_unasked_are_nothing(script: Script) -> None:
    """What ends no command is dropped."""
    script.dialogue.feed(b"OK\r\nERROR\r\n+CMGS: x\r\n")
    assert (script.news, script.late) == ([], [])


async def test_dialogue_lost_port_ends_the_command(script: Script) -> None:
    """Who waits learns at once that the modem was pulled out."""
    asking = asyncio.create_task(script.dialogue.ask("AT+X"))
    await script.wrote.wait()
    script.dialogue.lost()
    script.dialogue.lost()
    with pytest.raises(UnpluggedError):
        await asking
    assert script.dialogue.gone


async def test_dialogue_lost_port_ends_coming_into_step(script: Script) -> None:
    """Also while it is being brought into step."""
    script.answers[b"AT\r"] = []
    script.dialogue._owed = 1
    asking = asyncio.create_task(script.dialogue.ask("AT+X"))
    await script.wrote.wait()
    script.dialogue.lost()
    with pytest.raises(UnpluggedError):
        await asking


async def test_submit_sends_the_body_after_the_prompt_and_returns_the_reference(script: Script) -> None:
    """Prompt, then what the caller has to do first, then the body, then the reference; echo and noise do no harm."""
    order: list[str] = []
    script.answers[b"AT+CMGS=20\r"] = [b"AT+CMGS=20\r\r\n^RSSI:3\r\n\r\n> "]
    body = PDU.encode() + b"\x1a"
    script.answers[body] = [body + b'\r\n+CMTI: "SM",1\r\n+CMGS: 77\r\n^RSSI:1\r\n\r\nOK\r\n']
    assert await script.submit(lambda: order.append(f"before, {len(script.written)} written")) == 77
    assert order == ["before, 2 written"]
    assert script.written == [b"AT+CMGF=0\r", b"AT+CMGS=20\r", body]
    assert script.late == []
    assert await script.dialogue.ask("AT") == []


async def test_submit_that_is_refused_after_its_reference_missing_ok(script: Script) -> None:
    """The reference alone is enough: the OK that follows later answers nothing else."""
    script.answers[b"AT+CMGS=20\r"] = [b"\r\n> "]
    script.answers[PDU.encode() + b"\x1a"] = [b"\r\n+CMGS: 78\r\n"]
    assert await script.submit() == 78
    script.answers[b"AT\r"] = [b"\r\nOK\r\n\r\nOK\r\n"]
    script.answers[b"AT+CSQ\r"] = [b"+CSQ: 3,0\r\nOK\r\n"]
    assert await script.dialogue.ask("AT+CSQ", prefix="+CSQ:") == ["+CSQ: 3,0"]


@pytest.mark.parametrize(("answer", "error"), [(b"+CMS ERROR: 38\r\n", CommandError), (b"ERROR\r\n", CommandError)])
async def test_submit_refused_before_and_after_the_body(script: Script, answer: bytes, error: type[Exception]) -> None:
    """An error instead of the prompt sends no body; one after it is an error all the same."""
    script.answers[b"AT+CMGS=20\r"] = [answer, b"\r\n> "]
    script.answers[PDU.encode() + b"\x1a"] = [answer]
    with pytest.raises(error):
        await script.submit()
    assert script.written[-1] == b"AT+CMGS=20\r"
    with pytest.raises(error):
        await script.submit()
    assert script.written[-1] == PDU.encode() + b"\x1a"


async def test_submit_without_a_prompt_leaves_with_escape(script: Script) -> None:
    """No prompt in time: nothing was sent, and the modem is not left waiting for a body."""
    with pytest.raises(SilentError):
        await script.submit()
    assert script.written == [b"AT+CMGF=0\r", b"AT+CMGS=20\r", b"\x1b"]


async def test_submit_whose_caller_fails_before_the_body_leaves_with_escape(script: Script) -> None:
    """What must be done before the body failed: nothing is sent, and the next command finds its own answer."""
    script.answers[b"AT+CMGS=20\r"] = [b"\r\n> "]
    script.answers[b"\x1b"] = [b"\r\nOK\r\n"]

    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await script.submit(fail)
    assert script.written[-1] == b"\x1b"
    script.answers[b"AT+CSQ\r"] = [b"+CSQ: 3,0\r\nOK\r\n"]
    assert await script.dialogue.ask("AT+CSQ", prefix="+CSQ:") == ["+CSQ: 3,0"]


async def test_submit_given_up_by_the_modem_before_the_body(script: Script) -> None:
    """A modem that gives up waiting for the body gets none."""
    script.answers[b"AT+CMGS=20\r"] = [b"\r\n> "]
    with pytest.raises(CommandError):
        await script.submit(lambda: script.dialogue.feed(b"+CMS ERROR: 500\r\n"))
    assert script.written[-1] == b"AT+CMGS=20\r"


async def test_submit_unplugged_before_the_body_is_not_sent(script: Script) -> None:
    """A port that goes before the body takes none."""
    script.answers[b"AT+CMGS=20\r"] = [b"\r\n> "]
    with pytest.raises(UnpluggedError):
        await script.submit(script.dialogue.lost)
    assert PDU.encode() + b"\x1a" not in script.written


async def test_submit_unplugged_after_the_body_is_unknown(script: Script) -> None:
    """A port that goes after the body leaves the outcome open, and says why."""
    script.answers[b"AT+CMGS=20\r"] = [b"\r\n> "]
    sending = asyncio.create_task(script.submit())
    while PDU.encode() + b"\x1a" not in script.written:
        script.wrote.clear()
        await script.wrote.wait()
    script.dialogue.lost()
    with pytest.raises(NoReferenceError) as caught:
        await sending
    assert isinstance(caught.value.__cause__, UnpluggedError)


async def test_submit_answered_with_ok_alone_is_unknown(script: Script) -> None:
    """An OK without a reference proves nothing."""
    script.answers[b"AT+CMGS=20\r"] = [b"\r\n> "]
    script.answers[PDU.encode() + b"\x1a"] = [b"OK\r\n"]
    with pytest.raises(NoReferenceError):
        await script.submit()


async def test_late_reference_is_handed_on_and_takes_its_ok_along(script: Script) -> None:
    """A reference after our time-out answers no other command, nor does the OK that comes with it."""
    script.answers[b"AT+CMGS=20\r"] = [b"\r\n> "]
    with pytest.raises(NoReferenceError) as caught:
        await script.submit()
    assert isinstance(caught.value.__cause__, SilentError)
    script.answers[b"AT\r"] = [b"\r\n+CMGS: 91\r\n\r\nOK\r\n\r\nOK\r\n"]
    script.answers[b"AT+CSQ\r"] = [b"+CSQ: 3,0\r\nOK\r\n"]
    assert await script.dialogue.ask("AT+CSQ", prefix="+CSQ:") == ["+CSQ: 3,0"]
    assert script.late == [91]


async def test_late_reference_in_the_middle_of_another_command(script: Script) -> None:
    """Even while another command is under way the late reference and its OK are told apart."""
    script.answers[b"AT+CSQ\r"] = [b"\r\n+CMGS: 92\r\n\r\nOK\r\n\r\n+CSQ: 3,0\r\n\r\nOK\r\n"]
    assert await script.dialogue.ask("AT+CSQ", prefix="+CSQ:") == ["+CSQ: 3,0"]
    assert script.late == [92]


async def test_reference_that_comes_twice_is_one(script: Script) -> None:
    """A modem that says its reference twice has sent one message."""
    script.answers[b"AT+CMGS=20\r"] = [b"\r\n> "]
    script.answers[PDU.encode() + b"\x1a"] = [b"+CMGS: 5\r\n+CMGS: 5\r\nOK\r\n"]
    assert await script.submit() == 5
    script.answers[b"AT+X\r"] = [b"OK\r\n"]
    assert await script.dialogue.ask("AT+X") == []


async def test_dialogue_result_names_itself() -> None:
    """An error without a number is a plain error."""
    assert CommandError(Result(ok=False, kind="cme")).token == "error"
