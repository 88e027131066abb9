"""FSENet's equations, its masks, and its band attention against plain attention."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sentiloc.model.fsenet.attention import CrossAttention, band_attention
from sentiloc.model.fsenet.network import FSENet, FSENetConfig
from sentiloc.model.fsenet.streams import Dropout, LogMelEncoder
from sentiloc.model.spec import AudioStream, FaceStream, ModelSpec

TINY = {"visual_dim": 6, "audio_shape": (5,), "face_dim": 4, "width": 16, "heads": 2}
TINY |= {"saliency_width": 8, "class_width": 8}


def tiny(**options: object) -> FSENet:
    torch.manual_seed(0)
    return FSENet(FSENetConfig(**{**TINY, **options})).eval()  # type: ignore[arg-type]


def streams(batch: int, time: int, seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"visual": 6, "audio": 5, "face": 4}
    found = {name: torch.randn(batch, time, size, generator=generator) for name, size in sizes.items()}
    for name in sizes:
        found[f"{name}_present"] = torch.rand(batch, time, generator=generator) > 0.3
    return found


@pytest.mark.parametrize("time", [1, 2, 7, 33])
def test_output_shapes_and_ranges(time: int) -> None:
    output = tiny()(**streams(2, time))
    assert output.scores.shape == output.global_scores.shape == (2, time, 3)
    assert output.saliency.shape == (2, time, 1)
    assert output.fused.shape == (2, time, 32)
    for values in output[:3]:
        assert ((values >= 0) & (values <= 1)).all()


def test_equation_10_weighs_sentiment_by_saliency_and_the_rest_by_its_complement() -> None:
    scores, overall, saliency, _ = tiny()(**streams(2, 9))
    assert torch.allclose(overall[..., :2], saliency * scores[..., :2])
    assert torch.allclose(overall[..., 2:], (1 - saliency) * scores[..., 2:])


def test_equations_1_and_2_are_residual_cross_attention_face_first() -> None:
    network = tiny()
    visual, audio, face = (torch.randn(1, 5, 16) for _ in range(3))
    attention = network.attention
    face_visual = visual + attention["face_visual"](face, visual, visual)
    face_audio = audio + attention["face_audio"](face, audio, audio)
    first = face_visual + attention["audio_visual"](face_audio, face_visual, face_visual)
    second = face_audio + attention["visual_audio"](face_visual, face_audio, face_audio)
    assert torch.allclose(network._interact(visual, audio, face, None), torch.cat([first, second], -1))


def test_attention_is_multi_head_attention_as_pytorch_has_it() -> None:
    torch.manual_seed(0)
    ours, theirs = CrossAttention(16, 4).eval(), torch.nn.MultiheadAttention(16, 4, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    query, key = torch.randn(2, 7, 16), torch.randn(2, 7, 16)
    valid = torch.arange(7).expand(2, -1) < 5
    expected = theirs(query, key, key, key_padding_mask=~valid, need_weights=False)[0]
    assert torch.allclose(ours(query, key, key, valid), expected, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"position": "none"}, {"attention": "plain"}, {"attention_window": 3}, {"gsp": False}]
)
def test_padding_changes_no_score(options: dict[str, object]) -> None:
    network, short = tiny(**options), streams(2, 11)
    padded = {name: torch.cat([x, _junk(x, 6)], dim=1) for name, x in short.items()}
    valid = (torch.arange(17) < 11).expand(2, -1)
    expected, found = network(**short), network(**padded, valid=valid)
    for ours, theirs in zip(expected, found, strict=True):
        assert torch.allclose(ours, theirs[:, :11], atol=1e-5)


def test_padding_changes_no_score_with_a_log_mel_encoder() -> None:
    network = tiny(audio_shape=(8, 6))
    short = {**streams(1, 5), "audio": torch.randn(1, 5, 8, 6)}
    padded = {name: torch.cat([x, _junk(x, 4)], dim=1) for name, x in short.items()}
    found = network(**padded, valid=torch.arange(9).unsqueeze(0) < 5)
    assert torch.allclose(network(**short).scores, found.scores[:, :5], atol=1e-5)


def _junk(like: torch.Tensor, steps: int) -> torch.Tensor:
    shape = (like.shape[0], steps, *like.shape[2:])
    return torch.ones(shape, dtype=torch.bool) if like.dtype == torch.bool else 50 * torch.randn(shape)


@pytest.mark.parametrize("stream", ["visual", "audio", "face"])
def test_features_at_absent_steps_do_not_matter(stream: str) -> None:
    network, inputs = tiny(), streams(2, 9)
    absent = ~inputs[f"{stream}_present"].unsqueeze(-1)
    changed = {**inputs, stream: torch.where(absent, torch.full((), 1e4), inputs[stream])}
    assert torch.equal(network(**inputs).scores, network(**changed).scores)
    elsewhere = {**inputs, stream: torch.where(absent, inputs[stream], inputs[stream] + 1)}
    assert not torch.allclose(network(**inputs).scores, network(**elsewhere).scores)


def test_training_computes_the_states_of_absent_steps_alone() -> None:
    """With the values and gradients of inference, which computes them for every step."""
    network, inputs = tiny(dropout=0.0), streams(2, 9)
    found = []
    for mode in (True, False):
        network.train(mode).zero_grad()
        output = network(**inputs)
        torch.autograd.backward(output.scores.square().sum() + output.saliency.sum())
        found.append({name: x.grad for name, x in network.named_parameters()} | {"scores": output.scores})
    for name, value in found[0].items():
        assert value is not None, name
        assert torch.allclose(value, found[1][name], atol=1e-5), name


def test_the_absent_state_is_learned() -> None:
    network, inputs = tiny(), streams(1, 9)
    network(**inputs).scores.sum().backward()
    for stream in (network.visual, network.audio, network.face):
        assert stream.absent.grad is not None
        assert stream.absent.grad.abs().sum() > 0


def test_a_face_alone_reaches_the_scores_of_a_silent_video() -> None:
    network = tiny(visual_dim=None)
    inputs = streams(1, 9)
    silent = {"visual": None, "audio": inputs["audio"], "audio_present": torch.zeros(1, 9, dtype=torch.bool)}
    first = network(**silent, face=inputs["face"]).scores
    second = network(**silent, face=-inputs["face"]).scores
    assert (first - second).abs().max() > 1e-4


@pytest.mark.parametrize("missing", ["visual_dim", "audio_shape", "face_dim"])
def test_a_stream_that_the_config_lacks_takes_no_input(missing: str) -> None:
    network = tiny(**{missing: None})
    stream = missing.split("_")[0]
    inputs = {name: x for name, x in streams(2, 6).items() if not name.startswith(stream)}
    assert network(**inputs, **{stream: None}).scores.shape == (2, 6, 3)
    assert stream not in network.config.streams


@pytest.mark.parametrize(("switch", "absent"), [("stage1", "face_visual"), ("stage2", "audio_visual")])
def test_ablated_stages_have_no_parameters(switch: str, absent: str) -> None:
    assert absent not in tiny(**{switch: False}).attention
    assert absent in tiny().attention


def test_without_gsp_saliency_is_neutral() -> None:
    output = tiny(gsp=False)(**streams(1, 4))
    assert torch.equal(output.saliency, torch.ones(1, 4, 1))
    assert torch.equal(output.global_scores, output.scores)


@pytest.mark.parametrize("time", [1, 3, 4, 9, 23])
def test_band_attention_is_attention_with_a_band_mask(time: int) -> None:
    generator = torch.Generator().manual_seed(time)
    q, k, v = (torch.randn(2, 3, time, 8, generator=generator) for _ in range(3))
    valid = torch.arange(time).expand(2, -1) < torch.tensor([[time], [max(1, time - 2)]])
    steps = torch.arange(time)
    mask = ((steps[:, None] - steps).abs() <= 4) & valid[:, None, None, :]
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    found = band_attention(q, k, v, valid, window=4)
    keep = valid[:, None, :, None]
    assert torch.allclose(torch.where(keep, found, 0), torch.where(keep, expected, 0), atol=1e-5)


def test_rotary_attention_depends_on_relative_time_only() -> None:
    torch.manual_seed(0)
    attention = CrossAttention(16, 2, rotary=True).eval()
    x = torch.randn(1, 6, 16)
    valid = torch.arange(8).unsqueeze(0) >= 2
    shifted = torch.cat([torch.randn(1, 2, 16), x], dim=1)
    assert torch.allclose(attention(x, x, x), attention(shifted, shifted, shifted, valid)[:, 2:], atol=1e-5)


def test_an_injected_audio_encoder_sees_features_and_their_mask() -> None:
    class Encoder(torch.nn.Module):
        def forward(self, x: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
            assert not x[~present].any()
            return x.flatten(2).mean(-1, keepdim=True).expand(-1, -1, 512)

    config = FSENetConfig(**{**TINY, "audio_shape": (8, 6)})  # type: ignore[arg-type]
    network = FSENet(config, Encoder()).eval()
    inputs = {**streams(2, 5), "audio": torch.randn(2, 5, 8, 6)}
    assert network(**inputs).scores.shape == (2, 5, 3)


def test_config_follows_the_spec() -> None:
    spec = ModelSpec(name="x", version="1", visual=None, face=FaceStream(dim=32))
    config = FSENetConfig.for_spec(spec, width=64)
    assert (config.visual_dim, config.audio_shape, config.face_dim, config.width) == (None, (32, 60), 32, 64)
    embedded = FSENetConfig.for_spec(ModelSpec(name="x", version="1", audio=AudioStream(frames=1, mels=512)))
    assert embedded.audio_shape == (512,)


def test_a_config_without_streams_or_with_odd_heads_is_refused() -> None:
    with pytest.raises(ValueError, match="stream"):
        FSENetConfig(visual_dim=None, audio_shape=None, face_dim=None)
    with pytest.raises(ValueError, match="heads"):
        FSENetConfig(width=20, heads=8)


def test_a_network_trained_on_embedded_audio_is_served_with_its_encoder() -> None:
    network = tiny(audio_shape=(512,))
    encoder = LogMelEncoder(8, 6).eval()
    whole = FSENet(replace(network.config, audio_shape=(8, 6)), encoder).eval()
    missing = whole.load_state_dict(network.state_dict(), strict=False)
    assert {key.partition(".")[0] for key in missing.missing_keys} == {"audio_encoder"}
    inputs, raw = streams(2, 5), torch.randn(2, 5, 8, 6)
    mask = inputs["audio_present"]
    embedded = encoder(raw * mask[..., None, None], mask)
    expected = network(**{**inputs, "audio": embedded}).scores
    assert torch.allclose(whole(**{**inputs, "audio": raw}).scores, expected, atol=1e-6)


def test_centred_streams_also_enter_less_their_mean_over_present_steps() -> None:
    given = streams(2, 9)
    network = tiny(centred=True)
    assert network.face.conv is not None and network.face.conv.conv.in_channels == 2 * 4
    with torch.no_grad():
        for projection in (network.visual, network.audio, network.face):
            assert projection.conv is not None
            projection.conv.conv.weight[:, : projection.conv.conv.in_channels // 2] = 0
    moved = {name: x + 3.0 if x.dtype == torch.float32 else x for name, x in given.items()}
    for before, after in zip(network(**given), network(**moved), strict=True):
        assert torch.allclose(before, after, atol=1e-5), "only differences from the mean are left"
    assert not torch.allclose(tiny()(**given).scores, tiny()(**moved).scores, atol=1e-3)


def test_standardized_streams_also_enter_in_units_of_their_own_deviation() -> None:
    given, network = streams(2, 9), tiny(standardized=True)
    assert network.face.conv is not None and network.face.conv.conv.in_channels == 2 * 4
    with torch.no_grad():
        for projection in (network.visual, network.audio, network.face):
            assert projection.conv is not None
            projection.conv.conv.weight[:, : projection.conv.conv.in_channels // 2] = 0
    far, moved = (
        {name: change(x) if x.dtype == torch.float32 else x for name, x in given.items()}  # type: ignore[no-untyped-call]
        for change in (lambda x: x * 1000, lambda x: x * 2000 + 3)
    )
    for before, after in zip(network(**far), network(**moved), strict=True):
        assert torch.allclose(before, after, atol=1e-3), "neither level nor range is left"


def test_a_stream_that_never_changes_has_gradients_under_standardization() -> None:
    given, network = streams(1, 6), tiny(standardized=True).train()
    given["face"] = torch.ones_like(given["face"]).requires_grad_()
    network(**given).scores.sum().backward()
    assert given["face"].grad is not None and torch.isfinite(given["face"].grad).all()


@pytest.mark.parametrize("option", ["centred", "standardized"])
def test_relative_streams_ignore_padding_and_absent_steps(option: str) -> None:
    given, network = streams(1, 6), tiny(**{option: True})
    longer = {name: torch.cat([x, x[:, :3]], 1) for name, x in given.items()}
    longer["face"] = torch.where(longer["face_present"][..., None], longer["face"], 100.0)
    valid = torch.arange(9)[None] < 6
    assert torch.allclose(network(**given).scores, network(**longer, valid=valid).scores[:, :6], atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(7, 9, 1001, requires_grad=True)
    dropout = Dropout(rate)
    found = dropout(x)
    share = float((found == 0).float().mean())
    assert share == pytest.approx(rate, abs=0.01)
    assert float(found.detach().mean()) == pytest.approx(float(rate < 1), abs=0.02)
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], found)
    # Every position is dropped as often: four of them come from one word.
    by_place = (found.detach() == 0).float().flatten()[:63000].reshape(-1, 4).mean(0)
    assert torch.allclose(by_place, torch.full((4,), rate), atol=0.02)
    torch.manual_seed(0)
    assert torch.equal(dropout(x), found)
    assert torch.equal(dropout.eval()(x), x)
