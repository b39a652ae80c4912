"""Durable steps: whole or not at all."""

import sys

import pytest

from edge_runtime import durable
from tests.edge_runtime.full_disk import files_end_at


def names(directory):
    return [path.name for path in directory.iterdir()]


def test_a_written_file_holds_all_chunks_and_leaves_nothing_beside_it(tmp_path):
    durable.write_file(tmp_path / "f", iter([b"one", b"two"]), mode=0o600)
    assert (tmp_path / "f").read_bytes() == b"onetwo"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["f"]


def test_a_body_that_breaks_off_leaves_the_old_file(tmp_path):
    def chunks():
        yield b"new"
        raise ValueError("broken off")

    durable.write_file(tmp_path / "f", b"old")
    with pytest.raises(ValueError, match="broken off"):
        durable.write_file(tmp_path / "f", chunks())
    assert (tmp_path / "f").read_bytes() == b"old"
    assert names(tmp_path) == ["f"]


def test_a_link_is_swapped_whatever_it_pointed_at(tmp_path):
    link = tmp_path / "active"
    durable.symlink_swap(link, "slots/a")
    (tmp_path / ".active.partial").symlink_to("left-over")
    durable.symlink_swap(link, "slots/b")
    assert str(link.readlink()) == "slots/b"
    assert names(tmp_path) == ["active"]


def test_a_folder_that_is_in_a_files_place_gives_way(tmp_path):
    for name in ("file", ".file.partial", "link", "gone"):
        (tmp_path / name / "within").mkdir(parents=True)
    durable.write_file(tmp_path / "file", b"1")
    durable.symlink_swap(tmp_path / "link", "file")
    durable.unlink(tmp_path / "gone")
    assert (tmp_path / "link").read_bytes() == b"1"
    assert sorted(names(tmp_path)) == ["file", "link"]


def test_a_tree_is_removed_without_following_links(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    durable.make_dir(tmp_path / "tree" / "deep")
    (tmp_path / "tree" / "link").symlink_to(outside)
    (tmp_path / "tree" / "deep" / "file").touch()
    durable.remove_tree(tmp_path / "tree")
    durable.remove_tree(tmp_path / "tree")
    assert (outside / "kept").exists()
    assert not (tmp_path / "tree").exists()


def test_moving_between_directories_replaces_the_target(tmp_path):
    durable.make_dir(tmp_path / "d")
    durable.write_file(tmp_path / "f", b"1")
    durable.write_file(tmp_path / "d" / "f", b"2")
    durable.rename(tmp_path / "f", tmp_path / "d" / "f")
    assert (tmp_path / "d" / "f").read_bytes() == b"1"
    durable.unlink(tmp_path / "d" / "f")
    durable.unlink(tmp_path / "d" / "f")
    assert names(tmp_path / "d") == []


def test_a_file_grows_at_its_end_only(tmp_path):
    (tmp_path / "f").write_bytes(b"one")
    file = durable.GrowingFile(tmp_path / "f", mode=0o600)
    file.append(b"two")
    file.cut(4)
    file.append(b"!")
    file.flush()
    file.close()
    assert (tmp_path / "f").read_bytes() == b"onet!"


def test_what_the_disk_has_no_room_for_leaves_nothing_behind(tmp_path):
    file = durable.GrowingFile(tmp_path / "f")
    file.append(b"whole")
    with files_end_at(10), pytest.raises(OSError, match="too large"):
        file.append(b"half of this")
    file.append(b", again")
    file.close()
    assert (tmp_path / "f").read_bytes() == b"whole, again"


def test_each_step_is_announced_before_it_is_taken(tmp_path):
    path = tmp_path / "f"
    steps = []

    def note(event, arguments):
        if event == durable.EVENT and arguments[1] == str(path):
            steps.append((arguments[0], path.exists(), *arguments[2:]))

    sys.addaudithook(note)
    file = durable.GrowingFile(path)
    file.append(b"body")
    file.cut(2)
    file.flush()
    file.close()

    assert steps == [
        ("create", False, 0o644),
        ("write", True, 0, b"body"),
        ("truncate", True, 2),
        ("fsync", True),
    ]


def test_a_reserved_file_has_its_space_before_its_bytes(tmp_path):
    file = durable.ReservedFile(tmp_path / "f", 100_000)
    assert (tmp_path / "f").stat().st_blocks * 512 >= 100_000
    file.write(5, b"bytes")
    file.flush()
    file.close()
    assert (tmp_path / "f").read_bytes()[:12] == b"\0\0\0\0\0bytes\0\0"


def test_a_reserved_file_that_was_longer_is_shortened(tmp_path):
    (tmp_path / "f").write_bytes(b"longer than that")
    durable.ReservedFile(tmp_path / "f", 6).close()
    assert (tmp_path / "f").read_bytes() == b"longer"


def test_settling_flushes_every_directory(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    flushed = set()

    def note(event, arguments):
        if event == durable.EVENT and arguments[1].startswith(str(tmp_path)):
            flushed.add(arguments)

    sys.addaudithook(note)
    durable.settle(tmp_path)
    folders = (tmp_path, tmp_path / "a", tmp_path / "a" / "b")
    assert flushed == {("fsync_dir", str(folder)) for folder in folders}
