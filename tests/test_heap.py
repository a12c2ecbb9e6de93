"""Freed memory stays with the process while a model trains, and goes back afterwards."""

import platform
from pathlib import Path

import pytest
import torch

from edgekd.kd.heap import kept_heap

MEBIBYTE = 2**20
SIZE = 64 * MEBIBYTE


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's heap is set")
def test_a_freed_block_is_kept_inside_and_given_back_outside() -> None:
    before = resident()
    with kept_heap():
        block = torch.ones(SIZE // 4)
        del block
        assert resident() - before > SIZE * 0.9
    assert resident() - before < SIZE * 0.1


def test_memory_goes_back_where_training_fails() -> None:
    with pytest.raises(ValueError, match="stop"), kept_heap():
        block = torch.ones(SIZE // 4)
        before = resident()
        del block
        raise ValueError("stop")
    block = torch.ones(SIZE // 4)
    before = resident()
    del block
    assert before - resident() > SIZE * 0.9
