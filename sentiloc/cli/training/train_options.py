"""The options of `sentiloc train` in one table, grouped as in the help, with the tasks that use each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer
from pydantic import Field, TypeAdapter, ValidationError

from sentiloc.app.reasons import plain_reason
from sentiloc.cli.given import finite
from sentiloc.model.errors import ErrorCode, SentilocError

RUN, DATA, SIZE = "Run", "Data and labels", "Length and size of the run"
NETWORK, LOSS = "FSENet: network", "FSENet: labels and losses"
CTEN, GIM = "CTEN (--task cten)", "GIM (--task gim)"

FSENET_TASK = frozenset({"fsenet"})
SYSTEMS = frozenset({"cten", "gim"})
EVERY = FSENET_TASK | SYSTEMS


class TrainOption(NamedTuple):
    """One option: its name in Python, type, default, help text, help panel, and the tasks that use it."""

    name: str
    kind: Any
    default: Any
    text: str
    panel: str
    tasks: frozenset[str] = FSENET_TASK
    limits: dict[str, Any] = {}  # noqa: RUF012
    # Without a name of its own, a switch also gets `--no-...`.
    flags: tuple[str, ...] = ()

    @property
    def _is_float(self) -> bool:
        return self.kind in (float, float | None)

    @property
    def annotation(self) -> Any:
        """The annotated type for typer."""
        return Annotated[
            self.kind,
            typer.Option(
                *self.flags,
                help=self.text,
                rich_help_panel=self.panel,
                callback=finite if self._is_float else None,
                **self.limits,
            ),
        ]

    def problem(self, value: object) -> str:
        """What is wrong with a value from a file; "" if it is valid."""
        allow = False if self._is_float else None
        bounds = Field(ge=self.limits.get("min"), le=self.limits.get("max"), allow_inf_nan=allow)
        kind: Any = Annotated[self.kind, bounds] if self.limits else self.kind
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            return f"{value!r} {plain_reason(error.errors()[0])}"
        return ""


_SHARE = {"min": 0, "max": 1}
_POSITIVE = {"min": 1}
_NOT_NEGATIVE = {"min": 0}
# Similarities are divided by it; with a smaller value, they would exceed the precision of float32.
_DIVISOR = {"min": 1e-6}
LARGEST_SEED = 2**63 - 1
"""The largest seed that NumPy's and PyTorch's generators accept."""
_SEED = {"min": 0, "max": LARGEST_SEED}
# Short, so that most options fit in one line.
_O = TrainOption
# Most defaults of FSENet's options are for the help alone: the recipe sets what was not given (`train._given`).
OPTIONS: tuple[TrainOption, ...] = (
    _O("task", Literal["fsenet", "cten", "gim"], "fsenet", "Sentiment, emotions or expressions.", RUN, EVERY),
    _O(
        "recipe",
        Literal["default", "paper", "printed", "quick", "starter"],
        "default",
        "Default hyper-parameters. default and paper: the paper's, as this project interprets it; printed: the printed "
        "form wherever there is a switch; quick: default for a CPU; starter: the shipped model's.",
        RUN,
        EVERY,
    ),
    _O("resume", bool, False, "Continue the run in the folder.", RUN, EVERY, flags=("--resume",)),
    _O("seed", int | None, None, "Seed of everything random.", RUN, EVERY, _SEED),
    _O(
        "seeds",
        str | None,
        None,
        "Several runs, such as 0-4 or 0,3,7, with a table of mean and deviation.",
        RUN,
        EVERY,
    ),
    _O(
        "deterministic",
        bool,
        False,
        "Use only deterministic algorithms; an operation without one is an error.",
        RUN,
        EVERY,
        flags=("--deterministic",),
    ),
    _O(
        "precision",
        Literal["auto", "fp32", "bf16", "fp16"],
        "auto",
        "auto: bf16 where the device has it.",
        RUN,
    ),
    _O("compile", bool, False, "Compile the network (torch.compile).", RUN, flags=("--compile",)),
    _O("wandb", str | None, None, "Log to this project of Weights & Biases as well.", RUN, EVERY),
    _O("epochs", int | None, None, "Number of epochs; default: the recipe's.", SIZE, EVERY, _POSITIVE),
    _O("batch_size", int | None, None, "Videos in a batch; default: the recipe's.", SIZE, EVERY, _POSITIVE),
    _O("learning_rate", float | None, None, "Default: the recipe's.", SIZE, EVERY, _NOT_NEGATIVE),
    _O("width", int | None, None, "Feature width d; the paper has 512.", SIZE, EVERY, _POSITIVE),
    _O(
        "val_fraction",
        float | None,
        None,
        "Held-out share of train, for selection and calibration.",
        SIZE,
        EVERY,
        # Some videos must be left to train on.
        {"min": 0, "max": 0.9},
    ),
    _O("optimizer", Literal["adamw", "adam"] | None, None, "adam is the optimizer of the paper.", SIZE),
    _O(
        "start",
        Path | None,
        None,
        "Start with the network and weights of this package or run, for example to learn from corrections (exported "
        "feedback).",
        DATA,
        flags=("--from",),
    ),
    _O("spec", Path | None, None, "Package or spec.json that the features must match.", DATA),
    _O("points", Path | None, None, "Point label file, if not the folder's own.", DATA),
    _O(
        "supervision",
        Literal["point", "video", "full"],
        "point",
        "Labels that training reads (Table 1).",
        DATA,
    ),
    _O(
        "modalities",
        str | None,
        None,
        "Streams to use: letters of A, V, F (Tables 4 and 9; CTEN: A or V alone).",
        DATA,
        FSENET_TASK | {"cten"},
    ),
    _O(
        "stream_dropout",
        float | None,
        None,
        "Mask whole streams at random, so that the network learns to do without them.",
        DATA,
        limits=_SHARE,
    ),
    _O("stage1", bool, True, "Face-guided attention, eq. 1 (Table 5).", NETWORK),
    _O("stage2", bool, True, "Audio-visual attention, eq. 2 (Table 5).", NETWORK),
    _O("gsp", bool, True, "Global sentiment perception, eq. 3 and 10 (Table 5).", NETWORK),
    _O(
        "attention_window",
        int | None,
        None,
        "Local attention: snippets to either side.",
        NETWORK,
        limits=_POSITIVE,
    ),
    _O(
        "attention",
        Literal["normalized", "plain"] | None,
        None,
        "plain is the textbook form of eq. 1-2.",
        NETWORK,
    ),
    _O("position", Literal["rotary", "none"] | None, None, "Positions in eq. 1-2.", NETWORK),
    _O(
        "fusion",
        Literal["cas", "global", "mean"],
        "cas",
        "Scores that inference uses: eq. 9, 10 or both.",
        NETWORK,
    ),
    _O(
        "pseudo_label",
        Literal["full", "threshold", "step", "none", "gaussian"],
        "full",
        "Eq. 8 or part of it (Table 6); gaussian: GIM's soft labels in place of eq. 7.",
        LOSS,
    ),
    _O("frame", bool, True, "L_frame, eq. 11 (Table 7).", LOSS),
    _O("frame_glo", bool, True, "L_frame of the global scores, eq. 11 (Table 7).", LOSS),
    _O("sc", bool, True, "PSSC contrast, eq. 4-6 (Table 7).", LOSS),
    _O("w", int, 7, "Window of eq. 7 in snippets (Table 8).", LOSS, limits=_POSITIVE),
    _O("beta", float, 0.6, "Floor of eq. 7 (Table 8).", LOSS, limits=_SHARE),
    _O("tau", float, 0.95, "Non-sentiment threshold of eq. 8.", LOSS, limits=_SHARE),
    _O("k", int, 8, "K = T // k of eq. 5 (Fig. 5).", LOSS, limits=_POSITIVE),
    _O("distance", Literal["cosine", "dot", "l1", "l2"], "cosine", "Similarity of eq. 4 (Table 10).", LOSS),
    _O("lambda1", float, 1.0, "Weight of the frame losses, eq. 12 (Fig. 6).", LOSS, limits=_NOT_NEGATIVE),
    _O("lambda2", float, 0.05, "Weight of the contrast, eq. 12 (Fig. 6).", LOSS, limits=_NOT_NEGATIVE),
    _O("gamma", float, 2.0, "Exponent of the focal loss.", LOSS, limits=_NOT_NEGATIVE),
    _O("base", Literal["paper", "bce"] | None, None, "Base loss: one-sided (paper) or two-sided.", LOSS),
    _O("add_inside", bool, False, "Eq. 8's sum inside windows too, as printed.", LOSS),
    _O("contrast", Literal["anchor", "own"], "anchor", "Prototype of the negatives in eq. 6.", LOSS),
    _O("prototypes", Literal["video", "batch"] | None, None, "Where eq. 4's means are taken.", LOSS),
    _O("negatives", Literal["class", "rest"] | None, None, "Eq. 6's negatives.", LOSS),
    _O("disjoint", bool | None, None, "A step is positive for one class only.", LOSS),
    _O("temperature", float | None, None, "Divides the similarities of eq. 6.", LOSS, limits=_DIVISOR),
    _O("inside", Literal["sum", "max", "step"] | None, None, "Eq. 8's label inside windows.", LOSS),
    _O("focal", Literal["soft", "usual"] | None, None, "Weights of the focal loss.", LOSS),
    _O(
        "saliency_base",
        bool | None,
        None,
        "With video supervision: base loss of eq. 10 as well, which trains W_sent.",
        LOSS,
    ),
    _O(
        "erasing",
        float | None,
        None,
        "With video supervision: CTEN's erasing, at this theta (0.7).",
        LOSS,
        limits=_SHARE,
    ),
    _O(
        "theta",
        float | None,
        None,
        "Least attention of a keyframe, eq. 9 (0.7).",
        CTEN,
        frozenset({"cten"}),
        _SHARE,
    ),
    _O(
        "segments",
        int | None,
        None,
        "Equally long segments per video; the paper has 10, --recipe paper as well.",
        CTEN,
        frozenset({"cten"}),
        # Equation 8 needs two values that may differ.
        {"min": 2},
    ),
    _O("erase", bool | None, None, "The erasing module, eq. 9 and 12.", CTEN, frozenset({"cten"})),
    _O("intra", bool | None, None, "Intra-modal relation (Table 2).", CTEN, frozenset({"cten"})),
    _O("inter", bool | None, None, "Inter-modal relation (Table 2).", CTEN, frozenset({"cten"})),
    _O(
        "strategy",
        Literal["gim", "hard", "cosine", "class-wise", "video-wise"] | None,
        None,
        "How pseudo-labels are made (Table 3); video-wise: class-wise within each video.",
        GIM,
        frozenset({"gim"}),
    ),
    _O(
        "overlap",
        Literal["random", "higher", "lower"] | None,
        None,
        "Label of a frame that two expressions of a class claim (Table 4).",
        GIM,
        frozenset({"gim"}),
    ),
    _O("intensity", Literal["mse", "bce"] | None, None, "Loss of eq. 9 (Table 2).", GIM, frozenset({"gim"})),
    _O(
        "durations",
        str | None,
        None,
        "k_c in frames of macro and micro, as 32,16.",
        GIM,
        frozenset({"gim"}),
    ),
    _O(
        "benchmark",
        Literal["samm-lv", "casme2"] | None,
        None,
        "The data set whose lambdas are used in eq. 14; each can be changed below.",
        GIM,
        frozenset({"gim"}),
    ),
    _O("smooth_weight", float | None, None, "lambda_1 of eq. 14.", GIM, frozenset({"gim"}), _NOT_NEGATIVE),
    _O("norm_weight", float | None, None, "lambda_2 of eq. 14.", GIM, frozenset({"gim"}), _NOT_NEGATIVE),
    _O("contrast_weight", float | None, None, "lambda_3 of eq. 14.", GIM, frozenset({"gim"}), _NOT_NEGATIVE),
)
BY_NAME = {option.name: option for option in OPTIONS}


def read_option_file(path: Path) -> dict[Any, Any]:
    """The options of a YAML file by name, unchecked. Raises `invalid_data` for what is not YAML or has a key twice."""
    import yaml

    from sentiloc.model.data.text import read_text

    text = read_text(path)
    try:
        found = yaml.load(text, _single_keys(yaml.SafeLoader))  # noqa: S506 - a safe loader
    except RecursionError as error:
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: not YAML: nested too deeply") from error
    # Its constructors raise errors of many kinds for values that do not fit their tags, such as `!!int x`.
    except Exception as error:
        # PyYAML's message has several lines and calls the input "<unicode string>".
        message = " ".join(str(error).replace('"<unicode string>", ', "").split())
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: not YAML: {message}") from error
    if not isinstance(found, dict):
        raise SentilocError(ErrorCode.INVALID_DATA, f"{path}: needs one option a line, as `epochs: 40`")
    return found


def _single_keys(loader: type[Any]) -> type[Any]:
    """A YAML loader that refuses repeated keys; PyYAML itself takes the last one."""

    class SingleKeys(loader):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            from yaml.constructor import ConstructorError

            names = [key.value for key, _ in node.value if isinstance(key.value, str)]
            twice = [
                key for key, _ in node.value if isinstance(key.value, str) and names.count(key.value) > 1
            ]
            if twice:
                raise ConstructorError(
                    None, None, f"{twice[-1].value} is there more than once", twice[-1].start_mark
                )
            return super().construct_mapping(node, deep)

    return SingleKeys
