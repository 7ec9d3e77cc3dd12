"""Calls for mypy, which `make test` runs: it must take the right ones and refuse the others, or an ignore is unused."""

import fastcolor


def right() -> None:
    report = fastcolor.video("gray.mp4", "colour.mp4", fast=True, start=2.0, weights="default")
    print(report.frames + 1)
    fastcolor.colorize("gray.jpg", saturation=0.5).save("colour.jpg")
    fastcolor.colorize("gray.jpg", hints=[fastcolor.Hint(0.5, 0.5, "#c03020")])


def wrong() -> None:
    fastcolor.video("gray.mp4", "colour.mp4", fasst=True)  # type: ignore[call-arg]
    fastcolor.video("gray.mp4", "colour.mp4", temporal="sometimes")  # type: ignore[arg-type]
    fastcolor.colorize("gray.jpg", saturation="much")  # type: ignore[arg-type]
