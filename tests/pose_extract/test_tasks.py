"""Who gets which clip, and how far several processes are."""

from __future__ import annotations

from pathlib import Path

import pytest

from skelact import SkelactError
from skelact.pose_extract.extract import Progress
from skelact.pose_extract.sources import ClipSource
from skelact.pose_extract.tasks import SummedProgress, Task, TaskQueue, by_file, sendable


@pytest.fixture
def tasks():
    return [Task(ClipSource(Path(name), name), None, None) for name in ("a", "b", "c")]


def test_a_clip_that_was_lost_comes_once_more_at_the_end(tasks):
    queue = TaskQueue(tasks)
    a = queue.take("one")
    assert a == tasks[0]
    assert queue.give_back(a)
    assert [queue.take("one") for _ in range(4)] == [tasks[1], tasks[2], a, None]
    assert not queue.give_back(a)
    assert len(queue) == 0


def test_a_clip_that_was_lost_on_a_node_is_left_to_others(tasks):
    queue = TaskQueue(tasks[:2])
    a, b = queue.take(1, "first"), queue.take(2, "second")
    assert queue.give_back(a, "first")
    assert queue.give_back(b, "second")
    assert queue.take(1, "first") == b
    assert queue.take(1, "first") is None
    assert len(queue) == 1
    assert queue.take(3) == a


def cut(name, start):
    return ClipSource(f"{name}.mp4", f"{name}{start}", start_frame=start, end_frame=start + 10)


def queue(*names, last=()):
    clips = [cut(name[0], int(name[1:])) for name in names]
    return TaskQueue([Task(clip, None, None, clip.clip_id in last) for clip in clips])


def taken(tasks, *workers):
    found = [tasks.take(worker) for worker in workers]
    return [task and task.clip.clip_id for task in found]


def test_cuts_of_one_file_come_together_from_its_start_on():
    clips = [cut("b", 40), cut("a", 10), cut("b", 0), ClipSource("c.mp4", "c"), cut("a", 5)]
    assert [clip.clip_id for clip in by_file(clips)] == ["b0", "b40", "a5", "a10", "c"]
    seconds = [ClipSource("a.mp4", f"{s}", start_seconds=s, end_seconds=9) for s in (3, 1.5, 0.25)]
    assert [clip.clip_id for clip in by_file(seconds)] == ["0.25", "1.5", "3"]
    # Whole files stay in their order.
    whole = [ClipSource(f"{name}.mp4", name) for name in "bca"]
    assert by_file(whole) == whole


def test_a_worker_goes_on_with_its_file():
    tasks = queue("a0", "a1", "b0", "b1", "c0")
    assert len(tasks) == 5
    assert taken(tasks, 1, 2, 2, 1) == ["a0", "b0", "b1", "a1"]
    assert len(tasks) == 1
    assert taken(tasks, 1, 2) == ["c0", None]
    assert len(tasks) == 0


def test_workers_share_a_file_where_there_is_no_other():
    tasks = queue("a0", "a1", "a2", "a3", "a4", "a5")
    # The first one has a1 to a5 before it: the second takes the later three of them.
    assert taken(tasks, 1, 2, 1, 2, 1) == ["a0", "a3", "a1", "a4", "a2"]
    # One is left, and whoever comes first takes it.
    assert taken(tasks, 3, 1, 2) == ["a5", None, None]


def test_what_an_ended_worker_leaves_is_next_and_what_it_was_killed_in_last():
    tasks = queue("a0", "a1", "b0", "b1", "c0", "d0", last=["c0"])
    assert taken(tasks, 1) == ["a0"]
    lost = tasks.take(2)
    assert lost.clip.clip_id == "b0"
    tasks.leave(2)
    tasks.leave(2)
    assert tasks.give_back(lost)
    assert len(tasks) == 5
    assert taken(tasks, 3, 3, 3, 1, 1, 3) == ["b1", "d0", "a1", "c0", "b0", None]


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
