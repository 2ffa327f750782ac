import pytest
from pretrained_models import save_hf


@pytest.fixture(scope="session")
def vit(tmp_path_factory):
    """A ViT of random weights in a folder, by the name that it is opened with."""
    return f"hf:{save_hf(tmp_path_factory.mktemp('models') / 'vit')}"
