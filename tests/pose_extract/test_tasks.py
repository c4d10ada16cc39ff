"""Who gets which clip, and how far several processes are."""

from __future__ import annotations

from pathlib import Path

import pytest

from skelact import SkelactError
from skelact.pose_extract.extract import Progress
from skelact.pose_extract.sources import ClipSource
from skelact.pose_extract.tasks import SummedProgress, Task, TaskQueue, sendable


@pytest.fixture
def tasks():
    return [Task(ClipSource(Path(name), name), None, None) for name in ("a", "b", "c")]


def test_a_clip_that_was_lost_comes_once_more_at_the_end(tasks):
    queue = TaskQueue(tasks)
    a = queue.take()
    assert a == tasks[0]
    assert queue.give_back(a)
    assert [queue.take() for _ in range(4)] == [tasks[1], tasks[2], a, None]
    assert not queue.give_back(a)
    assert len(queue) == 0


def test_a_clip_that_was_lost_on_a_node_is_left_to_others(tasks):
    queue = TaskQueue(tasks[:2])
    a, b = queue.take("first"), queue.take("second")
    assert queue.give_back(a, "first")
    assert queue.give_back(b, "second")
    assert queue.take("first") == b
    assert queue.take("first") is None
    assert len(queue) == 1
    assert queue.take() == a


def test_people_are_counted_over_all_processes_those_that_ended_too(tasks):
    told = []
    progress = SummedProgress(told.append)

    def tell(process, people):
        progress.tell(process, Progress(tasks[0].clip, 1, None, people))

    tell("first", 5)
    tell("second", 2)
    progress.end("first")
    tell("second", 3)
    tell("third", 4)
    assert [one.people_done for one in told] == [5, 7, 8, 12]


def test_an_error_that_other_processes_cannot_read_keeps_its_text():
    class Local(Exception):
        pass

    assert repr(sendable(Local("why"))) == repr(SkelactError("why"))
    kept = sendable(ValueError("why"))
    assert (type(kept), str(kept)) == (ValueError, "why")
