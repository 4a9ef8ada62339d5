"""Line protocol, read strictly: what the grammar does not allow, or our rules forbid, is an error."""

from __future__ import annotations

import dataclasses
import re

NAME = r"(?:[^,= \\\x00-\x1f\x7f]|\\[,= ]|\\(?![,= ]))+"
STRING = r'"(?:[^"\\\x00-\x1f\x7f]|\\["\\])*"'
VALUE = rf"{STRING}|-?(?:0|[1-9]\d*)[iu]|-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|true|false"
FIELD = re.compile(rf"({NAME})=({VALUE})(?:,(?=.)|$)")
TAG = re.compile(rf",({NAME})=({NAME})")
LINE = re.compile(rf'({NAME})((?:,{NAME}={NAME})*) ((?:{STRING}|[^"\x00-\x1f\x7f ]|\\ )+) (\d{{19}})')


@dataclasses.dataclass(frozen=True)
class Record:
    """A field's value is a pair of its type (i u f s b) and the value, so that records compare by both."""

    name: str
    tags: dict[str, str]
    fields: dict[str, tuple[str, object]]
    timestamp: int

    def __getitem__(self, field: str):
        return self.fields[field][1]


def plain(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def value(text: str) -> tuple[str, object]:
    if text.startswith('"'):
        return "s", re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in ("true", "false"):
        return "b", text == "true"
    if text[-1] in "iu":
        return text[-1], int(text[:-1])
    return "f", float(text)


def parse_line(line: str) -> Record:
    found = LINE.fullmatch(line)
    if not found:
        raise ValueError(f"not line protocol: {line!r}")
    name, tags, fields, timestamp = found.groups()
    pairs, position = {}, 0
    while position < len(fields):
        field = FIELD.match(fields, position)
        if not field:
            raise ValueError(f"no field at {fields[position:]!r} of {line!r}")
        if plain(field[1]) in pairs:
            raise ValueError(f"field {field[1]} twice: {line!r}")
        pairs[plain(field[1])] = value(field[2])
        position = field.end()
    labels = [(plain(key), plain(text)) for key, text in TAG.findall(tags)]
    if len(dict(labels)) != len(labels):
        raise ValueError(f"a tag twice: {line!r}")
    return Record(plain(name), dict(labels), pairs, int(timestamp))


def parse(text: str) -> list[Record]:
    """Whole lines only."""
    if text and not text.endswith("\n"):
        raise ValueError(f"the last line is not whole: {text.splitlines()[-1]!r}")
    return [parse_line(line) for line in text.splitlines()]


def select(records: list[Record], name: str, /, **tags: str) -> list[Record]:
    return [record for record in records if record.name == name and tags.items() <= record.tags.items()]
