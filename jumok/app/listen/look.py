"""`jumok look SOUND.wav --model hf:WHISPER`: what a speech model writes, and which moments each word was read from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumok.app.look_request import LookRequest
from jumok.app.looked import LookedAt
from jumok.app.options import refuse
from jumok.app.session import Session, write_report
from jumok.errors import JumokError
from jumok.language import translate
from jumok.wording import readable, write_count

if TYPE_CHECKING:
    from jumok.tasks.listen.hearing import Heard
    from jumok.tasks.listen.opening import Listener
    from jumok.views.pages.question_page import QuestionPage
    from jumok.views.pictures.question_picture import Asked

__all__ = ["HeardSounds", "look"]

LOOK = "cross-attention"
MOST_SOUNDS = 100
MOST_TOLD = 12
"""Words of a sound that are told on the terminal."""


class HeardSounds(LookedAt):
    """What a speech model wrote about some sounds."""

    noun = "sound"
    results = "results.json"

    def tell_count(self) -> str:
        """How many sounds there were."""
        return write_count(len(self.rows), "sound")


def look(asked: LookRequest, model: str, session: Session) -> HeardSounds:
    """Have a speech model write what it hears; draw each word over the spectrogram.

    Args:
        asked: what is looked at, and how.
        model: `hf:` with a folder or name.
        session: of the command.
    Raises:
        JumokError: no sound, a model that cannot be opened, a choice that has no meaning for sounds, or no sound that
            could be read.
    """
    from jumok.tasks.listen.opening import open_listener
    from jumok.views.pages.question_page import QuestionPage

    _refuse(asked, model)
    paths = _list_sounds(asked.inputs)
    listener = open_listener(model, session.device)
    page = QuestionPage(translate("What {model} hears, and when", model=Path(model.removeprefix("hf:")).name))
    found = HeardSounds(asked.out)
    for path in paths:
        try:
            found.rows.append(_hear(listener, path, asked, page, found, session))
        except JumokError as error:
            if len(paths) == 1:
                raise
            found.rows.append({"sound": str(path), "error": str(error)})
            session.remark(str(error))
    if found.failed == len(paths):
        raise JumokError(f"none of the {len(paths)} sounds could be read: {found.rows[0]['error']}")
    if asked.files.html:
        found.page = asked.out / "index.html"
        page.write(found.page)
    write_report(asked.out / found.results, found)
    return found


def _refuse(asked: LookRequest, model: str) -> None:
    flags = {
        "--method": asked.maps.method,
        "--target": asked.maps.target,
        "--layer": asked.maps.layer,
        "--head": asked.maps.head,
        "--without-sinks": asked.maps.without_sinks or None,
        "--chat": asked.texts.chat or None,
    }
    refuse(flags, f"{model} is a speech model, whose words are shown by its cross-attention")


def _list_sounds(inputs: Sequence[str]) -> list[Path]:
    """The sounds that are named, and those in folders."""
    from jumok.data.sounds import SUFFIX

    paths: list[Path] = []
    for given in map(Path, inputs):
        if given.is_dir():
            sounds = (path for path in given.rglob("[!.]*") if path.suffix.lower() == SUFFIX)
            paths += sorted(path for path in sounds if path.is_file())
        elif given.is_file():
            paths.append(given)
        else:
            raise JumokError(f"no sound or folder at {given}: this model hears, so give a {SUFFIX} file")
    if not paths:
        raise JumokError(f"no {SUFFIX} file in {', '.join(inputs)}: this model hears sounds")
    if len(paths) > MOST_SOUNDS:
        raise JumokError(f"got {len(paths)} sounds: give at most {MOST_SOUNDS} at a time")
    return paths


def _hear(
    listener: Listener, path: Path, asked: LookRequest, page: QuestionPage, found: HeardSounds, session: Session
) -> dict[str, Any]:
    """One sound, told, drawn and put onto the page; what results.json says of it."""
    from jumok.data.sounds import read_sound
    from jumok.tasks.listen.hearing import MOST_TOKENS, hear
    from jumok.views.pictures.question_picture import draw_asked
    from jumok.views.pictures.spectrogram import draw_spectrogram

    most = listener.usual_count if asked.texts.generate is None else asked.texts.generate
    if not 1 <= most <= MOST_TOKENS:
        raise JumokError(f"--generate is a number of tokens from 1 to {MOST_TOKENS}, got {most}")
    heard = hear(listener, read_sound(path, listener.rate, listener.longest), most)
    found.remarks += [note for note in heard.notes if note not in found.remarks]
    number, name = len(found.rows) + 1, readable(path.name)
    shown, picture = _build_asked(heard, name), draw_spectrogram(heard.spectrogram)
    session.say(f"{name}  ->  {heard.text}")
    session.say(f"  {_tell(heard)}")
    page.add(picture, [shown], name=name)
    heard.looks.save(asked.out / f"{number}.{LOOK}.safetensors")
    drawn = asked.out / f"{number}.png" if asked.files.pictures else None
    if drawn is not None:
        draw_asked(picture, shown.spread(LOOK, translate("all words")), drawn, title=name)
    return _describe(heard, path, drawn)


def _tell(heard: Heard) -> str:
    words = [f"{word} {at:.2f} s" for word, at in zip(heard.words, heard.peaks, strict=True)]
    more = f" and {len(words) - MOST_TOLD} more" if len(words) > MOST_TOLD else ""
    return ", ".join(words[:MOST_TOLD]) + more


def _describe(heard: Heard, path: Path, drawn: Path | None) -> dict[str, Any]:
    parts = zip(heard.words, heard.probabilities, heard.peaks, heard.on_sound, strict=True)
    return {
        "sound": str(path),
        "seconds": heard.seconds,
        "step_seconds": heard.step,
        "text": heard.text,
        "words": [
            {"word": word, "probability": share, "peak_seconds": peak, "on_sound": inside}
            for word, share, peak, inside in parts
        ],
        "on_sound_if_even": heard.even,
        "picture": drawn,
    }


def _build_asked(heard: Heard, name: str) -> Asked:
    """What views take: the words, the probability of each, and where in the spectrogram each looked."""
    import torch

    from jumok.attention import AttentionMap, One, Scale
    from jumok.views.pictures.question_picture import MOST_WORDS, Asked

    if len(heard.words) > MOST_WORDS:
        raise JumokError(f"{len(heard.words)} words were written, and a page shows {MOST_WORDS}: lower --generate")
    looks = heard.looks
    whole = AttentionMap(looks.weights.mean(0, keepdim=True), One("answer"), looks.keys, (), looks.scale, looks.source)
    sure = AttentionMap(
        torch.tensor([heard.probabilities]), One("answer"), looks.queries, (), Scale.GATE, "probability of each word"
    )
    shares = heard.on_sound
    note = (
        f"{looks.source.capitalize()}; time runs to the right, over {heard.seconds:.2f} s. On average "
        f"{sum(shares) / len(shares):.0%} of it fell on the sound; even attention: {heard.even:.0%}."
    )
    answers = [(heard.text, min(_multiply(heard.probabilities), 1.0))]
    parts = (name, heard.words, answers, {LOOK: whole}, {LOOK: looks}, sure)
    return Asked(*parts, note=note, generated=True, seconds=heard.covered)


def _multiply(shares: Sequence[float]) -> float:
    product = 1.0
    for share in shares:
        product *= share
    return product
