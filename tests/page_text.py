"""What a written page holds, read from its text."""

import json
import re


def block(text, name):
    """The text that the page keeps under this name."""
    return re.search(rf'<script type="text/plain" id="{name}">(.*?)</script>', text, re.DOTALL)[1]


def data_of(text):
    """What the page knows before it unpacks anything."""
    return json.loads(block(text, "page-data"))
