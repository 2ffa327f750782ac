"""Batches as Lightning's training data: whatever the checkpoint, the resumed run sees what the unbroken one saw."""

import itertools
import logging

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from jumok.data.images.batches import Batches

EPOCHS, COUNT, SIZE = 3, 10, 3  # four batches in an epoch, the last one short


class Numbers:
    def __len__(self):
        return COUNT

    def get(self, indices):
        return indices.to(torch.uint8)[:, None, None, None].expand(-1, 3, 1, 1)


class Listener(pl.LightningModule):
    """Notes which images it is given."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.seen = []

    def training_step(self, batch, index):
        self.seen.append((self.current_epoch, index, batch.indices.tolist()))
        return self.layer(batch.images.float().mean((2, 3))).mean()

    def validation_step(self, batch, index):
        assert batch.indices.tolist() == list(range(index * SIZE, min(index * SIZE + SIZE, COUNT)))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


class SaveEverywhere(pl.Callback):
    """Saves after each batch, validation and epoch; the name tells how many batches were seen."""

    def __init__(self, folder):
        self.folder = folder

    def save(self, trainer, moment):
        trainer.save_checkpoint(self.folder / f"{len(trainer.lightning_module.seen):02d}-{moment}.ckpt")

    def on_train_batch_end(self, trainer, *rest):
        self.save(trainer, "batch")

    def on_validation_end(self, trainer, *rest):
        if not trainer.sanity_checking:
            self.save(trainer, "validation")

    def on_train_epoch_end(self, trainer, *rest):
        self.save(trainer, "epoch")


def fit(folder, checkpoint=None, callbacks=(), **options):
    listener, labels = Listener(), torch.zeros(COUNT)
    train = Batches(Numbers(), labels, batch_size=SIZE, seed=5, shuffle=True, drop_last=False)
    check = Batches(Numbers(), labels, batch_size=SIZE, shuffle=False, drop_last=False)
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
        callbacks=list(callbacks),
        default_root_dir=folder,
        **options,
    )
    trainer.fit(listener, train, check, ckpt_path=checkpoint)
    return listener.seen, train


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


@pytest.fixture(autouse=True)
def _quiet():
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options", [{}, {"val_check_interval": 2}, {"accumulate_grad_batches": 2, "limit_val_batches": 0}]
)
def test_resumed_from_any_checkpoint_the_images_are_those_of_the_unbroken_run(tmp_path, options):
    keeper = ModelCheckpoint(tmp_path, filename="{step:02d}-kept", every_n_train_steps=1, save_top_k=-1)
    whole, train = fit(tmp_path, callbacks=[SaveEverywhere(tmp_path), keeper], **options)
    assert joined(indices for epoch, _, indices in whole if epoch == 1) == train.order(1).tolist()
    assert len(whole) == 12
    checkpoints = sorted(path for path in tmp_path.glob("*.ckpt") if path.name[:2].isdigit())
    assert len(checkpoints) >= 15
    for checkpoint in checkpoints:
        seen, _ = fit(tmp_path, checkpoint, **options)
        assert seen == whole[int(checkpoint.name[:2]) :], checkpoint.name


@pytest.mark.filterwarnings("ignore")
def test_a_limited_epoch_is_followed_by_the_next_order(tmp_path):
    whole, train = fit(tmp_path, callbacks=[SaveEverywhere(tmp_path)], limit_train_batches=3)
    for epoch in range(EPOCHS):
        assert joined(indices for number, _, indices in whole if number == epoch) == train.order(epoch)[:9].tolist()
    for checkpoint in sorted(tmp_path.glob("*.ckpt")):
        seen, _ = fit(tmp_path, checkpoint, limit_train_batches=3)
        assert seen == whole[int(checkpoint.name[:2]) :], checkpoint.name
