"""Answer the commands on modem, card and network (V.250, 27.007)."""

from otp.pi.emulator.device import Device
from otp.pi.emulator.refusals import CmeError, RefusedError
from otp.pi.emulator.requests import READ, RUN, SET, Request
from otp.pi.emulator.sim import PUK_REQUIRED
from otp.pi.emulator.table import command

_INCORRECT_PARAMETERS = 50
_UNREGISTERED_OPERATOR = "+COPS: 0"


@command("E", SET)
def _echo(device: Device, request: Request) -> list[str]:
    device.session.echo = request.number(0, among=range(2)) == 1
    return []


@command("Z", SET)
@command("&F", SET)
def _reset(device: Device, _request: Request) -> list[str]:
    device.reset()
    return []


@command("I", SET)
def _information(device: Device, _request: Request) -> list[str]:
    maker = device.maker
    return [
        f"Manufacturer: {maker.manufacturer}",
        f"Model: {maker.model}",
        f"Revision: {maker.revision}",
        f"IMEI: {device.imei}",
        "+GCAP: +CGSM,+DS,+ES",
    ]


@command("V", SET)
@command("Q", SET)
@command("X", SET)
@command("&C", SET)
@command("&D", SET)
@command("&W", SET)
@command("+CFUN", SET)
@command("+CGREG", SET)
@command("+CMMS", SET)
@command("+IPR", SET)
@command("^CURC", SET)
def _accept(_device: Device, _request: Request) -> list[str]:
    """Take what changes nothing here."""
    return []


@command("+CMEE", SET)
def _errors(device: Device, request: Request) -> list[str]:
    device.session.errors = request.number(0, among=range(3))
    return []


@command("+CMEE", READ)
def _errors_now(device: Device, _request: Request) -> list[str]:
    return [f"+CMEE: {device.session.errors}"]


@command("+CSCS", SET)
def _charset(device: Device, request: Request) -> list[str]:
    if request.text(0) not in {"IRA", "GSM", "UCS2"}:
        raise CmeError(_INCORRECT_PARAMETERS)
    device.session.charset = request.text(0)
    return []


@command("+CSCS", READ)
def _charset_now(device: Device, _request: Request) -> list[str]:
    return [f'+CSCS: "{device.session.charset}"']


@command("+CPIN", READ)
def _pin_state(device: Device, _request: Request) -> list[str]:
    if not device.knobs.sim:
        raise CmeError(device.sim.trouble)
    return [f"+CPIN: {device.sim.state}"]


@command("+CPIN", SET)
def _pin(device: Device, request: Request) -> list[str]:
    if device.sim.trouble == PUK_REQUIRED and request.text(1):
        device.sim.enter_puk(request.text(0), request.text(1))
    else:
        device.sim.enter_pin(request.text(0))
    if device.session.registration:
        device.emit(f"+CREG: {device.registration}")
    device.incoming.flush()
    return []


@command("+CPINR", RUN)
def _pin_tries(device: Device, _request: Request) -> list[str]:
    return [
        f"+CPINR: SIM PIN,{device.sim.tries},{device.knobs.pin_tries}",
        f"+CPINR: SIM PUK,{device.sim.puk_tries},10",
    ]


@command("^CPIN", READ)
def _pin_tries_of_huawei(device: Device, _request: Request) -> list[str]:
    return [f"^CPIN: {device.sim.state},{device.sim.puk_tries},{device.sim.tries},10,3"]


@command("+CREG", SET)
def _registration(device: Device, request: Request) -> list[str]:
    device.session.registration = request.number(0, among=range(3))
    return []


@command("+CREG", READ)
def _registration_now(device: Device, _request: Request) -> list[str]:
    cell = ',"00C3","4A1F"' if device.session.registration == 2 and device.on_air else ""  # noqa: PLR2004
    return [f"+CREG: {device.session.registration},{device.registration}{cell}"]


@command("+CSQ", RUN)
def _signal(device: Device, _request: Request) -> list[str]:
    return [f"+CSQ: {device.knobs.signal},99"]


@command("+COPS", SET)
def _operator_format(device: Device, request: Request) -> list[str]:
    if request.number(0, among=range(5)) == 3:  # noqa: PLR2004  (27.007, 7.3: set the format only)
        device.session.operator_format = request.number(1, among=range(3))
    return []


@command("+COPS", READ, card="cme")
def _operator(device: Device, _request: Request) -> list[str]:
    if not device.on_air:
        return [_UNREGISTERED_OPERATOR]
    form = device.session.operator_format
    name = device.knobs.operator if form < 2 else device.knobs.operator_number  # noqa: PLR2004
    return [f'+COPS: 0,{form},"{name}",2']


@command("+CGSN", RUN)
@command("+GSN", RUN)
def _imei(device: Device, _request: Request) -> list[str]:
    return [device.imei]


@command("+CIMI", RUN, card="cme")
def _imsi(device: Device, _request: Request) -> list[str]:
    return [device.sim.imsi]


@command("+CCID", RUN, READ, card="cme")
@command("+QCCID", RUN, READ, card="cme")
@command("^ICCID", RUN, READ, card="cme")
def _iccid(device: Device, request: Request) -> list[str]:
    if request.name != device.maker.iccid_command:
        raise RefusedError
    # SIMCom says the number alone, the others say whose it is.
    return [device.sim.iccid if request.name == "+CCID" else f"{request.name}: {device.sim.iccid}"]


@command("+CGMI", RUN)
@command("+GMI", RUN)
def _manufacturer(device: Device, _request: Request) -> list[str]:
    return [device.maker.manufacturer]


@command("+CGMM", RUN)
@command("+GMM", RUN)
def _model(device: Device, _request: Request) -> list[str]:
    return [device.maker.model]


@command("+CGMR", RUN)
@command("+GMR", RUN)
def _revision(device: Device, _request: Request) -> list[str]:
    return [device.maker.revision]


@command("+CUSD", SET, card="cme")
def _ussd(device: Device, request: Request) -> list[str]:
    mode = request.number(0, among=range(3))
    if mode == 2:  # noqa: PLR2004  (27.007, 7.15: cancel the session)
        device.ussd.cancel()
        return []
    device.session.ussd = mode
    if request.text(1):
        device.ussd.ask(request.text(1), device.session)
    return []


@command("+CUSD", READ)
def _ussd_now(device: Device, _request: Request) -> list[str]:
    return [f"+CUSD: {device.session.ussd}"]
