"""The routes of `fastcolor serve`: ids and numbers in, pictures and JSON out; no request names a path."""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from ..constants import __version__
from .lane import CancelledWorkError, FullError
from .look import MOST_HINTS, MOST_OF_SHOT, MOST_SHOTS, Look
from .process import WorkError
from .projects import save_project, time_name
from .store import MissingError, TooLargeError, TooManyError, sayable
from .studio import Studio

STATIC = Path(__file__).parent / "static"
UPLOADS = re.compile(r"/api/items(/[0-9a-f]+/(guide|key-frames|references|project))?")
_STATUS = (  # the first that fits
    (FullError, 429),
    (TooLargeError, 413),
    (TooManyError, 409),
    (CancelledWorkError, 409),
    (MissingError, 404),
    (ValueError, 422),
    (WorkError, 500),
)
_NOTHING = {404: "there is nothing at this address", 405: "this address takes no such request"}


class ShotBody(BaseModel):
    """A shot of a film and its own colours."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    start: float
    end: float
    saturation: float = 1.0
    temperature: float | None = None
    hints: Annotated[list[dict[str, Any]], Field(max_length=MOST_OF_SHOT["hints"])] = []
    key_frames: Annotated[dict[str, str], Field(max_length=MOST_OF_SHOT["key_frames"])] = {}
    references: Annotated[list[str], Field(max_length=MOST_OF_SHOT["references"])] = []


class LookBody(BaseModel):
    """How a picture is to be coloured."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    temperature: float | None = None
    saturation: float = 1.0
    detail: int | None = None
    hints: Annotated[list[dict[str, Any]], Field(max_length=MOST_HINTS)] = []
    guide: Literal["", "version", "similar"] = ""
    guide_file: Annotated[str, Field(max_length=40)] = ""
    shots: Annotated[list[ShotBody], Field(max_length=MOST_SHOTS)] = []
    weights: Annotated[str, Field(max_length=40)] = ""

    def look(self) -> Look:
        """The same, as the rest of the server knows it."""
        return Look(**self.model_dump(exclude={"shot"}))


class PreviewBody(LookBody):
    """How a film is to be coloured, and what of it is shown."""

    shot: int | None = None


class MarkBody(BaseModel):
    """What somebody thinks of a result."""

    mark: Literal["", "good", "bad", "again"]


class ExportBody(BaseModel):
    """Which pictures are to be written, in which format."""

    ids: Annotated[list[str], Field(min_length=1, max_length=2000)]
    format: Annotated[str, Field(max_length=8)] | None = None


def application(studio: Studio) -> FastAPI:
    """The application around a studio, which it closes at its end."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await studio.warm()
        studio.open()
        yield
        await studio.close()

    app = FastAPI(title="fastcolor", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    told_in_words(app)

    @app.get("/api/about")
    async def about() -> dict[str, Any]:
        """What the page has to know at first."""
        options = studio.options
        folder = None if options.folder is None else sayable(options.folder.absolute().name)
        told = {"version": __version__, "weights": sayable(Path(options.weights).name), "folder": folder}
        most = {"picture": {"hints": MOST_HINTS}, "shot": MOST_OF_SHOT}
        return {**told, "networks": studio.networks(), "look": studio.look.told(), "notes": studio.notes, "most": most}

    @app.get("/api/items")
    async def items() -> list[dict[str, Any]]:
        """All pictures and films."""
        return [item.told() for item in studio.store.items.values()]

    @app.post("/api/items", status_code=201)
    async def upload(request: Request, name: Annotated[str, Query(max_length=1000)]) -> dict[str, Any]:
        """Take a file, the body, and begin to colour it."""
        studio.store.check_room(name)
        if studio.painter.full:
            raise FullError("so many pictures are waiting already; try again in a moment")
        length = request.headers.get("content-length")
        item = await studio.receive(name, request.stream(), int(length) if length else None)
        return item.told()

    @app.delete("/api/items/{key}", status_code=204)
    async def remove(key: str) -> None:
        """Forget a picture or film; work on it is called off."""
        studio.remove(studio.store[key])

    @app.put("/api/items/{key}/look")
    async def repaint(key: str, body: LookBody) -> FileResponse:
        """Colour a picture anew; the answer is the picture at a screen's size."""
        item = studio.store[key]
        path = await studio.repaint(item, body.look())
        return FileResponse(path, headers={**_FRESH, "x-revision": str(item.revision)})

    @app.post("/api/items/{key}/preview", status_code=202)
    async def preview(key: str, body: PreviewBody) -> dict[str, Any]:
        """Begin to preview a film with other colours."""
        item = studio.store[key]
        studio.preview(item, body.look(), body.shot)
        return item.told()

    @app.post("/api/items/{key}/shots")
    async def shots(key: str) -> dict[str, Any]:
        """Look through a film for its shots."""
        item = studio.store[key]
        await studio.shots(item)
        return item.told()

    @app.get("/api/items/{key}/shots/{number}.jpg")
    async def shot_picture(key: str, number: int) -> FileResponse:
        """A picture from the middle of a shot."""
        item = studio.store[key]
        path = item.folder / f"shot-{number}.jpg"
        if not 0 <= number < len(item.look.shots) or not path.exists():
            raise MissingError("there is no such shot")
        return FileResponse(path, headers=_FRESH)

    @app.get("/api/items/{key}/frame.png")
    async def frame(key: str, time: float) -> FileResponse:
        """The gray frame that a film shows at a second, named as `--key-frame` takes it."""
        path = await studio.frame(studio.store[key], time)
        return FileResponse(path, filename=f"{time_name(time)}.png", headers=_FRESH)

    @app.post("/api/items/{key}/key-frames", status_code=201)
    async def key_frame(
        request: Request, key: str, name: Annotated[str, Query(max_length=1000)], time: float
    ) -> dict[str, str]:
        """Take a coloured frame of a film, the body, for a shot's `key_frames`."""
        item, length = studio.store[key], request.headers.get("content-length")
        size = int(length) if length else None
        return {"picture": await studio.sent.key_frame(item, name, time, request.stream(), size)}

    @app.post("/api/items/{key}/references", status_code=201)
    async def reference(
        request: Request, key: str, name: Annotated[str, Query(max_length=1000)], time: float | None = None
    ) -> dict[str, str]:
        """Take a coloured picture, the body, for a shot's `references`; for `key_frames` if it shows that time's."""
        item, length = studio.store[key], request.headers.get("content-length")
        size = int(length) if length else None
        return {"picture": await studio.sent.reference(item, name, request.stream(), size, time)}

    @app.delete("/api/items/{key}/sent/{name}", status_code=204)
    async def drop_sent(key: str, name: str) -> None:
        """Remove a key frame or reference that was sent and is in no shot."""
        studio.sent.drop(studio.store[key], name)

    @app.get("/api/items/{key}/project")
    async def project(key: str) -> FileResponse:
        """What was said of an item, as the file that the commands take; with pictures an archive."""
        name, path = await asyncio.to_thread(save_project, studio.store[key])
        return FileResponse(path, filename=name, headers=_FRESH)

    @app.post("/api/items/{key}/project")
    async def open_project(request: Request, key: str, name: Annotated[str, Query(max_length=1000)]) -> dict[str, Any]:
        """Take such a file, the body, in place of what was said."""
        item, length = studio.store[key], request.headers.get("content-length")
        await studio.sent.project(item, name, request.stream(), int(length) if length else None)
        return item.told()

    @app.get("/api/items/{key}/preview.mp4")
    async def preview_file(key: str) -> FileResponse:
        """Ten seconds from the middle of a film, gray and colour side by side."""
        path = studio.store[key].folder / "preview.mp4"
        if not path.exists():
            raise MissingError("it is not painted yet")
        return FileResponse(path, media_type="video/mp4", headers=_FRESH)

    @app.put("/api/items/{key}/mark", status_code=204)
    async def mark(key: str, body: MarkBody) -> None:
        """Note what somebody thinks of a result."""
        studio.mark(studio.store[key], body.mark)

    @app.post("/api/items/{key}/guide", status_code=201)
    async def guide(request: Request, key: str, name: Annotated[str, Query(max_length=1000)]) -> dict[str, Any]:
        """Take a coloured picture, the body, whose colours this one is to have."""
        item, length = studio.store[key], request.headers.get("content-length")
        await studio.sent.guide(item, name, request.stream(), int(length) if length else None)
        return item.told()

    @app.get("/api/items/{key}/{which}.jpg")
    async def picture(key: str, which: Literal["before", "after", "before-small", "after-small"]) -> FileResponse:
        """A picture at the size of a screen, or small, in gray or in colour."""
        path = studio.store[key].folder / f"{which}.jpg"
        if not path.exists():
            raise MissingError("it is not painted yet")
        return FileResponse(path, headers=_FRESH)

    @app.get("/api/items/{key}/{which}/part.jpg")
    async def part(
        key: str, which: Literal["before", "after"], left: int, top: int, right: int, bottom: int
    ) -> Response:
        """A part of the whole picture, in its pixels."""
        data = await studio.part(studio.store[key], (left, top, right, bottom), which)
        return Response(data, media_type="image/jpeg", headers=_FRESH)

    @app.get("/api/items/{key}/suggestions")
    async def suggestions(key: str, x: float, y: float, time: float | None = None) -> list[dict[str, Any]]:
        """The network's likeliest colours for a place; of a film, in the frame of a second."""
        found = await studio.suggestions(studio.store[key], x, y, time)
        return [{"color": color, "probability": share} for color, share in found]

    @app.post("/api/exports", status_code=201)
    async def export(body: ExportBody) -> dict[str, Any]:
        """Begin to write pictures as the command does."""
        return studio.export(body.ids, body.format).told()

    @app.get("/api/exports")
    async def exports() -> list[dict[str, Any]]:
        """The exports that are at work."""
        return [one.told() for one in studio.outputs.working()]

    @app.get("/api/exports/{key}")
    async def export_state(key: str) -> dict[str, Any]:
        """How far an export is."""
        return studio.outputs[key].told()

    @app.get("/api/exports/{key}/file")
    async def export_file(key: str) -> FileResponse:
        """The picture, or an archive of several."""
        name, path = studio.outputs.file(studio.outputs[key])
        return FileResponse(path, filename=name, headers=_FRESH)

    @app.delete("/api/exports/{key}", status_code=204)
    async def drop_export(key: str) -> None:
        """Call an export off, or remove what it made."""
        studio.outputs.drop(studio.outputs[key])

    @app.get("/api/review.csv")
    async def review() -> Response:
        """All pictures and marks, those first of which the network is least sure."""
        headers = {**_FRESH, "content-disposition": 'attachment; filename="review.csv"'}
        return Response(studio.review(), media_type="text/csv; charset=utf-8", headers=headers)

    @app.get("/api/events")
    async def events() -> StreamingResponse:
        """What happens, as server-sent events."""
        return StreamingResponse(studio.events.listen(), media_type="text/event-stream", headers=_FRESH)

    app.mount("/", StaticFiles(directory=STATIC, html=True))
    return app


_FRESH = {"cache-control": "no-store"}


def told_in_words(app: FastAPI) -> None:
    """Have every error answered with a sentence: {"error": "..."}."""

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "request"
        return JSONResponse({"error": f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}"}, 422)

    async def nothing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        words = _NOTHING.get(error.status_code) or str(error.detail)
        return JSONResponse({"error": words}, error.status_code, headers=error.headers)

    async def broken(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the server has a fault; its terminal tells more"}, 500)

    async def failed(request: Request, error: Exception) -> JSONResponse:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        words = str(error) or type(error).__name__
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            status, words = (507, "the disk is full") if full else (500, error.strerror or words)
        headers = {"retry-after": "1"} if status == 429 else {}
        return JSONResponse({"error": words}, status, headers=headers)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, nothing)
    app.add_exception_handler(Exception, broken)  # and the traceback goes to the terminal
    for kind in (*(kind for kind, _ in _STATUS), OSError):
        app.add_exception_handler(kind, failed)
