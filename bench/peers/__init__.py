"""The brokers that are measured, by name; ours first, the floor last."""

from bench.peers.base import Peer
from bench.peers.bun import Bun
from bench.peers.floor import Floor
from bench.peers.nats import Nats
from bench.peers.nodews import NodeWs
from bench.peers.ours import Ours
from bench.peers.websockets import Websockets

PEERS: dict[str, Peer] = {peer.name: peer for peer in (Ours(), Websockets(), NodeWs(), Bun(), Nats(), Floor())}

__all__ = ["PEERS", "Peer"]
