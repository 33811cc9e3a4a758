"""`describe DATA`: what was understood of data on disk."""

from __future__ import annotations

from polymodal.commands.sources import Source
from polymodal.core.describe import Description, describe


def describe_data(source: Source) -> Description:
    """Read data and say what was understood: rows, kinds, shapes, what is missing, how columns were read, what looks odd.

    Raises:
        DataError: what cannot be read.
    """
    dataset = source.read()
    notes = [line for line in dataset.description.splitlines() if line]
    return describe(dataset.data, metadata=dataset.metadata, notes=notes)
