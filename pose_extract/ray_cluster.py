"""Nodes of a Ray cluster that extract clips for one process, the only one that writes.

    extract_clips -> a clip, when an actor is free -> Extractor on its node
        -> skeletons, state and hash of the video, sent back -> FolderRun here
        -> cache entry and line of the manifest

An actor is a process, on a processor with networks of its own; those of a node with GPUs share the
networks of another actor for each GPU. It sees the videos, under the same paths, and not
the output folder. An actor or node that dies costs the clips that it was in, which others do
again; nodes that join get actors.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from .. import SkelactError
from .common.device import default_threads
from .extract import Extractor, Progress
from .folder_run import FolderRun, ReadClip
from .nets.inference_client import InferenceLostError, ServerAddress
from .ray_node import NodeExtractor, NodeNetworks
from .sources import ClipSource
from .store.source_file import SourceError, check_can_be_read
from .tasks import SummedProgress, Task, TaskQueue

# A cluster is looked at for nodes that have joined so often.
_LOOK_SECONDS = 1.0
# A node on which so many actors in a row end before they begin gets no more.
_MOST_STILLBORN = 3
# Without any node the run waits so long for one to join.
_JOIN_SECONDS = 60.0
# What actors with a GPU run their networks on.
_GPU = "cuda"
# A node of a cluster that is there answers within milliseconds; Ray itself tries for minutes.
_CONNECT_SECONDS = 10.0


def check_ray(address: str, extractor: Extractor) -> None:
    """Check that clips can be extracted on a cluster, as far as it can be told without Ray.

    Raises:
        SkelactError: if they cannot.
    """
    if extractor.has_own_parts:
        raise SkelactError(
            "ray: expected none with a detector or pose model of your own, which other nodes do "
            f"not have, got {address!r}"
        )
    if extractor.config.device not in ("auto", "cpu", "cuda"):
        raise SkelactError(
            "device: expected auto, cpu or cuda with ray, which gives each process a GPU, got "
            f"{extractor.config.device!r}"
        )
    if importlib.util.find_spec("ray") is None:
        raise SkelactError("ray: expected the package ray, found none; pip install 'skelact[ray]'")
    if address in ("local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise SkelactError(f"ray: expected local, auto or HOST:PORT, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SkelactError(
            f"ray: nothing answers at {address}: {error}; `ray status` on a node of the cluster "
            "shows whether it runs, `ray start --head` starts one"
        ) from None


@dataclass(eq=False)
class _Process:
    """A process on a node.

    Attributes:
        handle: What Ray calls it by.
        node: Ray's id of its node.
        host: Name or address of its node.
    """

    handle: Any
    node: str
    host: str


@dataclass(eq=False)
class _Networks(_Process):
    """A process on a node that has a GPU, and runs the networks of others there.

    Attributes:
        address: Where it listens, once it does.
    """

    address: ServerAddress | None = None


@dataclass(eq=False)
class _Actor(_Process):
    """A process on a node that extracts clips.

    Attributes:
        networks: What runs its networks; None: it does.
        has_begun: Whether it is ready for clips.
        is_asked: Whether it is going to say how far it is.
    """

    networks: _Networks | None = None
    has_begun: bool = False
    is_asked: bool = False


class RayActors:
    """Processes on the nodes of a cluster that extract clips; a context that ends them.

    A node has an actor per ``num_threads`` of its CPUs, and one more per GPU, which runs their
    networks, unless the device is "cpu". Where networks cannot be shared, it has one per GPU.

    Args:
        address: "local" for a cluster on this machine that ends with the context; that of a
            cluster; or "auto" for the one of which this machine is a node.
        extractor: The chain from video to skeletons; each actor makes one of its class and config.
        run: The run over the output folder.
        most: At most this many actors; 0 for as many as there is room for.
        on_progress: Called while clips are read.
    """

    def __init__(
        self,
        address: str,
        extractor: Extractor,
        run: FolderRun,
        most: int,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._ray: Any = None
        self._address = address
        self._make = type(extractor)
        self._identity = extractor.identity()
        self._threads = extractor.config.num_threads or 1
        self._config = replace(extractor.config, num_threads=self._threads)
        self._run = run
        self._most = most
        self._is_watched = on_progress is not None
        self._progress = SummedProgress(on_progress)
        self._todo = TaskQueue([])
        # By Ray's reference of its answer: what was asked of which actor.
        self._asked: dict[Any, tuple[str, _Actor]] = {}
        # Likewise: whose networks are being loaded.
        self._loading: dict[Any, _Networks] = {}
        self._networks: set[_Networks] = set()
        self._actors: set[_Actor] = set()
        self._idle: set[_Actor] = set()
        self._working: dict[_Actor, Task] = {}
        self._num_begun: Counter[str] = Counter()
        self._num_stillborn: Counter[str] = Counter()
        self._why = ""
        self._next_look = 0.0
        # When the last actor ended; None while there are any.
        self._alone_since: float | None = -inf

    def __enter__(self) -> RayActors:
        # Its own types are not complete.
        ray: Any = importlib.import_module("ray")
        if ray.is_initialized():
            raise SkelactError(
                "ray: this process is connected to Ray already; ray.shutdown() ends that"
            )
        here: dict[str, Any] = {}
        if self._address == "local":
            cpus = (self._most or default_threads()) * self._threads
            here = {"num_cpus": cpus, "include_dashboard": False}
            # Else it would send what the machine is.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(
                address=self._address, log_to_driver=False, logging_level=logging.ERROR, **here
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise SkelactError(
                f"ray: no connection to {self._address}: {error}; this machine has to be a node of "
                "the cluster, with the same releases of Ray and Python"
            ) from error
        self._ray = ray
        return self

    def __exit__(self, *_: object) -> None:
        # With the connection end all actors.
        self._ray.shutdown()

    def run(self, tasks: Iterable[Task]) -> None:
        """Extract clips.

        Raises:
            SkelactError: if a node cannot work, such as for want of a network, or none is left.
        """
        self._todo = TaskQueue(tasks)
        while self._todo or self._working:
            self._look_at_nodes()
            for actor in list(self._idle):
                self._give(actor)
            waiting = [*self._asked, *self._loading]
            if not waiting:
                if self._todo:
                    time.sleep(_LOOK_SECONDS)
                continue
            ready, _ = self._ray.wait(waiting, timeout=_LOOK_SECONDS)
            if ready:  # all that are, at once: asking for one looks at all
                ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
            for answer in ready:
                if answer in self._loading:
                    self._take_networks(answer)
                else:
                    self._take(answer)

    def _take(self, answer: Any) -> None:
        """Take in what an actor answers."""
        what, actor = self._asked.pop(answer)
        if actor not in self._actors:
            return
        try:
            value = self._get(answer, actor.host)
        except (self._ray.exceptions.RayError, InferenceLostError) as error:
            if isinstance(error, InferenceLostError) and actor.networks is not None:
                self._bury_networks(actor.networks)
            self._bury(actor, error)
            return
        if what == "begin":
            self._begin(actor, value)
        elif what == "extract":
            read, progress = value
            del self._working[actor]
            self._give(actor)  # it works while the result is written
            self._tell(actor, progress)
            self.keep(read, actor.host)
        else:
            actor.is_asked = False
            if actor in self._working:
                if value is not None and value.clip == self._working[actor].clip:
                    self._tell(actor, value)
                self._watch(actor)

    def _get(self, answer: Any, host: str) -> Any:
        """Return what an actor answers; raise what is the fault of none of them as it is."""
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InferenceLostError):
                raise error.cause from None
            if isinstance(error.cause, SkelactError):
                raise SkelactError(f"node {host}: {error.cause}") from None
            raise error.cause from error

    def _take_networks(self, answer: Any) -> None:
        """Take in where networks that were loaded listen."""
        networks = self._loading.pop(answer)
        try:
            networks.address = self._get(answer, networks.host)
        except self._ray.exceptions.RayError as error:
            self._bury_networks(networks)
            self._note_stillborn(networks, error)
        self._next_look = 0.0

    def keep(self, read: ReadClip, host: str) -> None:
        """Write what came of a clip on a node.

        Raises:
            SkelactError: if the node does not see its video, and this machine does: all other
                clips would fail there, too, in no time.
        """
        error = read.result.error
        if type(error) is SourceError and read.state is None and _can_be_read(read.result.clip):
            raise SkelactError(
                f"node {host}: {error}, and this machine can read it; the videos have to lie under "
                "the same paths on each node"
            )
        self._run.keep(read)

    def _begin(self, actor: _Actor, identity: dict[str, Any]) -> None:
        if identity != self._identity:
            other = [name for name in self._identity if identity.get(name) != self._identity[name]]
            raise SkelactError(
                f"node {actor.host} would make other skeletons than this machine ("
                f"{', '.join(other)} differ); install the same release of skelact and the same "
                "weights there"
            )
        actor.has_begun = True
        self._num_begun[actor.node] += 1
        self._num_stillborn.pop(actor.node, None)
        self._give(actor)

    def _give(self, actor: _Actor) -> None:
        """Give an actor the next clip, or let it wait."""
        self._idle.discard(actor)
        # A clip that was lost on a node goes to another one, where there is any.
        avoid = actor.node if len(self._num_begun) > 1 else None
        while task := self._todo.take(actor, avoid):
            if self._run.is_to_do(task.clip, task.digest):
                self._working[actor] = task
                self._ask("extract", actor, task.clip)
                self._watch(actor)
                return
        self._idle.add(actor)

    def _watch(self, actor: _Actor) -> None:
        """Have an actor say how far it is, a while from now."""
        if self._is_watched and not actor.is_asked:
            actor.is_asked = True
            method = actor.handle.progress.options(concurrency_group="progress")
            self._asked[method.remote()] = "progress", actor

    def _ask(self, what: str, actor: _Actor, *args: Any) -> None:
        self._asked[getattr(actor.handle, what).remote(*args)] = what, actor

    def _tell(self, actor: _Actor, progress: Progress | None) -> None:
        if progress is not None:
            self._progress.tell(actor, progress)

    def _bury(self, actor: _Actor, error: Exception) -> None:
        """Take leave of an actor that has died, or whose node has."""
        self._actors.discard(actor)
        self._idle.discard(actor)
        self._progress.end(actor)
        self._todo.leave(actor)
        with suppress(Exception):  # one that Ray lost sight of, and may live
            self._ray.kill(actor.handle)
        if not actor.has_begun:
            if not isinstance(error, InferenceLostError):
                self._note_stillborn(actor, error)
            return
        self._num_begun -= Counter((actor.node,))
        lost = self._working.pop(actor, None)
        if lost is not None and not self._todo.give_back(lost, actor.node):
            self._run.keep_killed(lost.clip)

    def _bury_networks(self, networks: _Networks) -> None:
        """Take leave of networks whose process has died; their actors notice by themselves."""
        self._networks.discard(networks)
        with suppress(Exception):
            self._ray.kill(networks.handle)

    def _note_stillborn(self, actor: _Process, error: Exception) -> None:
        self._num_stillborn[actor.node] += 1
        self._why = f"{actor.host}: {error}"

    def _look_at_nodes(self) -> None:
        """Start actors where there is room, on nodes that have joined, too.

        Raises:
            SkelactError: if there is none.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        nodes = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        self._networks = {networks for networks in self._networks if networks.node in nodes}
        self._look_at_gpus(nodes)
        num_there = Counter(actor.node for actor in self._actors)
        places = [
            (i, name)
            for name, node in nodes.items()
            if self._num_stillborn[name] < _MOST_STILLBORN
            if not self._num_shared(node["Resources"]) or self._are_loaded(name)
            for i in range(num_there[name], self.room(node["Resources"]))
        ]
        most = len(self._todo) + len(self._working)
        missing = min(self._most or most, most) - len(self._actors)
        for _, name in sorted(places)[: max(0, missing)]:  # as many on each node
            self._start(name, nodes[name])
        if self._actors or self._loading:
            self._alone_since = None
        else:
            self._check_can_wait(now, nodes)

    def _check_can_wait(self, now: float, nodes: dict[str, dict[str, Any]]) -> None:
        """Without any actor, end the run where no node is going to carry one."""
        kept = "the clips that are done are kept, and the same command goes on"
        if any(self._num_stillborn[name] >= _MOST_STILLBORN for name in nodes):
            raise SkelactError(
                f"ray: processes end before they begin, on node {self._why}; skelact has to be "
                f"installed there; {kept}"
            )
        if self._alone_since is None:
            self._alone_since = now
        if now - self._alone_since > _JOIN_SECONDS:
            resources = [node["Resources"] for node in nodes.values()]
            rooms = [f"{node.get('CPU', 0):g} and {node.get('GPU', 0):g}" for node in resources]
            gpus = ", and a GPU" if self._config.device == "cuda" else ""
            raise SkelactError(
                f"ray: expected a node with {self._threads} CPUs (num_threads){gpus}, got nodes "
                f"with these CPUs and GPUs: {', '.join(rooms) or 'none'}; {kept}"
            )

    def room(self, resources: dict[str, float]) -> int:
        """Return how many actors that extract clips a node carries."""
        cpus = int(resources.get("CPU", 0) // self._threads)
        gpus = self._num_gpus(resources)
        if self._config.device == "cuda" and not gpus:
            return 0
        return min(cpus, gpus) if gpus and not self._config.can_share_networks else cpus

    def _num_gpus(self, resources: dict[str, float]) -> int:
        return 0 if self._config.device == "cpu" else int(resources.get("GPU", 0))

    def _num_shared(self, resources: dict[str, float]) -> int:
        """Return on how many GPUs of a node networks run that its actors share."""
        return self._num_gpus(resources) if self._config.can_share_networks else 0

    def _on_node(self, node: str) -> list[_Networks]:
        """Return the networks on the GPUs of a node."""
        return [networks for networks in self._networks if networks.node == node]

    def _are_loaded(self, node: str) -> bool:
        """Return whether the networks on all GPUs of a node can be shared: none is left out."""
        found = self._on_node(node)
        return bool(found) and all(networks.address is not None for networks in found)

    def _look_at_gpus(self, nodes: dict[str, dict[str, Any]]) -> None:
        """Have networks loaded on each GPU that has none."""
        for name, node in nodes.items():
            if self._num_stillborn[name] >= _MOST_STILLBORN or not self.room(node["Resources"]):
                continue
            for _ in range(len(self._on_node(name)), self._num_shared(node["Resources"])):
                config = replace(self._config, device=_GPU)
                remote = self._ray.remote(num_cpus=0, num_gpus=1, **_on(name))(NodeNetworks)
                networks = _Networks(
                    remote.remote(config, os.getcwd()), name, node["NodeManagerAddress"]
                )
                self._networks.add(networks)
                self._loading[networks.handle.load.remote()] = networks

    def _start(self, name: str, node: dict[str, Any]) -> None:
        """Start an actor on a node; where there are networks, it shares those that fewest do."""
        num_users = Counter(actor.networks for actor in self._actors)
        networks = min(self._on_node(name), key=lambda it: num_users[it], default=None)
        has_gpu = networks is None and self._num_gpus(node["Resources"]) > 0
        remote = self._ray.remote(
            num_cpus=self._threads,
            num_gpus=int(has_gpu),
            **_on(name),
            # What asks how far a clip is does not wait for it.
            concurrency_groups={"progress": 1},
        )(NodeExtractor)
        config = self._config
        if networks is None:
            config = replace(config, device=_GPU if has_gpu else "cpu")
        address = None if networks is None else networks.address
        handle = remote.remote(self._make, config, os.getcwd(), address)
        actor = _Actor(handle, name, node["NodeManagerAddress"], networks)
        self._actors.add(actor)
        self._ask("begin", actor)


def _on(node: str) -> dict[str, Any]:
    """Return the option of an actor that puts it on a node."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(node, soft=False)}


def _can_be_read(clip: ClipSource) -> bool:
    try:
        check_can_be_read(clip)
    except SourceError:
        return False
    return True
