"""`fastcolor serve` over HTTP: films previewed and exported, and what is said of their shots."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
from film_clips import clip, frames_of, packets_of, times_of, two_shots
from page_server import exported, send, settled
from PIL import Image

from fastcolor.film.video import video
from fastcolor.options.project import read_project

PHOTOGRAPH = Path(__file__).parents[2] / "bench" / "demo" / "coffee.jpg"


def test_a_film_is_previewed_exported_stopped_and_gone_on_with(client: httpx.Client, tmp_path: Path) -> None:
    # At widths of 128 pixels, and their multiples, x264 gives the same packets for the same frames everywhere.
    src = clip(tmp_path / "old film.mp4", size=(128, 64), frames=60, audio=("aac",), rotation=90)
    keys = [send(client, src).json()["id"], send(client, b"no film at all", "broken.avi").json()["id"]]
    film, broken = settled(client, 2)
    assert film["state"] == "ready" and broken["state"] == "failed" and broken["words"].startswith("broken.avi")
    assert (film["width"], film["height"], film["sound"], film["turns"] % 2) == (64, 128, 1, 1)
    part = client.get(f"api/items/{keys[0]}/preview.mp4", headers={"range": "bytes=0-99"})
    assert part.status_code == 206 and len(part.content) == 100
    shown = [client.get(f"api/items/{keys[0]}/{which}-small.jpg").content for which in ("before", "after")]
    gray, colour = (np.asarray(Image.open(io.BytesIO(one)).convert("RGB")).astype(int) for one in shown)
    assert gray.shape == colour.shape == (128, 64, 3)
    assert np.ptp(gray, axis=2).mean() < 3 < np.ptp(colour, axis=2).mean()
    again = client.post(f"api/items/{keys[0]}/preview", json={"saturation": 0})
    assert again.status_code == 202 and again.json()["look"]["saturation"] == 0
    while client.get("api/items").json()[0]["revision"] == film["revision"]:
        time.sleep(0.05)

    told = client.post("api/exports", json={"ids": keys[:1]}).json()
    while not client.get(f"api/exports/{told['id']}").json()["film"]:
        time.sleep(0.01)
    assert client.get("api/exports").json()[0]["id"] == told["id"]
    assert client.delete(f"api/exports/{told['id']}").status_code == 204
    made = exported(client, keys[0])
    assert "old%20film.mp4" in made.headers["content-disposition"]
    (tmp_path / "out.mp4").write_bytes(made.content)
    video(src, tmp_path / "ours.mp4", engine="torch", saturation=0.0)
    ours, theirs = packets_of(tmp_path / "ours.mp4"), packets_of(tmp_path / "out.mp4")
    assert ours == theirs and theirs[1] == packets_of(src)[1]
    assert times_of(tmp_path / "out.mp4") == times_of(src) and len(times_of(src)) == 60


def test_shots_have_colours_of_their_own(client: httpx.Client, tmp_path: Path) -> None:
    src = two_shots(tmp_path / "two.mp4")
    key = send(client, src).json()["id"]
    (film,) = settled(client, 1)
    assert film["state"] == "ready" and film["look"]["shots"] == []
    with client.stream("GET", "api/events") as events:
        told = client.post(f"api/items/{key}/shots")
        lines = (json.loads(line[6:]) for line in events.iter_lines() if line.startswith("data: "))
        looked = next(item["looked"] for item in lines if item.get("looked", {}).get("done") == 24)  # how far it was
        assert looked["total"] == 24 and "looked" not in told.json()
    assert told.status_code == 200, told.text
    shots = told.json()["look"]["shots"]
    assert [round(shot["start"], 2) for shot in shots] == [0, 0.5] and told.json()["pictures"] == [0.25, 0.75]
    assert client.get(f"api/items/{key}/shots/1.jpg").status_code == 200
    assert client.get(f"api/items/{key}/shots/2.jpg").status_code == 404
    shots[1]["saturation"] = 0
    preview = f"api/items/{key}/preview"
    for wrong in ({"shot": 2}, {"shot": -1}):
        assert client.post(preview, json={"shots": shots, **wrong}).status_code == 422
    assert client.post(preview, json={"shots": [{**shots[0], "end": -1}]}).status_code == 422
    assert client.post(preview, json={"shots": [{**shots[0], "saturation": 99}]}).status_code == 422
    assert client.post(preview, json={"shots": shots, "shot": 1}).status_code == 202
    while client.get("api/items").json()[0]["revision"] == film["revision"]:
        time.sleep(0.05)
    assert client.get("api/items").json()[0]["words"] == ""
    shown = Image.open(io.BytesIO(client.get(f"api/items/{key}/after-small.jpg").content)).convert("RGB")
    assert np.ptp(np.asarray(shown).astype(int), axis=2).mean() < 3
    said = client.get("api/items").json()[0]
    anew = client.post(f"api/items/{key}/shots").json()["look"]["shots"]  # nothing is said of them then
    assert [shot["saturation"] for shot in anew] == [1, 1]
    while client.get("api/items").json()[0]["revision"] == said["revision"]:
        time.sleep(0.05)
    assert client.get("api/items").json()[0]["shot"] is None
    assert client.post(preview, json={"shots": shots, "shot": 1}).status_code == 202
    (tmp_path / "out.mp4").write_bytes(exported(client, key).content)
    frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in frames_of(tmp_path / "out.mp4")]
    colours = [np.ptp(frame, axis=2).mean() for frame in frames]
    assert len(frames) == 24 and min(colours[2:10]) > 3 > max(colours[14:22])
    assert packets_of(tmp_path / "out.mp4")[1] == packets_of(src)[1]


def test_a_shot_has_hints_and_key_frames_of_its_own(client: httpx.Client, tmp_path: Path) -> None:
    key = send(client, two_shots(tmp_path / "two.mp4")).json()["id"]
    (film,) = settled(client, 1)
    assert film["hints"] is True and film["own"]["detail"] == 256
    shots = client.post(f"api/items/{key}/shots").json()["look"]["shots"]
    sent = f"api/items/{key}/key-frames"
    frame = client.get(f"api/items/{key}/frame.png", params={"time": 0.75})
    assert "00-00-00.750.png" in frame.headers["content-disposition"]
    pixels = np.asarray(Image.open(io.BytesIO(frame.content)))
    assert pixels.shape == (64, 96)
    halves = np.stack([pixels // 2] * 3, -1)
    halves[:, :48, 2] += 127
    halves[:, 48:, 0] += 60
    blue = io.BytesIO()
    Image.fromarray(halves).save(blue, "PNG")
    told = {"name": "blue.png", "time": 0.75}
    refused = {
        "gray.png": (frame.content, 0.75),
        "other.png": (PHOTOGRAPH.read_bytes(), 0.75),
        "late.png": (blue.getvalue(), 7),
        "film.mp4": (blue.getvalue(), 0.75),
        "text.png": (b"no picture", 0.75),
    }
    for name, (content, second) in refused.items():
        answer = client.post(sent, params={"name": name, "time": second}, content=content)
        assert answer.status_code == 422 and "key-" not in answer.text and "/" not in answer.json()["error"], (
            answer.text
        )
    picture = client.post(sent, params=told, content=blue.getvalue()).json()["picture"]
    others = f"api/items/{key}/references"
    for name, content in {"gray.png": frame.content, "film.mp4": blue.getvalue(), "text.png": b"no picture"}.items():
        answer = client.post(others, params={"name": name}, content=content)
        assert answer.status_code == 422 and name in answer.json()["error"] and "/" not in answer.json()["error"]
    other = client.post(others, params={"name": "../other.png"}, content=blue.getvalue())
    assert other.status_code == 201 and other.json()["picture"].startswith("reference-")
    either = [
        client.post(others, params={"name": "k.png", "time": time}, content=blue.getvalue()) for time in (0.75, 7)
    ]
    assert [one.json()["picture"].partition("-")[0] for one in either] == ["key", "reference"]
    drop = f"api/items/{key}/sent"
    assert [client.delete(f"{drop}/{either[1].json()['picture']}").status_code for _ in range(2)] == [204, 404]
    missing = [client.delete(f"{drop}/{name}").status_code for name in ("source.mp4", "key-00000000.png")]
    assert missing == [404, 404]
    for second in (-1, "inf", "nan"):
        answer = client.post(others, params={"name": "k.png", "time": second}, content=blue.getvalue())
        assert answer.status_code == 422 and "time: must be seconds" in answer.json()["error"]
    preview = f"api/items/{key}/preview"
    for wrong in ("../source.mp4", "source.mp4", "key-00000000.png", str(tmp_path / "two.mp4")):
        shots[1]["key_frames"] = {"0.75": wrong}
        assert client.post(preview, json={"shots": shots}).status_code == 422
    assert client.post(preview, json={"shots": [shots[0], {**shots[1], "references": ["a.png"]}]}).status_code == 422
    shots[1]["key_frames"] = {"0.75": picture}
    shots[0]["hints"] = [{"x": 0.5, "y": 0.5, "color": "#c01010", "radius": 0.5, "time": 0.75}]
    assert "must lie in the shot" in client.post(preview, json={"shots": shots}).json()["error"]
    shots[0]["hints"][0]["time"] = 0.1
    assert client.post(preview, json={"shots": shots, "shot": 1}).status_code == 202
    while client.get("api/items").json()[0]["revision"] == film["revision"]:
        time.sleep(0.05)
    (film,) = client.get("api/items").json()
    assert film["words"] == "" and film["shot"] == 1
    kept = client.delete(f"{drop}/{picture}")
    assert kept.status_code == 422 and "a shot has this picture" in kept.json()["error"]
    near = client.get(f"api/items/{key}/suggestions", params={"x": 0.5, "y": 0.5, "time": 0.75}).json()
    assert len(near) >= 2
    (tmp_path / "out.mp4").write_bytes(exported(client, key).content)
    frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in frames_of(tmp_path / "out.mp4")]
    redder = [[(half[..., 0] - half[..., 2]).mean() for half in (frame[:, :44], frame[:, 52:])] for frame in frames]
    assert all(left > 20 for left, _ in redder[:11])  # as the hint says
    assert all(left < -40 and right > 20 for left, right in redder[13:])  # as the key frame says

    saved = client.get(f"api/items/{key}/project")
    assert "two.zip" in saved.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(saved.content)) as archive:
        assert sorted(archive.namelist()) == ["key-frames/00-00-00.750.png", "two.json"]
        archive.extractall(tmp_path)
    assert read_project(tmp_path / "two.json")[1].key_frames[0].picture == tmp_path / "key-frames/00-00-00.750.png"
    assert client.post(preview, json={"shots": []}).status_code == 202
    opened = client.post(f"api/items/{key}/project", params={"name": "two.zip"}, content=saved.content)
    again = opened.json()["look"]["shots"]
    assert again[1]["key_frames"]["0.75"] != picture and again[0] == shots[0] and opened.status_code == 200
    words = (tmp_path / "two.json").read_bytes()
    outside = io.BytesIO()
    with zipfile.ZipFile(outside, "w") as archive:
        archive.writestr("two.json", words.replace(b"key-frames/", b"../../"))
        archive.writestr("../../00-00-00.750.png", blue.getvalue())
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("two.json", bytes(17 << 20))
    bad = (words, b"{}", b"PK\x03\x04", outside.getvalue(), bomb.getvalue(), saved.content[:-30])
    for content in bad[:3] + bad[4:]:
        answer = client.post(f"api/items/{key}/project", params={"name": "two.zip"}, content=content)
        assert answer.status_code == 422 and "/tmp" not in answer.text, answer.text
    moved = client.post(f"api/items/{key}/project", params={"name": "two.zip"}, content=bad[3])
    assert moved.status_code == 200 and moved.json()["look"]["shots"][1]["key_frames"]["0.75"].startswith("key-")
    assert client.get("api/items").json()[0]["look"] == moved.json()["look"]
