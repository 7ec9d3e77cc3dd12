"""The routes of `fastcolor study`: no address says which picture is which."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from ...constants import __version__
from ..app import STATIC, told_in_words
from .pairs import Material
from .result import results
from .store import Store

_FRESH = {"cache-control": "no-store"}
Milliseconds = Annotated[float, Field(ge=0, le=1e8, allow_inf_nan=False)]


class Body(BaseModel):
    """What the page sends."""

    model_config = ConfigDict(extra="forbid")


class BeginBody(Body):
    """The size of the window and how many of its pixels a point has."""

    screen: Annotated[str, Field(max_length=200)] = ""


class ShownBody(Body):
    """For how long a pair was seen."""

    ms: Milliseconds


class AnswerBody(Body):
    """Which picture somebody takes for the recoloured one, and how long they thought."""

    side: Literal["left", "right"]
    ms: Milliseconds


def application(store: Store, material: Material) -> FastAPI:
    """The application of one study."""
    app = FastAPI(title="fastcolor study", version=__version__, docs_url=None, redoc_url=None)
    told_in_words(app)

    @app.get("/")
    async def page() -> FileResponse:
        """The page on which people judge."""
        return FileResponse(STATIC / "study.html")

    @app.get("/results")
    async def result_page() -> FileResponse:
        """The page that tells what came of it."""
        return FileResponse(STATIC / "results.html")

    @app.get("/api/study")
    async def study() -> dict[str, Any]:
        """The study's numbers."""
        facts = store.facts
        return {"trials": facts["trials"], "practice": facts["practice"], "pictures": len(facts["pictures"])}

    @app.post("/api/people", status_code=201)
    def begin(body: BeginBody) -> dict[str, Any]:
        """A new person."""
        code = store.begin(body.screen)
        return {"code": code, **store.state(code)}

    @app.get("/api/people/{code}")
    def state(code: str) -> dict[str, Any]:
        """How far a person is."""
        return store.state(code)

    @app.get("/api/people/{code}/pairs/{number}/{side}.png")
    def picture(code: str, number: int, side: Literal["left", "right"]) -> FileResponse:
        """One of the two pictures of the pair that is next."""
        trial = store.trial(code, number)
        fake = side == trial.fake and trial.kind != "true"
        path = material.path(trial.picture, trial.method, trial.colours) if fake else material.path(trial.picture)
        return FileResponse(path, headers=_FRESH, media_type="image/png")

    @app.post("/api/people/{code}/pairs/{number}/begun", status_code=204)
    def begun(code: str, number: int) -> None:
        """Note that a pair is about to be seen."""
        store.begun(code, number)

    @app.post("/api/people/{code}/pairs/{number}/shown", status_code=204)
    def shown(code: str, number: int, body: ShownBody) -> None:
        """Note for how long a pair was seen."""
        store.shown(code, number, body.ms)

    @app.post("/api/people/{code}/pairs/{number}/answer")
    def answer(code: str, number: int, body: AnswerBody) -> dict[str, Any]:
        """Note an answer; in practice it is told whether it is right."""
        right = store.answer(code, number, body.side, body.ms)
        return {"right": right, **store.state(code)}

    @app.get("/api/results")
    def result() -> dict[str, Any]:
        """What the answers say so far."""
        facts = store.facts
        return {"study": facts, **results(store.answers(), facts["methods"], facts["seed"])}

    @app.get("/api/answers.csv")
    def answers() -> Response:
        """Every answer."""
        headers = {**_FRESH, "content-disposition": 'attachment; filename="answers.csv"'}
        return Response(store.csv(), media_type="text/csv; charset=utf-8", headers=headers)

    app.mount("/", StaticFiles(directory=Path(STATIC)))
    return app
