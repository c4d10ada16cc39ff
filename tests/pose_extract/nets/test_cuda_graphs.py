"""Graphs of networks: the network's own outputs, whatever a capture does.

CUDA graphs need a GPU (tests/pose_extract/test_cuda.py). Here a capture with the same contract
runs the network anew at each replay: it reads and writes what it holds, and nothing else.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from skelact.pose_extract.nets import cuda_graphs
from skelact.pose_extract.nets.cuda_graphs import BATCH_SIZES, CapturedGraph, GraphedNetwork


class Network:
    """Two outputs of images."""

    def __call__(self, images):
        values = images.float()
        return [values.mean(dim=(1, 2, 3)), values[..., 0] - values[..., 2]]


class Capture:
    """Captures by running the network again; ``spoil`` changes what a replay writes."""

    def __init__(self, spoil=0.0):
        self.shapes = []
        self.replays = 0
        self._spoil = spoil

    def __call__(self, run, images):
        self.shapes.append(tuple(images.shape))
        held = images.clone()
        outputs = [torch.full_like(output, torch.nan) for output in run(held)]

        def replay():
            self.replays += 1
            for output, value in zip(outputs, run(held)):
                output.copy_(value + self._spoil)

        return CapturedGraph(held, outputs, replay)


def some_images(count, seed=0, height=6):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(256, size=(count, height, 4, 3), dtype=np.uint8))


def assert_right(found, images):
    for mine, theirs in zip(found, Network()(images), strict=True):
        assert torch.equal(mine, theirs)


def test_a_shape_that_comes_again_is_captured_once_and_replayed():
    capture = Capture()
    network = GraphedNetwork(Network(), capture)
    for seed in range(4):
        images = some_images(5, seed)
        assert_right(network(images), images)
    assert capture.shapes == [(6, 6, 4, 3)]
    assert capture.replays == 4  # from the second call on, and once to compare
    images = some_images(6, 9)  # the same size of batch
    assert_right(network(images), images)
    assert capture.replays == 5


@pytest.mark.parametrize("count", [1, 2, 5, 7, 33, 128])
def test_each_count_has_its_own_outputs(count):
    network = GraphedNetwork(Network(), Capture())
    kept = []
    for seed in range(3):
        images = some_images(count, seed)
        kept.append((network(images), images))
    for found, images in kept:  # later calls have not written into earlier outputs
        assert_right(found, images)


def test_at_most_half_of_a_batch_is_computed_in_vain():
    for before, size in itertools.pairwise(BATCH_SIZES):
        assert size <= 1.5 * (before + 1)


def test_larger_batches_and_empty_ones_are_run_as_they_come():
    capture = Capture()
    network = GraphedNetwork(Network(), capture)
    for count in (BATCH_SIZES[-1] + 1, 0):
        for seed in range(3):
            images = some_images(count, seed)
            assert_right(network(images), images)
    assert capture.shapes == []


def test_no_more_shapes_are_captured_than_memory_is_meant_for(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "MOST_GRAPHS", 2)
    capture = Capture()
    network = GraphedNetwork(Network(), capture)
    for height in (4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7):
        images = some_images(3, height, height)
        assert_right(network(images), images)
    assert [shape[1] for shape in capture.shapes] == [4, 5]


def test_outputs_that_are_no_numbers_are_compared_too():
    def overflows(images):
        found = images.float()
        found[0, 0] = torch.nan
        found[0, 1] = torch.inf
        return [found]

    capture = Capture()
    network = GraphedNetwork(overflows, capture)
    for _ in range(3):
        (found,) = network(some_images(2))
        assert torch.equal(found.isnan(), overflows(some_images(2))[0].isnan())
    assert capture.replays == 3


@pytest.mark.parametrize("spoil", [9.0, float("nan"), float("inf")])
def test_a_graph_with_other_outputs_is_never_used(spoil):
    capture = Capture(spoil)
    network = GraphedNetwork(Network(), capture)
    for count in (2, 3):
        for seed in range(4):
            images = some_images(count, seed)
            assert_right(network(images), images)
    assert len(capture.shapes) == capture.replays == 1  # that of the comparison


def test_a_network_that_cannot_be_captured_runs_as_it_is(caplog):
    def capture(run, images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    network = GraphedNetwork(Network(), capture)
    for seed in range(4):
        images = some_images(2, seed)
        assert_right(network(images), images)
    assert caplog.text.count("without CUDA graphs from now on: CUDA out of memory") == 1


def test_where_memory_is_short_graphs_give_theirs_back(caplog):
    class Short(Network):
        fails = 0

        def __call__(self, images):
            if self.fails:
                self.fails -= 1
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return super().__call__(images)

    run, capture = Short(), Capture()
    network = GraphedNetwork(run, capture)
    for _ in range(3):
        network(some_images(2))
    assert len(network._graphs) == 1
    run.fails = 1
    for seed in range(3):  # of a larger size, then of the one that was captured
        images = some_images(9 if seed == 0 else 2, seed)
        assert_right(network(images), images)
    assert not network._graphs
    assert "without CUDA graphs from now on: memory is short" in caplog.text
    run.fails = 1
    with pytest.raises(torch.cuda.OutOfMemoryError):  # nothing is left to give back
        network(some_images(2))


def test_an_error_of_the_network_itself_is_told():
    def fails(images):
        raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer"):
        GraphedNetwork(fails, Capture())(some_images(2))


def test_threads_do_not_mix_their_images():
    network = GraphedNetwork(Network(), Capture())

    def run(seed):
        images = some_images(1 + seed % 8, seed)
        return network(images), images

    with ThreadPoolExecutor(8) as pool:
        for found, images in pool.map(run, range(200)):
            assert_right(found, images)
