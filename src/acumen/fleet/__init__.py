"""Many machines: hubs that learn from the journals of all, and models that come back (Ray).

A process on each machine ships its directory's journal to a hub and puts the hub's models beside
it (`uplink`); all processes of the machine follow as on one machine (`acumen.follow`). Choosing
never leaves the process. Ray is imported by `cluster` alone, when it is asked for.
"""

from typing import TYPE_CHECKING

from acumen.core.lazy import attributes
from acumen.fleet.cluster import hub_name, hub_state, join, start_hub, start_shards
from acumen.fleet.hub import Hub, Reply
from acumen.fleet.sharding import Root, RootHub, Shards, shard_of
from acumen.fleet.uplink import HubUnavailableError, Uplink, follow_hub

if TYPE_CHECKING:
    from acumen.fleet.trials import run_on_ray

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
    "run_on_ray",
    "shard_of",
    "start_hub",
    "start_shards",
]

# Whoever shares what is learned needs no search.
__getattr__ = attributes(__name__, {"run_on_ray": "acumen.fleet.trials"})
