"""A validator of the keywords of JSON schema (draft 2020-12) that the files in docs use."""

from __future__ import annotations

TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value)
    ),
}
NOTES = {"$schema", "$defs", "title", "description", "then", "else"}


def problems(value, schema, root=None, where="$"):
    """Return what is wrong with a value, as lines; an unknown keyword of the schema raises."""
    root = schema if root is None else root
    found = []
    for keyword, wanted in schema.items():
        if keyword in NOTES:
            continue
        found += KEYWORDS[keyword](value, wanted, schema, root, where)
    return found


def check_type(value, wanted, schema, root, where):
    names = [wanted] if isinstance(wanted, str) else wanted
    right = any(TYPES[name](value) for name in names)
    return [] if right else [f"{where}: expected {' or '.join(names)}, got {value!r}"]


def check_enum(value, wanted, schema, root, where):
    # 0 and False, 1 and True are equal in Python.
    right = any(type(value) is type(one) and value == one for one in wanted)
    return [] if right else [f"{where}: expected one of {wanted}, got {value!r}"]


def check_const(value, wanted, schema, root, where):
    return check_enum(value, [wanted], schema, root, where)


def check_minimum(value, wanted, schema, root, where):
    wrong = TYPES["number"](value) and value < wanted
    return [f"{where}: expected at least {wanted}, got {value!r}"] if wrong else []


def check_maximum(value, wanted, schema, root, where):
    wrong = TYPES["number"](value) and value > wanted
    return [f"{where}: expected at most {wanted}, got {value!r}"] if wrong else []


def check_required(value, wanted, schema, root, where):
    missing = [name for name in wanted if name not in value] if isinstance(value, dict) else []
    return [f"{where}: {name} is missing" for name in missing]


def check_properties(value, wanted, schema, root, where):
    inside = wanted if isinstance(value, dict) else {}
    return [
        problem
        for name, inner in inside.items()
        if name in value
        for problem in problems(value[name], inner, root, f"{where}.{name}")
    ]


def check_additional(value, wanted, schema, root, where):
    assert wanted is False
    more = set(value) - set(schema["properties"]) if isinstance(value, dict) else ()
    return [f"{where}: {name} is not known" for name in sorted(more)]


def check_items(value, wanted, schema, root, where):
    items = value if isinstance(value, list) else []
    return [
        problem
        for i, item in enumerate(items)
        for problem in problems(item, wanted, root, f"{where}[{i}]")
    ]


def check_ref(value, wanted, schema, root, where):
    target = root
    for part in wanted.removeprefix("#/").split("/"):
        target = target[part]
    return problems(value, target, root, where)


def check_if(value, wanted, schema, root, where):
    branch = "else" if problems(value, wanted, root, where) else "then"
    return problems(value, schema.get(branch, {}), root, where)


def check_not(value, wanted, schema, root, where):
    return [] if problems(value, wanted, root, where) else [f"{where}: got {value!r}"]


KEYWORDS = {
    "type": check_type, "enum": check_enum, "const": check_const, "minimum": check_minimum,
    "maximum": check_maximum, "required": check_required, "properties": check_properties,
    "additionalProperties": check_additional, "items": check_items, "$ref": check_ref,
    "if": check_if, "not": check_not,
}  # fmt: skip
