"""Texts that have a class each."""
