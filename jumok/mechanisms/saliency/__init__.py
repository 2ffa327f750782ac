"""Saliency: what stands out in an image, with no model. One method per file."""

from jumok.mechanisms.saliency.methods import DEFAULT_METHOD, METHODS, Method, example, saliency, saliency_map

__all__ = ["DEFAULT_METHOD", "METHODS", "Method", "example", "saliency", "saliency_map"]
