"""A model's step as operators: what is read, made, kept, and in which order."""

from __future__ import annotations

import resource
from collections import Counter
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="capturing needs torch")

from acumen.placement.pytorch import (  # noqa: E402
    Captured,
    CaptureError,
    capture_inference,
    capture_training_step,
    models,
)

nn = torch.nn


def mlp() -> Any:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def squared(out: Any, right: Any) -> Any:
    return nn.functional.mse_loss(out, right)


def capture_mlp(optimizer: Any = "sgd") -> Captured:
    inputs, right = (torch.zeros(3, 4),), (torch.zeros(3, 2),)
    return capture_training_step(mlp, inputs, squared, right, optimizer)


# Name, what is read (by who made it), parameters, and who must be done before.
MLP = [
    ("input/0", [], [], []),
    ("input/target0", [], [], []),
    ("0/addmm", ["input/0"], ["0.weight", "0.bias"], []),
    ("1/relu", ["0/addmm"], [], []),
    ("2/addmm", ["1/relu"], ["2.weight", "2.bias"], []),
    ("mse_loss", ["2/addmm", "input/target0"], [], []),
    ("backward/ones_like", ["mse_loss"], [], []),
    ("backward/mse_loss_backward", ["backward/ones_like", "2/addmm", "input/target0"], [], []),
    ("2/backward/mm", ["backward/mse_loss_backward"], ["2.weight"], []),
    ("2/backward/mm#2", ["backward/mse_loss_backward", "1/relu"], [], []),
    ("2/backward/sum", ["backward/mse_loss_backward"], [], []),
    ("1/backward/threshold_backward", ["2/backward/mm", "1/relu"], [], []),
    ("0/backward/mm", ["1/backward/threshold_backward", "input/0"], [], []),
    ("0/backward/sum", ["1/backward/threshold_backward"], [], []),
    ("0.weight/update/add_", ["0/backward/mm"], ["0.weight"], ["0/addmm"]),
    ("0.bias/update/add_", ["0/backward/sum"], ["0.bias"], ["0/addmm"]),
    ("2.weight/update/add_", ["2/backward/mm#2"], ["2.weight"], ["2/addmm", "2/backward/mm"]),
    ("2.bias/update/add_", ["2/backward/sum"], ["2.bias"], ["2/addmm"]),
]


def test_each_operator_of_a_small_network() -> None:
    step = capture_mlp()
    found = [
        (
            one.name,
            [step.operators[step.made_by[tensor]].name for tensor in one.reads],
            sorted((step.parameters[p].names[0] for p in one.parameters), reverse=True),
            [step.operators[before].name for before in one.after],
        )
        for one in step.operators
    ]
    assert found == MLP


def test_what_each_operator_of_a_small_network_costs() -> None:
    step = capture_mlp()
    by_name = {one.name: one for one in step.operators}
    costs = {
        name: step.calls[by_name[name].call][2:5]
        for name in ("0/addmm", "1/relu", "2/backward/mm", "0.weight/update/add_")
    }
    assert costs == {
        # bias 8, input 3 x 4 and weight 4 x 8 are read, 3 x 8 are written, of 4 bytes each
        "0/addmm": (2 * 3 * 4 * 8, 4 * (8 + 12 + 32), 4 * 24),
        "1/relu": (0, 4 * 24, 4 * 24),
        "2/backward/mm": (2 * 3 * 2 * 8, 4 * (6 + 16), 4 * 24),
        "0.weight/update/add_": (0, 4 * (32 + 32), 4 * 32),
    }
    assert [step.tensor_bytes[t] for t in by_name["2/addmm"].makes] == [3 * 2 * 4]
    assert {one.names[0]: one[1:] for one in step.parameters} == {
        "0.weight": (128, 128, 0),
        "0.bias": (32, 32, 0),
        "2.weight": (64, 64, 0),
        "2.bias": (8, 8, 0),
    }
    assert step.flops == 2 * 3 * (4 * 8 * 2 + 8 * 2 * 3)


def test_modules_and_phases() -> None:
    step = capture_mlp()
    assert {one.module for one in step.operators} == {"", "0", "1", "2"}
    phases = Counter(one.phase for one in step.operators)
    assert phases == {"input": 2, "forward": 4, "backward": 8, "update": 4}


def test_adam_keeps_two_numbers_a_parameter_and_updates_in_order() -> None:
    step = capture_mlp("adam")
    assert all(one.state_bytes == 2 * one.size_bytes for one in step.parameters)
    update = [one for one in step.operators if one.name.startswith("0.weight/update")]
    assert [one.name.rpartition("/")[2] for one in update] == [
        *("lerp_", "mul_", "addcmul_", "sqrt", "add_", "addcdiv_")
    ]
    number = {one.name: index for index, one in enumerate(step.operators)}
    ops = ("mul_", "addcmul_", "sqrt", "addcdiv_")
    square, sum_, root, last = (f"0.weight/update/{op}" for op in ops)
    assert number[square] in step.operators[number[sum_]].after
    assert number[sum_] in step.operators[number[root]].after
    assert number["0/addmm"] in step.operators[number[last]].after


def test_views_are_no_operators_and_lead_to_who_made_the_memory() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4, bias=False)

        def forward(self, x: Any) -> Any:
            y = self.a(x)[:, 1:3].transpose(0, 1).unsqueeze(0).expand(5, 2, 3)
            return y.exp()

    step = capture_inference(Model(), (torch.zeros(3, 4),))
    assert [one.name for one in step.operators] == ["input/0", "a/mm", "exp"]
    assert step.operators[2].reads == step.operators[1].makes
    assert step.tensor_bytes[step.operators[1].makes[0]] == 3 * 4 * 4
    # Of the 5 x 2 x 3 numbers 2 x 3 are different.
    assert step.calls[step.operators[2].call].read_bytes == 2 * 3 * 4


def test_what_is_written_in_place_is_a_new_tensor_of_the_same_memory() -> None:
    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            y = x.exp()
            early = y.sin()
            y[0].fill_(1.0)
            return early + y

    step = capture_inference(Model(), (torch.zeros(3, 4),))
    names = [one.name for one in step.operators]
    assert names == ["input/0", "exp", "sin", "fill_", "add"]
    fill = step.operators[3]
    assert fill.replaces == step.operators[1].makes
    assert fill.after == (2,)  # who reads the old values must have read them
    assert step.operators[4].reads == (*step.operators[2].makes, *fill.makes)
    assert step.calls[fill.call].read_bytes == 0


def test_tied_weights_are_one_parameter_and_buffers_are_kept() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(10, 4)
            self.head = nn.Linear(4, 10, bias=False)
            self.head.weight = self.words.weight
            self.norm = nn.BatchNorm1d(4)
            self.register_buffer("unused", torch.zeros(7), persistent=False)

        def forward(self, x: Any) -> Any:
            return self.head(self.norm(self.words(x)))

    step = capture_training_step(
        Model(), (torch.zeros(3, dtype=torch.int64),), lambda out: out.sum()
    )
    sizes = {one.names: one[1:3] for one in step.parameters}
    assert sizes["words.weight", "head.weight"] == (160, 160)
    assert sizes["norm.running_mean",] == (16, 0)
    assert sizes["unused",] == (28, 0)
    (embedding,) = [one for one in step.operators if one.name == "words/embedding"]
    # It reads three rows and three numbers of rows, not all of the table.
    assert step.calls[embedding.call].read_bytes == 3 * 4 * 4 + 3 * 8
    assert sum(one.phase == "update" for one in step.operators) == 3


def test_inputs_by_name_and_the_loss_of_the_model_itself() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 1)

        def forward(self, x: Any = None, scale: float = 1.0) -> Any:
            return (scale * self.a(x["deep"][0])).mean()

    deep = {"deep": [torch.zeros(2, 4, device="meta")]}
    step = capture_training_step(Model(), {"x": deep, "scale": 2.0})
    assert step.operators[0].name == "input/xdeep0"


@pytest.mark.parametrize("made_before", [False, True])
def test_tensors_that_are_no_parameters_are_constants(made_before: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)
            self.scale = torch.ones(4)
            self.more = {"shift": [torch.ones(4)]}

        def forward(self, x: Any) -> Any:
            return self.a(x) * self.scale + self.more["shift"][0] + torch.tensor([1.0] * 4)

    model = Model() if made_before else Model
    for step in (
        capture_training_step(model, (torch.zeros(3, 4),), lambda out: out.sum()),
        capture_inference(model, (torch.zeros(3, 4),)),
    ):
        ops = [one.name.rpartition("/")[2] for one in step.operators if one.phase == "forward"]
        kept = [op for op in ops if "lift" not in op and op != "sum"]
        assert kept == ["addmm", "mul", "add", "add#2"]
        assert [one.names for one in step.parameters] == [("a.weight",), ("a.bias",)]


def test_a_recurrent_network_is_captured_step_by_step() -> None:
    step = capture_training_step(
        lambda: nn.LSTM(4, 8), (torch.zeros(3, 2, 4),), lambda out: out[0].sum()
    )
    # The inputs of all three words at once, and the state of each.
    assert forward_flops(step) == 2 * 3 * 2 * 32 * (4 + 8)


def test_a_captured_module_is_left_as_it_was() -> None:
    model = mlp()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    capture_training_step(model, (torch.ones(3, 4),), lambda out: out.sum())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())
    assert model(torch.ones(1, 4)).shape == (1, 2)


def test_a_small_network_exported() -> None:
    step = capture_inference(mlp, (torch.zeros(3, 4),))
    assert [one.name for one in step.operators] == [row[0] for row in (MLP[0], *MLP[2:5])]
    assert all(one.state_bytes == one.gradient_bytes == 0 for one in step.parameters)


class Looks(nn.Module):
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


def test_what_cannot_be_captured_says_why() -> None:
    x = torch.zeros(3, 4)
    with pytest.raises(CaptureError, match="looks at the values"):
        capture_training_step(Looks(), (x,), lambda out: out.sum())
    with pytest.raises(CaptureError, match=r"torch\.export cannot"):
        capture_inference(Looks(), (x,))
    with pytest.raises(CaptureError, match=r"shape \(3, 2\)"):
        capture_training_step(mlp(), (x,))
    with pytest.raises(CaptureError, match="is a tuple, not a tensor"):
        capture_training_step(mlp(), (x,), lambda out: (out.sum(),))
    with pytest.raises(CaptureError, match="not one tensor"):
        capture_training_step(mlp(), x)
    with pytest.raises(CaptureError, match="known are sgd and adam"):
        capture_training_step(mlp(), (x,), optimizer="rmsprop")  # type: ignore[arg-type]
    with pytest.raises(CaptureError, match="makes a int"):
        capture_training_step(lambda: 3, (x,))


def test_no_weight_is_allocated() -> None:
    """The weights would take 40 GB, and Adam's state twice as much."""

    def wide() -> Any:
        return nn.Sequential(nn.Linear(100_000, 50_000), nn.Linear(50_000, 100_000))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    x = torch.empty(8, 100_000, device="meta")
    step = capture_training_step(wide, (x,), lambda out: out.sum(), optimizer="adam")
    assert sum(one.size_bytes for one in step.parameters) > 40e9
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_attention_is_counted_on_the_cpu_too() -> None:
    class Model(nn.Module):
        def forward(self, q: Any) -> Any:
            return nn.functional.scaled_dot_product_attention(q, q, q)

    q = torch.zeros(2, 3, 16, 8, requires_grad=True)
    step = capture_inference(Model(), (q.detach(),))
    assert step.flops == 2 * (2 * 3 * 16 * 16 * 8) * 2


def forward_flops(step: Captured) -> int:
    return sum(step.flops_of(one) for one in step.operators if one.phase == "forward")


def giga_multiply_adds(step: Captured) -> float:
    return forward_flops(step) / 2e9


def test_inception_v3_has_the_known_figures() -> None:
    step = capture_training_step(
        models.inception_v3, (models.images(2, 299),), models.cross_entropy, (models.labels(2),)
    )
    trained = sum(one.size_bytes // 4 for one in step.parameters if one.gradient_bytes)
    assert trained == 23_834_568
    assert giga_multiply_adds(step) / 2 == pytest.approx(5.71, abs=0.01)
    # The backward pass does twice the work, but for the images, whose gradient nobody wants.
    assert 1.95 < (step.flops - forward_flops(step)) / forward_flops(step) <= 2.0


def test_resnet50_has_the_known_figures() -> None:
    with torch.device("meta"):
        model = models.resnet50()
    assert sum(one.numel() for one in model.parameters()) == 25_557_032
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        model(models.images(2, 224))
    assert counter.get_total_flops() / 2 / 2e9 == pytest.approx(4.09, abs=0.01)


def test_gpt2_has_the_known_figures() -> None:
    with torch.device("meta"):
        small = models.gpt2()
    assert sum(one.numel() for one in small.parameters()) == 124_439_808

    step = capture_training_step(
        lambda: models.gpt2(layers=2),
        (models.words(1, 512),),
        models.cross_entropy,
        (models.labels(1, 512),),
    )
    matrices = 2 * 12 * 2 * 768**2 + 2 * 768 * 50257
    attention = 2 * 2 * 2 * 512 * 768
    assert forward_flops(step) == 512 * (matrices + attention)


def test_translation_is_unrolled_over_words() -> None:
    layers = 2

    def captured(length: int) -> Captured:
        return capture_training_step(
            lambda: models.nmt(layers, width=16, vocabulary=30),
            (models.words(4, length), models.words(4, length)),
            models.cross_entropy,
            (models.labels(4, length),),
        )

    short, long = captured(2), captured(3)
    assert len(long) - len(short) > 60 * layers
    for length, step in ((2, short), (3, long)):
        cells = Counter(one.module for one in step.operators if one.phase == "forward")
        assert cells["encoder.1.again"] == cells["decoder.0.again"] == cells["head"] == length
        assert cells["attention.query"] == length
    # All words share one set of weights.
    assert [one.names for one in short.parameters] == [one.names for one in long.parameters]


def test_a_language_model_is_unrolled_over_words() -> None:
    step = capture_training_step(
        lambda: models.rnnlm(2, width=16, vocabulary=30),
        (models.words(4, 3),),
        models.cross_entropy,
        (models.labels(4, 3),),
    )
    cells = Counter(one.module for one in step.operators if one.phase == "forward")
    assert cells["cells.0.again"] == cells["cells.1.again"] == 3
