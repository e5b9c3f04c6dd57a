"""Many machines: hubs that learn from the journals of all, and models that come back (Ray).

A process on each machine ships its directory's journal to a hub and puts the hub's models beside
it (`uplink`); all processes of the machine follow as on one machine (`acumen.follow`). Choosing
never leaves the process. Ray is imported by `cluster` alone, when it is asked for.
"""

from acumen.fleet.cluster import hub_name, hub_state, join, start_hub, start_shards
from acumen.fleet.hub import Hub, Reply
from acumen.fleet.sharding import Root, RootHub, Shards, shard_of
from acumen.fleet.uplink import HubUnavailableError, Uplink, follow_hub

__all__ = [
    "Hub",
    "HubUnavailableError",
    "Reply",
    "Root",
    "RootHub",
    "Shards",
    "Uplink",
    "follow_hub",
    "hub_name",
    "hub_state",
    "join",
    "shard_of",
    "start_hub",
    "start_shards",
]
