"""The command that installs what is optional is one that works where it is read."""

from pathlib import Path

from jumok import extras
from jumok.extras import install_extra

ROOT = Path(extras.__file__).resolve().parents[1]


def test_in_the_checkout_that_runs_it_stays_editable(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert install_extra("timm") == "pip install -e '.[timm]'"


def test_elsewhere_the_checkout_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert install_extra("hf") == f"pip install -e '{ROOT}[hf]'"


def test_an_installed_package_is_installed_again_from_the_checkout_or_the_index(monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages" / "jumok" / "extras.py"))
    monkeypatch.chdir(tmp_path)
    assert install_extra("hf") == "pip install 'jumok[hf]'"
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "jumok"\n')
    assert install_extra("hf") == "pip install '.[hf]'"
