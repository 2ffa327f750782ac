"""Maps as pages: one HTML file each, with scripts of our own."""
