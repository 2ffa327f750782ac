"""Import torchvision, or, where its compiled part does not load beside torch's build, name the operators that it adds.

timm and parts of `transformers` import it and call none of these operators here.
"""

from __future__ import annotations

import importlib

from bench import torchvision_names


def ensure() -> None:
    """Make `import torchvision` possible where it is installed."""
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return
    except (RuntimeError, OSError):
        torchvision_names.define()
