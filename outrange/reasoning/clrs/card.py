"""The dataset card (README.md) of an export: how the data was made, what it hashes to, and how it is opened."""

from collections.abc import Mapping
from typing import Any


def card(manifest: Mapping[str, Any], title: str, description: str, command: str) -> str:
    """The card of an exported dataset, as Markdown.

    Args:
        manifest: of the export; its ``plan`` says what was asked for.
        title: of the page.
        description: what the rows are, in a sentence or two.
        command: what the data was made by; left out if empty.
    """
    plan = manifest["plan"]
    names = list(dict.fromkeys(entry["path"].split("/")[1] for entry in manifest["files"]))

    # For ``load_dataset``. The default configuration reads all files, which therefore must have the same columns; else
    # one an algorithm.
    has_one_schema = plan["kind"] == "text" or len(names) == 1
    configs = [("default", "*")] if has_one_schema else []
    if not (has_one_schema and len(names) == 1):
        configs += [(name, name) for name in names]
    lines = [
        "---",
        "license: apache-2.0",
        f"pretty_name: {title}",
        "tags: [algorithmic-reasoning, clrs, outrange]",
        "configs:",
    ]
    for config_name, folder in configs:
        lines += [
            f"- config_name: {config_name}",
            "  data_files:",
            f"  - split: {_hub_split(plan['preset'])}",
            f"    path: data/{folder}/*.{plan['format']}",
        ]

    # For a reader, who may want to make the same bytes again.
    versions = ", ".join(f"{package} {number}" for package, number in plan["versions"].items())
    seeds = f"- seed: {plan['seed']}"
    if plan["preset"]:
        seeds = f"- preset: {plan['preset']} (its seeds are in the `seed` column)"
    lines += [
        "---",
        "",
        f"# {title}",
        "",
        description,
        "",
        f"- rows: {manifest['rows']:,} in {len(manifest['files'])} files, {len(names)} algorithms",
        seeds,
        f"- versions: {versions}",
        f"- SHA-256 over the files' SHA-256 (each in `manifest.json`): `{manifest['sha256']}`",
        "",
    ]
    if command:
        lines += [
            "Made by",
            "",
            f"    {command}",
            "",
            "which writes the same bytes again with the same versions on the same type of processor.",
            "",
        ]
    return "\n".join(lines)


def _hub_split(preset_name: str | None) -> str:
    """The split as ``datasets`` names it."""
    split_name = (preset_name or "").rpartition("-")[2]
    return {"eval": "test", "test": "test", "val": "validation"}.get(split_name, "train")
