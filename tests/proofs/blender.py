"""The Blender add-on in a real, headless Blender: `python -m tests.proofs.blender` (`apt-get install blender`).

A service localizes a drawn clip. The add-on is installed as a user would install it, sends the strip, adds markers and
cuts, and the file is saved. A second Blender reads the saved file; markers and strips must be on the frames of the
result.
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
import sys, addon_utils, bpy
address, clip, saved = sys.argv[sys.argv.index("--") + 1 :]
addon_utils.enable("sentiloc_strips", default_set=True)
bpy.context.preferences.addons["sentiloc_strips"].preferences.address = address
scene = bpy.context.scene
scene.render.fps, scene.render.fps_base = FPS, 1.0
editor = scene.sequence_editor_create()
strip = editor.sequences.new_movie("clip", clip, channel=1, frame_start=BEGINS)
editor.active_strip = strip
print("ANSWER", bpy.ops.sequencer.sentiloc_localize(cuts=True, threshold=0.3))
bpy.ops.wm.save_as_mainfile(filepath=saved)
"""
READ = """
import json, bpy
scene = bpy.context.scene
markers = sorted((one.frame, one.name) for one in scene.timeline_markers)
strips = [
    (one.frame_final_start, one.frame_final_end, one.frame_final_start - int(one.frame_start), one.channel)
    for one in scene.sequence_editor.sequences_all
    if one.channel > 1
]
print("FOUND", json.dumps({"markers": markers, "strips": sorted(strips), "blender": bpy.app.version_string}))
"""


def main() -> int:
    """Exit status: 0 if markers and strips are on the result's frames."""
    if shutil.which("blender") is None:
        sys.stdout.write("blender is not installed\n")
        return 2
    with tempfile.TemporaryDirectory() as name:
        found = prove(Path(name))
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0 if found["markers_right"] and found["strips_right"] else 1


def prove(folder: Path) -> dict[str, Any]:
    """Localize, let Blender work and save, read what it saved."""
    scripts = folder / "scripts"
    shutil.copytree(ADDON, scripts / "addons" / ADDON.name)
    draw_clip(folder / "clip.mp4", SECONDS)
    service = RunningService(folder, thumbnail_side_pixels=0)
    try:
        service.start()
        saved = folder / "cut.blend"
        answer = blender(scripts, folder, WORK, [service.url, str(folder / "clip.mp4"), str(saved)])
        read = blender(scripts, folder, READ, [], saved)
        (job,) = service.client.get("/v1/jobs").json()["jobs"]
        segments = service.client.get(f"/v1/jobs/{job['id']}/result").json()["segments"]
    finally:
        service.stop()
    assert "FINISHED" in answer, answer
    found = json.loads(read.partition("FOUND ")[2].splitlines()[0])
    spans = [(round(one["start"] * FPS), round(one["end"] * FPS)) for one in segments]
    markers = sorted(BEGINS + frame for span in spans for frame in span)
    strips, place = [], BEGINS
    for first, last in spans:
        strips.append([place, place + last - first, first, 3])
        place += last - first
    return {
        "blender": found["blender"],
        "segments": len(segments),
        "markers": found["markers"],
        "markers_right": [frame for frame, _ in found["markers"]] == markers and bool(markers),
        "strips": found["strips"],
        "strips_right": found["strips"] == strips and bool(strips),
    }


def blender(scripts: Path, folder: Path, program: str, arguments: list[str], file: Path | None = None) -> str:
    """Run a script in a headless Blender; returns what it wrote."""
    path = folder / "program.py"
    path.write_text(program.replace("FPS", str(FPS)).replace("BEGINS", str(BEGINS)), encoding="utf-8")
    opened = [str(file)] if file else ["--factory-startup"]
    done = subprocess.run(
        ["blender", "--background", *opened, "--python", str(path), "--", *arguments],
        env={**os.environ, "BLENDER_USER_SCRIPTS": str(scripts)},
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
