"""The one file that is deployed: it needs nothing beside it."""

import os
import shutil
import struct
import subprocess

import pytest

BIN = os.environ["SARANG_BIN"]

PT_INTERP = 3


def program_header_types(path):
    """The types of an ELF file's program headers (elf(5)), 64 bits, little-endian."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:6] == b"\x7fELF\x02\x01"
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    return [struct.unpack_from("<I", data, offset + n * size)[0] for n in range(count)]


def test_it_needs_no_shared_library():
    archive = subprocess.run(["cc", "-print-file-name=libc.a"], capture_output=True, text=True).stdout.strip()
    if not os.path.isabs(archive):
        pytest.skip("the C library has no static form here")
    assert PT_INTERP not in program_header_types(BIN)


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_it_runs_in_an_empty_root_directory(tmp_path):
    if PT_INTERP in program_header_types(BIN):
        pytest.skip("the binary is dynamic here")
    shutil.copy(BIN, tmp_path / "sarang")
    done = subprocess.run(["chroot", tmp_path, "/sarang", "--version"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and done.stdout.startswith("sarang "), done
