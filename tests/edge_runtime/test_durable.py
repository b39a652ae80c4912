"""Durable steps: whole or not at all."""

import pytest

from edge_runtime import durable


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
