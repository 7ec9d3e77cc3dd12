"""Finding and reading pictures."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from picture_trees import six_pictures
from PIL import Image

from fastcolor import data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return six_pictures(tmp_path)


def names(source: data.Source) -> list[str]:
    return [Path(name.split(":")[-1]).name for name, _ in data.pictures(source)]


@pytest.mark.parametrize("kind", ["folder", "zip", "deflated", "tar", "list", "several"])
def test_every_kind_of_source_gives_the_same_pictures(folder: Path, tmp_path: Path, kind: str) -> None:
    files = sorted(folder.rglob("*.png"))
    source: data.Source = folder
    if kind in ("zip", "deflated"):
        source = tmp_path / "p.zip"
        method = zipfile.ZIP_STORED if kind == "zip" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(source, "w", method) as archive:
            [archive.write(file, file.name) for file in files]
    elif kind == "tar":
        source = tmp_path / "p.tar"
        with tarfile.open(source, "w") as archive:
            [archive.add(file, file.name) for file in files]
    elif kind == "list":
        source = tmp_path / "p.txt"
        source.write_text("\ufeff" + "\n".join(str(file.relative_to(tmp_path)) for file in files) + "\n")
    elif kind == "several":
        source = files
    found = dict(zip(names(source), [rgb for _, rgb in data.pictures(source)], strict=True))
    assert sorted(found) == [f"{i}.png" for i in range(6)]
    for i in range(6):
        assert found[f"{i}.png"].shape == (30, 40 + i, 3) and found[f"{i}.png"][3, 3].tolist() == [40 * i, 10, 200]


def test_unreadable_pictures_are_skipped_by_name(folder: Path) -> None:
    (folder / "a" / "broken.jpg").write_bytes(b"not a picture")
    (folder / "a" / "cut.png").write_bytes((folder / "a" / "1.png").read_bytes()[:60])
    with pytest.warns(UserWarning, match=r"skipped .*(broken\.jpg|cut\.png): not a readable picture") as warned:
        assert len(names(folder)) == 6
    assert len([w for w in warned if "skipped" in str(w.message)]) == 2


def test_what_is_hidden_in_a_folder_is_no_picture_of_it(folder: Path) -> None:
    before = names(folder)
    (folder / ".thumbnails").mkdir()
    for hidden in (".thumbnails/a.png", ".b.png"):
        Image.new("RGB", (8, 8)).save(folder / hidden)
    with zipfile.ZipFile(folder / ".c.zip", "w") as archive:
        archive.write(folder / ".b.png", "d.png")
    assert names(folder) == before


def test_sources_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="data: no such file or folder"):
        data.find(tmp_path / "nothing")
    with pytest.raises(ValueError, match="data: no picture"):
        data.find(tmp_path)
    with pytest.raises(ValueError, match="data: must name at least one source"):
        data.find([])
    (tmp_path / "x.bin").write_bytes(b"abc")
    with pytest.raises(ValueError, match="data: must be a picture, folder, list"):
        data.find(tmp_path / "x.bin")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "x.bin", "a.jpg")
    with pytest.raises(ValueError, match="data: tar files must be uncompressed and whole, got "):
        data.find(tmp_path / "x.tar.gz")
    (tmp_path / "only.jpg").write_bytes(b"abc")
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(ValueError, match="no readable picture"):
        list(data.pictures(tmp_path))


def test_a_picture_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    Image.new("RGB", (40, 20)).save(tmp_path / "t.jpg", exif=exif)
    assert next(data.pictures(tmp_path))[1].shape == (40, 20, 3)


def test_a_member_that_unpacks_to_more_than_a_picture_has_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (40, 20), (9, 99, 200)).save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(100_000))
        archive.writestr("liar.png", bytes(99_999))
        archive.write(tmp_path / "a.png", "c.png")
    content = (tmp_path / "b.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(content.replace((99_999).to_bytes(4, "little"), (999).to_bytes(4, "little")))
    monkeypatch.setattr(data, "MOST_PICTURE", 50_000)
    bomb, liar, sound = data.find(tmp_path / "b.zip")
    with pytest.raises(ValueError, match=r"bomb\.png: .*must unpack to 50,000 bytes at most, got 100,000"):
        data.decode(bomb)
    with pytest.raises(ValueError, match=r"liar\.png: .*or says wrongly what it unpacks to"):
        data.decode(liar)
    assert data.decode(sound).size == (40, 20)
    with pytest.warns(UserWarning, match=r"skipped .*(bomb|liar)\.png"):
        assert [Path(name).name for name, _ in data.pictures(tmp_path / "b.zip")] == ["b.zip:c.png"]


def test_a_damaged_archive_costs_its_pictures_alone(tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (9, 99, 200)).save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("c.png", "d.png"):
            archive.write(tmp_path / "a.png", name)
    content = bytearray((tmp_path / "b.zip").read_bytes())
    content[40:60] = bytes(20)  # of the first member
    (tmp_path / "b.zip").write_bytes(content)
    items = data.find(tmp_path)
    (tmp_path / "b.zip").write_bytes(content[:100])  # cut off behind it, after it had been listed
    for item in items[1:]:
        with pytest.raises(ValueError, match=rf"{item.member}: not a readable picture"):
            data.decode(item)
    with pytest.warns(UserWarning, match="skipped"):
        (tmp_path / "b.zip").write_bytes(content)
        assert Path(next(data.pictures(tmp_path))[0]).name == "a.png"
        list(data.pictures(tmp_path))
