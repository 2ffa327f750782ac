"""Layers that are no mechanism: linear maps, dropout, products with gates."""
