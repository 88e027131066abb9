"""Options that would have no effect are usage errors that name the option; nothing is ignored silently."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sentiloc.cli.training.train_options import BY_NAME
from sentiloc.cli.training.unread import RULES, UNREAD
from sentiloc.model.data.feature_store import write_spec
from sentiloc.model.fsenet.losses import LossConfig
from sentiloc.model.fsenet.network import FSENetConfig
from tests.cli.extracted import SPEC, Sentiloc
from tests.cli.test_train_systems import emotion_folder, flow_folder
from tests.cli.test_wrong_inputs import QUICK, published_folder

ALL_LAMBDAS = ("--smooth-weight", 1, "--norm-weight", 1, "--contrast-weight", 1)


def refused(outcome: tuple[int, str, str], said: str) -> None:
    code, _, errors = outcome
    assert code == 2, errors
    assert said in " ".join(errors.replace("│", " ").split()), errors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--task", "cten", "--w", 5), "--w: --task cten does not read it"),
        (("--task", "gim", "--supervision", "full"), "--supervision: --task gim does not read it"),
        (("--task", "gim", "--no-stage1"), "--stage1: --task gim"),
        (("--theta", 0.5), "--theta: --task fsenet does not read it; --task cten does"),
        (("--supervision", "video", "--beta", 0.3), "--beta: --supervision video does not read it"),
        (("--erasing", 0.7), "--erasing: --supervision point does not read it"),
        (("--seeds", "4-0"), "--seeds"),
        (("--seeds", f"1,{2**63}"), f"--seeds: {2**63} is larger than {2**63 - 1}"),
        (("--seeds", "0-1", "--seed", 3), "--seed: --seeds names the seeds"),
        (("--no-sc", "--lambda2", 0.1), "--lambda2: PSSC, which reads it, is off"),
        (("--no-sc", "--k", 5), "--k: only PSSC and video supervision read it"),
        (("--negatives", "rest", "--contrast", "own"), "--contrast: --negatives rest"),
        (("--supervision", "full", "--points", "p.csv"), "--points: --supervision full does not read it"),
        (
            ("--no-stage1", "--no-stage2", "--attention", "plain"),
            "--attention: stages I and II, which read it, are off",
        ),
        (("--no-stage1", "--no-stage2", "--position", "none"), "--position: stages I and II"),
        (("--no-stage1", "--no-stage2", "--attention-window", 9), "--attention-window: stages I and II"),
        (("--no-gsp", "--fusion", "mean"), "--fusion: it concerns the global scores"),
        (("--no-gsp", "--frame-glo"), "--frame-glo: it concerns the global scores"),
        (("--no-gsp", "--no-frame", "--gamma", 1), "--gamma: the frame losses, which read it, are off"),
        (
            ("--supervision", "video", "--no-gsp", "--erasing", 0.5),
            "--erasing: without GSP no step stands out, so nothing is erased",
        ),
        (("--supervision", "video", "--frame"), "--frame: --supervision video does not read it"),
        (("--no-frame", "--no-frame-glo", "--lambda1", 2), "--lambda1: the frame losses"),
        (("--pseudo-label", "none", "--w", 5), "--w: --pseudo-label threshold and none have no window"),
        (("--pseudo-label", "gaussian", "--beta", 0.5), "--beta: only --pseudo-label full and step"),
        (("--pseudo-label", "step", "--tau", 0.5), "--tau: --pseudo-label step and none"),
        (("--pseudo-label", "step", "--add-inside"), "--add-inside: --pseudo-label step"),
        (("--pseudo-label", "threshold", "--inside", "max"), "--inside: --pseudo-label threshold and none"),
        (("--pseudo-label", "none", "--inside", "step"), "--inside: --pseudo-label threshold and none"),
        (("--no-frame", "--no-frame-glo", "--add-inside"), "--add-inside: the frame losses"),
        (("--modalities", "V", "--stream-dropout", 0.1), "--stream-dropout: there is one stream"),
        (("--recipe", "starter", "--epochs", 3), "--epochs: --recipe starter does not read it"),
        (("--recipe", "starter", "--seeds", "0-1"), "--seeds: --recipe starter does not read it"),
        (("--task", "cten", "--recipe", "printed"), "--recipe: --task cten has default, paper, quick"),
        (("--task", "gim", "--recipe", "starter"), "--recipe: --task gim has default, paper, quick"),
        (("--task", "cten", "--no-erase", "--theta", 0.5), "--theta: --no-erase leaves out the erasing"),
        (("--task", "gim", "--epochs", 2), "--epochs: GIM trains in three stages"),
        (("--task", "gim", "--val-fraction", 0.2), "no held-out video selects an epoch"),
        (("--task", "gim", "--strategy", "soft"), "--strategy"),
        (
            ("--task", "gim", "--strategy", "hard", "--overlap", "higher"),
            "--overlap: --strategy hard gives all frames the same label",
        ),
        (
            ("--task", "gim", "--benchmark", "casme2", *ALL_LAMBDAS),
            "--benchmark: all of its lambdas are given",
        ),
    ],
)
def test_an_option_that_training_does_not_read_is_an_error(
    tmp_path: Path, sentiloc: Sentiloc, options: tuple[object, ...], said: str
) -> None:
    folder = published_folder(tmp_path / "data")
    (folder / "p.csv").write_text("video_id,point,class_index\na,100,1\n", encoding="utf-8")
    refused(sentiloc("train", folder, "-o", tmp_path / "run", *options), said)
    assert not (tmp_path / "run").exists()


CAN_ONLY_FAIL = [
    *(("--temperature", value) for value in (0, -1, 1e-9)),
    *(("--seed", value) for value in (-1, 2**64)),
    ("--learning-rate", -1, "--task", "cten"),
    ("--batch-size", 0, "--task", "gim"),
    ("--val-fraction", 1),
    ("--beta", "nan"),
    *((name, "nan") for name in ("--learning-rate", "--gamma", "--lambda1", "--temperature")),
    *((name, "inf") for name in ("--learning-rate", "--gamma", "--lambda1", "--temperature")),
    *(("--learning-rate", value, "--task", "cten") for value in ("nan", "inf")),
    *(("--smooth-weight", value, "--task", "gim") for value in ("nan", "inf")),
    ("--theta", "nan", "--task", "cten"),
]


@pytest.mark.parametrize("options", CAN_ONLY_FAIL, ids=lambda options: " ".join(map(str, options)))
def test_a_number_that_can_only_fail_is_refused(
    tmp_path: Path, sentiloc: Sentiloc, options: tuple[object, ...]
) -> None:
    # The folder has no data, so a number that is taken ends with another status.
    outcome = sentiloc("train", tmp_path / "data", "-o", tmp_path / "run", *options)
    refused(outcome, f"Invalid value for '{options[0]}'")


@pytest.mark.parametrize("line", ["temperature: 0", "gamma: .nan", "learning_rate: .inf", "seed: -1"])
def test_a_number_that_can_only_fail_is_refused_in_a_file(
    tmp_path: Path, sentiloc: Sentiloc, line: str
) -> None:
    (tmp_path / "options.yaml").write_text(line, encoding="utf-8")
    words = ("train", tmp_path / "data", "-o", tmp_path / "run", "--config", tmp_path / "options.yaml")
    code, _, errors = sentiloc(*words)
    assert code == 1
    assert f"options.yaml: {line.partition(':')[0]}: " in errors


def test_a_date_that_is_none_is_named_with_its_file(tmp_path: Path, sentiloc: Sentiloc) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("seed: 2026-13-01", encoding="utf-8")
    code, _, errors = sentiloc("train", tmp_path, "-o", tmp_path / "run", "--config", file)
    assert (code, errors) == (1, f"sentiloc: {file}: not YAML: month must be in 1..12\n")


@pytest.mark.parametrize(
    "options",
    [
        ("--no-gsp", "--no-frame-glo"),
        ("--supervision", "video", "--no-sc", "--no-frame", "--no-frame-glo"),
        ("--no-saliency-base",),
    ],
    ids=" ".join,
)
def test_what_has_no_part_in_the_run_may_be_switched_off(
    tmp_path: Path, sentiloc: Sentiloc, options: tuple[str, ...]
) -> None:
    folder = published_folder(tmp_path / "data")
    code, _, errors = sentiloc("train", folder, "-o", tmp_path / "run", *QUICK, "--val-fraction", 0, *options)
    assert code == 0, errors


def test_the_rules_name_options_of_the_command() -> None:
    for names in (*UNREAD.values(), *(rule.names for rule in RULES)):
        assert names <= set(BY_NAME)
    whole = FSENetConfig(), LossConfig()
    assert [rule.reason for rule in RULES if rule.unread(*whole)] == []


def test_a_start_keeps_its_network_and_refuses_options_for_another(
    tmp_path: Path, sentiloc: Sentiloc
) -> None:
    folder, run = published_folder(tmp_path / "data"), tmp_path / "run"
    code, _, errors = sentiloc("train", folder, "-o", run, *QUICK, "--val-fraction", 0, "--no-stage2")
    assert code == 0, errors
    start = ("train", folder, "-o", tmp_path / "more", "--epochs", 1, "--val-fraction", 0, "--from", run)
    for options, said in (
        (("--stage2",), f"--stage2: {run} has False"),
        (("--width", 32), f"--width: {run} has 16"),
        (("--no-gsp",), f"--gsp: {run} has True"),
        (("--attention", "plain"), f"--attention: {run} has normalized"),
        (("--position", "none"), f"--position: {run} has rotary"),
        (("--no-stage1",), f"--stage1: {run} has True"),
    ):
        refused(sentiloc(*start, *options), said)
    assert not (tmp_path / "more").exists()
    # What the network has already may be said again, and what no weight depends on may change.
    same = ("--width", 16, "--fusion", "mean", "--attention-window", 4)
    code, _, errors = sentiloc(*start, "--recipe", "paper", *same)
    assert code == 0, errors
    assert f"{run}: its network is kept, not the recipe's: stage2 False" in errors
    stored = json.loads((tmp_path / "more" / "config.json").read_text(encoding="utf-8"))["network"]
    assert (stored["fusion"], stored["attention_window"], stored["stage2"]) == ("mean", 4, False)


def test_a_validation_split_and_a_held_out_share_exclude_each_other(
    tmp_path: Path, sentiloc: Sentiloc
) -> None:
    (tmp_path / "data").mkdir()
    folder = emotion_folder(tmp_path / "data")
    (folder / "split_val.txt").write_text("v1\n", encoding="utf-8")
    options = ("--task", "cten", "--val-fraction", 0.2)
    refused(sentiloc("train", folder, "-o", tmp_path / "run", *options), "names the held-out videos")


def test_evaluate_refuses_options_of_its_other_form_and_of_other_tasks(
    tmp_path: Path, sentiloc: Sentiloc
) -> None:
    files = ("--ground-truth", tmp_path / "gt.json", "--predictions", tmp_path / "found.json")
    refused(sentiloc("evaluate", *files, "--split", "train"), "--split: needs RUN")
    refused(sentiloc("evaluate", *files, "--data", tmp_path), "--data: needs RUN")
    refused(
        sentiloc("evaluate", tmp_path, "--subset", "train"), "--subset: with RUN, --split names the videos"
    )
    (tmp_path / "data").mkdir()
    run = tmp_path / "run"
    options = ("--task", "gim", "--recipe", "quick", "--epochs", 3, "--width", 8)
    code, _, errors = sentiloc("train", flow_folder(tmp_path / "data"), "-o", run, *options)
    assert code == 0, errors
    refused(sentiloc("evaluate", run, "--split", "train"), "--split: the data of expressions has no splits")
    refused(sentiloc("evaluate", run, "--protocol", "cmu-mosei"), "--protocol: the run is of expression")
    write_spec(tmp_path / "other", SPEC)
    code, _, errors = sentiloc("export", run, tmp_path / "package", "--spec", tmp_path / "other")
    assert (code, "other/spec.json: has no flow stream" in errors) == (1, True), errors


def test_videos_without_ground_truth_of_expressions_are_all_trained_on(
    tmp_path: Path, sentiloc: Sentiloc
) -> None:
    (tmp_path / "data").mkdir()
    folder = flow_folder(tmp_path / "data")
    (folder / "expressions.csv").unlink()
    for number in range(3, 7):
        shutil.copy(folder / "flow" / "v0.npy", folder / "flow" / f"v{number}.npy")
        with (folder / "points.csv").open("a", encoding="utf-8") as file:
            file.write(f"v{number},s0,20,macro\n")
    options = ("--task", "gim", "--recipe", "quick", "--epochs", 3, "--width", 8)
    losses = []
    for name, share in (("a", ()), ("b", ("--val-fraction", 0))):
        code, _, errors = sentiloc("train", folder, "-o", tmp_path / name, *options, *share)
        assert code == 0, errors
        losses.append(json.loads((tmp_path / name / "result.json").read_text(encoding="utf-8"))["losses"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "options", [("--spec", "i3d"), ("--split", "test"), ("--retry-failed",)], ids=lambda words: words[0]
)
def test_joining_an_extraction_takes_none_of_its_options(
    tmp_path: Path, sentiloc: Sentiloc, options: tuple[str, ...]
) -> None:
    outcome = sentiloc("extract", "--join", "-o", tmp_path, *options)
    refused(outcome, f"{options[0]}: with --join, the extraction that runs decides it")


def test_weights_come_from_a_file_or_an_address(tmp_path: Path, sentiloc: Sentiloc) -> None:
    outcome = sentiloc(
        "weights", "pull", "i3d", "--from", tmp_path / "x.pt", "--url", "https://example.org/x"
    )
    refused(outcome, "--url: --from names the file already")


def test_a_draw_is_refused_where_the_data_set_has_one_split(tmp_path: Path, sentiloc: Sentiloc) -> None:
    outcome = sentiloc("datasets", "prepare", "tsl300", tmp_path, tmp_path / "data", "--run", 1)
    refused(outcome, "--run: tsl300 has one split and no draw")
    for split in ("train", "test"):
        (tmp_path / "caer" / split / "Happy").mkdir(parents=True)
        (tmp_path / "caer" / split / "Happy" / f"{split}.avi").touch()
    outcome = sentiloc("labels", "caer", tmp_path / "caer", tmp_path / "data", "--run", 1)
    refused(outcome, "state the split")


@pytest.mark.parametrize(
    "option", [("--captions",), ("--crossfade", 0.5), ("--max-side", 640)], ids=lambda words: words[0]
)
def test_options_of_a_film_need_a_film(
    tmp_path: Path, sentiloc: Sentiloc, option: tuple[object, ...]
) -> None:
    (tmp_path / "a.mp4").touch()
    outcome = sentiloc("reel", tmp_path / "a.mp4", "-o", tmp_path / "best.edl", *option)
    refused(outcome, f"{option[0]}: only a film has it, and no --output ends in .mp4")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("-f", "srt", "--start-timecode", "01:00:00:00"),
            "--start-timecode: the format srt counts no frames",
        ),
        (("-f", "eaf", "--drop-frame"), "--drop-frame: the format eaf counts no frames"),
        (("-f", "vtt", "--no-drop-frame"), "--drop-frame: the format vtt counts no frames"),
        (("-o", "{}/x.audacity.txt", "--fps", 25), "--fps: the format audacity counts no frames"),
        (("--json", "--fps", 25), "--fps: the format json counts no frames; csv, edl"),
        (("--fps", 25), "--fps: the format json counts no frames"),
        (("-f", "text", "--fps", 25), "--fps: the format text counts no frames"),
        (("--json", "-f", "csv"), "--json: it prints JSON, and --format asks for csv"),
        (("--json", "-f", "text"), "--json: it prints JSON"),
        (("-f", "text", "-o", "{}/x.txt"), "--format: the format text is for terminals"),
        (("--merge-gap", "inf"), "'--merge-gap': inf is not a finite number"),
        (("--min-length", "inf"), "'--min-length': inf is not a finite number"),
        (("-f", "edl", "--fps", "inf"), "'--fps': inf is not a finite number"),
    ],
)
@pytest.mark.parametrize("verb", ["localize", "result"])
def test_options_of_an_output_are_refused_before_the_work(
    tmp_path: Path, sentiloc: Sentiloc, verb: str, options: tuple[object, ...], said: str
) -> None:
    (tmp_path / "a.mp4").touch()
    given = tmp_path / "a.mp4" if verb == "localize" else "abcdefgh"
    refused(sentiloc(verb, given, *(str(word).format(tmp_path) for word in options)), said)


@pytest.mark.parametrize(
    "words",
    [
        *(("reel", "a.mp4", "-o", "best.mp4", name, "nan") for name in ("--min-confidence", "--crossfade")),
        *(("reel", "a.mp4", "-o", "best.mp4", name, "inf") for name in ("--max-seconds", "--handle")),
        *(("reel", "a.mp4", "-o", "best.mp4", name, "inf") for name in ("--snap", "--fps")),
        ("weights", "compare", "a.mp4", "--threshold", "nan"),
        ("plot", "a.json", "-o", "a.png", "--width", "nan"),
        ("keys", "create", "--name", "x", "--expires-days", "nan"),
        ("keys", "create", "--name", "x", "--quota-minutes", "inf"),
        ("keys", "create", "--name", "x", "--weight", "nan"),
    ],
    ids=lambda words: f"{words[0]} {words[-2]}",
)
def test_numbers_are_finite(sentiloc: Sentiloc, words: tuple[str, ...]) -> None:
    # Numbers with an upper limit may be refused because of that.
    refused(sentiloc(*words), f"Invalid value for '{words[-2]}'")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("submit", "https://example.org/a.mp4", "--resumable"),
            "--resumable: the server fetches URLs itself",
        ),
        (("status", "abcdefgh", "--limit", 3), "--limit: it chooses from the list, not from ids"),
        (("status", "abcdefgh", "--label", "x"), "--label: it chooses from the list"),
        (("status", "abcdefgh", "--state", "queued"), "--state: it chooses from the list"),
        (("batch", "-", "--no-wait", "-o", "x"), "--output: there are no results to write with --no-wait"),
        (("batch", "-", "-o", "x", "-f", "csv", "--json"), "--json: with --format the results are one zip"),
        (("worker", "--check", "--concurrency", 2), "--concurrency: --check starts no worker"),
        (("worker", "--alive", "--concurrency", 2), "--concurrency: --alive starts no worker"),
        (("worker", "--alive", "--check"), "--alive: --check already includes it"),
    ],
)
def test_an_option_without_effect_is_refused(
    sentiloc: Sentiloc, words: tuple[object, ...], said: str
) -> None:
    refused(sentiloc(*words), said)
