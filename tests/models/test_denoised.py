from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from smoothcert.certify import RunSpec, certify_run
from smoothcert.errors import InvalidArgumentError, MissingDependencyError, ModelError
from smoothcert.models import LoadedModel
from smoothcert.models.denoised import Denoised, behind_denoiser, resolve_denoiser
from smoothcert.models.diffusion import OneShot, timestep
from smoothcert.models.ffdnet import FFDNet

ABAR = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))

MINE = """
from torch import nn

class Shrink(nn.Module):
    def __init__(self, sigma):
        super().__init__()
        self.sigma = sigma
        self.scale = nn.Parameter(__import__("torch").ones(1))

    def forward(self, x):
        return (x - 0.5) * self.scale / (1 + self.sigma) + 0.5

def make(sigma):
    return Shrink(sigma)

def halve(sigma):
    return nn.AvgPool2d(2)

def untold():
    return nn.Identity()

def told(**settings):
    return Shrink(**settings)
"""


class Oracle(nn.Module):
    """Knows the image and so the exact noise, as a perfectly trained UNet would; checks the step it is told."""

    def __init__(self, image: torch.Tensor, prediction: str) -> None:
        super().__init__()
        self.image, self.prediction, self.steps = 2.0 * image - 1.0, prediction, []

    def forward(self, noisy, steps):
        self.steps.append(steps)
        abar = torch.tensor(ABAR, dtype=noisy.dtype)[steps].reshape(-1, 1, 1, 1)
        noise = (noisy - abar.sqrt() * self.image) / (1 - abar).sqrt()
        predicted = {
            "epsilon": noise,
            "sample": self.image.expand_as(noisy),
            "v_prediction": abar.sqrt() * noise - (1 - abar).sqrt() * self.image,
        }[self.prediction]
        return SimpleNamespace(sample=torch.cat([predicted, torch.full_like(predicted, 9.0)], dim=1))


def ffdnet_file(tmp_path, sigma: float = 0.25):
    torch.manual_seed(0)
    path = tmp_path / "ffdnet.safetensors"
    save_file(FFDNet(sigma).state_dict(), path)
    return path


@pytest.mark.parametrize("sigma", [0.12, 0.25, 0.5, 1.0])
def test_the_step_holds_twice_the_noise(sigma):
    levels = np.sqrt((1 - ABAR) / ABAR)
    step = timestep(ABAR, sigma)
    assert levels[step - 1] < 2 * sigma < levels[step + 1]
    assert levels[step] == pytest.approx(2 * sigma, rel=0.02)


def test_more_noise_than_the_process_has_is_refused():
    with pytest.raises(ModelError, match="reaches noise of sigma"):
        timestep(ABAR[:100], 1.0)
    with pytest.raises(ModelError, match="must predict one of"):
        OneShot(nn.Identity(), ABAR, sigma=0.25, prediction="score")


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_perfect_network_gives_the_image_back(prediction):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 8, 8, generator=generator)
    network = Oracle(image, prediction)
    denoiser = OneShot(network, ABAR, sigma=0.25, prediction=prediction)
    noisy = image + 0.25 * torch.randn(4, 3, 8, 8, generator=generator)
    assert torch.allclose(denoiser(noisy), image.expand(4, -1, -1, -1), atol=1e-5)
    assert network.steps[0].tolist() == [timestep(ABAR, 0.25)] * 4


def test_what_the_network_sees_has_the_schedules_noise():
    """Unit variance in all, for images of the variance of the noise-free process: scaled, then named by the step."""
    seen = []

    class Spy(nn.Module):
        def forward(self, noisy, steps):
            seen.append(noisy)
            return torch.zeros_like(noisy)

    denoiser = OneShot(Spy(), ABAR, sigma=0.5)
    noise = 0.5 * torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    denoiser(0.5 + noise)
    assert float(seen[0].std()) == pytest.approx((1 - ABAR[timestep(ABAR, 0.5)]) ** 0.5, rel=0.01)


def test_denoised_images_are_images():
    denoiser = OneShot(Oracle(torch.full((1, 3, 4, 4), 7.0), "sample"), ABAR, sigma=0.25, prediction="sample")
    assert float(denoiser(torch.zeros(1, 3, 4, 4)).max()) == 1.0


def test_ffdnet_by_its_definition(tmp_path):
    denoiser = resolve_denoiser("ffdnet", sigma=0.25, weights=ffdnet_file(tmp_path))
    x = torch.rand(2, 3, 6, 8)
    y = torch.stack([x[:, c, i::2, j::2] for c in range(3) for i in range(2) for j in range(2)], dim=1)
    y = torch.cat([y, torch.full((2, 1, 3, 4), 0.25)], dim=1)
    state = denoiser.state_dict()
    assert len(state) == 24
    for layer in range(12):
        y = nn.functional.conv2d(y, state[f"conv{layer}.weight"], state[f"conv{layer}.bias"], padding=1)
        y = y if layer == 11 else y.clamp(min=0.0)
    expected = torch.zeros_like(x)
    for position in range(12):
        c, i, j = position // 4, position % 4 // 2, position % 2
        expected[:, c, i::2, j::2] = y[:, position]
    assert torch.allclose(denoiser(x), expected, atol=1e-6)
    with pytest.raises(ModelError, match=r"\(batch, 3, even, even\); got \(2, 3, 5, 8\)"):
        denoiser(x[:, :, :5])


def test_ffdnet_denoises_real_images(shared, tmp_path):
    from smoothcert.data import load_data

    data = load_data(f"parquet:{shared / 'data' / 'cifar10' / 'test.parquet'}", limit=8)
    images = torch.stack([torch.from_numpy(data.load(position).x) for position in range(8)])
    noisy = images + 0.25 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    weights = shared / "models" / "ffdnet_color.safetensors"
    with torch.no_grad():
        errors = {
            sigma: float((resolve_denoiser("ffdnet", sigma=sigma, weights=weights)(noisy) - images).square().mean())
            for sigma in (0.05, 0.25)
        }
    assert errors[0.25] < 0.2 * 0.25**2
    assert errors[0.25] < errors[0.05]  # told the right noise level


def test_pipelines_come_from_diffusers(monkeypatch, tmp_path):
    asked = []

    class DDPMPipeline:
        @classmethod
        def from_pretrained(cls, target, **options):
            asked.append((target, options))
            if target == "absent":
                raise OSError("no such repository")
            config = SimpleNamespace(prediction_type="sample")
            scheduler = SimpleNamespace(alphas_cumprod=torch.tensor(ABAR, dtype=torch.float32), config=config)
            return SimpleNamespace(unet=Oracle(torch.full((1, 3, 4, 4), 0.3), "sample"), scheduler=scheduler)

    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(DDPMPipeline=DDPMPipeline))
    denoiser = resolve_denoiser("diffusers:some/model", sigma=0.25)
    assert asked == [("some/model", {"use_safetensors": True})]
    assert torch.allclose(denoiser(torch.rand(2, 3, 4, 4)), torch.full((2, 3, 4, 4), 0.3))
    with pytest.raises(ModelError, match="'diffusers:absent' cannot be loaded: no such repository"):
        resolve_denoiser("diffusers:absent", sigma=0.25)
    with pytest.raises(ModelError, match="brings its own weights"):
        resolve_denoiser("diffusers:some/model", sigma=0.25, weights=ffdnet_file(tmp_path))
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'smoothcert\[diffusers\]'"):
        resolve_denoiser("diffusers:some/model", sigma=0.25)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dncnn", "unknown denoiser 'dncnn'; known forms are ffdnet, diffusers:"),
        ("ffdnet:x", "unknown denoiser"),
        ("python:", "unknown denoiser"),
        ("ffdnet", "denoiser 'ffdnet' needs a file of weights"),
    ],
)
def test_unknown_denoisers_are_refused(name, message):
    with pytest.raises(ModelError, match=message):
        resolve_denoiser(name, sigma=0.25)


def test_your_own_denoiser_is_told_sigma(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    target = f"python:{tmp_path / 'mine.py'}"
    denoiser = resolve_denoiser(f"{target}:make", sigma=0.25)
    assert denoiser.sigma == 0.25
    assert not denoiser.training
    save_file({"scale": torch.zeros(1)}, tmp_path / "mine.safetensors")
    other = resolve_denoiser(f"{target}:make", sigma=0.25, weights=tmp_path / "mine.safetensors")
    assert float(other(torch.ones(1, 3, 2, 2)).detach().max()) == 0.5
    assert resolve_denoiser(f"{target}:told", sigma=0.5).sigma == 0.5
    assert isinstance(resolve_denoiser(f"{target}:untold", sigma=0.25), nn.Identity)
    with pytest.raises(ModelError, match="keep the shape"):
        Denoised(resolve_denoiser(f"{target}:halve", sigma=0.25), nn.Flatten())(torch.ones(1, 3, 4, 4))
    with pytest.raises(ModelError, match="has no function 'none'"):
        resolve_denoiser(f"{target}:none", sigma=0.25)
    with pytest.raises(InvalidArgumentError, match="sigma"):
        resolve_denoiser(f"{target}:make", sigma=0.0)


def test_both_are_named_and_hashed(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    target = f"python:{tmp_path / 'mine.py'}:make"
    model = LoadedModel(nn.Flatten(), "flat", num_classes=12, weights_hash="ab", metadata={"sigma": "0.5"})
    found = behind_denoiser(model, target, sigma=0.25)
    assert found.name == f"flat behind {target}"
    assert found.metadata == {}
    assert found.num_classes == 12
    save_file({"scale": torch.zeros(1)}, tmp_path / "mine.safetensors")
    other = behind_denoiser(model, target, sigma=0.25, weights=tmp_path / "mine.safetensors")
    assert len({found.weights_hash, other.weights_hash, "ab"}) == 3
    assert float(other.module(torch.ones(1, 3, 2, 2)).detach().max()) == 0.5


def test_a_run_behind_a_denoiser(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    target = f"python:{tmp_path / 'mine.py'}:make"
    digits = {"model": "digits", "data": "digits", "split": "test"}
    spec = RunSpec.of(**digits, sigma=0.25, n=50, n0=10, limit=2, device="cpu")
    run = certify_run(spec.vary(denoiser=target), out=tmp_path / "run")
    assert run.config.model == f"digits behind {target}"
    bare = certify_run(spec, out=tmp_path / "bare")
    assert bare.config.weights_hash != run.config.weights_hash
    assert not np.array_equal(
        bare.records()[0].samples.score.sample.counts, run.records()[0].samples.score.sample.counts
    )
    with pytest.raises(InvalidArgumentError, match="denoiser_weights needs a denoiser"):
        certify_run(spec.vary(denoiser_weights="w"), out=tmp_path / "x")


@pytest.mark.parametrize(
    ("denoise", "came"),
    [
        (lambda x: (x * 255).to(torch.uint8), "torch.uint8"),
        (lambda x: (x, x), "tuple"),
        (lambda x: {"sample": x}, "dict"),
    ],
)
def test_a_denoiser_returns_images(denoise, came):
    class Other(nn.Module):
        def forward(self, x):
            return denoise(x)

    with pytest.raises(ModelError, match=f"the denoiser must return a floating-point tensor.*; it returned {came}$"):
        Denoised(Other(), nn.Flatten())(torch.ones(2, 3, 4, 4))


def test_a_denoiser_may_work_in_double_precision():
    class Double(nn.Module):
        def forward(self, x):
            return x.double()

    assert Denoised(Double(), nn.Sequential(nn.Flatten(), nn.Linear(48, 2)))(torch.ones(2, 3, 4, 4)).shape == (2, 2)
