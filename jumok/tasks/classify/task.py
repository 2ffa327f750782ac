"""The record of the task: images, and the class of each."""

from jumok.data.images.recognition import looks_like_labels
from jumok.tasks.task import Task

CLASSIFY = Task(
    name="classify",
    title="Images",
    does="classify images",
    word="images",
    example="a folder of class folders or a table of image,label",
    systems=(
        "senet",
        "vit-nano",
        "vit-tiny",
        "vit-small",
        "vit-base",
        "cnn",
        "mlp",
        "resnet",
        "cbam",
        "eca",
        "non-local",
        "ram",
        "stn",
    ),
    recognises=lambda paths: any(path.is_dir() for path in paths),
    claims=looks_like_labels,
    renames={"images": "image_folder"},
    opens=("hf:", "timm:"),
    verbs=("evaluate", "predict", "export", "measure", "compare", "trust"),
)
