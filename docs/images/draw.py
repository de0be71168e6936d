"""Draw the pictures of the documentation: `python docs/images/draw.py` after a change here.

Plain SVG without fonts or scripts of its own, on a white card, so that it reads on a dark page as well.
"""  # noqa: INP001 - a script beside what it writes, no package

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
INK, SOFT, LINE = "#1f2933", "#52606d", "#829ab1"
BLUE, GREEN, AMBER, RED = "#dbeafe", "#dcfce7", "#fef3c7", "#fee2e2"
FONT: Final = "font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\""
MONO: Final = "font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\""


class Canvas:
    """A card to draw on.

    Args:
        width: units, which are pixels unless the page scales the picture.
        height: the same.
        title: read aloud in place of the picture.
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        self.parts = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
                f' height="{height}" role="img" aria-label="{escape(title)}" {FONT}>'
            ),
            f"<title>{escape(title)}</title>",
            (
                '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
                f' orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>'
            ),
            f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="10" fill="#fff" stroke="{LINE}"/>',
        ]

    def box(self, x: int, y: int, width: int, height: int, fill: str = BLUE, *, dashed: bool = False) -> None:
        """Draw a rounded box."""
        dash = ' stroke-dasharray="6 5"' if dashed else ""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{fill}" stroke="{LINE}"{dash}/>'
        )

    def text(self, x: int, y: int, *lines: str, bold: bool = False, mono: bool = False, left: bool = False) -> None:
        """Write lines, centred on x or beginning there; the first is the heading when `bold`."""
        anchor = "start" if left else "middle"
        for index, line in enumerate(lines):
            head = bold and index == 0
            style = 'font-weight="600" font-size="16"' if head else 'font-size="13"'
            face = f" {MONO}" if mono and not head else ""
            self.parts.append(
                f'<text x="{x}" y="{y + 20 * index}" text-anchor="{anchor}" {style}{face}'
                f' fill="{INK if head or mono else SOFT}">{escape(line)}</text>'
            )

    def arrow(self, *points: tuple[int, int], dashed: bool = False) -> None:
        """Draw a line through the points with a tip at its end."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        path = " ".join(f"{x},{y}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.6"{dash} marker-end="url(#tip)"/>'
        )

    def line(self, x1: int, y1: int, x2: int, y2: int) -> None:
        """Draw a dashed line."""
        self.parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{LINE}" stroke-width="1.6" stroke-dasharray="3 5"/>'
        )

    def svg(self) -> str:
        """Return the file."""
        return "\n".join([*self.parts, "</svg>", ""])


def path() -> str:
    """Draw the way of a message: application, broker, subscribers, phone."""
    card = Canvas(920, 330, "An application publishes to the broker; the broker hands the message to every subscriber")
    card.box(30, 95, 170, 120, GREEN)
    card.text(115, 128, "Application", "your shop, bank, app", "publishes", bold=True)
    card.text(115, 196, "topic=sms", mono=True)
    card.arrow((200, 155), (330, 155))
    card.text(265, 122, "WebSocket", "+ password")
    card.text(600, 22, "WebSocket + password")

    card.box(334, 65, 200, 180)
    card.text(434, 100, "Broker", "who may connect?", "who is on topic sms?", "to each of them, in order", bold=True)
    card.text(434, 196, "wsbroker", mono=True)
    card.text(434, 224, "keeps nothing")

    for y, name, what in (
        (34, "OTP-Pi", "GSM modems"),
        (124, "Audit log", "keeps a record"),
        (214, "Your program", "any WebSocket client"),
    ):
        card.box(670, y, 160, 62, AMBER)
        card.text(750, y + 27, name, what, bold=True)
        card.arrow((534, 155), (584, 155), (584, y + 31), (666, y + 31))
    card.arrow((830, 65), (868, 65))
    card.text(889, 70, "SMS")
    card.text(460, 310, "Everyone calls the broker: it alone needs an open port, an OTP-Pi behind NAT needs none.")
    return card.svg()


def fan_out() -> str:
    """Draw one turn of the event loop: collect, join, write once per subscriber."""
    card = Canvas(920, 360, "Messages of one turn of the event loop are joined and written once per subscriber")
    for x, title in ((130, "1  read"), (345, "2  collect"), (530, "3  join"), (755, "4  write once each")):
        card.text(x, 36, title, bold=True)
    for y, name, frames in ((70, "Ann sends", "1  2"), (160, "Bob sends", "3"), (250, "Cy sends nothing", "-")):
        card.box(30, y, 200, 64, GREEN)
        card.text(130, y + 28, name, bold=True)
        card.text(130, y + 50, frames, mono=True)
    for y in (102, 192):
        card.arrow((230, y), (262, y), (262, 180), (284, 180))
    card.box(288, 110, 114, 140)
    card.text(345, 138, "batch", "(Ann, 1)", "(Ann, 2)", "(Bob, 3)", bold=True, mono=True)
    card.text(345, 236, "topic sms")
    card.arrow((402, 180), (466, 180))
    card.box(470, 130, 120, 100)
    card.text(530, 160, "frames", "1 2 3", bold=True, mono=True)
    card.text(530, 214, "encoded once")
    for y, name, gets, why in (
        (70, "Ann", "3", "without her own"),
        (160, "Bob", "1 2", "without his own"),
        (250, "Cy and 997 others", "1 2 3", "all share the same bytes"),
    ):
        card.arrow((590, 180), (622, 180), (622, y + 32), (646, y + 32))
        card.box(650, y, 240, 64, AMBER)
        card.text(770, y + 24, f"{name}:  {gets}", bold=True)
        card.text(770, y + 48, why)
    card.text(460, 343, "3 messages to 1,000 subscribers: 1,000 writes, not 3,000. An idle broker adds no delay.")
    return card.svg()


def slow_consumers() -> str:
    """Draw what waits for one connection, and where the broker acts."""
    card = Canvas(920, 300, "Bytes that wait for one connection, from fast to slow, and what the broker does")
    stages = (
        (30, 230, GREEN, "fast", "the kernel takes all", "nothing is looked at"),
        (260, 350, AMBER, "behind", "up to max_queued_bytes (16 MiB)", "messages wait in order, sizes are looked at"),
        (610, 280, RED, "too slow", "above it, or no byte taken", "for write_timeout (60 s)"),
    )
    for x, width, fill, name, where, what in stages:
        card.box(x, 70, width, 100, fill)
        card.text(x + width // 2, 104, name, where, what, bold=True)
    card.text(30, 48, "bytes that wait for one connection", left=True)
    card.arrow((268, 44), (885, 44))
    card.arrow((750, 170), (750, 206))
    card.box(580, 210, 310, 66, RED)
    card.text(735, 237, 'slow_consumer = "close": 1013', '"drop": the rest is dropped and counted', bold=True)
    card.box(30, 210, 520, 66, GREEN)
    card.text(290, 237, "everybody else", "one write each, whatever this connection does", bold=True)
    return card.svg()


def delivery() -> str:
    """Draw the states of a message, from its arrival to its end."""
    card = Canvas(920, 420, "A message is queued, routed, sending, sent, delivered; a crash while sending is unknown")
    for x, name, fill, lines in (
        (30, "queued", BLUE, ("stored,", "acknowledged")),
        (240, "routed", BLUE, ("a modem has it,", "nothing has left")),
        (450, "sending", AMBER, ("the text is being", "handed over")),
        (710, "sent", GREEN, ("the network", "has taken it")),
    ):
        card.box(x, 60, 150, 90, fill)
        card.text(x + 75, 92, name, *lines, bold=True)
    for start, end in ((180, 236), (390, 446), (600, 706)):
        card.arrow((start, 105), (end, 105))
    card.text(653, 96, "reference")
    card.arrow((315, 60), (315, 34), (130, 34), (130, 56))
    card.text(222, 26, "not sent: another modem")

    card.box(450, 220, 150, 90, RED)
    card.text(525, 252, "unknown", "nobody said whether", "it was taken", bold=True)
    card.arrow((525, 150), (525, 216))
    card.text(536, 188, "silence, crash", left=True)
    card.arrow((450, 265), (80, 265), (80, 154), dashed=True)
    card.text(265, 256, "once more, possible_duplicate")
    card.arrow((600, 265), (650, 265), (650, 170), (740, 170), (740, 154))
    card.text(655, 186, "late reference", left=True)

    card.arrow((820, 150), (820, 216))
    card.box(710, 220, 180, 90, GREEN)
    card.text(800, 252, "delivered", "or undelivered:", "the network reports", bold=True)

    card.arrow((130, 150), (130, 336))
    card.box(30, 340, 520, 60, AMBER)
    card.text(
        290, 366, "failed, expired, blocked", "not sent, and never will be; the same message may come again", bold=True
    )
    card.text(735, 362, "The text is kept, sealed, until a message", "has ended. Then only hash and length stay.")
    return card.svg()


PICTURES: Final[dict[str, Callable[[], str]]] = {
    "path.svg": path,
    "fan-out.svg": fan_out,
    "slow-consumers.svg": slow_consumers,
    "delivery.svg": delivery,
}


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (HERE / name).write_text(draw(), encoding="utf-8")
