"""From the layers of a model to its input: one method per file, a function of the file's name.

A method knows what `jumok.watching` records. `Seen` finds it by its name.
"""
