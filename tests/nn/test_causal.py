import pytest
import torch
from torch import nn

from soundsight.nn.causal import CausalLSTM, CausalTransformer, sinusoids


def build(kind, layers=2):
    torch.manual_seed(0)
    if kind == "lstm":
        return CausalLSTM(8).eval()
    return CausalTransformer(8, d_model=16, heads=4, ffn=12, layers=layers).eval()


def torch_twin(ours: CausalTransformer) -> nn.TransformerEncoderLayer:
    """torch's own encoder layer with our first layer's weights."""
    layer = ours.layers[0]
    twin = nn.TransformerEncoderLayer(16, 4, 12, dropout=0.1).eval()
    renamed = {
        "self_attn.in_proj_weight": layer.in_proj_weight,
        "self_attn.in_proj_bias": layer.in_proj_bias,
        "self_attn.out_proj.weight": layer.out_proj.weight,
        "self_attn.out_proj.bias": layer.out_proj.bias,
    }
    for name in ("linear1", "linear2", "norm1", "norm2"):
        for kind in ("weight", "bias"):
            renamed[f"{name}.{kind}"] = getattr(getattr(layer, name), kind)
    twin.load_state_dict(renamed)
    return twin


def test_a_layer_equals_torchs_own_encoder_layer():
    ours = build("transformer", layers=1)
    x = torch.randn(7, 3, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(7)
    expected = torch_twin(ours)(x, src_mask=mask, is_causal=True)
    torch.testing.assert_close(ours.layers[0](x)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_one_pass_equals_every_prefix(kind):
    past, x = build(kind), torch.randn(6, 2, 8)
    whole = past(x)
    for i in range(6):
        torch.testing.assert_close(whole[i], past(x[: i + 1])[-1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
@pytest.mark.parametrize("start", [0, 1, 4])
def test_steps_after_a_prefill_equal_one_pass(kind, start):
    past, x = build(kind), torch.randn(6, 2, 8)
    whole = past(x)
    with torch.no_grad():
        first, state = past.prefill(x[:start], 6)
        state = state.rows(torch.tensor([0, 1, 1]))
        torch.testing.assert_close(first, whole[:start], atol=1e-6, rtol=0)
        for i in range(start, 6):
            y, state = past.step(x[i][[0, 1, 1]], state)
            torch.testing.assert_close(y, whole[i][[0, 1, 1]], atol=1e-6, rtol=0)


def test_sinusoids_by_hand():
    table = sinusoids(3, 4)
    angle = 2 / 10_000**0.5
    expected = [torch.tensor(2.0).sin(), torch.tensor(2.0).cos()]
    expected += [torch.tensor(angle).sin(), torch.tensor(angle).cos()]
    torch.testing.assert_close(table[2], torch.stack(expected))
