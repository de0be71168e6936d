"""Which peers take part, and why the others do not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.budget import BenchError
from bench.peers import PEERS, Peer

BASELINE = "ours"


@dataclass(frozen=True, slots=True)
class Selection:
    """The peers of one command."""

    peers: tuple[Peer, ...]
    skipped: dict[str, str]
    """Why each of the others is left out, by name."""

    @property
    def versions(self) -> dict[str, str]:
        """What exactly is measured, by name."""
        return {peer.name: peer.version() for peer in self.peers}

    @property
    def tls(self) -> dict[str, list[str]]:
        """TLS version and cipher of those whom a client has reached over TLS so far, by name."""
        return {peer.name: sorted(peer.tls_agreed) for peer in self.peers if peer.tls_agreed}

    def describe(self) -> str:
        """List what is measured and what is skipped, a line each."""
        lines = [f"  {name}: {version}" for name, version in self.versions.items()]
        lines += [f"  {name}: skipped, {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)


def select(names: Sequence[str] | None, unfit: Callable[[Peer], str | None] = lambda _peer: None) -> Selection:
    """Choose peers by name, or every peer, leaving out those that cannot run here.

    Args:
        names: Names as the user gave them; None for all.
        unfit: Says why a peer cannot take part in this command, or None.

    Raises:
        BenchError: A name is unknown, or nothing is left to measure.
    """
    unknown = [name for name in names or () if name not in PEERS]
    if unknown:
        raise BenchError(f"unknown peer {unknown[0]!r}: choose from {', '.join(PEERS)}")
    chosen, skipped = [], {}
    for name in names or PEERS:
        peer = PEERS[name]
        reason = unfit(peer) or peer.unavailable()
        if reason:
            skipped[name] = reason
        else:
            chosen.append(peer)
    if not chosen:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise BenchError(f"no peer can be measured: {reasons}")
    return Selection(tuple(chosen), skipped)
