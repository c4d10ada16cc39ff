"""Jobs: labelled one at a time, cancelled, deleted, labelled again; and over a restart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from skelact import SkelactError
from skelact.pipeline.app.job import Job
from skelact.pipeline.app.store import JobStore

from .running import App

NAME = "<img src=x>/../../пример.mp4"


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_an_upload_becomes_a_report_with_its_video(app, video):
    job = app.client.upload(NAME, video.read_bytes())
    assert (job["name"], job["state"]) == (NAME, "queued")
    done = app.client.wait(job["id"], "done")
    assert (done["words"], done["confidence_words"], done["error"]) == ("pull-up", "likely", None)
    status, headers, page = app.client.ask("GET", f"/jobs/{job['id']}/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.index(b"/page/job.js") < page.index(b"page/data.js")
    assert b"http-equiv" not in page
    video_path = f"/jobs/{job['id']}/video.mp4"
    _, headers, whole = app.client.ask("GET", video_path)
    assert headers["Accept-Ranges"] == "bytes"
    status, headers, part = app.client.ask("GET", video_path, headers={"Range": "bytes=10-19"})
    assert (status, part) == (206, whole[10:20])
    assert headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    for name in ("page/main.js", "data/index.js", "data/frames-0000.js", "page/report.css"):
        assert app.client.ask("GET", f"/jobs/{job['id']}/{name}")[0] == 200


def test_nothing_but_a_report_is_served_of_a_job(app, video):
    job = app.client.upload("a.mp4", video.read_bytes())
    app.client.wait(job["id"], "done")
    for name in (
        "../job.json", "..%2fjob.json", "data/..%2f..%2fjob.json", "report-files.json", "log.txt",
        "/etc/passwd", "%2fetc%2fpasswd", "data/", "page", "data/none.js", "video.mp4%00.js",
        "clip", "../clip",
    ):  # fmt: skip
        assert app.client.ask("GET", f"/jobs/{job['id']}/{name}")[0] == 404, name


def test_jobs_run_one_at_a_time_in_order_and_say_how_far_they_are(app, video):
    first = app.client.upload("slow.mp4", video.read_bytes())["id"]
    second = app.client.upload("b.mp4", video.read_bytes())["id"]
    app.client.wait(first, "running")
    wait_until(lambda: app.client.jobs()[first]["progress"])
    assert app.client.jobs()[first]["progress"] == {"frames_done": 16, "frames_total": 60}
    assert app.client.jobs()[second]["state"] == "queued"
    assert app.client.ask("GET", f"/jobs/{first}/")[0] == 404  # there is no report yet
    assert app.client.ask("POST", f"/api/jobs/{first}/cancel")[0] == 200
    app.client.wait(second, "done")
    assert app.client.jobs()[first]["state"] == "cancelled"
    assert app.client.ask("POST", f"/api/jobs/{first}/cancel")[0] == 409


def test_a_job_that_is_queued_can_be_cancelled_and_queued_anew(app, video):
    first = app.client.upload("slow.mp4", video.read_bytes())["id"]
    second = app.client.upload("b.mp4", video.read_bytes())["id"]
    app.client.ask("POST", f"/api/jobs/{second}/cancel")
    app.client.ask("POST", f"/api/jobs/{first}/cancel")
    assert app.client.ask("POST", f"/api/jobs/{second}/retry")[0] == 200
    app.client.wait(second, "done")
    assert app.client.ask("POST", f"/api/jobs/{second}/retry")[0] == 409


@pytest.mark.parametrize(
    ("name", "error"), [("crash.mp4", "exit code 3"), ("failing.mp4", "no person was found")]
)
def test_a_job_that_fails_says_why_and_stops_no_other(app, video, name, error):
    failing = app.client.upload(name, video.read_bytes())["id"]
    good = app.client.upload("b.mp4", video.read_bytes())["id"]
    assert error in app.client.wait(failing, "failed")["error"]
    app.client.wait(good, "done")


@pytest.mark.parametrize("name", ["a.mp4", "slow.mp4"])
def test_all_of_a_job_can_be_deleted_also_while_it_runs(app, video, name):
    job = app.client.upload(name, video.read_bytes())["id"]
    app.client.wait(job, "running" if name == "slow.mp4" else "done")
    assert app.client.ask("DELETE", f"/api/jobs/{job}")[0] == 204
    assert files(app.folder) == ["skelact-app.lock"]
    assert app.client.jobs() == {}
    assert app.client.ask("DELETE", f"/api/jobs/{job}")[0] == 404
    assert app.client.ask("GET", f"/jobs/{job}/")[0] == 404


def test_another_person_becomes_the_athlete_of_a_new_job(app, video):
    job = app.client.upload("a.mp4", video.read_bytes())["id"]
    app.client.wait(job, "done")
    status, _, answer = app.client.ask("POST", f"/api/jobs/{job}/people/1/again")
    assert status == 201, answer
    again = json.loads(answer)["id"]
    assert app.client.wait(again, "done")["person"] == 2
    kept = json.loads((app.folder / "jobs" / again / "job.json").read_text())
    # The second person is first seen in frame 10.
    assert kept["start_frame"] == 10
    box = [float(side) for side in kept["subject"].split(",")]
    person = app.store.folder_of(job) / "report" / "data" / "index.js"
    assert f'"subject":"{kept["subject"]}"' in person.read_text()
    assert box[0] < box[2]
    assert box[1] < box[3]
    # The clip of each is deleted by itself.
    app.client.ask("DELETE", f"/api/jobs/{job}")
    assert (app.folder / "jobs" / again / "clip").read_bytes() == video.read_bytes()


def test_a_person_who_is_not_there_is_refused(app, video):
    job = app.client.upload("a.mp4", video.read_bytes())["id"]
    app.client.wait(job, "done")
    for person in ("2", "-1", "1.0", "01", "x", "%00", "%2e%2e", "9" * 5000):
        status, _, answer = app.client.ask("POST", f"/api/jobs/{job}/people/{person}/again")
        assert status == 404, person
        assert "person" in json.loads(answer)["error"]
    assert len(app.client.jobs()) == 1


def test_jobs_survive_a_restart(tmp_path, worker, video):
    with App(tmp_path, worker) as app:
        done = app.client.upload("a.mp4", video.read_bytes())["id"]
        app.client.wait(done, "done")
        running = app.client.upload("slow.mp4", video.read_bytes())["id"]
        waiting = app.client.upload("b.mp4", video.read_bytes())["id"]
        app.client.wait(running, "running")
    kept = json.loads((tmp_path / "jobs" / running / "job.json").read_text())
    assert (kept["state"], kept["num_starts"]) == ("queued", 0)
    with App(tmp_path, worker) as app:
        app.client.wait(running, "running")
        assert app.client.jobs()[waiting]["state"] == "queued"
        assert app.client.ask("GET", f"/jobs/{done}/")[0] == 200
        app.client.ask("POST", f"/api/jobs/{running}/cancel")
        app.client.wait(waiting, "done")


def test_a_job_that_brings_the_app_down_again_and_again_is_given_up(tmp_path, worker, video):
    """Nothing is written when an app is killed: the job is left running."""
    store = JobStore(tmp_path)
    jobs = [Job.new(name) for name in ("slow twice.mp4", "slow thrice.mp4")]
    for job, num_starts in zip(jobs, (2, 3)):
        with store.new_file() as path:
            path.write_bytes(video.read_bytes())
            store.take(job, path)
        store.save(Job(**{**job.to_dict(), "state": "running", "num_starts": num_starts}))
    (tmp_path / "jobs" / "thesis").mkdir()
    (tmp_path / "scratch" / "leftover").write_text("half an upload")
    store.close()
    with App(tmp_path, worker) as app:
        app.client.wait(jobs[0].id, "running")
        assert "ended 3 times" in app.client.wait(jobs[1].id, "failed")["error"]
        assert ["thesis" in complaint for complaint in app.queue.complaints] == [True]
        assert files(tmp_path / "scratch") == []
    assert (tmp_path / "jobs" / "thesis").is_dir()


def test_a_folder_has_one_app(app):
    with pytest.raises(SkelactError, match="used by another app"):
        JobStore(app.folder)


def test_a_folder_with_other_files_stays_as_it_is(tmp_path):
    """A folder named scratch may be anybody's."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "thesis.txt").write_text("ten years of work")
    with pytest.raises(SkelactError, match="holds other files"):
        JobStore(tmp_path)
    assert files(tmp_path) == ["scratch/thesis.txt"]
    (tmp_path / "file").touch()
    with pytest.raises(SkelactError, match="cannot be used"):
        JobStore(tmp_path / "file")


def test_a_job_that_takes_too_long_fails_and_the_next_one_begins(tmp_path, worker, video):
    with App(tmp_path / "app", worker, max_hours=1 / 3600) as app:
        slow = app.client.upload("slow.mp4", video.read_bytes())["id"]
        good = app.client.upload("b.mp4", video.read_bytes())["id"]
        app.client.wait(good, "done")
        assert "--max-hours" in app.client.jobs()[slow]["error"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_all_processes_of_a_job_end_with_it(app, video, method):
    job = app.client.upload("slow.mp4", video.read_bytes())["id"]
    started = app.store.folder_of(job) / "helper.txt"
    wait_until(lambda: started.exists() and started.read_text())
    helper = int(started.read_text())
    assert is_alive(helper)
    cancel = "/cancel" if method == "POST" else ""
    assert app.client.ask(method, f"/api/jobs/{job}{cancel}")[0] < 300
    wait_until(lambda: not is_alive(helper))


def test_what_one_tab_deletes_no_other_one_begins_anew(app, video):
    job = app.client.upload("slow.mp4", video.read_bytes())["id"]
    app.client.wait(job, "running")
    with ThreadPoolExecutor(3) as tabs:
        asked = [
            tabs.submit(app.client.ask, method, f"/api/jobs/{job}{path}")
            for method, path in (("DELETE", ""), ("POST", "/retry"), ("DELETE", ""))
        ]
        statuses = [answer.result()[0] for answer in asked]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 404, 409}
    assert files(app.folder) == ["skelact-app.lock"]


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_what_labels_ends_with_an_app_that_is_killed(tmp_path, video):
    """The process that labels waits for the end of its input, which the app holds."""
    code = (
        "import os, subprocess, sys, threading, time\n"
        "from skelact.pipeline.app.work import end_with\n"
        "threading.Thread(target=end_with, args=(sys.stdin,), daemon=True).start()\n"
        "helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(helper.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    helper = int(child.stdout.readline())
    child.stdin.close()
    assert child.wait(20) != 0
    child.stdout.close()
    wait_until(lambda: not is_alive(helper))


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(pid):
    """Return whether a process runs; one that nobody waits for stays as a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
