"""Training runs that a test can start, break and start again, and what is changed in a finished one."""

from abc import ABC, abstractmethod
from pathlib import Path


class TrainingJob(ABC):
    """One training run; each task says how it is prepared."""

    def __init__(self, settings, folder: Path):
        self.settings, self.folder = settings, folder

    @abstractmethod
    def prepare(self):
        """Everything that the training needs."""

    def start(self, *watchers):
        from jumok.tasks.running import fit  # here, for it brings the trainer, which takes seconds to import

        prepared = self.prepare()
        prepared.write(self.folder)
        self.module = prepared.module()
        return fit.fit(self.module, prepared.train, prepared.val, self.folder, prepared.training, watchers)


def in_config(old, new):
    """What changes the text of a run's config.yaml, given its folder."""

    def edit(folder):
        path = folder / "config.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return edit
