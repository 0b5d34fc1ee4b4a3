"""The output directory is whole or not at all, whatever goes wrong on the way."""

from pathlib import Path

import pytest

from ircohort import analyse, output, save
from ircohort.errors import FileError, UsageError


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    labs = tmp_path_factory.mktemp("labs") / "labs.csv"
    rows = [f"p{person},20{10 + year}-03-01,{90 + year},{6 + person}" for person in range(3) for year in range(4)]
    labs.write_text("id,date,glucose (mg/dL),insulin (uIU/mL)\n" + "\n".join(rows) + "\n")
    return analyse(str(labs))


def everything(directory):
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("exchange", [True, False], ids=["by exchange", "by two renames"])
def test_an_earlier_output_is_replaced_whole(analysis, tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(output, "_exchange", lambda *_: False)
    out = save(analysis, tmp_path / "out")
    first = everything(out)
    save(analysis, out, overwrite=True)
    second = everything(out)
    assert first.keys() == second.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert output.verify(out).whole


def test_a_failure_while_writing_leaves_what_was_there(analysis, tmp_path, monkeypatch):
    out = save(analysis, tmp_path / "out")
    before = everything(out)

    def fail(*_args, **_said):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, "_write_manifest", fail)
    with pytest.raises(FileError, match="could not be written"):
        save(analysis, out, overwrite=True)
    assert everything(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_while_moving_in_puts_back_what_was_there(analysis, tmp_path, monkeypatch):
    out = save(analysis, tmp_path / "out")
    before = everything(out)
    monkeypatch.setattr(output, "_exchange", lambda *_: False)
    rename = Path.rename

    def fail_to_move_in(self, target):
        if Path(target) == out and not self.name.endswith("-old"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_to_move_in)
    with pytest.raises(FileError):
        save(analysis, out, overwrite=True)
    assert everything(out) == before


def test_an_interruption_leaves_nothing(analysis, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(output, "_write_figures_and_report", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(analysis, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_empty_directory_is_filled(analysis, tmp_path):
    (tmp_path / "out").mkdir()
    assert save(analysis, tmp_path / "out").joinpath("manifest.json").exists()


def test_a_link_and_a_file_are_not_replaced(analysis, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(UsageError, match="not a directory"):
            save(analysis, tmp_path / name, overwrite=True)


def test_a_manifest_that_is_not_ours_is_not_believed(tmp_path):
    for text in ("{}", "[" * 100_000, '{"made_by": "somebody", "outputs": {}}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(UsageError, match="holds no manifest"):
            output.verify(tmp_path)
