"""The examples in the help of each subcommand. A test parses every one of them."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

_REDIS = "SENTILOC_REDIS_URL=redis://10.0.0.5:6379/0"

# subcommand: command lines
EXAMPLES: dict[str, tuple[str, ...]] = {
    "localize": (
        "sentiloc localize holiday.mp4",
        "sentiloc localize holiday.mp4 --threshold 0.3 -o holiday.csv",
        "sentiloc localize films/ --format edl -o markers/",
    ),
    "reel": (
        "sentiloc reel one.mp4 two.mp4 -o best.mp4",
        "sentiloc reel films/ --best 20 --kind positive -o best.xml -o best.mlt",
    ),
    "plot": (
        "sentiloc plot holiday.json -o timeline.png",
        "sentiloc localize holiday.mp4 --json | sentiloc plot - -o timeline.svg",
    ),
    "doctor": ("sentiloc doctor", "sentiloc doctor --skip-test --json"),
    "serve": ("sentiloc serve", "sentiloc serve --port 8010 --data-dir /srv/sentiloc"),
    "api": (f"{_REDIS} sentiloc api --host 0.0.0.0",),
    "worker": (f"{_REDIS} sentiloc worker --concurrency 2", f"{_REDIS} sentiloc worker --check"),
    "create-bucket": ("SENTILOC_STORAGE_URL=s3://footage/videos sentiloc create-bucket",),
    "keys create": (
        'sentiloc keys create --name "edit suite"',
        "sentiloc keys create --name prometheus --scope metrics",
        "sentiloc keys create --name intern --quota-minutes 600 --expires-days 30",
    ),
    "keys list": ("sentiloc keys list",),
    "keys revoke": ("sentiloc keys revoke 3f9a1c07be52",),
    "keys erase": ("sentiloc keys erase 3f9a1c07be52",),
    "keys rotate-webhook-secret": ("sentiloc keys rotate-webhook-secret 3f9a1c07be52",),
    "submit": (
        "sentiloc submit holiday.mp4 --wait",
        "sentiloc submit https://media.example/holiday.mp4 --start 60 --end 120",
        "sentiloc submit one.mp4 two.mov --resumable --server https://media.example",
    ),
    "batch": (
        'sentiloc batch urls.txt -o results.jsonl --name "Week 12"',
        "sentiloc batch urls.txt -o week12.zip --format vtt",
    ),
    "status": ("sentiloc status", "sentiloc status xJ3k0cQ2Yw1uH8m5VtB7Nw --json"),
    "watch": ("sentiloc watch xJ3k0cQ2Yw1uH8m5VtB7Nw",),
    "result": (
        "sentiloc result xJ3k0cQ2Yw1uH8m5VtB7Nw",
        "sentiloc result xJ3k0cQ2Yw1uH8m5VtB7Nw --threshold 0.3 --format edl -o holiday.edl",
    ),
    "cancel": ("sentiloc cancel xJ3k0cQ2Yw1uH8m5VtB7Nw",),
    "trial": ("sentiloc trial mine --share 0.1",),
    "datasets prepare": ("sentiloc datasets prepare tsl300 download/ data/tsl300",),
    "extract": (
        "sentiloc extract videos/ -o data --split train",
        "sentiloc extract held_back/ -o data --split test --workers 4",
    ),
    "labels": (
        "sentiloc labels samm-lv SAMM_LV.csv data/samm",
        "sentiloc labels ekman-6 list.txt data/ekman --run 3",
    ),
    "train": (
        "sentiloc train data -o runs/first --recipe quick",
        "sentiloc train data -o runs/first --recipe quick --resume",
        "sentiloc train data/emotions -o runs/cten --task cten --recipe quick",
    ),
    "evaluate": (
        "sentiloc evaluate runs/first --split test",
        "sentiloc evaluate --ground-truth gt.json --predictions predictions.json",
    ),
    "predict": ("sentiloc predict runs/first -o predictions.json",),
    "export": ("sentiloc export runs/first models/first",),
    "weights list": ("sentiloc weights list",),
    "weights pull": (
        "sentiloc weights pull i3d-kinetics",
        "sentiloc weights pull yunet --from ~/Downloads/yunet.onnx",
    ),
    "weights classify": ("sentiloc weights classify holiday.mp4",),
    "weights quantize": ("sentiloc weights quantize typical/*.mp4 --extractor i3d-rgb-kinetics",),
    "weights compare": ("sentiloc weights compare other/*.mp4 --model fsenet-i3d",),
}


def complete_help(name: str, command: Any) -> None:
    """Put the help of a command and of its subcommands in its final form: paragraphs that wrap, then examples."""
    paragraphs = [" ".join(one.split()) for one in cleandoc(command.help or "").split("\n\n")]
    lines = EXAMPLES.get(name, ())
    if lines:
        # Not indented, because typer removes the indentation of some paragraphs.
        paragraphs.append("\n".join(["Examples:", *lines]))
    command.help = "\n\n".join(paragraphs)
    for verb, subcommand in getattr(command, "commands", {}).items():
        complete_help(f"{name} {verb}", subcommand)
