"""Runs the tutorials and shows them with what they print and draw; each is a notebook to download too.

A tutorial is a file in docs/tutorials in jupytext's percent format: a notebook without outputs. An error in a cell ends the
build, and so do warnings, a picture without a description, and a number in the text that no cell prints.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import MarkdownExporter
from nbformat import NotebookNode

HERE = Path(__file__).parent
FOLDER = "tutorials"
PATIENCE = 300  # seconds for one cell
TOGETHER = 2  # notebooks that run at a time
KERNEL = ["--InlineBackend.figure_formats={'svg'}", "--log-level=40"]
NUMBER = re.compile(r"\d+\.\d+|\d+(?= ?%)|(?<=% of )\d+")
DOWNLOAD = "\n\n*[Download this page as a notebook]({name}.ipynb), with its outputs.*\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace each tutorial's source by its page, its pictures and its notebook."""
    sources = [
        file for file in files if Path(file.src_uri).parent.as_posix() == FOLDER and file.src_uri.endswith(".py")
    ]
    paths = [Path(str(file.abs_src_path)) for file in sources]
    with ThreadPoolExecutor(TOGETHER) as pool:
        made = list(pool.map(_made, paths))
    for file, contents in zip(sources, made, strict=True):
        files.remove(file)
        for name, content in contents.items():
            files.append(File.generated(config, f"{FOLDER}/{name}", content=content))
    return files


def _made(source: Path) -> dict[str, str | bytes]:
    """The files of a tutorial by their names."""
    try:
        with TemporaryDirectory() as folder:
            notebook = run(jupytext.read(source), Path(folder))
            pages = {path.name: path.read_bytes() for path in Path(folder).glob("*.html")}
        return {**files_of(notebook, source.stem), **pages}
    except (CellExecutionError, ValueError) as error:
        raise PluginError(f"{source.name}: {error}") from error


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
        f"{name}.md": page + DOWNLOAD.format(name=name),
        f"{name}.ipynb": nbformat.writes(notebook),
        **resources["outputs"],
    }


def _environment() -> dict[str, str]:
    """The environment of a notebook, which runs in another folder and draws as notebooks do."""
    kept = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    parts = filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))
    return {**kept, "PYTHONPATH": os.pathsep.join(str(Path(part).resolve()) for part in parts)}


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
