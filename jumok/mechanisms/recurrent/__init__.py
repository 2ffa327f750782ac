"""Recurrent cells, and what attends step by step."""
