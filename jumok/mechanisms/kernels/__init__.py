"""Compiled loops behind the mechanisms."""
