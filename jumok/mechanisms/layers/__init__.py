"""Layers that are not mechanisms: linear maps, dropout, products with gates."""
