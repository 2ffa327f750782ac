"""Images in Parquet and tar files, and their bytes."""

import io
import json
import tarfile

import numpy as np
from PIL import Image

CLASSES = ("blue", "green", "red")


def make_images(count, side=16, seed=0):
    """Bytes of PNG files, each in a colour that tells its class, with the classes in turn."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(count):
        pixels = chance.integers(0, 150, (side, side, 3))
        pixels[..., 2 - number % 3] += 100
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "png")
        found.append((file.getvalue(), CLASSES[number % 3]))
    return found


def write_parquet(path, images, *, group=4, form="bytes", named=True, **columns):
    import pyarrow as pa
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    contents = [content for content, _ in images]
    image = contents if form == "bytes" else [{"bytes": each, "path": "same.png"} for each in contents]
    label = [name if named else CLASSES.index(name) for _, name in images]
    table = pa.table({"image": image, "label": label, **columns})
    if not named:
        about = {"info": {"features": {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    parquet.write_table(table, path, row_group_size=group)
    return path


def write_tar(path, members):
    """A tar file of (name, bytes)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            head = tarfile.TarInfo(name)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
    return path


def write_shard(path, images, first=0, told="cls"):
    """A tar file as WebDataset packs it."""
    members = []
    for number, (content, name) in enumerate(images, first):
        text = str(CLASSES.index(name)) if told == "cls" else json.dumps({"label": name, "caption": "x"})
        members += [(f"{number:06}.png", content), (f"{number:06}.{told}", text.encode())]
    return write_tar(path, members)
