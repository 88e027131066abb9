"""The Blender add-on in real Blenders without a window: `python -m tests.proofs.blender [PYTHON ...]`.

The first is the program `blender` (`apt-get install blender`), the others are interpreters in which Blender is
installed as a module (`pip install bpy`). A service localizes a drawn clip. The add-on is installed as a user would
install it, sends the strip, adds markers and cuts, and the file is saved. A second run reads the saved file; markers
and strips must be on the frames of the result.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from docs.tools.drawn_clip import FPS, draw_clip
from tests.service.running import RunningService

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "blender.json"
ADDON = ROOT / "clients" / "blender" / "sentiloc_strips"
BEGINS, SECONDS = 11, 20.0
WORK = """
import sys, bpy
import addon_utils
address, clip, saved = sys.argv[sys.argv.index("--") + 1 :]
addon_utils.enable("sentiloc_strips", default_set=True)
bpy.context.preferences.addons["sentiloc_strips"].preferences.address = address
scene = bpy.context.scene
scene.render.fps, scene.render.fps_base = FPS, 1.0
editor = scene.sequence_editor_create()
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
strip = strips.new_movie("clip", clip, channel=1, frame_start=BEGINS)
strips.new_sound("sound", clip, channel=2, frame_start=BEGINS)
editor.active_strip = strip
print("ANSWER", bpy.ops.sequencer.sentiloc_localize(cuts=True, threshold=0.3))
bpy.ops.wm.save_as_mainfile(filepath=saved)
"""
READ = """
import json, sys, bpy
bpy.ops.wm.open_mainfile(filepath=sys.argv[-1])
scene = bpy.context.scene
editor = scene.sequence_editor
every = editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all
markers = sorted((one.frame, one.name) for one in scene.timeline_markers)
strips = [
    (one.frame_final_start, one.frame_final_end, one.frame_final_start - int(one.frame_start), one.channel)
    for one in every
    if one.channel > 2
]
print("FOUND", json.dumps({"markers": markers, "strips": sorted(strips), "blender": bpy.app.version_string}))
"""


def main() -> int:
    """Exit status: 0 if markers and strips are on the result's frames in every Blender."""
    modules = [[python] for python in sys.argv[1:]]
    program = (
        [["blender", "--background", "--factory-startup", "--python"]] if shutil.which("blender") else []
    )
    if not (program or modules):
        sys.stdout.write("blender is not installed\n")
        return 2
    with tempfile.TemporaryDirectory() as name:
        found = prove(Path(name), [*program, *modules])
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0 if all(one["markers_right"] and one["strips_right"] for one in found) else 1


def prove(folder: Path, blenders: list[list[str]]) -> list[dict[str, Any]]:
    """For each Blender: localize, let it work and save, read what it saved."""
    scripts, clip = folder / "scripts", folder / "clip.mp4"
    shutil.copytree(ADDON, scripts / "addons" / ADDON.name)
    draw_clip(clip, SECONDS)
    service = RunningService(folder, thumbnail_side_pixels=0)
    found = []
    try:
        service.start()
        for number, blender in enumerate(blenders):
            saved = folder / f"{number}.blend"
            answer = run(blender, scripts, WORK, service.url, clip, saved)
            assert "FINISHED" in answer, answer
            read = json.loads(run(blender, scripts, READ, saved).partition("FOUND ")[2].splitlines()[0])
            job = service.client.get("/v1/jobs").json()["jobs"][0]
            segments = service.client.get(f"/v1/jobs/{job['id']}/result").json()["segments"]
            found.append(compare(read, segments))
    finally:
        service.stop()
    return found


def compare(read: dict[str, Any], segments: list[dict[str, Any]]) -> dict[str, Any]:
    """What a saved file holds, and whether its markers, its strips and their sound are on the result's frames."""
    spans = [(round(one["start"] * FPS), round(one["end"] * FPS)) for one in segments]
    markers = sorted(BEGINS + frame for span in spans for frame in span)
    strips, place = [], BEGINS
    for first, last in spans:
        # The movie and its sound, each two channels above its original.
        strips += [[place, place + last - first, first, channel] for channel in (3, 4)]
        place += last - first
    return {
        "blender": read["blender"],
        "segments": len(segments),
        "markers": read["markers"],
        "markers_right": [frame for frame, _ in read["markers"]] == markers and bool(markers),
        "strips": read["strips"],
        "strips_right": read["strips"] == strips and bool(strips),
    }


def run(blender: list[str], scripts: Path, program: str, *arguments: str | Path) -> str:
    """Run a script in a Blender without a window; returns what it wrote."""
    path = scripts / "program.py"
    path.write_text(program.replace("FPS", str(FPS)).replace("BEGINS", str(BEGINS)), encoding="utf-8")
    done = subprocess.run(
        [*blender, str(path), "--", *map(str, arguments)],
        env={**os.environ, "BLENDER_USER_SCRIPTS": str(scripts)},
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
