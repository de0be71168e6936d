"""The brokers that are measured, by name; ours first, the floor last."""

from bench.peers.base import Peer
from bench.peers.bun import Bun
from bench.peers.floor import Floor
from bench.peers.mosquitto import Mosquitto
from bench.peers.nats import Nats
from bench.peers.nchan import Nchan
from bench.peers.nodews import NodeWs
from bench.peers.ours import Ours
from bench.peers.picows import Picows
from bench.peers.websockets import Websockets

_ALL = (Ours(), Websockets(), NodeWs(), Bun(), Nats(), Nchan(), Mosquitto(), Picows(), Floor())

PEERS: dict[str, Peer] = {peer.name: peer for peer in _ALL}

__all__ = ["PEERS", "Peer"]
