"""A fleet on Ray: the hub as a named, detached actor that restarts by itself, and how to join.

The only module that imports Ray. Losing the cluster costs a process nothing but news: its choices
go on with the last model, and its journal keeps what the hub has not got.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from acumen.core.journaling import describe
from acumen.core.published import Stamp
from acumen.core.twin import kind_of
from acumen.fleet.hub import Hub, Reply, Shown
from acumen.fleet.sharding import RootHub, Shards, must_add_up
from acumen.fleet.uplink import Exchange, HubUnavailableError, follow_hub, models_of

if TYPE_CHECKING:
    from acumen.core.choice import Choice
    from acumen.core.following import Follower

NAMESPACE = "acumen"
CALL_SECONDS = 30.0
REACH_SECONDS = 3.0


def hub_name(choice: Choice) -> str:
    """The name of the actor that is the hub for this kind of choice.

    Two versions of a program, with other arms or another schema, have two hubs.
    """
    return f"hub/{choice.name}/{kind_of(describe(choice, '0' * 12 + '-' + '0' * 6))}"


def start_hub(
    choice: Choice,
    checkpoints: str,
    *,
    address: str | None = None,
    publish_seconds: float = 1.0,
    pending_max: int | None = None,
) -> Any:
    """Starts the hub of a kind of choice, unless it is there already.

    Args:
        choice: of that kind.
        checkpoints: where it keeps itself safe: any path that fsspec knows, and every machine
            that the actor may be restarted on can reach.
        address: of the Ray cluster; None: where Ray is connected already, or `RAY_ADDRESS` says.
        publish_seconds: at least so much time between two models, and their checkpoints.
        pending_max: decisions that may wait for feedback, of all processes together.

    Returns:
        Ray's handle of the actor.

    Raises:
        ImportError: Ray is not installed: ``pip install acumen[fleet]``.
        ConnectionError: there is no such cluster.
    """
    connect(address)
    settings = {"publish_seconds": publish_seconds, "pending_max": pending_max}
    return _actor(Hub, hub_name(choice), checkpoints, **settings)


def start_shards(
    choice: Choice,
    checkpoints: str,
    shards: int,
    scales: bytes,
    *,
    address: str | None = None,
    publish_seconds: float = 1.0,
    pending_max: int | None = None,
) -> Any:
    """Starts several hubs that share the work, and their root, unless they are there already.

    Args:
        choice: of their kind, with a native learner whose statistics add up.
        checkpoints: as of `start_hub`; each has a folder of its own in there.
        shards: how many; for all callers the same.
        scales: a model file's bytes, of more than 512 rows: all begin with its scales.
        address: as of `start_hub`.
        publish_seconds: as of `start_hub`.
        pending_max: as of `start_hub`, of the processes of one hub.

    Returns:
        Ray's handle of the root.

    Raises:
        ImportError, ConnectionError: as of `start_hub`.
        TypeError: they do not add up; those of learners of sequences do not.
    """
    must_add_up(choice)
    connect(address)
    names = _shard_names(choice, shards)
    settings = {"publish_seconds": publish_seconds, "pending_max": pending_max, "scales": scales}
    for number, name in enumerate(names):
        _actor(Hub, name, f"{checkpoints}/{number}-of-{shards}", **settings)
    root = f"{checkpoints}/root-of-{shards}"
    lines = [_Line(name) for name in names]
    name = f"{hub_name(choice)}/root-of-{shards}"
    return _actor(RootHub, name, root, lines, publish_seconds=publish_seconds, start=True)


def _shard_names(choice: Choice, shards: int) -> list[str]:
    return [f"{hub_name(choice)}/{number}-of-{shards}" for number in range(shards)]


def _actor(kind: type[Any], name: str, *arguments: Any, **settings: Any) -> Any:
    import ray

    options = ray.remote(kind).options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=0,  # whoever called calls again, with what is needed then
        num_cpus=0,
    )
    return options.remote(*arguments, **settings)


def join(
    choice: Choice,
    checkpoints: str | None = None,
    *,
    address: str | None = None,
    publish_seconds: float = 1.0,
    shards: int = 1,
    period_seconds: float = 0.2,
    poll_seconds: float = 0.1,
) -> Follower:
    """Lets a choice share what it learns with all machines of a fleet.

    One process of a directory talks to the hub; if it ends, another that has joined does. What
    the directory's other processes journal is shipped too, and they may simply `acumen.follow`.

    Args:
        choice: with a journal, on a disk of its machine.
        checkpoints: where the hub keeps itself safe, if it is to be started here; None: somebody
            else starts it, sooner or later.
        address: of the Ray cluster; None: where Ray is connected already, or `RAY_ADDRESS` says.
        publish_seconds: see `start_hub`.
        shards: of `start_shards`, where several hubs share the work; then `checkpoints` is None.
        period_seconds: between two calls to the hub.
        poll_seconds: how often the directory is looked at for a newer model.

    Returns:
        What follows, in background threads; it ends with the choice, or with `stop`. After
        fork() the child follows, and the parent ships its events.

    Raises:
        ImportError: Ray is not installed: ``pip install acumen[fleet]``.
        ConnectionError: there is no such cluster.
        ValueError, TypeError: see `acumen.follow`.
    """
    connect(address)
    if checkpoints is not None:
        start_hub(choice, checkpoints, publish_seconds=publish_seconds)
    exchange: Exchange = _Line(hub_name(choice))
    if shards > 1:
        hubs = [_Line(name) for name in _shard_names(choice, shards)]
        exchange = Shards(hubs, models_of(choice).home)
    return follow_hub(choice, exchange, period_seconds=period_seconds, poll_seconds=poll_seconds)


def hub_state(choice: Choice, timeout: float = CALL_SECONDS) -> dict[str, Any]:
    """Counters of the hub; see `Hub.state`.

    Raises:
        HubUnavailableError: there is none, or it does not answer.
    """
    state: dict[str, Any] = _Line(hub_name(choice)).call("state", timeout)
    return state


class _Line:
    """The way to a hub."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._actor: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Line, (self._name,)

    def __call__(
        self,
        batches: Sequence[tuple[bytes, int]],
        have: Stamp,
        streams: Sequence[str],
        gone: Sequence[str] = (),
    ) -> Reply:
        arguments = (list(batches), have, list(streams), list(gone))
        reply: Reply = self.call("exchange", CALL_SECONDS, *arguments)
        return reply

    def model_since(self, have: Stamp) -> tuple[Shown | None, Stamp, Stamp]:
        said: tuple[Shown | None, Stamp, Stamp] = self.call("model_since", CALL_SECONDS, have)
        return said

    def relay(self, shown: Shown) -> None:
        self.call("relay", CALL_SECONDS, shown)

    def call(self, method: str, timeout: float, *arguments: Any) -> Any:
        return self.result(self.begin(method, *arguments), timeout)

    def begin(self, method: str, *arguments: Any) -> Any:
        """A call whose `result` comes later."""
        import ray

        with self._told():
            if self._actor is None:
                self._actor = ray.get_actor(self._name, namespace=NAMESPACE)
            return getattr(self._actor, method).remote(*arguments)

    def result(self, begun: Any, timeout: float) -> Any:
        import ray

        with self._told():
            return ray.get(begun, timeout=timeout)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        import ray

        if not ray.is_initialized():  # whatever is asked of Ray then starts a cluster of its own
            raise HubUnavailableError(f"{self._name}: not connected to a cluster")
        try:
            yield
        except AttributeError:
            raise HubUnavailableError(
                f"{self._name}: an older version of Acumen has started it: it cannot do this"
            ) from None
        # ValueError: there is no such actor. The others: it, its machine or the way to it is down.
        except (ray.exceptions.RayError, ValueError, OSError, RuntimeError) as error:
            self._actor = None
            raise HubUnavailableError(f"{self._name}: {_first_line(error)}") from None


class Tasks:
    """Calls of one function on the cluster's workers.

    Args:
        function: what is called; it travels to the workers.
        address: of the Ray cluster; None: where Ray is connected already, or `RAY_ADDRESS` says.
        cpus: processors that a call takes up.

    Raises:
        ImportError: Ray is not installed: ``pip install acumen[fleet]``.
        ConnectionError: there is no such cluster.
    """

    def __init__(self, function: Callable[..., Any], address: str | None, cpus: float) -> None:
        connect(address)
        import ray

        # A lost call is somebody else's to repeat: it has to be counted.
        self._remote = ray.remote(function).options(num_cpus=cpus, max_retries=0)

    def begin(self, *arguments: Any) -> Any:
        """Begins a call; returns what `ended` and `result` know it by."""
        return self._remote.remote(*arguments)

    def ended(self, calls: Sequence[Any], timeout: float | None) -> list[Any]:
        """Those of the calls that have ended; waits for the first one."""
        import ray

        done, _ = ray.wait(list(calls), num_returns=1, timeout=timeout)
        return list(done)

    def result(self, call: Any) -> Any:
        """What it returned.

        Raises:
            WorkerLostError: its worker or its machine is gone, or it was cancelled.
        """
        import ray

        try:
            return ray.get(call)
        except ray.exceptions.RayError as error:
            raise WorkerLostError(_first_line(error)) from None

    def cancel(self, call: Any) -> None:
        """Ends a call, and the worker it runs in."""
        import ray

        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            ray.cancel(call, force=True)

    def processors(self) -> int:
        """How many there are in the cluster, at least 1."""
        import ray

        resources: Any = ray.cluster_resources
        return max(1, int(resources().get("CPU", 1)))


class WorkerLostError(Exception):
    """A worker is gone, and what it was doing with it."""


class Hubs:
    """All hubs of a cluster, for who looks at them; see `watching`. Safe from many threads.

    Args:
        address: ``auto``, ``HOST:PORT`` of the cluster, or ``ray://HOST:PORT`` of Ray Client.

    Raises:
        HubUnavailableError: there is no such cluster, or it does not let us in; in words.
        ImportError: Ray is not installed, or what Ray Client needs; in words.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._lines: dict[str, _Line] = {}
        self._begun: dict[tuple[str, tuple[Any, ...]], Any] = {}
        self._mine = False
        self._connect()

    def names(self) -> list[str]:
        """All named actors of the fleet's namespace.

        Raises:
            HubUnavailableError: the cluster does not answer; the next call connects anew.
        """
        import ray

        self._connect()
        try:
            listed = ray.util.list_named_actors(all_namespaces=True)
        except Exception as error:  # Ray Client raises whatever its transport does
            self.close()
            raise HubUnavailableError(_first_line(error)) from None
        return [str(found["name"]) for found in listed if found["namespace"] == NAMESPACE]

    def ask(
        self, names: Sequence[str], timeout: float, *arguments: Any
    ) -> dict[str, bytes | HubUnavailableError]:
        """Looks at hubs, all at once: name → what `Hub.look` answers, or why there is nothing.

        A hub that has not answered yet is not asked again: it may hang for hours.
        """
        deadline = time.monotonic() + timeout
        found: dict[str, bytes | HubUnavailableError] = {}
        # Whoever closes meanwhile forgets lines and calls: what is needed here is kept here.
        calls = {}
        for name in names:
            line = self._lines.setdefault(name, _Line(name))
            try:
                begun = self._begun.pop((name, arguments), None)
                begun = line.begin("look", *arguments) if begun is None else begun
                calls[name] = line, begun
            except HubUnavailableError as error:
                found[name] = error
        for name, (line, begun) in calls.items():
            left = max(0.01, deadline - time.monotonic())
            try:
                found[name] = line.result(begun, left)
            except HubUnavailableError as error:
                found[name] = error
                if "GetTimeoutError" in str(error):
                    self._begun[name, arguments] = begun
        return found

    def close(self) -> None:
        """Leaves the cluster, if it was entered here."""
        import ray

        if self._mine:
            self._mine = False
            ray.shutdown()
        self._lines.clear()
        self._begun.clear()

    def _connect(self) -> None:
        try:
            import ray
        except ImportError:
            raise ImportError("a fleet needs Ray: pip install 'acumen[fleet]'") from None
        if ray.is_initialized():
            return
        if self._address.startswith("ray://") and importlib.util.find_spec("grpc") is None:
            raise ImportError("ray:// is Ray Client, which needs pip install 'ray[client]'")
        _reachable(self._address.removeprefix("ray://"))
        try:
            ray.init(
                self._address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR
            )
        # Whatever Ray or its transport raises here, there is no connection.
        except Exception as error:
            raise HubUnavailableError(_first_line(error)) from None
        self._mine = True


def _reachable(address: str) -> None:
    """Whether anybody listens there at all: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
        except OSError as error:
            raise HubUnavailableError(f"{address}: {error.strerror or error}") from None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def connect(address: str | None) -> None:
    """Connects to a cluster, unless this process is connected to one.

    Raises:
        ImportError, ConnectionError: as of `start_hub`.
    """
    import ray

    if not ray.is_initialized():
        ray.init(address=address or "auto", namespace=NAMESPACE, log_to_driver=False)
