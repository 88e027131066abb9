"""Sentiloc for Blender's video sequence editor: send a strip's video, get its segments as markers or as cuts.

A single-file add-on that needs nothing besides Blender. A server (`sentiloc serve`) does the work. Requests run in a
separate thread, so that the window stays responsive.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import bpy

bl_info = {
    "name": "Sentiloc",
    "description": "Markers and cuts where a video conveys positive or negative sentiment",
    "author": "Sentiloc",
    "version": (1, 0, 0),
    "blender": (3, 4, 0),
    "location": "Video Sequencer > Sidebar > Sentiloc",
    "category": "Sequencer",
}

FINAL = {"succeeded", "failed", "cancelled"}
# Statuses of a server or proxy that is busy or restarting.
PASSING = {429, 502, 503, 504}
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0  # A restart or a short network failure must not end the wait for a job.
# Bytes read at once: a video of several gigabytes must not be held in memory.
PIECE = 1 << 20
_FOREIGN = "This is not an answer from Sentiloc. Is the address right?"


class ServerError(Exception):
    """A request that the server refused, or that did not reach it. `passes`: the same request may succeed later."""

    def __init__(self, detail: str, *, passes: bool = False) -> None:
        super().__init__(detail)
        self.passes = passes


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would send the key on to another server, and a POST as a GET."""

    def http_error_302(self, *_):
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


_OPENER = urllib.request.build_opener(_StayHere)


class Server:
    """The requests that the add-on makes."""

    def __init__(self, address: str, key: str = "") -> None:
        if not address.startswith(("http://", "https://")):
            raise ServerError("The server's address begins with http:// or https://.")
        # A copied key may end with a line break.
        self._address, self._key = address.rstrip("/"), key.strip()
        # Checked here, because the error of `http.client` contains the key.
        if not (self._key.isascii() and self._key.isprintable()):
            raise ServerError("The API key has characters that cannot be sent.")

    def send(self, video: Path, threshold: float = 0.0) -> str:
        """Upload a video; returns the job's id. A threshold of 0 means the model's default."""
        boundary = uuid.uuid4().hex
        options = json.dumps({"threshold": threshold} if threshold else {})
        # A quotation mark would end the field of the header.
        name = video.name.replace('"', "'")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="options"\r\n\r\n{options}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="video"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
            # A name on disk may be bytes of another encoding.
        ).encode(errors="replace")
        tail = f"\r\n--{boundary}--\r\n".encode()
        length = video.stat().st_size

        def body():
            yield head
            yield from _pieces(video, length)
            yield tail

        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            # Stated, because urllib would otherwise send the body in chunks, which some proxies refuse.
            "Content-Length": str(len(head) + length + len(tail)),
            "Idempotency-Key": uuid.uuid4().hex,
        }
        return self._ask("/v1/localize", {"id"}, data=body(), headers=headers)["id"]

    def wait(self, job_id: str, report) -> None:
        """Wait until the job has ended; raises ServerError unless it succeeded."""
        while True:
            job = self._job(job_id)
            report(f"{job['stage'] or job['state']} {job['progress']:.0%}")
            if job["state"] in FINAL:
                break
            time.sleep(POLL_SECONDS)
        if job["state"] != "succeeded":
            raise ServerError((job["error"] or {}).get("detail", f"The job is {job['state']}."))

    def _job(self, job_id: str) -> dict:
        """The job as it is now; asks again while the server is away."""
        last = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._ask(f"/v1/jobs/{job_id}", {"state", "stage", "progress", "error"})
            except ServerError as error:
                if not error.passes or time.monotonic() >= last:
                    raise
            time.sleep(POLL_SECONDS)

    def segments(self, job_id: str) -> list[dict]:
        """The segments of a job that has succeeded."""
        return self._ask(f"/v1/jobs/{job_id}/result?format=json", {"segments"})["segments"]

    def _ask(self, path: str, fields: set[str], data=None, headers=None) -> dict:
        try:
            asked = urllib.request.Request(self._address + path, data=data, headers=headers or {})
            if self._key:
                asked.add_header("Authorization", f"Bearer {self._key}")
            with _OPENER.open(asked, timeout=120) as answer:
                found = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise ServerError(_detail(error), passes=error.code in PASSING) from error
        except (ValueError, http.client.InvalidURL) as error:
            raise ServerError(f"{_FOREIGN} ({error})") from error
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"The server does not answer: {error}", passes=True) from error
        if not isinstance(found, dict) or not fields <= found.keys():
            raise ServerError(_FOREIGN)
        return found


def _pieces(video: Path, length: int):
    """The first `length` bytes of a file, also if it grows meanwhile."""
    with video.open("rb") as file:
        while length:
            piece = file.read(min(PIECE, length))
            if not piece:
                raise ServerError("The video became shorter while it was sent.")
            yield piece
            length -= len(piece)


def _detail(error: urllib.error.HTTPError) -> str:
    location = error.headers.get("Location")
    try:
        if location:
            # It may be relative. The query is left out, because it may contain a secret.
            place = urllib.parse.urljoin(error.url, location).partition("?")[0]
            return f"The server redirects to {place}. Is the address in the settings right?"
        return json.loads(error.read())["detail"]
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        return f"The server answered {error.code}."


def frames_of(strip, segment: dict, fps: float) -> tuple[int, int]:
    """The first frame of a segment on the timeline and the first frame after it, within the strip.

    Seconds count from the video's first frame, which is at the strip's `frame_start`.
    """
    first = round(strip.frame_start + segment["start"] * fps)
    last = round(strip.frame_start + segment["end"] * fps)
    low, high = strip.frame_final_start, strip.frame_final_end
    return max(first, low), min(last, high)


def add_markers(scene, strip, segments: list[dict]) -> int:
    """Add a marker at the start and at the end of each segment within the strip; returns the number of segments."""
    fps, count = scene.render.fps / scene.render.fps_base, 0
    for segment in segments:
        first, last = frames_of(strip, segment, fps)
        if first >= last:
            continue
        # Never 100 %: no model is certain.
        name = f"{segment['label'].capitalize()} {min(99, round(100 * segment['confidence']))}%"
        scene.timeline_markers.new(name, frame=first)
        scene.timeline_markers.new(f"{name} end", frame=last)
        count += 1
    return count


def add_cuts(scene, strip, segments: list[dict]) -> list:
    """Add a copy of the strip with its sound for each segment, in sequence, two channels above; returns the copies."""
    editor, fps = scene.sequence_editor, scene.render.fps / scene.render.fps_base
    strips, sound = top_strips(editor), _sound_of(editor, strip)
    path, place, made = strip.filepath, strip.frame_final_start, []
    for segment in segments:
        first, last = frames_of(strip, segment, fps)
        if first >= last:
            continue
        begin = place - first + int(strip.frame_start)
        length = last - first
        name = f"{segment['label']} {len(made) + 1}"
        clip = strips.new_movie(name, path, channel=strip.channel + 2, frame_start=begin)
        _trim(clip, place, length)
        if sound is not None:
            begin += round(sound.frame_start - strip.frame_start)
            _trim(
                strips.new_sound(name, sound.sound.filepath, channel=sound.channel + 2, frame_start=begin),
                place,
                length,
            )
        made.append(clip)
        place += length
    return made


def _sound_of(editor, strip):
    """The strip of the sound of a movie strip's file; None if the user has none."""
    file = bpy.path.abspath(strip.filepath)
    for other in all_strips(editor):
        if other.type == "SOUND" and bpy.path.abspath(other.sound.filepath) == file:
            return other
    return None


def scene_of(context):
    """The scene that the sequencer shows. Since Blender 5.0 the window may show another one."""
    return getattr(context, "sequencer_scene", None) or context.scene


def top_strips(editor):
    """The strips outside meta strips. Before Blender 4.4 they are called sequences, since 5.0 strips only."""
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def all_strips(editor):
    """All strips of the editor, under the name that this version of Blender has for them."""
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def _trim(clip, first: int, length: int) -> None:
    clip.frame_final_start = first
    clip.frame_final_end = first + length


class SENTILOC_Settings(bpy.types.AddonPreferences):
    """The address of the server, and the API key."""

    bl_idname = __name__
    address: bpy.props.StringProperty(name="Server", default="http://127.0.0.1:8000")
    key: bpy.props.StringProperty(name="API key", subtype="PASSWORD")

    def draw(self, _context) -> None:
        """The two fields."""
        self.layout.prop(self, "address")
        self.layout.prop(self, "key")


class SENTILOC_OT_localize(bpy.types.Operator):
    """Send the active strip's video and add what is found"""

    bl_idname = "sequencer.sentiloc_localize"
    bl_label = "Localize sentiment"
    bl_options = {"REGISTER", "UNDO"}

    cuts: bpy.props.BoolProperty(name="Cuts", description="Add the segments as strips, not only as markers")

    threshold: bpy.props.FloatProperty(
        name="Threshold", description="Minimum confidence; 0 means the model's default", min=0.0, max=1.0
    )

    @classmethod
    def poll(cls, context) -> bool:
        """True if the active strip is a movie."""
        editor = scene_of(context).sequence_editor
        return editor is not None and getattr(editor.active_strip, "type", "") == "MOVIE"

    def invoke(self, context, _event):
        """Start the request in a thread; `modal` checks it every half second."""
        strip = scene_of(context).sequence_editor.active_strip
        # The name, not the strip: Blender may free its objects while the request runs.
        self._strip, self._segments, self._error, self._status = strip.name, None, None, "uploading"
        settings = context.preferences.addons[__name__].preferences
        work = (settings.address, settings.key, Path(bpy.path.abspath(strip.filepath)))
        # `bpy` may be used in Blender's own thread only, so the thread gets plain values.
        self._thread = threading.Thread(target=self._work, args=work, daemon=True)
        self._thread.start()
        self._timer = context.window_manager.event_timer_add(0.5, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def _work(self, address: str, key: str, video: Path) -> None:
        try:
            server = Server(address, key)
            job = server.send(video, self.threshold)
            server.wait(job, self._set_status)
            self._segments = server.segments(job)
        except (ServerError, OSError) as error:
            self._error = str(error)

    def _set_status(self, text: str) -> None:
        self._status = text

    def modal(self, context, event):
        """Show progress; Escape stops waiting."""
        if event.type == "ESC":
            return self._end(context, {"CANCELLED"})
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        context.workspace.status_text_set(f"Sentiloc: {self._status} (Esc stops waiting)")
        if self._thread.is_alive():
            return {"PASS_THROUGH"}
        if self._error:
            self.report({"ERROR"}, self._error)
            return self._end(context, {"CANCELLED"})
        editor = scene_of(context).sequence_editor
        strip = editor and all_strips(editor).get(self._strip)
        if strip is None:
            self.report({"ERROR"}, f"The strip {self._strip} is no longer there.")
            return self._end(context, {"CANCELLED"})
        self.report({"INFO"}, place(scene_of(context), strip, self._segments, self.cuts))
        return self._end(context, {"FINISHED"})

    def _end(self, context, state):
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
        return state

    def execute(self, context):
        """Run without a window: block until the job has ended."""
        strip = scene_of(context).sequence_editor.active_strip
        settings = context.preferences.addons[__name__].preferences
        try:
            server = Server(settings.address, settings.key)
            job = server.send(Path(bpy.path.abspath(strip.filepath)), self.threshold)
            server.wait(job, lambda _text: None)
            segments = server.segments(job)
        except (ServerError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, place(scene_of(context), strip, segments, self.cuts))
        return {"FINISHED"}


def place(scene, strip, segments: list[dict], cuts: bool) -> str:
    """Add markers, and strips if requested; returns the message for the user."""
    count = add_markers(scene, strip, segments)
    made = add_cuts(scene, strip, segments) if cuts else []
    return f"{count} segments, {len(made)} strips"


class SENTILOC_PT_panel(bpy.types.Panel):
    """The panel with the buttons."""

    bl_label = "Sentiloc"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Sentiloc"

    def draw(self, _context) -> None:
        """Markers, or markers and cuts."""
        self.layout.operator(SENTILOC_OT_localize.bl_idname, text="Add markers").cuts = False
        self.layout.operator(SENTILOC_OT_localize.bl_idname, text="Add markers and cuts").cuts = True


_CLASSES = (SENTILOC_Settings, SENTILOC_OT_localize, SENTILOC_PT_panel)


def register() -> None:
    """Called by Blender when the add-on is switched on."""
    for one in _CLASSES:
        bpy.utils.register_class(one)


def unregister() -> None:
    """Called by Blender when the add-on is switched off."""
    # The panel uses the operator, so it goes first.
    for one in reversed(_CLASSES):
        bpy.utils.unregister_class(one)
