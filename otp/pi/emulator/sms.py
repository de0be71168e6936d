"""Answer the SMS commands, in PDU mode alone (27.005)."""

from otp.pi.emulator.device import Device
from otp.pi.emulator.refusals import CmsError, RefusedError
from otp.pi.emulator.requests import READ, RUN, SET, TEST, Request
from otp.pi.emulator.sim import READ as SEEN
from otp.pi.emulator.sim import UNREAD, Stored
from otp.pi.emulator.table import command

NOT_SUPPORTED, INVALID_PDU, INVALID_INDEX, NO_ACKNOWLEDGEMENT_EXPECTED = 303, 304, 321, 340
_ALL = 4
_LENGTHS = range(8, 165)
"""Octets of an SMS-SUBMIT: with the shortest address and no text, to the longest with 140 octets of user data."""

_ROUTINGS = (range(4), range(4), range(4), range(3), range(2))
"""What each value of ``+CNMI`` may be: mode, mt, bm, ds, bfr."""


@command("+CMGF", SET)
def _format(_device: Device, request: Request) -> list[str]:
    if request.number(0, 0, among=range(2)):
        raise CmsError(NOT_SUPPORTED)
    return []


@command("+CMGF", READ)
def _format_now(_device: Device, _request: Request) -> list[str]:
    return ["+CMGF: 0"]


@command("+CSMS", SET)
def _service(device: Device, request: Request) -> list[str]:
    device.session.service = request.number(0, among=range(2))
    return ["+CSMS: 1,1,1"]


@command("+CSMS", READ)
def _service_now(device: Device, _request: Request) -> list[str]:
    return [f"+CSMS: {device.session.service},1,1,1"]


@command("+CSCA", SET, card="cms")
def _centre(device: Device, request: Request) -> list[str]:
    if not request.text(0).removeprefix("+").isdigit():
        raise CmsError(INVALID_PDU)
    device.sim.smsc = request.text(0)
    return []


@command("+CSCA", READ, card="cms")
def _centre_now(device: Device, _request: Request) -> list[str]:
    return [f'+CSCA: "{device.sim.smsc}",{145 if device.sim.smsc.startswith("+") else 129}']


@command("+CNMI", SET, card="cms")
def _routing(device: Device, request: Request) -> list[str]:
    wanted = [request.number(place, 0, among=among) for place, among in enumerate(_ROUTINGS)]
    device.session.routing[:] = wanted
    device.incoming.flush()
    return []


@command("+CNMI", READ, card="cms")
def _routing_now(device: Device, _request: Request) -> list[str]:
    return ["+CNMI: " + ",".join(map(str, device.session.routing))]


@command("+CNMI", TEST)
def _routing_possible(_device: Device, _request: Request) -> list[str]:
    return ["+CNMI: (0-3),(0-3),(0-3),(0-2),(0,1)"]


@command("+CNMA", RUN, SET)
def _acknowledge(device: Device, _request: Request) -> list[str]:
    if not device.incoming.acknowledge():
        raise CmsError(NO_ACKNOWLEDGEMENT_EXPECTED)
    return []


def _room(device: Device) -> str:
    return f"{len(device.sim.messages)},{device.knobs.capacity}"


@command("+CPMS", SET, card="cms")
def _storage(device: Device, request: Request) -> list[str]:
    if set(request.arguments) != {"SM"}:
        raise CmsError(NOT_SUPPORTED)
    return ["+CPMS: " + ",".join([_room(device)] * 3)]


@command("+CPMS", READ, card="cms")
def _storage_now(device: Device, _request: Request) -> list[str]:
    return ["+CPMS: " + ",".join([f'"SM",{_room(device)}'] * 3)]


@command("+CMGL", SET, RUN, card="cms")
def _list(device: Device, request: Request) -> list[str]:
    wanted = request.number(0, UNREAD, among=range(5))
    lines: list[str] = []
    for slot, stored in sorted(device.sim.messages.items()):
        if wanted in {_ALL, stored.status}:
            lines += [f"+CMGL: {slot},{stored.status},,{stored.length}", stored.pdu]
            stored.status = SEEN
    return lines


def _slot(device: Device, request: Request) -> Stored:
    stored = device.sim.messages.get(request.number(0))
    if stored is None:
        raise CmsError(INVALID_INDEX)
    return stored


@command("+CMGR", SET, card="cms")
def _read(device: Device, request: Request) -> list[str]:
    stored = _slot(device, request)
    lines = [f"+CMGR: {stored.status},,{stored.length}", stored.pdu]
    stored.status = SEEN
    return lines


@command("+CMGD", SET, card="cms")
def _delete(device: Device, request: Request) -> list[str]:
    if request.number(1, 0, among=range(5)):
        # Flag 4 deletes all; 1 to 3 all that were read, since nothing here is sent from the card.
        everything = request.number(1) == _ALL
        gone = [slot for slot, stored in device.sim.messages.items() if everything or stored.status == SEEN]
    else:
        _slot(device, request)
        gone = [request.number(0)]
    for slot in gone:
        del device.sim.messages[slot]
    device.incoming.flush()
    return []


@command("+CMGS", SET, card="cms")
def _send(device: Device, request: Request) -> list[str]:
    try:
        device.announced = request.number(0, among=_LENGTHS)
    except RefusedError as error:
        raise CmsError(INVALID_PDU) from error
    return []
