"""The routes of the app: the start page, uploads, jobs, and the report of each job that is done."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ... import SkelactError, __version__
from ...pose_extract.common.text import one_line
from ..report.write import PAGE_FOLDER, PAGE_NAME, VIDEO_NAME, read_index
from .job import Job
from .queue import JobQueue
from .security import Access, Guard
from .store import report_path
from .uploads import RefusedError, UploadLimits, Uploads

_START_FOLDER = Path(__file__).parent / "page"
_START_PAGE = "start.html"
# Of the report's page the start page takes the look and the texts.
_SHARED_FILES = ("report.css", "text.js")
# All other names of a report: scripts, styles and data, one folder deep.
_REPORT_FILE = re.compile(r"(?:page|data)/[a-z0-9-]+\.(?:js|css)")
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".mp4": "video/mp4"}
# The policy of a page that is opened from the disk; here the server's own stands in its place.
_DISK_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n')
_FIRST_SCRIPT = '<script src="page/data.js" defer></script>\n'
_JOB_SCRIPTS = "".join(
    f'<script src="/page/{name}" defer></script>\n' for name in ("server.js", "job.js")
)


def make_app(queue: JobQueue, access: Access, limits: UploadLimits) -> ASGIApp:
    """Return the app; while it runs, it labels the jobs of a queue.

    Args:
        queue: The jobs.
        access: Who may ask.
        limits: What uploads may be.
    """
    routes = _Routes(queue, Uploads(queue, limits))
    app = Starlette(
        routes=[
            Route("/", routes.start_page),
            Route("/page/{name}", routes.page_file),
            Route("/api/jobs", routes.jobs, methods=["GET"]),
            Route("/api/jobs", routes.upload, methods=["PUT"]),
            Route("/api/jobs/{id}", routes.delete, methods=["DELETE"]),
            Route("/api/jobs/{id}/cancel", routes.cancel, methods=["POST"]),
            Route("/api/jobs/{id}/retry", routes.retry, methods=["POST"]),
            Route("/api/jobs/{id}/people/{person}/again", routes.label_again, methods=["POST"]),
            Route("/jobs/{id}/", routes.report_page),
            Route("/jobs/{id}/{path:path}", routes.report_file),
        ],
        exception_handlers={
            SkelactError: _refusal,
            ClientDisconnect: _refusal,  # the client has gone
            OSError: _disk_error,
        },
        lifespan=_labelling(queue),
    )
    # Around all of it: answers to what fails have the policy, too.
    return Guard(app, access)


def _labelling(queue: JobQueue) -> Any:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        labelling = asyncio.create_task(queue.run())
        try:
            yield
        finally:
            labelling.cancel()
            with suppress(asyncio.CancelledError):
                await labelling

    return lifespan


class _Routes:
    """Answers requests.

    Args:
        queue: The jobs.
        uploads: Takes clips into it.
    """

    def __init__(self, queue: JobQueue, uploads: Uploads) -> None:
        self._queue, self._uploads = queue, uploads
        # By name: what a request asks for is never a path.
        self._page_files = {
            path.name: path
            for path in (*_START_FOLDER.iterdir(), *(PAGE_FOLDER / name for name in _SHARED_FILES))
            if path.suffix in (".js", ".css")
        }

    async def start_page(self, request: Request) -> Response:
        return _file(_START_FOLDER / _START_PAGE)

    async def page_file(self, request: Request) -> Response:
        path = self._page_files.get(request.path_params["name"])
        if path is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _file(path)

    async def jobs(self, request: Request) -> Response:
        return JSONResponse(
            {
                "program": f"skelact {__version__}",
                "max_bytes": self._uploads.limits.max_bytes,
                "jobs": [self._shown(job) for job in self._queue.jobs()],
            }
        )

    async def upload(self, request: Request) -> Response:
        job = await self._uploads.take(
            request.query_params.get("name", ""), _length(request), request.stream()
        )
        return JSONResponse(self._shown(job), HTTPStatus.CREATED)

    async def cancel(self, request: Request) -> Response:
        job = self._job(request)
        if not self._queue.cancel(job.id):
            raise RefusedError(HTTPStatus.CONFLICT, "it has ended already")
        return self._changed(job)

    async def retry(self, request: Request) -> Response:
        job = self._job(request)
        if not self._queue.retry(job.id):
            raise RefusedError(HTTPStatus.CONFLICT, "it has neither failed nor been cancelled")
        return self._changed(job)

    async def delete(self, request: Request) -> Response:
        await self._queue.delete(self._job(request).id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def label_again(self, request: Request) -> Response:
        job, person = self._job(request), request.path_params["person"]
        if job.state != "done":
            raise RefusedError(HTTPStatus.CONFLICT, "the clip is not labelled yet")
        people = read_index(report_path(self._queue.store.folder_of(job.id)))["people"]
        relabel = {str(number): one["relabel"] for number, one in enumerate(people)}.get(person)
        if relabel is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "the report has no such person")
        again = job.of_person(int(person) + 1, relabel["subject"], relabel["first_frame"])
        await asyncio.to_thread(self._queue.store.add, again, job.id)
        self._queue.add(again)
        return JSONResponse(self._shown(again), HTTPStatus.CREATED)

    async def report_page(self, request: Request) -> Response:
        folder = self._report(request)
        text = await asyncio.to_thread((folder / PAGE_NAME).read_text, encoding="utf-8")
        # Before the page's own scripts, which ask for what it offers.
        page = _DISK_POLICY.sub("", text).replace(_FIRST_SCRIPT, _JOB_SCRIPTS + _FIRST_SCRIPT)
        return Response(page, media_type=_TYPES[".html"])

    async def report_file(self, request: Request) -> Response:
        name = request.path_params["path"]
        if name != VIDEO_NAME and not _REPORT_FILE.fullmatch(name):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        path = self._report(request) / name
        if not path.is_file():
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _file(path)

    def _job(self, request: Request) -> Job:
        job = self._queue.job(request.path_params["id"])
        if job is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such job")
        return job

    def _report(self, request: Request) -> Path:
        job = self._queue.job(request.path_params["id"])
        if job is None or job.state != "done":
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return report_path(self._queue.store.folder_of(job.id))

    def _changed(self, job: Job) -> Response:
        return JSONResponse(self._shown(self._queue.job(job.id) or job))

    def _shown(self, job: Job) -> dict[str, Any]:
        names = ("id", "name", "created", "state", "person", "words", "confidence_words")
        shown = {name: getattr(job, name) for name in (*names, "unknown", "notes_id", "error")}
        return {**shown, "progress": self._queue.progress(job.id)}


def _file(path: Path) -> Response:
    return FileResponse(path, media_type=_TYPES[path.suffix])


def _length(request: Request) -> int | None:
    """Return the announced size of a request's body; None where there is none."""
    if "transfer-encoding" in request.headers:
        return None
    text = request.headers.get("content-length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


async def _refusal(request: Request, error: Exception) -> Response:
    status = getattr(error, "status", HTTPStatus.INTERNAL_SERVER_ERROR)
    return JSONResponse({"error": str(error)}, status)


async def _disk_error(request: Request, error: Exception) -> Response:
    reason = getattr(error, "strerror", None) or one_line(error)
    return JSONResponse({"error": f"the disk: {reason}"}, HTTPStatus.INSUFFICIENT_STORAGE)
