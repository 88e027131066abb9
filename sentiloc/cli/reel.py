"""`sentiloc reel VIDEO...`: the best moments of videos as a video or as a cut, without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentiloc.cli.destinations import output_file, require_file, require_other_file, require_timeline
from sentiloc.cli.given import finite, given_options, load_model, refuse
from sentiloc.cli.messages import wrong_usage
from sentiloc.cli.output import print_or_write, whole_file
from sentiloc.cli.progress import progress_bars
from sentiloc.cli.videos import find_videos
from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.api import Model
    from sentiloc.app.cuts.sequence import Sequence as CutSequence
    from sentiloc.model.highlights.highlights import Highlight, HighlightOptions
    from sentiloc.model.highlights.moments import Footage
    from sentiloc.worker.config import RuntimeConfig

_MOVIE = ".mp4"
_OF_FILMS = {"captions", "crossfade", "max_side"}
"""Options that a cut cannot contain, because the editing program decides them."""
_CUTS = {".edl": "edl", ".xml": "fcp7", ".fcpxml": "fcpxml", ".otio": "otio", ".mlt": "mlt", ".llc": "llc"}

MinConfidence = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        callback=finite,
        help="Minimum confidence of a moment; default: the model's threshold.",
    ),
]
MaxSeconds = Annotated[
    float, typer.Option(min=0.1, callback=finite, help="Longest moment, without its handles.")
]
Handle = Annotated[
    float, typer.Option(min=0, callback=finite, help="Seconds to show before and after a moment.")
]
Snap = Annotated[
    float, typer.Option(min=0, callback=finite, help="How far a cut may move to a shot change or a pause.")
]
Crossfade = Annotated[
    float, typer.Option(min=0, max=5, callback=finite, help="Length of cross-fades in seconds.")
]
SequenceRate = Annotated[
    float | None,
    typer.Option("--fps", min=0, callback=finite, help="Frame rate; default: that of most clips."),
]


def reel(
    context: typer.Context,
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO", help="Files, folders or globs.")],
    output: Annotated[
        list[Path],
        typer.Option(
            "--output",
            "-o",
            parser=output_file,
            metavar="FILE",
            help="The film (.mp4), or a cut: .edl, .xml (FCP7), .fcpxml, .otio, .mlt, .llc. May be repeated.",
        ),
    ],
    best: Annotated[int, typer.Option(min=1, max=100, help="How many moments.")] = 10,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only moments of this kind: positive, negative, turning_point. May be repeated."),
    ] = None,
    min_confidence: MinConfidence = None,
    max_seconds: MaxSeconds = 10.0,
    handle: Handle = 1.0,
    snap: Snap = 0.8,
    crossfade: Crossfade = 0.5,
    captions: Annotated[bool, typer.Option(help="Write label, confidence and time into the film.")] = False,
    max_side: Annotated[
        int, typer.Option(min=64, max=3840, help="Longest side of the film in pixels; nothing is enlarged.")
    ] = 1280,
    fps: SequenceRate = None,
    title: Annotated[str, typer.Option(help="Name of the sequence.")] = "Highlights",
    model: Annotated[
        str | None, typer.Option(help="Model package; default: the setting SENTILOC_MODEL.")
    ] = None,
) -> None:
    """Find the best moments of videos, and write them as a film or as a cut for an editing program.

    Exit status: 0 success, 1 a video could not be read or no moment was found, 2 wrong usage.
    """
    from sentiloc.app.reels.plan import ReelLook
    from sentiloc.app.settings import get_settings
    from sentiloc.worker.config import runtime_config

    _check(output, kind or [], given_options(context))
    require_timeline(fps=fps)
    found = find_videos(videos)
    for path in output:
        require_other_file(path, found)
    options = _options(best, kind, min_confidence, max_seconds, handle, snap)
    config = runtime_config(get_settings())
    footage, whole = _localize(found, _load(model, get_settings().model, config))
    chosen = _choose(footage, options)
    look = ReelLook(crossfade_seconds=crossfade, captions=captions, max_side=max_side)
    for path in output:
        sequence = _sequence(chosen, path, title, fps)
        if _is_film(path):
            _render(sequence, path, look, config)
        else:
            _write_cut(sequence, path)
    # The film of the readable videos is written anyway; the status says that one is missing.
    if not whole:
        raise typer.Exit(1)


def _is_film(path: Path) -> bool:
    return path.suffix.lower() == _MOVIE


def _check(output: Sequence[Path], kinds: Sequence[str], given: set[str]) -> None:
    """Before the work begins, refuse outputs that cannot be written, and options that no output reads."""
    from sentiloc.model.highlights.moments import KINDS

    for path in output:
        if path.suffix.lower() not in (_MOVIE, *_CUTS):
            known = ", ".join((_MOVIE, *_CUTS))
            raise typer.BadParameter(f"{path} ends with none of {known}", param_hint="--output")
        require_file(path)
        if _is_film(path) and path.exists() and not path.is_file():
            # A film is not written from its start to its end.
            raise typer.BadParameter(
                f"{path} is not a regular file, which a film needs", param_hint="--output"
            )
    if not any(map(_is_film, output)):
        refuse(given, _OF_FILMS, "only a film has it, and no --output ends in .mp4")
    for name in kinds:
        if name not in KINDS:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(KINDS)}", param_hint="--kind")


def _options(
    best: int, kinds: Any, min_confidence: float | None, max_seconds: float, handle: float, snap: float
) -> HighlightOptions:
    from sentiloc.model.highlights.handles import HandleOptions
    from sentiloc.model.highlights.highlights import HighlightOptions
    from sentiloc.model.highlights.moments import KINDS, MomentOptions

    return HighlightOptions(
        count=best,
        moments=MomentOptions(
            kinds=tuple(kinds or KINDS), min_confidence=min_confidence, max_seconds=max_seconds
        ),
        handles=HandleOptions(handle=handle, snap=snap),
    )


def _load(name: str | None, default: str, config: RuntimeConfig) -> Model:
    """The model of `--model`, else the default one; raises `typer.BadParameter` if it finds no sentiment."""
    from sentiloc.model.spec import CLASSES

    model = load_model(name, default, config)
    if not {*model.labels} <= {*CLASSES}:
        error = _no_sentiment(model)
        # A wrong model in a setting is not a usage error.
        raise error if name is None else wrong_usage(error.detail, "--model")
    return model


def _no_sentiment(model: Model) -> SentilocError:
    detail = f"the model {model.name} finds no sentiment; highlights need a model that does"
    return SentilocError(ErrorCode.INVALID_DATA, detail)


def _localize(videos: Sequence[Path], model: Model) -> tuple[list[Footage], bool]:
    """The results of the readable videos, and whether all were readable. Warnings go to standard error."""
    from sentiloc.model.highlights.moments import Footage
    from sentiloc.model.results.result import Result

    footage, whole = [], True
    for video in videos:
        try:
            found = _shown(
                video.name,
                lambda report, video=video: model.localize(video, progress=report).document,  # type: ignore[misc]
            )
        except SentilocError as error:
            typer.echo(f"sentiloc: {video}: {error.detail} ({error.code})", err=True)
            whole = False
            continue
        # An emotion may be called positive or negative, too.
        if not isinstance(found, Result):
            raise _no_sentiment(model)
        for warning in found.warnings:
            typer.echo(f"sentiloc: {video}: {warning.detail} ({warning.code})", err=True)
        # By path, because videos in two folders may have the same name.
        footage.append(Footage(id=str(video.resolve()), name=video.name, result=found))
    return footage, whole


def _choose(footage: Sequence[Footage], options: HighlightOptions) -> tuple[Highlight, ...]:
    from sentiloc.model.highlights.highlights import find_highlights

    chosen = find_highlights(footage, options)
    if not chosen:
        raise SentilocError(ErrorCode.INVALID_DATA, "no moment was found in these videos")
    if len(chosen) > 1:
        typer.echo(f"{len(chosen)} moments, in the order of the film; number 1 is the best:", err=True)
    for one in chosen:
        moment, cut = one.moment, one.cut
        typer.echo(
            f"{one.rank:3}. {one.footage.name}  {cut.start:.2f}-{cut.end:.2f} s  {moment.kind}  "
            f"{moment.confidence:.0%}",
            err=True,
        )
    return chosen


def _sequence(chosen: Sequence[Highlight], output: Path, title: str, fps: float | None) -> CutSequence:
    from sentiloc.app.cuts.sequence import GivenClip, GivenSource, SequenceOptions, make_sequence
    from sentiloc.app.formats.timeline import TimelineError

    used = {one.footage.id: one.footage for one in chosen}
    sources = [
        GivenSource(id=name, name=one.name, video=one.result.video, folder=_folder(Path(name), output))
        for name, one in used.items()
    ]
    clips = [
        GivenClip(
            source_id=one.footage.id,
            start=one.cut.start,
            end=one.cut.end,
            label=one.moment.kind,
            confidence=one.moment.confidence,
        )
        for one in chosen
    ]
    try:
        return make_sequence(clips, sources, SequenceOptions(title=title, fps=fps))
    except TimelineError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, str(error)) from error


def _folder(video: Path, output: Path) -> str:
    """Empty if both files are in one folder, so that the folder can be moved as a whole."""
    return "" if video.parent == output.resolve().parent else video.parent.as_posix()


def _render(sequence: CutSequence, path: Path, look: Any, config: RuntimeConfig) -> None:
    from sentiloc.app.reels.plan import make_plan
    from sentiloc.worker.reels.render import render_reel

    # The id of a source is its path here.
    plan = make_plan(sequence, {source.id: source.id for source in sequence.sources}, look)
    # A rendering that is interrupted must not leave a film that looks complete.
    with whole_file(path) as partial:
        done = _shown(path.name, lambda report: render_reel(plan, partial, config.decode_limits, report))
    how = ", copied without encoding" if done.is_copy else ", encoded"
    typer.echo(f"{path}: {done.seconds:.2f} s, {done.frames} frames{how}", err=True)


def _write_cut(sequence: CutSequence, path: Path) -> None:
    from sentiloc.app.cuts import CUT_FORMATS

    known = CUT_FORMATS[_CUTS[path.suffix.lower()]]
    for note in known.notes(sequence):
        typer.echo(f"sentiloc: {note}", err=True)
    file = known.write(sequence)
    # Several videos become an archive of LosslessCut projects.
    target = path.with_name(f"{path.name}.zip") if file.name.endswith(".zip") else path
    print_or_write(file.data, target)
    count = len(sequence.clips)
    typer.echo(f"{target}: {count} clip{'' if count == 1 else 's'}", err=True)


def _shown(name: str, work: Callable[[Callable[[str, float], None]], Any]) -> Any:
    """Do the work with a progress bar on standard error."""
    with progress_bars() as bars:
        task = bars.add_task("decoding", total=1.0, note=name)
        return work(lambda stage, done: bars.update(task, description=stage, completed=done))
