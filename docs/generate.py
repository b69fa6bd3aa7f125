"""The pages of the site that are made from the installed package: command line, reference, model cards, layers.

`conf.py` calls `write_all` before Sphinx reads the sources. Nothing here needs Sphinx, so that the tests can call it.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import importlib
import inspect
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import facegeom
import facegeom.geometry
from facegeom import cli

# The layers of the package, the highest first. Each imports only from layers below its own.
LAYERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("cli", "__main__"), "the command line"),
    (("evaluation",), "benchmarks, one file for each"),
    (("training",), "data, losses and training of every network"),
    (("batch",), "many photos"),
    (("tracking",), "the face in a video"),
    (
        ("measures", "render", "person", "rigging"),
        "measures and reports; previews; heads from several photos, and from scans",
    ),
    (("reconstruction",), "reconstruct, predict, Reconstruction"),
    (("pipelines",), "one file for each method, and the table of pipelines"),
    (("detection", "texture"), "where the faces are; visibility, baking and completion of textures"),
    (("networks", "weights"), "one network in each file, with its configuration and its loader"),
    (("face_model",), "statistical face model, fitting, template, blendshapes, completion of the head"),
    (("mesh",), "FaceMesh, file formats, glTF, the HTML viewer"),
    (("geometry", "images"), "operators on arrays (compiled core); photos, crops, camera, maps"),
    (("_internal", "errors"), "argument checks, array types, files, threads; the exceptions"),
)


def write_all(folder: Path) -> None:
    """Write all generated pages into `folder`; a file that would not change is left alone."""
    pages = {"command_line.md": command_page(), "layers.svg": layers_picture()}
    pages |= {f"reference/{name}.rst": text for name, text in reference_pages().items()}
    pages |= {f"models/{name}.md": text for name, text in model_pages().items()}
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


# ---- command line ----------------------------------------------------------------------------------------------------


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command, by its full name such as "facegeom train facevision"."""
    found: dict[str, argparse.ArgumentParser] = {}
    _collect("facegeom", cli._parser(), found)
    return found


def _collect(name: str, parser: argparse.ArgumentParser, found: dict[str, argparse.ArgumentParser]) -> None:
    """Add the parser to `found` under its name, or those below it."""
    children = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not children:
        # Commands in modules of their own add their arguments when they first parse.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            parser.parse_args(["--help"])
        found[name] = parser
    for action in children:
        short = {choice.dest: choice.help for choice in action._choices_actions}
        for child, its_parser in action.choices.items():
            its_parser.description = its_parser.description or f"{short[child]}.".capitalize()
            _collect(f"{name} {child}", its_parser, found)


def command_page() -> str:
    """Return the page of the command line: every command with its usage and every option."""
    lines = [
        "# Command line",
        "",
        "`facegeom --version` prints the version; `facegeom -v COMMAND ...` (or `--verbose`) logs more to stderr;",
        "`--help` after any command prints what this page says.",
        "",
        "The exit code is 0 when every input succeeded, 1 when one failed (one line for each on stderr), 2 for a usage",
        "error and 130 after Ctrl-C. The commands `evaluate`, `prepare` and `train` need the packages of",
        "`pip install 'facegeom[train]'`. This page is generated from the parsers of `facegeom.cli`.",
    ]
    group = ""
    for name, parser in commands().items():
        words = name.split()
        if len(words) == 3 and words[1] != group:
            group = words[1]
            lines += ["", f"## facegeom {group}", "", cli.GROUP_HELP[group].capitalize() + "."]
        level = "##" if len(words) == 2 else "###"
        usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
        lines += ["", f"{level} {name}", "", parser.description or "", "", "```text", *_wrapped(usage), "```", ""]
        lines += _option_table(parser)
    return "\n".join(lines) + "\n"


def _option_table(parser: argparse.ArgumentParser) -> list[str]:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        metavar = parser._get_formatter()._format_args(action, action.dest.upper())
        if action.choices is not None:
            metavar = ", ".join(str(choice) for choice in action.choices)
        names = [f"`{option}`" for option in action.option_strings] or [f"`{metavar}`"]
        value = f" `{metavar}`" if action.option_strings and action.nargs != 0 else ""
        rows.append(f"| {', '.join(names)}{value} | {_meaning(action, parser)} |")
    return ["| option | meaning |", "|---|---|", *rows] if rows else []


def _meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    if action.required and action.option_strings:
        text = f"{text} (required)".strip()
    shown = action.nargs != 0 and action.default not in (None, argparse.SUPPRESS) and "default" not in text
    if shown and str(action.default) not in text:
        text = f"{text} (default: {action.default})".strip()
    return html.escape(text, quote=False).replace("|", "\\|")


def _wrapped(text: str, width: int = 88) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("   ")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


# ---- reference -------------------------------------------------------------------------------------------------------


def reference_pages() -> dict[str, str]:
    """Return the pages of the public API, reStructuredText for Sphinx's autodoc, by name."""
    return {"facegeom": _package_page(), "geometry": _geometry_page()}


def _package_page() -> str:
    members = {name: getattr(facegeom, name) for name in facegeom.__all__}
    errors = {n: o for n, o in members.items() if inspect.isclass(o) and issubclass(o, Exception)}
    classes = {n: o for n, o in members.items() if inspect.isclass(o) and n not in errors}
    modules = {n: o for n, o in members.items() if inspect.ismodule(o)}
    functions = {n: inspect.unwrap(o) for n, o in members.items() if callable(o) and not inspect.isclass(o)}
    lines = [*_title("facegeom"), *_paragraph(facegeom.__doc__), ".. currentmodule:: facegeom", ""]
    lines += ["Words such as face frame, crop or atlas are explained in the :doc:`glossary </glossary>`.", ""]
    lines += _title("Functions", "-") + [line for name in functions for line in _function(f"facegeom.{name}")]
    lines += _title("Classes", "-") + [
        line for name, kind in classes.items() for line in _class("facegeom", name, kind)
    ]
    others = {kind for function in functions.values() if (kind := _result_class(function)) is not None}
    for kind in sorted(others - set(classes.values()), key=lambda kind: kind.__name__):
        lines += _class(kind.__module__, kind.__name__, kind)
    lines += _title("Errors", "-")
    lines += [
        "A wrong argument raises ``ValueError`` or ``TypeError``, which name the argument and what was given.",
        "",
    ]
    for name in errors:
        lines += [f".. autoexception:: facegeom.{name}", ""]
    for name in modules:
        lines += [*_title(name.capitalize(), "-"), f"See :doc:`facegeom.{name} <{name}>`.", ""]
    return "\n".join(lines)


def _geometry_page() -> str:
    package = facegeom.geometry
    topics: dict[str, list[str]] = {}
    for name in package.__all__:
        topics.setdefault(getattr(package, name).__module__, []).append(name)
    lines = [*_title("facegeom.geometry"), *_paragraph(package.__doc__), ".. currentmodule:: facegeom.geometry", ""]
    lines += [
        "All operators take and return NumPy arrays. ``V`` is (n, 3) vertices, ``F`` is (m, 3) triangles,",
        "counter-clockwise from outside. Inputs are never changed. The module loads neither torch nor OpenCV.",
        "",
    ]
    for module in sorted(topics):
        lines += _title((inspect.getdoc(importlib.import_module(module)) or module).splitlines()[0].rstrip("."), "-")
        names = sorted(topics[module], key=lambda name: (inspect.isclass(getattr(package, name)), name))
        for name in names:
            member = getattr(package, name)
            is_class = inspect.isclass(member)
            lines += _class(package.__name__, name, member) if is_class else _function(f"{package.__name__}.{name}")
    return "\n".join(lines)


def _title(text: str, line: str = "=") -> list[str]:
    return [text, line * len(text), ""]


def _paragraph(doc: str | None) -> list[str]:
    return [*inspect.cleandoc(doc or "").splitlines(), ""]


def _function(path: str) -> list[str]:
    return [f".. autofunction:: {path}", ""]


def _class(module: str, name: str, kind: type) -> list[str]:
    """Return the directive of a class with its own public methods and documented options."""
    lines = [f".. autoclass:: {module}.{name}"]
    if getattr(kind, "__dataclass_fields__", None) and "Attributes" not in (kind.__doc__ or ""):
        lines.append("   :members:")  # a dataclass of options: each field has a docstring of its own
    else:
        for member in _own_members(kind):
            directive = "autoproperty" if isinstance(inspect.getattr_static(kind, member), property) else "automethod"
            lines += ["", f"   .. {directive}:: {member}"]
    return [*lines, ""]


def _own_members(kind: type) -> list[str]:
    """Return the public methods and properties that a class or facegeom's base classes define."""
    fields = set(getattr(kind, "_fields", ())) | set(getattr(kind, "__dataclass_fields__", {}))
    bases = [base for base in kind.__mro__ if base.__module__.startswith("facegeom")]
    names = {name for base in bases for name in vars(base) if not name.startswith("_")}
    return sorted(names - fields)


def _result_class(function: Callable[..., Any]) -> type | None:
    """Return the class of facegeom that a function is annotated to return, if it is one."""
    kind = function.__globals__.get(str(function.__annotations__.get("return")))
    return kind if inspect.isclass(kind) and kind.__module__.startswith("facegeom") else None


# ---- model cards -----------------------------------------------------------------------------------------------------


def model_pages() -> dict[str, str]:
    """Return one page for each model card in the package (`weights/*.json`), by the network's name."""
    folder = Path(facegeom.__file__).parent / "weights"
    cards = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: _card(name, card, folder) for name, card in cards.items()}


def _card(name: str, card: dict[str, Any], folder: Path) -> str:
    weights = folder / f"{name}.safetensors"
    lines = [f"# {name}", ""]
    if weights.exists():
        lines += [f"File: `facegeom/weights/{weights.name}`, {weights.stat().st_size / 1e6:.1f} MB.", ""]
    return "\n".join(lines + _section(card, 2)) + "\n"


def _section(values: dict[str, Any], level: int) -> list[str]:
    """Return a nested dictionary as headings, paragraphs, command blocks and tables."""
    flat = {key: _cell(value) for key, value in values.items() if _is_flat(value)}
    rows = [f"| {_words(key)} | {text} |" for key, text in flat.items() if len(text) < 60]
    lines: list[str] = []
    for key, text in flat.items():
        if len(text) >= 60:
            lines += [f"**{_heading(key)}.** {text}", ""]
    if rows:
        lines += ["| | |", "|---|---|", *rows, ""]
    for key, value in values.items():
        if _is_flat(value):
            continue
        lines += [f"{'#' * level} {_heading(key)}" if level < 5 else f"**{_heading(key)}**", ""]
        if isinstance(value, list):
            lines += ["```text", *(str(entry) for entry in value), "```", ""]
        elif _is_table(value):
            columns = list(next(iter(value.values())))
            lines += [f"| | {' | '.join(map(_words, columns))} |", "|---" * (len(columns) + 1) + "|"]
            lines += [
                f"| {_words(row)} | {' | '.join(_cell(cells[column]) for column in columns)} |"
                for row, cells in value.items()
            ]
            lines.append("")
        else:
            lines += _section(value, level + 1)
    return lines


def _is_flat(value: Any) -> bool:
    """Whether a value fits into one cell: a number, a text, or a list of numbers."""
    if isinstance(value, list):
        return all(not isinstance(entry, str | dict) for entry in value)
    return not isinstance(value, dict)


def _is_table(value: dict[str, Any]) -> bool:
    """Whether all entries are dictionaries of the same keys with flat values."""
    rows = list(value.values())
    if len(rows) < 2 or not all(isinstance(row, dict) for row in rows):
        return False
    return all(list(row) == list(rows[0]) and all(map(_is_flat, row.values())) for row in rows)


def _words(key: str) -> str:
    return html.escape(key.replace("_", " "), quote=False).replace("|", "\\|")


def _heading(key: str) -> str:
    words = _words(key)
    return words[:1].upper() + words[1:]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(_cell(entry) if not isinstance(entry, list) else _row(entry) for entry in value)
    text = html.escape(str(value), quote=False)
    for character in "\\|*_[]":
        text = text.replace(character, "\\" + character)
    return text


def _row(values: list[Any]) -> str:
    return ", ".join(str(value) for value in values)


# ---- picture of the layers -------------------------------------------------------------------------------------------


def layers_picture() -> str:
    """Return the layers of the package as an SVG picture: one row each, imports go down."""
    width, row, gap, left = 900, 46, 8, 270
    height = len(LAYERS) * (row + gap) + gap
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="15">',
        "<title>The layers of facegeom: each imports only from the layers below it</title>",
        f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>',
    ]
    for i, (names, meaning) in enumerate(LAYERS):
        y = gap + i * (row + gap)
        shade = ("#e8f0f7", "#f3eee4")[i % 2]
        title = html.escape(", ".join(names))
        parts += [
            f'<rect x="{gap}" y="{y}" width="{width - 2 * gap}" height="{row}" rx="5" fill="{shade}"/>',
            f'<text x="{gap + 14}" y="{y + 28}" font-weight="bold" fill="#1b2a38">{title}</text>',
            f'<text x="{left}" y="{y + 28}" fill="#33404c">{html.escape(meaning)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "100")
    write_all(Path(__file__).with_name("generated"))
