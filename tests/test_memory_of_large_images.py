"""How much memory large images take: the most that a process has held, beyond what it held before, for each pixel."""

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

SIDE = 2500
"""Of the images here; the largest that are read have fourteen times as many pixels."""
LARGEST = 9400
TWO_GB = 2_000_000_000
MEASURED = """
import json, re, sys, torch
from PIL import Image
from jumok.data.images.masks import read_mask
from jumok.data.images.reading import read_image
from jumok.mechanisms.saliency import saliency_map
from jumok.mechanisms.saliency.separation import separate
from jumok.views.pictures.objects import save_mask

def held(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

def measure(act):
    open("/proc/self/clear_refs", "w").write("5")  # the most so far is what is held now
    before = held("VmRSS")
    kept = act()
    found[name] = (held("VmHWM") - before) / side**2
    return kept

found = {}
for folder, side in ((sys.argv[1], 300), (sys.argv[2], int(sys.argv[3]))):  # the first loads what is needed
    for name in ("rgba16", "grey_alpha16", "rgb8"):
        image = measure(lambda: read_image(f"{folder}/{name}.png"))
    name = "mask"
    measure(lambda: read_mask(f"{folder}/rgba16.png"))
    name = "map"
    heat = measure(lambda: saliency_map(image))
    name = "objects"
    cut = measure(lambda: separate(heat))
    name = "saved"
    measure(lambda: (heat.save(f"{folder}/heat.safetensors"), save_mask(cut.mask, f"{folder}/mask.png")))
print(json.dumps(found))
"""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_squares(path: Path, side: int, depth: int, colour_type: int, channels: int) -> None:
    """A PNG of small squares, which is a small file however large it is, and falls into very many regions."""
    pixel = channels * depth // 8
    pair = bytes(3 * pixel) + b"\xff" * (3 * pixel)
    row = (pair * (side // 6 + 1))[: side * pixel]
    rows = (b"\0" + row, b"\0" + bytes(255 - value for value in row))
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(rows[y // 3 % 2]) for y in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, depth, colour_type, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b""))


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the most a process held is reset by Linux alone"
)
@pytest.mark.slow
def test_a_large_image_takes_few_bytes_a_pixel_at_each_step(tmp_path):
    kinds = (("rgba16", 16, 6, 4), ("grey_alpha16", 16, 4, 2), ("rgb8", 8, 2, 3))
    for folder, side in ((tmp_path / "small", 300), (tmp_path / "large", SIDE)):
        folder.mkdir()
        for name, *kind in kinds:
            write_squares(folder / f"{name}.png", side, *kind)
    words = [str(tmp_path / "small"), str(tmp_path / "large"), str(SIDE)]
    child = subprocess.run([sys.executable, "-c", MEASURED, *words], check=True, capture_output=True, text=True)
    found = json.loads(child.stdout)
    most = {**dict.fromkeys(found, 14), "rgba16": 19}
    assert {name: value for name, value in found.items() if value > most[name]} == {}


@pytest.mark.skipif(not os.environ.get("JUMOK_LARGE"), reason="takes minutes: make soak")
@pytest.mark.parametrize(("depth", "colour_type", "channels"), [(8, 2, 3), (16, 6, 4)])
def test_saliency_of_one_of_the_largest_images_takes_less_than_2_gb(tmp_path, depth, colour_type, channels):
    write_squares(tmp_path / "large.png", LARGEST, depth, colour_type, channels)
    words = ["saliency", str(tmp_path / "large.png"), "--out", str(tmp_path / "out")]
    child = subprocess.Popen([sys.executable, "-m", "jumok", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    assert used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) < TWO_GB
