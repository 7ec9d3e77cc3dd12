"""A study's answers in SQLite: every one is on the disk before the page learns that it arrived."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...atomic import check_folder
from ..store import MissingError
from ..table import cell
from .plan import Side, Trial, plan

VERSION = 2
_TABLES = """
CREATE TABLE study (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE person (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, began TEXT NOT NULL, screen TEXT NOT NULL);
CREATE TABLE trial (
    person INTEGER NOT NULL REFERENCES person (id), number INTEGER NOT NULL, practice INTEGER NOT NULL,
    kind TEXT NOT NULL, method TEXT, picture INTEGER NOT NULL, colours INTEGER, fake TEXT NOT NULL,
    answer TEXT, answer_ms REAL, answered TEXT, PRIMARY KEY (person, number));
CREATE TABLE display (
    person INTEGER NOT NULL, number INTEGER NOT NULL, began TEXT NOT NULL, ms REAL, ended TEXT,
    FOREIGN KEY (person, number) REFERENCES trial (person, number));
"""
_OURS = {"study", "person", "trial", "display"}


class Store:
    """The answers of one study.

    Args:
        path: of the file; made where it is not. facts: what the study is: pictures, methods, numbers, seed.

    Raises:
        ValueError: the file is none of ours, or of another study.
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path, self.facts = path, facts
        self._lock = threading.Lock()
        check(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._file.row_factory = sqlite3.Row
        try:
            self._enter({"version": VERSION, **facts})
        except sqlite3.DatabaseError as error:
            self.close()
            raise ValueError(f"database: {path} cannot be used ({error})") from None
        except BaseException:
            self.close()
            raise

    def _enter(self, told: dict[str, Any]) -> None:
        """Make the tables, or see whether those that are there are of this study."""
        path = self.path
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._file.execute(f"PRAGMA {setting}")
        tables = {row["name"] for row in self._file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            with self._writing():
                for statement in _TABLES.split(";"):
                    self._file.execute(statement)
                rows = [(name, json.dumps(value)) for name, value in told.items()]
                self._file.executemany("INSERT INTO study VALUES (?, ?)", rows)
            return
        if not _OURS <= tables:
            raise ValueError(f"database: {path} holds something else than a study")
        there = {row["name"]: json.loads(row["value"]) for row in self._file.execute("SELECT * FROM study")}
        for name, value in told.items():
            if there.get(name) != json.loads(json.dumps(value)):
                raise ValueError(f"database: {path} is of a study with other {name}; name another file")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")

    def begin(self, screen: str) -> str:
        """A new person, whose pairs are drawn; returns the code by which only they are known."""
        code = secrets.token_urlsafe(12)
        with self._writing():
            row = ("INSERT INTO person (code, began, screen) VALUES (?, ?, ?)", (code, _now(), screen[:200]))
            person = self._file.execute(*row).lastrowid
            assert person is not None
            facts = self.facts
            drawn = plan(
                facts["seed"], person, len(facts["pictures"]), facts["methods"], facts["trials"], facts["practice"]
            )
            self._file.executemany(
                "INSERT INTO trial (person, number, practice, kind, method, picture, colours, fake) "
                "VALUES (:person, :number, :practice, :kind, :method, :picture, :colours, :fake)",
                [{"person": person, "number": number, **asdict(trial)} for number, trial in enumerate(drawn)],
            )
        return code

    def state(self, code: str) -> dict[str, Any]:
        """How far a person is. MissingError: there is no such person."""
        person = self._person(code)
        row = self._file.execute(
            "SELECT count(*) AS total, sum(practice) AS practice, sum(answer IS NOT NULL) AS done "
            "FROM trial WHERE person = ?",
            (person,),
        ).fetchone()
        return {"total": row["total"], "practice": row["practice"], "done": row["done"]}

    def trial(self, code: str, number: int) -> Trial:
        """The pair that a person has to judge next. MissingError: there is none, or another is next."""
        person = self._person(code)
        if number != self.state(code)["done"]:
            raise MissingError("another pair is next")
        row = self._file.execute(
            "SELECT practice, kind, method, picture, colours, fake FROM trial WHERE person = ? AND number = ?",
            (person, number),
        ).fetchone()
        if row is None:
            raise MissingError("all pairs are judged")
        return Trial(**{**dict(row), "practice": bool(row["practice"])})

    def begun(self, code: str, number: int) -> None:
        """Note that a pair is about to be seen: a page that is closed meanwhile has shown it too."""
        self.trial(code, number)
        with self._writing():
            row = (self._person(code), number, _now())
            self._file.execute("INSERT INTO display (person, number, began) VALUES (?, ?, ?)", row)

    def shown(self, code: str, number: int, ms: float) -> None:
        """Note for how long a pair was seen. ValueError: nobody said that it was about to be."""
        self.trial(code, number)
        person = self._person(code)
        with self._writing():
            done = self._file.execute(
                "UPDATE display SET ms = ?, ended = ? WHERE ms IS NULL AND rowid = "
                "(SELECT max(rowid) FROM display WHERE person = ? AND number = ?)",
                (ms, _now(), person, number),
            )
            if not done.rowcount:
                raise ValueError("shown: must come after the pair's beginning, once")

    def answer(self, code: str, number: int, side: Side, ms: float) -> bool | None:
        """Note which side a person takes for the recoloured one.

        Returns:
            Whether it is, in practice; else None: nobody learns that while it counts.

        Raises:
            ValueError: the pair was not shown yet. MissingError: another one is next.
        """
        trial, person = self.trial(code, number), self._person(code)
        row = ("SELECT 1 FROM display WHERE person = ? AND number = ? AND ms IS NOT NULL", (person, number))
        seen = self._file.execute(*row).fetchone()
        if seen is None:
            raise ValueError("answer: must come after the pair was shown")
        with self._writing():
            self._file.execute(
                "UPDATE trial SET answer = ?, answer_ms = ?, answered = ? "
                "WHERE person = ? AND number = ? AND answer IS NULL",
                (side, ms, _now(), person, number),
            )
        return side == trial.fake if trial.practice else None

    def answers(self) -> list[dict[str, Any]]:
        """Every answer with its pair and how often and for how long it was shown."""
        rows = self._file.execute(
            "SELECT trial.*, count(display.began) AS displays, min(display.ms) AS shown_ms FROM trial "
            "LEFT JOIN display ON display.person = trial.person AND display.number = trial.number "
            "WHERE answer IS NOT NULL GROUP BY trial.person, trial.number ORDER BY trial.person, trial.number"
        ).fetchall()
        names = self.facts["pictures"]
        return [{**dict(row), "picture": names[row["picture"]], "number": row["number"] + 1} for row in rows]

    def csv(self) -> str:
        """The answers as a table."""
        text = io.StringIO()
        names = ["person", "number", "practice", "kind", "method", "picture", "fake", "answer", "answer_ms", "shown_ms"]
        rows = csv.DictWriter(text, [*names, "displays", "answered"], extrasaction="ignore")
        rows.writeheader()
        for row in self.answers():
            rows.writerow({key: cell(value) for key, value in row.items()})
        return text.getvalue()

    def _person(self, code: str) -> int:
        row = self._file.execute("SELECT id FROM person WHERE code = ?", (code,)).fetchone()
        if row is None:
            raise MissingError("there is no such person in this study")
        return int(row["id"])

    def close(self) -> None:
        """Leave one file behind."""
        self._file.close()


def check(path: Path) -> None:
    """See whether a file can hold a study's answers, without making or changing it.

    Raises:
        ValueError: it is a folder, holds something else, or cannot be written. UnwritableError: its folder cannot.
    """
    if path.is_dir():
        raise ValueError(f"database: must be a file, got the folder {path}")
    if not path.exists():
        there = next(parent for parent in path.absolute().parents if parent.exists())
        if not there.is_dir():
            raise ValueError(f"database: must lie in a folder, got {path} in the file {there}")
        return check_folder(path.parent)
    if not os.access(path, os.W_OK):
        raise ValueError(f"database: must be a file that can be written, got {path}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as file:
            tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise ValueError(f"database: {path} cannot be used ({error})") from None
    if tables and not _OURS <= tables:
        raise ValueError(f"database: {path} holds something else than a study")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
