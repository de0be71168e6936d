"""Run the proxies of `deploy/` for real: on loopback, on private ports, with their own directory, in the foreground."""

import asyncio
import datetime as dt
import ipaddress
import os
import re
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for 127.0.0.1, on disk."""

    chain: Path
    key: Path
    both: Path

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts it and nothing else."""
        return ssl.create_default_context(cafile=str(self.chain))


def make_certificate(directory: Path) -> Certificate:
    """Write a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private, both = directory / "chain.pem", directory / "key.pem", directory / "both.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    both.write_bytes(chain.read_bytes() + private.read_bytes())
    return Certificate(chain, private, both)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy runs and what it stands in front of."""

    directory: Path
    port: int
    broker_port: int
    admin_port: int
    certificate: Certificate


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Replace each pattern, which must be there: a config that changed must not slip past the test."""
    for pattern, value in changes:
        text, count = re.subn(pattern, lambda _, value=value: value, text, flags=re.MULTILINE)  # type: ignore[misc]
        assert count, f"{pattern!r} is not in the file any more"
    return text


def nginx_command(place: Place) -> list[str]:
    """Put `deploy/nginx.conf` where Debian's nginx.conf would include it."""
    home = place.directory
    (home / "wsbroker.conf").write_text(
        replaced(
            (DEPLOY / "nginx.conf").read_text(),
            (r"^ +listen 443 ssl;$", f"listen 127.0.0.1:{place.port} ssl;"),
            (r"^ +listen \[::\]:443 ssl;$", ""),
            (r"server 127\.0\.0\.1:9000;", f"server 127.0.0.1:{place.broker_port};"),
            (r"/etc/letsencrypt/\S+/fullchain\.pem", str(place.certificate.chain)),
            (r"/etc/letsencrypt/\S+/privkey\.pem", str(place.certificate.key)),
            (r"/var/log/nginx/wsbroker\.log", str(home / "access.log")),
        )
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {home}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(
        f"{user} daemon off; pid {home}/nginx.pid; worker_processes 1; error_log stderr;\n"
        f"events {{ worker_connections 512; }}\nhttp {{ {temporary} include {home}/wsbroker.conf; }}\n"
    )
    return ["nginx", "-p", str(home), "-e", "stderr", "-c", str(home / "nginx.conf")]


def haproxy_command(place: Place) -> list[str]:
    """Give `deploy/haproxy.cfg` private ports."""
    file = place.directory / "haproxy.cfg"
    file.write_text(
        replaced(
            (DEPLOY / "haproxy.cfg").read_text(),
            (r"bind :443 ssl crt \S+", f"bind 127.0.0.1:{place.port} ssl crt {place.certificate.both}"),
            (r"server broker 127\.0\.0\.1:9000", f"server broker 127.0.0.1:{place.broker_port}"),
            (r"port 9001", f"port {place.admin_port}"),
            (r"maxconn 20000", "maxconn 200"),
        )
    )
    return ["haproxy", "-db", "-f", str(file)]


def caddy_command(place: Place) -> list[str]:
    """Give `deploy/Caddyfile` a private port and a certificate, and keep it from the admin port and port 80."""
    file = place.directory / "Caddyfile"
    site = f"https://127.0.0.1:{place.port} {{\n\ttls {place.certificate.chain} {place.certificate.key}"
    text = replaced(
        (DEPLOY / "Caddyfile").read_text(),
        (r"^broker\.example\.com \{", site),
        (r"127\.0\.0\.1:9000", f"127.0.0.1:{place.broker_port}"),
    )
    file.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


COMMANDS: dict[str, Callable[[Place], list[str]]] = {
    "nginx": nginx_command,
    "haproxy": haproxy_command,
    "caddy": caddy_command,
}


@asynccontextmanager
async def running_proxy(name: str, place: Place) -> AsyncIterator[None]:
    """Run a proxy until the block ends; skip when it is not installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    program = shutil.which(name, path=path)
    if program is None:
        pytest.skip(f"{name} is not installed (apt install {name})")
    home = str(place.directory)
    environment = {"PATH": path, "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
    _, *arguments = COMMANDS[name](place)
    with (place.directory / "output.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdout=output, stderr=output, env=environment, cwd=home
        )
        try:
            await _until_it_listens(process, place)
            yield
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _until_it_listens(process: asyncio.subprocess.Process, place: Place) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 15
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", place.port)) == 0:
                return
        if process.returncode is not None or loop.time() > deadline:
            pytest.fail(f"the proxy does not listen: {(place.directory / 'output.log').read_text()}")
        await asyncio.sleep(0.02)
