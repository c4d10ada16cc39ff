"""An app that listens at a socket, and what labels its jobs in the place of the networks."""

from __future__ import annotations

import http.client
import json
import threading
import time
from urllib.parse import quote

import uvicorn

from skelact.pipeline.app.queue import JobQueue
from skelact.pipeline.app.security import Access
from skelact.pipeline.app.serve import listening, server_config
from skelact.pipeline.app.server import make_app
from skelact.pipeline.app.store import JobStore
from skelact.pipeline.app.uploads import UploadLimits

# Stands for the process that labels: it tells its steps and puts a report there that was made
# before. The name of a clip says what it does.
WORKER = """
import json, os, shutil, subprocess, sys, time
report, folder = sys.argv[1:]
job = json.load(open(os.path.join(folder, "job.json")))
def tell(**values):
    print(json.dumps(values), flush=True)
tell(frames_done=16, frames_total=60)
if "slow" in job["name"]:
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(os.path.join(folder, "helper.txt"), "w") as file:
        file.write(str(helper.pid))
    time.sleep(600)
if "crash" in job["name"]:
    os._exit(3)
if "failing" in job["name"]:
    tell(error="no person was found")
    sys.exit()
shutil.copytree(report, os.path.join(folder, "report"), dirs_exist_ok=True)
answer = dict(words="pull-up", confidence_words="likely", unknown=False)
text = open(os.path.join(report, "data", "index.js")).read()
index = json.loads(text[text.index(",") + 1 : text.rindex(")")])
tell(answer=dict(answer, notes_id=index["id"], error=None))
"""
LIMITS = UploadLimits(max_bytes=1_000_000, silence_seconds=1.0, total_seconds=4.0, max_at_once=3)


class Client:
    """Asks an app over its socket."""

    def __init__(self, host, port):
        self.host, self.port = host, port
        self.address = f"http://{host}:{port}"

    def ask(self, method, path, body=None, headers=None):
        """Return (status, headers, content) of one request."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def upload(self, name, content):
        """Upload a clip and return its job."""
        status, _, answer = self.ask("PUT", f"/api/jobs?name={quote(name)}", content)
        assert status == 201, answer
        return json.loads(answer)

    def jobs(self):
        """Return the jobs, by id."""
        status, _, answer = self.ask("GET", "/api/jobs")
        assert status == 200, answer
        return {job["id"]: job for job in json.loads(answer)["jobs"]}

    def wait(self, job_id, state, seconds=20):
        """Return a job when it has come to a state."""
        end = time.monotonic() + seconds
        while (job := self.jobs()[job_id])["state"] != state:
            assert time.monotonic() < end, job
            time.sleep(0.02)
        return job


class App:
    """An app that runs in a thread.

    Args:
        folder: Where its jobs are.
        worker: The command that labels.
        limits: What uploads may be.
        max_hours: How long a job may take.
        access: Gives who may ask, of a port; without it all of this machine may.
    """

    def __init__(self, folder, worker, limits=LIMITS, max_hours=1.0, access=None):
        self.folder = folder
        self.store = JobStore(folder)
        self.listener = listening("127.0.0.1", 0)
        port = self.listener.getsockname()[1]
        self.queue = JobQueue(self.store, worker, max_hours)
        self.access = access(port) if access else Access("127.0.0.1", port)
        self.server = uvicorn.Server(server_config(make_app(self.queue, self.access, limits)))
        self.client = Client("127.0.0.1", port)
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))

    def __enter__(self):
        self.thread.start()
        end = time.monotonic() + 20
        while not self.server.started:
            assert self.thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(20)
        self.listener.close()
        self.store.close()
        assert not self.thread.is_alive()
