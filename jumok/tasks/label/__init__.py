"""Classifying texts with pretrained encoders."""
