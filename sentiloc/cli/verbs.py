"""The subcommands of `sentiloc`. Each is a module that is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from sentiloc.cli.examples import complete_help
from sentiloc.cli.messages import stop

_LOCAL, _SERVER, _CLIENT = "Without a server", "Run a server", "Talk to a server"
_SCIENCE = "Train and evaluate"
PANELS = {
    **dict.fromkeys(("localize", "reel", "plot", "doctor"), _LOCAL),
    **dict.fromkeys(("serve", "api", "worker", "create-bucket", "keys"), _SERVER),
    **dict.fromkeys(("submit", "batch", "status", "watch", "result", "cancel", "trial"), _CLIENT),
    **dict.fromkeys(
        ("datasets", "extract", "labels", "train", "evaluate", "predict", "export", "weights"), _SCIENCE
    ),
}

# verb: (module, its typer app or function, what it does)
VERBS: dict[str, tuple[str, str, str]] = {
    "serve": (
        "sentiloc.cli.server.serve",
        "serve",
        "Run everything on this machine: API, worker and a private Redis.",
    ),
    "api": ("sentiloc.cli.server.api", "api", "Run only the HTTP API; needs SENTILOC_REDIS_URL."),
    "worker": ("sentiloc.cli.server.worker", "worker", "Run only a worker; needs SENTILOC_REDIS_URL."),
    "create-bucket": (
        "sentiloc.cli.server.create_bucket",
        "create_bucket",
        "Create the bucket of SENTILOC_STORAGE_URL.",
    ),
    "keys": ("sentiloc.cli.server.keys", "keys_app", "Create, list and revoke the API keys of a service."),
    "submit": ("sentiloc.cli.remote.submit", "submit", "Send videos to a server."),
    "batch": ("sentiloc.cli.remote.batch", "batch", "Send a file of URLs to a server, and read all results."),
    "status": ("sentiloc.cli.remote.jobs", "status", "Show jobs of a server."),
    "watch": ("sentiloc.cli.remote.jobs", "watch", "Follow a job of a server."),
    "result": ("sentiloc.cli.remote.jobs", "result", "Fetch the result of a server's job."),
    "cancel": ("sentiloc.cli.remote.jobs", "cancel", "Cancel jobs of a server."),
    "trial": ("sentiloc.cli.remote.trial", "trial", "Try another model on a share of a server's jobs."),
    "localize": ("sentiloc.cli.localize", "localize", "Localize videos on this machine, without a server."),
    "reel": (
        "sentiloc.cli.reel",
        "reel",
        "Render the best moments of videos, or cut them for an editing program.",
    ),
    "plot": ("sentiloc.cli.drawing.plot", "plot", "Draw a result's timeline as a picture."),
    "doctor": ("sentiloc.cli.doctor", "doctor", "Check this installation and localize a test clip."),
    "datasets": (
        "sentiloc.cli.training.datasets",
        "datasets_app",
        "Prepare published data sets from what was downloaded.",
    ),
    "extract": (
        "sentiloc.cli.training.extract",
        "extract",
        "Extract feature files for training from videos.",
    ),
    "labels": (
        "sentiloc.cli.training.labels",
        "labels",
        "Label extracted features with a benchmark's annotations.",
    ),
    "train": ("sentiloc.cli.training.train", "train", "Train FSENet, CTEN or GIM on extracted features."),
    "evaluate": (
        "sentiloc.cli.training.evaluate",
        "evaluate",
        "Score a run or predictions by the benchmark's protocol.",
    ),
    "predict": (
        "sentiloc.cli.training.predict",
        "predict",
        "Write a run's proposals in the benchmark's predictions file.",
    ),
    "export": ("sentiloc.cli.training.export", "export", "Export a checkpoint as a model package."),
    "weights": (
        "sentiloc.cli.weights.weights",
        "weights_app",
        "Fetch public weights, check and quantize picture networks.",
    ),
}


class LazyVerbs(TyperGroup):
    """Lists subcommands without importing them. A subcommand's module is imported to run or complete it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Resolve a subcommand, importing its module."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, (_load(name, *VERBS[name][:2]) if name in VERBS else command), rest

    def invoke(self, ctx: Any) -> Any:
        """Run a subcommand; the message about a wrong value is in plain words."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = _in_plain_words(error)
            raise


root = typer.Typer(
    name="sentiloc",
    cls=LazyVerbs,
    help="Finds when a video conveys positive or negative sentiment.",
    epilog="Start with `sentiloc serve` and a browser, or with `sentiloc localize VIDEO`.",
    no_args_is_help=True,
    # `main` turns errors into one line.
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from sentiloc.app.version import version

        typer.echo(f"sentiloc {version()}")
        raise typer.Exit


@root.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@root.command("version", help="Show the version.", rich_help_panel=_LOCAL)
def _version() -> None:
    _show_version(True)


def _in_plain_words(error: typer.BadParameter) -> str:
    """The message, without the words of pydantic, which checks values for typer."""
    problems = getattr(error.__cause__, "errors", None)
    found = problems() if problems else []
    if not found:
        return str(error.message)
    if found[0]["type"] == "value_error":
        # The message may quote the value, whose control characters typer has replaced here.
        return str(error.message).removeprefix("Value error, ")
    from sentiloc.app.reasons import plain_reason

    return plain_reason(found[0])


def _register(verb: str, help_text: str) -> None:
    @root.command(verb, help=help_text, rich_help_panel=PANELS[verb])
    def _listed() -> None:
        pass


def _load(verb: str, module: str, attribute: str) -> Any:
    """Import a subcommand's module and return its command."""
    try:
        found = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        # A library is missing, not the subcommand. `main` reports it.
        if error.name != module:
            raise
        stop(f"`sentiloc {verb}` is not part of this installation")
    if not isinstance(found, typer.Typer):
        # A function becomes an app of one command. Completion is an option of `root` alone.
        function, found = found, typer.Typer(add_completion=False)
        found.command(help=function.__doc__)(function)
    command = get_command(found)
    complete_help(verb, command)
    return command


for _verb, _place in VERBS.items():
    _register(_verb, _place[2])
