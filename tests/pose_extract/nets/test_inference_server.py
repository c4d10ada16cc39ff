"""Several clients share networks: who is run together, and whose failure is whose."""

from __future__ import annotations

import gc
import threading
import weakref
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener

import numpy as np
import pytest
import torch

from skelact import SkelactError
from skelact.pose_extract.nets.engine_choice import LocalEngines, ServedEngines, engine_key
from skelact.pose_extract.nets.engines import EngineOptions, ImageNetwork
from skelact.pose_extract.nets.inference_client import (
    InferenceLostError,
    RemoteEngines,
    ServerAddress,
)
from skelact.pose_extract.nets.inference_server import InferenceServer

KEY = b"a key of this test"


class Brightness:
    """Gives each image's mean, and its number in the batch; fails for white ones."""

    name = "brightness"

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        if (images == 255).all(axis=(1, 2, 3)).any():
            raise RuntimeError("out of memory\nin kernel 7")
        means = images.mean(axis=(1, 2, 3), dtype=np.float32)
        return [means, np.arange(len(images), dtype=np.float32)[:, None]]


class Beside(Brightness):
    """The same, beside what asks: white images fail when they are started, grey ones of 254 when
    they are waited for. ``log`` has the images of each batch that started, and, negative, ended.
    """

    def __init__(self):
        super().__init__()
        self.log = []

    def start(self, images):
        self.log.append(len(images))
        outputs = self(images)

        def wait():
            self.log.append(-len(images))
            if (images == 254).all(axis=(1, 2, 3)).any():
                raise RuntimeError("unspecified launch failure")
            return outputs

        return wait


def images(count, grey, side=4):
    return np.full((count, side, side, 3), grey, np.uint8)


@pytest.fixture
def engine():
    return Brightness()


@pytest.fixture
def server(engine):
    return InferenceServer({"a": engine, "b": Brightness()}, "cuda:1", "a GPU", batch_size=8)


def test_requests_that_wait_are_one_batch_and_each_gets_its_own(server, engine):
    asked = [server.submit("a", images(count, 10 * count)) for count in (1, 3, 2)]
    server.run_batch()
    assert engine.batches == [6]
    for count, found in zip((1, 3, 2), asked):
        means, numbers = found.result(0)
        np.testing.assert_array_equal(means, np.full(count, 10.0 * count))
        assert numbers.shape == (count, 1)
    assert [found.result(0)[1][0, 0] for found in asked] == [0, 1, 4]


def test_a_batch_is_of_one_network_and_size_of_image_and_no_larger_than_it_may_be(server, engine):
    asked = [
        server.submit("a", images(6, 1)),
        server.submit("b", images(1, 2)),
        server.submit("a", images(1, 3, side=8)),
        server.submit("a", images(3, 4)),
        server.submit("a", images(2, 5)),
        server.submit("a", images(20, 6)),
    ]
    for done in range(1, 6):
        server.run_batch()
        assert sum(found.done() for found in asked) == done + 1, "the first goes with the fifth"
    assert engine.batches == [8, 1, 3, 20]
    assert [found.result(0)[0][0] for found in asked] == [1, 2, 3, 4, 5, 6]


def test_who_fails_fails_alone(server, engine):
    good, bad, other = (server.submit("a", images(1, grey)) for grey in (1, 255, 2))
    server.run_batch()
    assert engine.batches == [3, 1, 1, 1]
    assert (good.result(0)[0][0], other.result(0)[0][0]) == (1, 2)
    with pytest.raises(RuntimeError, match="out of memory"):
        bad.result(0)


@pytest.fixture
def beside():
    return Beside()


@pytest.fixture
def gpu_server(beside):
    return InferenceServer({"a": beside}, "cuda:1", "a GPU", batch_size=8)


def test_a_full_batch_is_started_before_the_one_that_runs_is_waited_for(gpu_server, beside):
    first = gpu_server.submit("a", images(2, 1))
    running = gpu_server.step(None)
    assert not first.done()
    full = [gpu_server.submit("a", images(count, 10 * count)) for count in (3, 5)]
    running = gpu_server.step(running)
    assert beside.log == [2, 8, -2]
    assert first.result(0)[0].tolist() == [1, 1]
    assert not any(found.done() for found in full)
    last = gpu_server.submit("a", images(7, 2))  # more may come that would go with them
    assert gpu_server.step(running) is None
    assert beside.log == [2, 8, -2, -8]
    assert [found.result(0)[0][0] for found in full] == [30, 50]
    assert not last.done()
    gpu_server.run_batch()
    assert beside.log == [2, 8, -2, -8, 7, -7]
    assert last.result(0)[0].tolist() == [2] * 7


def test_who_fails_beside_fails_alone_whenever_it_does(gpu_server, beside):
    asked = [gpu_server.submit("a", images(1, grey)) for grey in (1, 254, 2)]
    gpu_server.run_batch()
    assert beside.log == [3, -3, 1, -1, 1, -1, 1, -1]
    asked += [gpu_server.submit("a", images(1, grey)) for grey in (255, 3)]
    gpu_server.run_batch()
    assert [found.result(0)[0][0] for found in (asked[0], asked[2], asked[4])] == [1, 2, 3]
    for found, why in ((asked[1], "launch failure"), (asked[3], "out of memory")):
        with pytest.raises(RuntimeError, match=why):
            found.result(0)


def test_a_gpu_that_fails_ends_the_server(gpu_server, beside, monkeypatch):
    def fails(images):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(beside, "start", fails)
    gpu_server.submit("a", images(1, 1))
    with pytest.raises(torch.AcceleratorError):
        gpu_server.run_batch()


def test_a_failure_holds_nothing_of_the_network(server, engine, monkeypatch):
    """Its frames would hold all that was computed, while each request is run again alone."""
    held = []

    def fails(images):
        computed = np.zeros(len(images))
        held.append(weakref.ref(computed))
        assert sum(one() is not None for one in held) == 1
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Brightness, "__call__", lambda self, images: fails(images))
    asked = [server.submit("a", images(1, 1)) for _ in range(3)]
    gc.disable()
    try:
        server.run_batch()
    finally:
        gc.enable()
    assert len(held) == 4
    assert all(str(found.exception(0)) == "out of memory" for found in asked)


@pytest.fixture(params=["server", "gpu_server"])
def address(request):
    """Where a server listens, in a thread of this process."""
    server = request.getfixturevalue(request.param)
    listener = Listener(authkey=KEY)
    threading.Thread(target=server.serve, args=(listener,), daemon=True).start()
    yield ServerAddress(listener.address, KEY)
    listener.close()


def test_clients_are_answered_side_by_side(address):
    clients = [RemoteEngines(address) for _ in range(3)]
    assert str(clients[0].device(EngineOptions(device="cpu"))) == "cuda:1", "of the server"
    assert clients[0].device_name(EngineOptions()) == "a GPU"
    found = {}

    def ask(client, grey):
        found[grey] = [client.run("a", images(2, grey + i)) for i in range(20)]

    threads = [
        threading.Thread(target=ask, args=(client, grey))
        for client, grey in zip(clients, (0, 50, 100))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for grey, outputs in found.items():
        assert [means.tolist() for means, _ in outputs] == [[grey + i] * 2 for i in range(20)]
    assert len(found) == 3


def test_a_client_is_told_of_its_own_failure_and_goes_on(address):
    client = RemoteEngines(address)
    with pytest.raises(SkelactError, match="the network fails: out of memory in kernel 7"):
        client.run("a", images(1, 255))
    with pytest.raises(SkelactError, match="the network fails: 'another'"):
        client.run("another", images(1, 1))
    assert client.run("a", images(1, 9))[0] == 9


def test_who_does_not_know_the_key_is_not_let_in_and_disturbs_nobody(address):
    with pytest.raises(AuthenticationError):
        RemoteEngines(ServerAddress(address.path, b"another"))
    assert RemoteEngines(address).run("a", images(1, 9))[0] == 9


def test_where_nothing_listens_that_is_said(tmp_path):
    with pytest.raises(InferenceLostError, match="the process that runs the networks has ended"):
        RemoteEngines(ServerAddress(str(tmp_path / "none"), KEY))


def network(scale=1.0):
    return ImageNetwork(lambda x: scale * x.mean(dim=(2, 3)), [0] * 3, [1] * 3, input_hw=(4, 4))


def test_remote_networks_are_those_of_the_server_or_refused():
    options = EngineOptions("pytorch", device="cpu", num_threads=1)
    mine = network()
    mine.register_buffer("weight", mine.mean + 1)
    served = ServedEngines()
    local = served.engine(mine, options)
    assert served.engine(mine, EngineOptions("pytorch", device="cpu", num_threads=2)) is local
    assert list(served.engines) == [engine_key(mine, options)]
    server = InferenceServer(served.engines, "cpu", LocalEngines().device_name(options), 8)
    with Listener(authkey=KEY) as listener:
        threading.Thread(target=server.serve, args=(listener,), daemon=True).start()
        remote = RemoteEngines(ServerAddress(listener.address, KEY))
        engine = remote.engine(mine, options)
        given = mine.example(3)
        np.testing.assert_array_equal(engine(given)[0], local(given)[0])
        assert (engine.name, remote.is_local) == ("pytorch", False)
        mine.weight += 1
        with pytest.raises(SkelactError, match="other weights"):
            remote.engine(mine, options)
