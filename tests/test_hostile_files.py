"""Whatever is in a file, a reader gives what it says or a JumokError. `make soak` tries thousands of files on each."""

import contextlib
import io
import json
import tempfile
from pathlib import Path

import pytest
import torch
import yaml
from hostile_files import FUZZED, Reader, hostile_bytes, hostile_values, try_for_long
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from jumok.attention import AttentionMap, Patches, Tokens
from jumok.data.images.label_tables import read_labels
from jumok.data.images.masks import read_mask
from jumok.data.images.reading import open_image
from jumok.data.pairs.alignment_files import read_links
from jumok.data.pairs.pair_set import read_pairs
from jumok.data.questions.files import read_files
from jumok.data.ready_tables import make_ready
from jumok.data.tables import read_table
from jumok.data.texts.vocabulary_builder import build_vocabulary, load_vocabulary
from jumok.errors import LONGEST_ERROR, JumokError
from jumok.tasks.running.checkpoint import load_state, save_state, write_tensors
from jumok.tasks.running.config import load_config
from jumok.tasks.running.run import read_model
from jumok.wording import printable

TEXT = '하나 둘\tone two\nthe cat\tle chat\n<unk> 5"\tx\n'
QUESTIONS = 'image,question,answers\na.png,"what, is it?",cat|dog\nb.png,how many?,2\n'
LABELS = b"image,label,split\na.png,x,train\nb.png,y,val\nc.png,x,test\n"
LINES = '{"image": "a.png", "question": "what?", "answers": ["cat", "dog"]}\n'
LINES += '{"image": "b.png", "question": "who?", "answer": "x"}\n'
TABLE = "a,b,date,part\n1,0.5,2024-01-02,x\n2,,2024-02-03,y\n3,-1e3,2024-03-04,x\n4,7,2024-05-06,y\n"


def _written(write, name="file") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def _picture(kind: str, mode: str) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (9, 7), 1).save(file, kind)
    return file.getvalue()


def _about(axes):
    return {"queries": {"kind": "One", "name": "a"}, "keys": axes, "lead": [], "scale": "gate", "source": "s"}


def _read_map(path):
    found = AttentionMap.load(path)
    printable(repr(found))
    with contextlib.suppress(JumokError):
        found.image(4, 4)


AXES = [
    {"kind": "Patches", "rows": 1, "columns": 3, "special": ["cls"]},
    {"kind": "Regions", "boxes": [[0, 0, 1, 1], None] * 2, "names": ["a", "b"] * 2, "height": 4, "width": 4},
    {"kind": "Glimpses", "centres": [[0.0, 0.5]] * 4, "sizes": [[0.5, 0.5]] * 4},
    {"kind": "Sampled", "rows": 2, "columns": 2, "points": [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]},
]


def _image_config():
    from jumok.tasks.classify.settings import RunConfig

    return RunConfig


def _image_values() -> dict:
    """A run's configuration, made without a training."""
    from jumok.systems import configure
    from jumok.tasks.classify.settings import ImageTraining

    options = configure("vit-nano", width=16, depth=1, heads=2, patch=4, classes=2).model_dump(mode="json")
    parts = {part: [3, 2] for part in ("train", "val", "test")}
    found = {
        "classes": ["a", "b"],
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.1],
        "counts": dict.fromkeys(parts, 5),
        "per_class": parts,
        "fingerprint": "0" * 32,
    }
    about = {"format": 1, "jumok": "0", "changes": [], "task": "classify", "system": "vit-nano", "options": options}
    training = ImageTraining().model_dump(mode="json")
    return {**about, "data": {"images": "images", "image_size": 32}, "training": training, "found": found}


def _read_config(path):
    from jumok.tasks.classify.run import build_model

    config = load_config(_image_config(), path)
    with torch.device("meta"):
        build_model(config)


def _list_files(save) -> dict[str, bytes]:
    """The files of a folder that something is saved to."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _read_beside(files, read):
    """Reads a folder in which one file is changed."""

    def read_folder(path):
        for name, content in files.items():
            if name != path.name and not (path.parent / name).exists():
                (path.parent / name).write_bytes(content)
        read(str(path.parent))

    return read_folder


def _folder_readers():
    """Readers of the files of models from elsewhere."""
    from pretrained_models import save_hf
    from text_encoders import save_encoder

    from jumok.tasks.classify.foreign import load_hf
    from jumok.tasks.label.foreign import load_encoder

    for kind, files, read, names in (
        ("image", _list_files(save_hf), load_hf, ("config.json", "preprocessor_config.json", "model.safetensors")),
        ("text", _list_files(save_encoder), load_encoder, ("config.json", "tokenizer.json", "tokenizer_config.json")),
    ):
        for name in names:
            values = json.loads(files[name]) if name.endswith("json") else None
            yield Reader(f"{kind} {name}", name, (files[name],), _read_beside(files, read), values)


def _build():
    from jumok import systems

    return systems.build("cnn", systems.configure("cnn", classes=2))


def _read_table(path):
    table = read_table(path)
    make_ready(table, table.columns[-1])


def _read_weights(path):
    read_model(_build, path.parent)


def _read_vocabulary(path):
    vocabulary = load_vocabulary(path)
    vocabulary.decode(vocabulary.encode("the cat"))


def _to_yaml(values) -> bytes:
    return yaml.safe_dump(values).encode()


def _write_map(axes) -> bytes:
    """A map's file with these axes, whatever they are."""
    return save({"weights": torch.ones(1, 4)}, {"format": "jumok-attention-map/1", "axes": json.dumps(_about(axes))})


def _write_one(several) -> bytes:
    """A map's file with one of several axes, the one that was changed most likely."""
    changed = several if isinstance(several, list) else [several]
    return _write_map(next((axes for axes in changed if axes not in AXES), changed))


def readers() -> dict[str, Reader]:
    texts = ["the cat sat", "하나 둘 셋", "a b c d e f g"] * 20
    vocabularies = [build_vocabulary(kind, texts, size=60, min_count=1)[0] for kind in ("words", "characters", "bpe")]
    state = {"epoch": 1, "rows": [{"loss": 0.5}], "weights": {"a": torch.ones(2)}, "n": (1, None, float("nan"))}
    weights = _build().state_dict()
    maps = AttentionMap(torch.ones(1, 4) / 4, Tokens(("a",)), Patches(2, 2))
    pictures = (("PNG", "L"), ("PNG", "P"), ("BMP", "1"), ("TIFF", "I;16"), ("PNG", "RGBA"), ("JPEG", "RGB"))
    drawn = tuple(_picture(kind, mode) for kind, mode in (*pictures, ("GIF", "P"), ("WEBP", "RGB")))
    tables = (TABLE.encode(), TABLE.replace(",", "\t").encode())
    values = _image_values()
    kept = _written(lambda path: write_tensors(weights, path, {}))
    saved_map = _written(maps.save, "map.safetensors")
    found = [
        Reader("configuration", "config.yaml", (_to_yaml(values),), _read_config, values, _to_yaml),
        Reader("weights", "weights.safetensors", (kept,), _read_weights),
        Reader("checkpoint", "last.safetensors", (_written(lambda path: save_state(state, path)),), load_state),
        Reader("map", "map.safetensors", (saved_map, *map(_write_map, AXES)), _read_map, AXES, _write_one),
        Reader("vocabulary", "source.vocabulary", tuple(each.to_bytes() for each in vocabularies), _read_vocabulary),
        Reader("mask", "mask.png", drawn, read_mask),
        Reader("image", "image.png", drawn, open_image),
        Reader("table", "table.csv", tables, _read_table),
        Reader("labels", "labels.csv", (LABELS,), lambda path: read_labels({"train": path}, path.parent)),
        Reader("pairs", "pairs.tsv", (TEXT.encode(),), lambda path: read_pairs([path])),
        Reader("questions", "questions.csv", (QUESTIONS.encode(),), lambda path: list(read_files([path]))),
        Reader("question lines", "questions.jsonl", (LINES.encode(),), lambda path: list(read_files([path]))),
        Reader("links", "links", (b"0-0 1p1\n\n2-0 3-1\n",), read_links),
        *_folder_readers(),
    ]
    return {reader.name: reader for reader in found}


NAMES = ("configuration", "weights", "checkpoint", "map", "vocabulary", "mask", "image", "table", "labels", "pairs",
         "questions", "question lines", "links", "image config.json", "image preprocessor_config.json",
         "image model.safetensors",
         "text config.json", "text tokenizer.json", "text tokenizer_config.json")  # fmt: skip


@pytest.fixture(scope="module")
def every():
    found = readers()
    assert tuple(found) == NAMES
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_gives_what_it_says_or_our_error(name, every, tmp_path):
    reader = every[name]
    path = tmp_path / reader.file
    sizes = []

    def attempt(content):
        sizes.append(len(content))
        path.write_bytes(content)
        said = ""
        try:
            reader.read(path)
        except JumokError as error:
            said = str(error)
        assert len(said) <= LONGEST_ERROR

    for seed in reader.seeds:
        path.write_bytes(seed)
        if name != "labels":  # whose images are not there
            reader.read(path)

    @FUZZED
    @given(content=hostile_bytes(reader.seeds))
    def try_bytes(content):
        attempt(content)

    @FUZZED
    @given(data=st.data())
    def try_values(data):
        values = data.draw(hostile_values(reader.values))
        try:
            content = reader.write(values)
        except (ValueError, TypeError, yaml.YAMLError):  # what cannot be written cannot be read
            return
        attempt(content)

    tries = [try_bytes] * bool(reader.seeds) + [try_values] * (reader.values is not None)
    try_for_long(tries)
    print(f"{name}: {len(sizes):,} files of {sum(sizes) // len(sizes):,} bytes on average")  # noqa: T201 (seen with pytest -rP)
