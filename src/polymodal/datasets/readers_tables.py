"""Files of rows -> an Arrow table: CSV, TSV, JSON lines, JSON, Parquet, Feather and Arrow, with errors that name the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polymodal.core.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".feather", ".arrow")
MISSING_CELLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


def read_table(path: Path) -> Any:
    """The rows of one file as a `pyarrow.Table`, columns in the file's order.

    Args:
        path: A file whose suffix is one of `TABLE_SUFFIXES`.

    Raises:
        DataError: the file is empty, is not UTF-8, has a line that cannot be read, or two columns of one name.
    """
    suffix = path.suffix.lower()
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes). A table needs a header or at least one row.")
        if suffix in (".csv", ".tsv"):
            table = _read_delimited(path, "\t" if suffix == ".tsv" else ",")
        elif suffix in (".jsonl", ".ndjson"):
            table = _from_records(path, list(_json_lines(path)))
        elif suffix == ".json":
            table = _from_records(path, list(_json_document(path)))
        else:
            table = _read_arrow(path, suffix)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Check the path.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from None
    names = list(table.column_names)
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DataError(f"{path} needs columns of different names, got {twice} more than once. Rename them.")
    if not table.num_rows:
        raise DataError(f"{path} has columns {names} but no rows. Add rows, or leave the file out.")
    return table


def _read_delimited(path: Path, delimiter: str) -> Any:
    import pyarrow as pa

    try:
        table = _parse(path, delimiter, use_threads=True)
    except pa.ArrowInvalid as error:
        reason = str(error)
        try:
            _parse(path, delimiter, use_threads=False)  # slower, but its message holds the number of the row
        except pa.ArrowInvalid as numbered:
            reason = str(numbered)
        if "UTF8" in reason or "UTF-8" in reason:
            raise _not_utf8(path) from None
        raise DataError(
            f"{path} needs one value per column on every line: {reason.splitlines()[0][:200]}. "
            "Put values that hold the delimiter in double quotes."
        ) from None
    header = table.column_names[0]
    other = next((d for d in ";\t|" if d in header), None) if table.num_columns == 1 else None
    if other is not None:
        raise DataError(
            f"{path} needs {delimiter!r} between its columns; its header {header[:60]!r} looks as if {other!r} stands there. "
            "Save it with commas (.csv) or tabs (.tsv)."
        )
    if any(pa.types.is_binary(field.type) for field in table.schema):
        raise _not_utf8(path)
    return table


def _parse(path: Path, delimiter: str, *, use_threads: bool) -> Any:
    from pyarrow import csv

    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(use_threads=use_threads),
        parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            null_values=MISSING_CELLS, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(
                        f"{path} needs one JSON object per line; line {number} is not ({error.msg}, column {error.colno}): "
                        f"{line.strip()[:60]!r}."
                    ) from None
                if not isinstance(record, dict):
                    raise DataError(
                        f"{path} needs one JSON object per line; line {number} is {type(record).__name__}: {line.strip()[:60]!r}."
                    )
                yield record
    except UnicodeDecodeError:
        raise _not_utf8(path) from None


def _json_document(path: Path) -> Iterator[dict[str, Any]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not JSON: {error.msg} on line {error.lineno}. Rows one per line belong in a .jsonl file."
        ) from None
    if not isinstance(document, list) or not all(isinstance(r, dict) for r in document):
        raise DataError(f"{path} needs a list of objects, one per row, got {type(document).__name__}.")
    yield from document


def _from_records(path: Path, records: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    names = dict.fromkeys(name for record in records for name in record)
    if not names:
        raise DataError(
            f'{path} has no rows with values. A table needs at least one object such as {{"text": "..."}}.'
        )
    columns = {}
    for name in names:
        values = [record.get(name) for record in records]
        try:
            columns[name] = pa.array(values)
        except UnicodeEncodeError as error:
            raise DataError(
                f"{path}: column {name!r} holds half a character, which no text has: {error.object[:60]!r}. Mend it, or remove the row."
            ) from None
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            kinds = sorted({type(v).__name__ for v in values if v is not None})
            raise DataError(
                f"{path}: column {name!r} needs values of one type, got {kinds}. Make them all texts, or all numbers."
            ) from None
    return pa.table(columns)


def _read_arrow(path: Path, suffix: str) -> Any:
    import pyarrow as pa
    from pyarrow import feather, ipc, parquet

    try:
        if suffix == ".parquet":
            return parquet.read_table(path)
        if suffix == ".feather":
            return feather.read_table(path)
        try:
            with pa.memory_map(str(path)) as source:
                return ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            with pa.memory_map(str(path)) as source:  # the streaming form, as Hugging Face datasets writes it
                return ipc.open_stream(source).read_all()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"{path} cannot be read as {suffix[1:]} ({str(error).splitlines()[0][:160]}). It may be cut short: write it again."
        ) from None


def _not_utf8(path: Path) -> DataError:
    return DataError(
        f"{path} needs UTF-8 text and holds other bytes. Convert it, for example: iconv -f latin1 -t utf-8 {path.name} > new.csv"
    )
