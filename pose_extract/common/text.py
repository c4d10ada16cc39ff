"""Text from outside, such as names of files and what libraries say, on its way to a terminal."""

from __future__ import annotations


def printable(text: object, keep: str = "") -> str:
    r"""Return text as a terminal may show it: characters that steer one are written as escapes.

    Control characters, marks that change the direction of writing, and bytes of names that are not
    UTF-8 (which Python holds as lone surrogates) come out as ``\x1b``, ``\u202e`` or ``\xff``;
    letters of any script stay.

    >>> printable("a\x1b[2Jb\udcff é")
    'a\\x1b[2Jb\\xff é'

    Args:
        text: What to show; anything but a string goes through ``str``.
        keep: Characters that stay as they are, such as a newline in a message of several lines.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else _escaped(ord(char)) for char in text
    )


def _escaped(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name, see os.fsdecode
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(error: object, most: int = 300) -> str:
    """Return a message of another library in one printable line of at most ``most`` characters."""
    text = printable(" ".join(str(error).split()))
    return text if len(text) <= most else f"{text[: most - 3]}..."
