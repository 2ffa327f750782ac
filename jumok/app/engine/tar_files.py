"""Images in tar files, such as those of WebDataset: one member an input, others left out."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from jumok.app.engine.addresses import open_bytes
from jumok.app.engine.shards import Item, WholeFiles
from jumok.data.images.formats import is_image_name
from jumok.errors import JumokError, first_line
from jumok.files import regular_file

__all__ = ["TarShard", "find_tar_inputs"]


@dataclass(frozen=True)
class TarShard:
    """Some images of a tar file."""

    file: str
    inside: int
    begin: int
    count: int
    labelled: bool = False

    def items(self) -> Iterator[Item]:
        """Each of them; where the file is cut off, an error stands for the rest."""
        return islice(_read_members(self.file, self.inside), self.count)


def find_tar_inputs(files: Sequence[str], size: int) -> WholeFiles:
    """The images of tar files, counted: their heads are read once.

    Args:
        files: in order.
        size: of a shard.
    Raises:
        JumokError: a file that is no tar file, or no image in any.
    """
    counts = [sum(1 for _ in _list_members(file)) for file in files]
    if not sum(counts):
        raise JumokError(f"no image in {files[0]}{' and the other tar files' if len(files) > 1 else ''}")
    return WholeFiles(files, counts, size, TarShard)


def _list_members(file: str) -> Iterator[str]:
    """The names of what `_read_members` gives."""
    return (item.name for item in _read_members(file, None))


def _read_members(file: str, begin: int | None) -> Iterator[Item]:
    """The images of a file from one of them on; with no beginning, their names alone.

    Raises:
        JumokError: it is no tar file.
    """
    with open_bytes(file if "://" in file else str(regular_file(file))) as bytes_:
        try:
            members = tarfile.open(fileobj=bytes_)  # noqa: SIM115 (its own file is closed by the block above)
        except tarfile.TarError as error:
            raise JumokError(f"{file} is damaged or not a tar file ({first_line(error)}): replace it") from error
        try:
            for number, member in enumerate(_find_images(members)):
                if begin is None or number >= begin:
                    yield Item(f"{file}/{member.name}", b"" if begin is None else _read_member(members, member))
            _check_end(members)
        except (tarfile.TarError, OSError, EOFError) as error:
            yield Item(file, JumokError(f"{file} ends too early ({first_line(error)}): replace it"))


def _find_images(members: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in members:
        members.members = []  # type: ignore[attr-defined]  # else it keeps all that it has passed
        if member.isfile() and is_image_name(member.name):
            yield member


def _check_end(members: tarfile.TarFile) -> None:
    """Refuse a file that ends between two members: `tarfile` takes that for its end, which is a block of zeros.

    Raises:
        EOFError: it does.
    """
    assert members.fileobj is not None
    members.fileobj.seek(members.offset)
    if len(members.fileobj.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:
        raise EOFError("the mark of its end is missing")


def _read_member(members: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | JumokError:
    try:
        file = members.extractfile(member)
        content = b"" if file is None else file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        return JumokError(f"cannot read {member.name} ({first_line(error)}): replace the tar file")
    return content if len(content) == member.size else JumokError(f"{member.name} is cut off: replace the tar file")
