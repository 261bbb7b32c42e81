"""Runs the tutorials and the gallery and shows them with what they print and draw; each is a notebook to download too.

A tutorial is a Python file in docs in jupytext's percent format: a notebook without outputs. An error in a cell ends the
build, and so do warnings, a picture without a description, and a number in the text that no cell prints.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
import nbformat
from markdown.extensions.toc import slugify
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import MarkdownExporter
from nbformat import NotebookNode

HERE = Path(__file__).parent
KEPT = HERE.parents[1] / ".cache" / "tutorials"
PATIENCE = 300  # seconds for one cell
TOGETHER = 2  # notebooks that run at a time
SHOWN = ("text/plain", "text/html", "image/svg+xml")  # and no PNG beside each SVG
KERNEL = [
    "--InlineBackend.figure_formats={'svg'}",
    "--log-level=40",
    *(f"--DisplayFormatter.active_types={kind}" for kind in SHOWN),
]
NUMBER = re.compile(r"\d+\.\d+|\d+(?= ?%)|(?<=% of )\d+")
PICTURES = "<!-- pictures -->"  # becomes small pictures that lead to the large ones
DOWNLOAD = "\n\n*[Download this page as a notebook]({name}.ipynb), with its outputs.*\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace each tutorial's source by its page, its pictures and its notebook."""
    sources = [file for file in files if file.src_uri.endswith(".py") and file.inclusion.is_included()]
    paths = [Path(str(file.abs_src_path)) for file in sources]
    with ThreadPoolExecutor(TOGETHER) as pool:
        made = list(pool.map(_made, paths))
    for file, contents in zip(sources, made, strict=True):
        files.remove(file)
        for name, content in contents.items():
            files.append(
                File.generated(config, (PurePosixPath(file.src_uri).parent / name).as_posix(), content=content)
            )
    return files


def _made(source: Path) -> dict[str, str | bytes]:
    """The files of a tutorial by their names. It runs again only if it, or the package, isn't what it was."""
    kept = KEPT / source.stem / _fingerprint(source)
    if not kept.is_dir():
        try:
            with TemporaryDirectory() as folder:
                notebook = run(jupytext.read(source), Path(folder))
                pages = {path.name: path.read_bytes() for path in Path(folder).glob("*.html")}
            made = {**files_of(notebook, source.stem), **pages}
        except (CellExecutionError, ValueError) as error:
            raise PluginError(f"{source.name}: {error}") from error
        shutil.rmtree(kept.parent, ignore_errors=True)
        for name, content in made.items():
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            (kept / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return {path.relative_to(kept).as_posix(): path.read_bytes() for path in kept.rglob("*") if path.is_file()}


def _fingerprint(source: Path) -> str:
    """Of all that a tutorial's page depends on: its text, the package, this hook and its template."""
    package = sorted((HERE.parents[1] / "src").rglob("*.py"))
    files = [source, *package, Path(__file__), HERE / "tutorial.md.j2"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run a notebook in a folder.

    Raises
    ------
    CellExecutionError
        If a cell fails.
    ValueError
        If a cell warns, draws without a description, or the text has a number that no cell shows.
    """
    client = NotebookClient(
        notebook,
        timeout=PATIENCE,
        kernel_name="python3",
        extra_arguments=KERNEL,
        resources={"metadata": {"path": folder}},
    )
    client.execute(env=_environment())
    for cell in notebook.cells:
        _check_outputs(cell)
    _check_numbers(notebook)
    return notebook


def files_of(notebook: NotebookNode, name: str) -> dict[str, str | bytes]:
    """The page, its pictures and the notebook itself, by file name."""
    exporter = MarkdownExporter(template_file=str(HERE / "tutorial.md.j2"), extra_template_basedirs=[str(HERE)])
    exporter.register_preprocessor("nbconvert.preprocessors.CoalesceStreamsPreprocessor", enabled=True)
    page, resources = exporter.from_notebook_node(notebook, {"unique_key": name, "output_files_dir": f"{name}_files"})
    return {
        f"{name}.md": page.replace(PICTURES, _small_pictures(page)) + DOWNLOAD.format(name=name),
        f"{name}.ipynb": nbformat.writes(notebook),
        **resources["outputs"],
    }


def _small_pictures(page: str) -> str:
    """A list of all pictures of a page, each a link to the heading above it."""
    linked, heading = [], ""
    for line in page.splitlines():
        heading = line.lstrip("# ") if line.startswith("#") else heading
        if line.startswith("!["):
            linked.append(f"-   [{line}](#{slugify(heading, '-')})\n\n    {heading}\n")
    return '<div class="grid cards pictures" markdown>\n\n' + "\n".join(linked) + "\n</div>"


def _environment() -> dict[str, str]:
    """The environment of a notebook, which runs in another folder and draws as notebooks do."""
    kept = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    parts = filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))
    path = os.pathsep.join(str(Path(part).resolve()) for part in parts)
    return {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        **kept,
        "PYTHONPATH": path,
    }


def _check_outputs(cell: Any) -> None:
    for output in cell.get("outputs", []):
        if output.get("name") == "stderr":
            raise ValueError(f"a cell warns:\n{cell.source}\n{output.text}")
        if "image/svg+xml" in output.get("data", {}) and not cell.metadata.get("alt"):
            raise ValueError(f'a picture has no description; write # %% alt="…" above the cell:\n{cell.source}')


def _check_numbers(notebook: NotebookNode) -> None:
    shown = {number for text in _shown(notebook) for number in NUMBER.findall(text)}
    for cell in notebook.cells:
        missing = set(NUMBER.findall(cell.source)) - shown if cell.cell_type == "markdown" else ()
        if missing:
            raise ValueError(f"no cell prints {', '.join(sorted(missing))}, which the text says:\n{cell.source}")


def _shown(notebook: NotebookNode) -> Iterator[str]:
    """Code and printed outputs."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield cell.source
            for output in cell.outputs:
                yield output.get("text", "") or output.get("data", {}).get("text/plain", "")
