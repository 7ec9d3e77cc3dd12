"""What people send for an item that is there: coloured pictures, key frames, references, projects."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ..atomic import publish
from ..constants import MOST_PICTURE
from ..formats.endings import PICTURE_SUFFIXES
from ..options.key_frames import PICTURES
from .films import Films, check_second
from .lane import CancelledWorkError
from .look import Look, is_sent, sent_name
from .projects import MOST_PROJECT, MOST_SENT, read_project, sent_pictures
from .store import Item, MissingError, Store, TooLargeError, TooManyError, plain, plainly


class Sent:
    """Takes such files, and has what they say painted.

    Args:
        repaint: paints a picture with a look. preview: begins to paint a film's preview with one; neither changes
            anything where it raises.
    """

    def __init__(
        self,
        store: Store,
        films: Films,
        repaint: Callable[[Item, Look], Awaitable[object]],
        preview: Callable[[Item, Look, int | None], None],
    ) -> None:
        self._store, self._films, self._repaint, self._preview = store, films, repaint, preview

    async def guide(self, item: Item, name: str, parts: AsyncIterator[bytes], size: int | None) -> None:
        """Take a coloured picture whose colours an item is to have: as a version of it, or else of similar things.

        Raises:
            ValueError: no picture, or a gray one. TooLargeError.
        """
        item.check_ready("picture")
        shown = plain(name)
        suffix = Path(shown).suffix.lower()
        if suffix not in PICTURE_SUFFIXES:
            raise ValueError(f"{shown}: must be a picture by its ending")
        path = item.folder / sent_name("guide", suffix)
        async with self._taken(item, path, shown, parts, size, MOST_PICTURE):
            asked = replace(item.look, guide="version", guide_file=str(path), hints=[])
            try:
                await self._repaint(item, asked)
            except ValueError:  # it shows something else, or is none, which is told the second time
                await self._repaint(item, replace(asked, guide="similar", hints=item.look.hints))

    async def key_frame(
        self, item: Item, name: str, seconds: float, parts: AsyncIterator[bytes], size: int | None
    ) -> str:
        """Take a coloured frame of a film.

        Returns:
            The name by which a shot's `key_frames` may have it from now on.

        Raises:
            ValueError: no picture, a gray one, or one that does not show the film at this second. TooLargeError.
        """
        await self._films.frame(item, seconds)
        path, shown = _place_of("key", item, name)
        async with self._taken(item, path, shown, parts, size, MOST_PICTURE):
            await self._films.check_key_frame(item, seconds, path)
        return path.name

    async def reference(
        self, item: Item, name: str, parts: AsyncIterator[bytes], size: int | None, seconds: float | None = None
    ) -> str:
        """Take a coloured picture whose colours a film's shot is to have for what looks alike.

        Args:
            seconds: of the frame whose key frame it is if it shows that; None: it is none.

        Returns:
            The name by which a shot's `references` may have it from now on, or `key_frames`: that begins with "key-".

        Raises:
            ValueError: no picture, a gray one, or a second that is none. TooLargeError.
        """
        item.check_ready("film")
        if seconds is not None:
            check_second(seconds)
        path, shown = _place_of("reference", item, name)
        async with self._taken(item, path, shown, parts, size, MOST_PICTURE):
            if seconds is not None:
                try:
                    await self._films.check_key_frame(item, seconds, path)
                    publish(path, key := path.with_name(sent_name("key", path.suffix)))
                    return key.name
                except ValueError:  # it shows something else, or is no picture in colour, which is told now
                    pass
            await self._films.check_reference(path)
        return path.name

    def drop(self, item: Item, name: str) -> None:
        """Remove a key frame or reference that no shot has.

        Raises:
            MissingError: there is none of this name. ValueError: a shot has it.
        """
        if not is_sent(name) or not (item.folder / name).is_file():
            raise MissingError("there is no such picture")
        if name in sent_pictures(item.look.shots):
            raise ValueError(f"{item.name}: a shot has this picture")
        (item.folder / name).unlink(missing_ok=True)

    async def project(self, item: Item, name: str, parts: AsyncIterator[bytes], size: int | None) -> None:
        """Take a file of hints or a project in place of what was said of an item, and paint it.

        Raises:
            ValueError: it is none for this item. TooLargeError.
        """
        item.check_ready(item.kind)
        path = item.folder / f"said-{secrets.token_hex(4)}"
        async with self._taken(item, path, plain(name), parts, size, MOST_PROJECT):
            look = await asyncio.to_thread(read_project, path, item)
            before = item.look
            try:
                if item.kind == "film":
                    self._preview(item, look, None)
                else:
                    await self._repaint(item, look)
            except BaseException:
                if item.look is before:  # nothing names what came in the archive
                    for one in {*sent_pictures(look.shots)} - {*sent_pictures(before.shots)}:
                        (item.folder / one).unlink(missing_ok=True)
                raise
        path.unlink(missing_ok=True)

    @asynccontextmanager
    async def _taken(
        self, item: Item, path: Path, shown: str, parts: AsyncIterator[bytes], size: int | None, most: int
    ) -> AsyncIterator[None]:
        """Write a file that came along for an item; it goes again if what is then done with it fails.

        Args:
            shown: what the page calls it. size, most: bytes that are announced, and taken.
        """
        try:
            await self._store.write(path, shown, parts, size, most)
            yield
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and item.id not in self._store.items:
                raise CancelledWorkError(f"{item.name}: was removed") from None
            if isinstance(error, ValueError) and not isinstance(error, TooLargeError):
                raise ValueError(plainly(error, item).replace(path.name, shown)) from None
            raise


def _place_of(kind: Literal["key", "reference"], item: Item, name: str) -> tuple[Path, str]:
    """Where a picture for a film's shots is put, and what the page calls it. ValueError: it is none by its name."""
    shown = plain(name)
    suffix = Path(shown).suffix.lower()
    if suffix not in PICTURES:
        raise ValueError(f"{shown}: must be one of {', '.join(sorted(PICTURES))}")
    if len(sent_pictures(item.look.shots)) >= MOST_SENT:  # what lies there also has what was replaced since
        raise TooManyError(f"{shown}: {MOST_SENT} key frames and references of a film are the most")
    return item.folder / sent_name(kind, suffix), shown
