"""Every line that wsclose writes is what docs/report.schema.json says of one."""

import functools
import json
import pathlib

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Of lines that differ in their texts and counts alone, one is as good as all: a flood writes very many.
SOUND = set()


@functools.cache
def validator():
    schema = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    del schema["anyOf"]
    return jsonschema.Draft202012Validator({**schema, "$ref": "#/$defs/Line"})


def shape(value, name=None):
    """What the schema can tell one value from another by."""
    if isinstance(value, dict):
        return tuple(sorted((key, shape(inner, key)) for key, inner in value.items()))
    if isinstance(value, list):
        return ("list", *sorted({repr(shape(inner)) for inner in value}))
    if isinstance(value, str):
        return value if name == "type" else "text"
    if isinstance(value, int) and not isinstance(value, bool):
        return "negative" if value < 0 else f"{(value.bit_length() + 7) // 8} bytes"
    return type(value).__name__


def sound(line):
    """The line; an AssertionError where it is none."""
    form = repr(shape(line))
    if form not in SOUND:
        fault = jsonschema.exceptions.best_match(validator().iter_errors(line))
        assert fault is None, f"no line of the schema: {fault.message} at {fault.json_path}: {json.dumps(line)}"
        SOUND.add(form)
    return line
