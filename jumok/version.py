"""The version of this program, which runs and pages record."""

__all__ = ["__version__"]

__version__ = "0.1.0"
