"""The collector is paused in blocks that may overlap, and is afterwards as it was."""

from __future__ import annotations

import gc

import pytest

from skelact.pose_extract.common.collector import collector_paused


@pytest.fixture(autouse=True)
def enabled():
    gc.enable()
    yield
    gc.enable()


def test_it_is_paused_in_the_block_and_goes_on_afterwards():
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_an_error():
    with pytest.raises(ValueError, match="inside"), collector_paused():
        raise ValueError("inside")
    assert gc.isenabled()


def test_blocks_that_overlap_end_with_the_last():
    first, second = collector_paused(), collector_paused()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_one_that_was_off_stays_off():
    gc.disable()
    with collector_paused(), collector_paused():
        pass
    assert not gc.isenabled()


def test_what_was_made_in_the_block_is_old_afterwards():
    """The collector's next turn, of the young, does not look through it."""
    with collector_paused():
        made = [[] for _ in range(10_000)]
        is_young = len(gc.get_objects(0)) > len(made)
    assert is_young
    assert len(gc.get_objects(0)) < len(made)
    made.append(made)
    del made
    assert gc.collect() > 0  # it is no longer reached, and not kept


def test_what_the_program_froze_stays_frozen():
    gc.freeze()
    try:
        with collector_paused():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
