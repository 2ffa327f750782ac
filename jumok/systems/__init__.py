"""Whole models, one per file, each readable alone from top to bottom."""
