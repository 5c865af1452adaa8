"""torchvision, timm and transformers, without a network: only downloads are replaced."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from smoothcert.data.preprocess import Preprocess
from smoothcert.errors import ModelError
from smoothcert.models import resolve_model
from torchvision_ops import import_torchvision


@pytest.fixture(scope="module")
def torchvision():
    return import_torchvision()


IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def recommended(model):
    """Images as the model says they should be prepared."""
    size = model.input_size[1:]
    return Preprocess(image_size=size, resize=model.resize, interpolation=model.interpolation)


def photograph(width=400, height=200):
    """Of even sizes whatever the scale, so that nobody's rounding decides where the centre is."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def prepared(model, image):
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return torch.from_numpy(recommended(model)(encoded.getvalue(), name="image"))[None]


def assert_prepared_alike(model, transform, network):
    """The library's own evaluation transform gives the network what ours gives the model."""
    image = photograph()
    with torch.inference_mode():
        expected = network(transform(image)[None])
        torch.testing.assert_close(model.module(prepared(model, image)), expected, rtol=1e-3, atol=1e-4)


@pytest.fixture
def x():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_torchvision_default_weights(torchvision, monkeypatch, x):
    torch.manual_seed(0)
    network = torchvision.models.shufflenet_v2_x0_5(weights=None).eval()
    fetched = []

    def fetch(url, **_):
        fetched.append(url)
        return network.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    model = resolve_model("torchvision:shufflenet_v2_x0_5")
    assert fetched == [torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url]
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), network((x - IMAGENET_MEAN) / IMAGENET_STD))
    assert (model.num_classes, model.input_size, model.resize) == (1000, (3, 224, 224), 256)
    assert_prepared_alike(model, torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.transforms(), network)
    assert model.class_names[1] == "goldfish"
    assert len(model.weights_hash) == 64


def test_torchvision_weights_file_decides_the_classes(torchvision, tmp_path, x):
    network = torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=7).eval()
    torch.save({"model": network.state_dict()}, tmp_path / "w.pth")
    model = resolve_model("torchvision:shufflenet_v2_x0_5", weights=tmp_path / "w.pth")
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), network((x - IMAGENET_MEAN) / IMAGENET_STD))
    assert (model.num_classes, model.class_names) == (7, None)
    with pytest.raises(ModelError, match="does not fit the model"):
        resolve_model("torchvision:squeezenet1_1", weights=tmp_path / "w.pth")


def test_torchvision_refuses_what_is_no_image_classifier(torchvision):
    for target in ("nonsense", "fcn_resnet50", "raft_small"):
        with pytest.raises(ModelError, match=f"no image classifier '{target}'"):
            resolve_model(f"torchvision:{target}")


def test_torchvision_failed_download_is_one_sentence(torchvision, monkeypatch):
    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(ModelError, match=r"cannot be loaded: no route to host; .*--weights"):
        resolve_model("torchvision:shufflenet_v2_x0_5")


@pytest.fixture
def timm(torchvision):
    return pytest.importorskip("timm")


TIMM_NAME = "test_resnet.r160_in1k"


@pytest.mark.parametrize(("target", "interpolation"), [(TIMM_NAME, "bilinear"), ("test_byobnet.r160_in1k", "bicubic")])
def test_timm_pretrained(timm, monkeypatch, x, target, interpolation):
    create, asked = timm.create_model, []

    def without_download(name, *, pretrained, **kwargs):
        asked.append((name, pretrained))
        return create(name, pretrained=False, **kwargs)

    monkeypatch.setattr(timm, "create_model", without_download)
    model = resolve_model(f"timm:{target}")
    assert asked == [(target, True)]
    normalize, network = model.module
    mean, std = (torch.tensor(network.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), network((x - mean) / std))
    assert (model.num_classes, model.input_size) == (1000, network.pretrained_cfg["input_size"])
    assert (model.resize, model.interpolation) == (int(160 / network.pretrained_cfg["crop_pct"]), interpolation)
    own = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    assert_prepared_alike(model, own, network)
    assert "tench" in model.class_names[0]
    assert not normalize.training


def test_timm_weights_file_decides_the_classes(timm, tmp_path, x):
    network = timm.create_model(TIMM_NAME, pretrained=False, num_classes=5).eval()
    torch.save(network.state_dict(), tmp_path / "w.pt")
    model = resolve_model(f"timm:{TIMM_NAME}", weights=tmp_path / "w.pt")
    assert (model.num_classes, model.class_names) == (5, None)
    assert all(a.equal(b) for a, b in zip(model.module[1].parameters(), network.parameters(), strict=True))


def test_timm_errors_are_one_sentence(timm, tmp_path):
    with pytest.raises(ModelError, match="'timm:nonsense' cannot be loaded: Unknown model"):
        resolve_model("timm:nonsense")
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"does not fit the model.*1 left over: a"):
        resolve_model(f"timm:{TIMM_NAME}", weights=tmp_path / "w.pt")
    with pytest.raises(ModelError, match="cannot be loaded: Unknown model"):
        resolve_model("timm:nonsense", weights=tmp_path / "w.pt")


PROCESSORS = {
    "shortest edge and crop fraction": (
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 56}, "crop_pct": 0.875},
        ((3, 56, 56), 64, "bicubic"),
    ),
    "large, whole": (
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "resample": 2},
        ((3, 384, 384), 384, "bilinear"),
    ),
    "height and width": (
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 48}},
        ((3, 32, 48), None, "bilinear"),
    ),
    "centre crop": (
        {
            "image_processor_type": "BitImageProcessor",
            "size": {"shortest_edge": 64},
            "crop_size": {"height": 56, "width": 56},
            "do_center_crop": True,
            "resample": 1,
        },
        ((3, 56, 56), 64, "lanczos"),
    ),
    "centre crop and crop fraction": (
        {"image_processor_type": "PoolFormerImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.9},
        ((3, 224, 224), 248, "bicubic"),
    ),
    "a fraction in the code only": (
        {"image_processor_type": "LevitImageProcessor"},
        ((3, 224, 224), 256, "bicubic"),
    ),
}


@pytest.fixture
def hf_folder(torchvision, tmp_path, recwarn):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        id2label={0: "cat", 1: "dog", 2: "eel"},
    )
    torch.manual_seed(0)
    network = transformers.AutoModelForImageClassification.from_config(config).eval()
    network.save_pretrained(tmp_path / "repo")

    def write(processor):
        mean_and_std = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.1, 0.2, 0.3]}
        (tmp_path / "repo" / "preprocessor_config.json").write_text(json.dumps({**mean_and_std, **processor}))
        return tmp_path / "repo", network

    return write


@pytest.mark.parametrize("kind", PROCESSORS)
def test_hugging_face_folder(hf_folder, x, kind):
    processor, sizes = PROCESSORS[kind]
    folder, network = hf_folder(processor)
    model = resolve_model(f"hf:{folder}")
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.1, 0.2, 0.3])
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), network((x - mean.view(3, 1, 1)) / std.view(3, 1, 1)).logits)
    assert (model.num_classes, model.class_names) == (3, ("cat", "dog", "eel"))
    assert (model.input_size, model.resize, model.interpolation) == sizes


@pytest.mark.parametrize("kind", PROCESSORS)
def test_hugging_face_images_are_prepared_as_by_its_processor(hf_folder, kind):
    """Where a processor squashes we crop, which is the same for an image of the input's proportions."""
    from transformers import AutoImageProcessor

    folder, _ = hf_folder(PROCESSORS[kind][0])
    model = resolve_model(f"hf:{folder}")
    squashed = kind in ("large, whole", "height and width")
    image = photograph(*[3 * side for side in model.input_size[:0:-1]]) if squashed else photograph()
    expected = AutoImageProcessor.from_pretrained(folder)(image, do_normalize=False, return_tensors="pt")[
        "pixel_values"
    ]
    got = prepared(model, image)
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= 1.01 / 255  # its processor rounds a little differently from Pillow


def test_hugging_face_weights_file_and_odd_scaling(hf_folder, tmp_path):
    folder, network = hf_folder({"image_processor_type": "ViTImageProcessor", "do_normalize": False})
    torch.save({key: torch.zeros_like(tensor) for key, tensor in network.state_dict().items()}, tmp_path / "w.pt")
    model = resolve_model(f"hf:{folder}", weights=tmp_path / "w.pt")
    assert model.module[0].std.flatten().tolist() == [1.0, 1.0, 1.0]
    assert model.module(torch.rand(1, 3, 64, 64)).count_nonzero() == 0
    folder, _ = hf_folder({"image_processor_type": "ViTImageProcessor", "rescale_factor": 1.0})
    mean = resolve_model(f"hf:{folder}").module[0].mean  # of pixels up to 255, which are 1 here
    assert mean.flatten().tolist() == pytest.approx([0.4 / 255, 0.5 / 255, 0.6 / 255], abs=1e-5)


def test_hugging_face_folder_that_holds_nothing(hf_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="cannot be loaded"):
        resolve_model(f"hf:{tmp_path / 'empty'}")


def test_hugging_face_channels_are_those_of_the_processor(hf_folder, x):
    """MobileViT's wants blue first and no mean or deviation; what it does is measured, whatever its settings say."""
    folder, network = hf_folder(
        {
            "image_processor_type": "MobileViTImageProcessor",
            "size": {"shortest_edge": 72},
            "crop_size": {"height": 64, "width": 64},
        }
    )
    model = resolve_model(f"hf:{folder}")
    with torch.inference_mode():
        torch.testing.assert_close(model.module(x), network(x.flip(1)).logits)
    assert "channels (2, 1, 0)" in model.identity["pixels"]
    assert (model.input_size, model.resize) == ((3, 64, 64), 72)


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({"image_mean": 0.5, "image_std": 0.25}, 0.5, 0.25),
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 127.5}, 0.25, 0.25),
        ({"do_rescale": False, "do_normalize": False}, 0.0, 1 / 255),
        ({"do_rescale": True, "do_normalize": False}, 0.0, 1.0),
    ],
)
def test_hugging_face_scales_are_those_of_the_processor(hf_folder, settings, mean, std):
    kind = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    folder, _ = hf_folder(kind | settings)
    normalize = resolve_model(f"hf:{folder}").module[0]
    assert normalize.mean.flatten().tolist() == pytest.approx([mean] * 3, abs=1e-4)
    assert normalize.std.flatten().tolist() == pytest.approx([std] * 3, abs=1e-4)


def test_hugging_face_images_that_cannot_be_made_here_are_refused(hf_folder, monkeypatch):
    folder, _ = hf_folder({"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}})
    from smoothcert.models import hugging_face

    process = hugging_face._processed

    def mixing(processor, image, name):
        made = process(processor, image, name)
        return made.mean(0, keepdims=True).repeat(3, 0)

    def padding(processor, image, name):
        made = process(processor, image, name).copy()
        made[:, 0] = 0
        return made

    def curved(processor, image, name):
        return (process(processor, image, name) + 10) ** 2

    def rolled(processor, image, name):
        return np.roll(process(processor, image, name), 5, axis=1)

    for change, message in (
        (mixing, "mixes the channels"),
        (padding, "plain image of one colour"),
        (curved, "does not scale pixels linearly"),
        (rolled, "does not take the centre of 32x32"),
    ):
        monkeypatch.setattr(hugging_face, "_processed", change)
        with pytest.raises(ModelError, match=message):
            resolve_model(f"hf:{folder}")
    monkeypatch.undo()
    folder, _ = hf_folder({"image_processor_type": "ViTImageProcessor", "size": {"height": 10**6, "width": 10**6}})
    with pytest.raises(ModelError, match="asks for sizes"):
        resolve_model(f"hf:{folder}")


def test_hugging_face_half_precision_runs_in_float32_and_says_so(hf_folder, x):
    folder, network = hf_folder({"image_processor_type": "ViTImageProcessor"})
    network.half().save_pretrained(folder)
    model = resolve_model(f"hf:{folder}")
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}
    assert model.module(x).dtype == torch.float32
    assert model.notes == (f"hf:{folder} was stored in float16 and runs in float32",)


def test_hugging_face_heads_that_were_never_trained_are_refused(hf_folder):
    folder, network = hf_folder({"image_processor_type": "ViTImageProcessor"})
    network.resnet.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"no weights for classifier\.1\.bias, classifier\.1\.weight: it was not"):
        resolve_model(f"hf:{folder}")


def test_hugging_face_heads_of_several_labels_pass_through_no_softmax(hf_folder):
    folder, network = hf_folder({"image_processor_type": "ViTImageProcessor"})
    network.config.problem_type = "multi_label_classification"
    network.save_pretrained(folder)
    model = resolve_model(f"hf:{folder}")
    assert model.settle_outputs(None) == "labels"
    assert "multi-label head" in model.notes[0]
    with pytest.raises(ModelError, match=r"one logit per label.*not logits of a softmax; .*--outputs labels"):
        model.settle_outputs("logits")
    network.config.problem_type = "regression"
    network.save_pretrained(folder)
    with pytest.raises(ModelError, match="predicts numbers, not classes"):
        resolve_model(f"hf:{folder}")


def test_hugging_face_code_in_a_folder_is_neither_run_nor_asked_about(hf_folder, monkeypatch, tmp_path):
    folder, _ = hf_folder({"image_processor_type": "ViTImageProcessor"})
    witness = tmp_path / "code-was-run"
    (folder / "own.py").write_text(f"import os; os.mkdir({str(witness)!r})\nclass Own: pass\n")
    for file, entry in (("config.json", "AutoConfig"), ("preprocessor_config.json", "AutoImageProcessor")):
        before = (folder / file).read_text()
        settings = json.loads(before) | {"auto_map": {entry: "own.Own", "AutoModelForImageClassification": "own.Own"}}
        settings["model_type" if file == "config.json" else "image_processor_type"] = "own"
        (folder / file).write_text(json.dumps(settings))
        monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("standard input was asked"))
        with pytest.raises(ModelError, match="cannot be loaded"):
            resolve_model(f"hf:{folder}")
        (folder / file).write_text(before)
    assert not witness.exists()


def test_hugging_face_settings_ask_for_no_more_than_the_files_hold(hf_folder):
    folder, _ = hf_folder({"image_processor_type": "ViTImageProcessor"})
    settings = json.loads((folder / "config.json").read_text()) | {"hidden_sizes": [8, 2**20]}
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"refused: its settings ask for .* parameters, its files hold"):
        resolve_model(f"hf:{folder}")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_hugging_face_folders_of_timm(timm, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from timm.models import _hub

    network = timm.create_model(TIMM_NAME, num_classes=3).eval()
    _hub.save_for_hf(network, tmp_path / "repo", model_config={"num_classes": 3, "label_names": ["a", "b", "c"]})
    model = resolve_model(f"hf:{tmp_path / 'repo'}")
    config = timm.data.resolve_data_config({}, model=network)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    images = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(model.module(images), network((images - mean) / std), rtol=1e-3, atol=1e-4)
    assert (model.num_classes, model.input_size) == (3, (3, 160, 160))
    assert "package timm" in model.identity


def test_torchvision_networks_that_look_at_what_they_draw_take_weights(torchvision, tmp_path):
    network = torchvision.models.regnet_y_400mf(weights=None, num_classes=3).eval()
    torch.save({"net": network.state_dict(), "epoch": 3}, tmp_path / "w.pt")
    model = resolve_model("torchvision:regnet_y_400mf", weights=tmp_path / "w.pt")
    assert model.num_classes == 3
    assert all(a.equal(b) for a, b in zip(model.module[1].parameters(), network.parameters(), strict=True))


def test_other_images_than_a_network_takes_name_the_flag(torchvision):
    transformers = pytest.importorskip("transformers")
    from smoothcert.models.adapt import as_module
    from smoothcert.models.hugging_face import OfPixels

    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    module = as_module(OfPixels(transformers.ViTForImageClassification(config)))
    with pytest.raises(ModelError, match="but of 32x32: --image-size 32"):
        module.eval()(torch.zeros(2, 3, 12, 12))


def test_torchvision_densenet_takes_the_names_of_its_published_files(torchvision, tmp_path):
    network = torchvision.models.densenet121(weights=None, num_classes=3).eval()
    published = {
        re.sub(r"(norm|conv)([12])\.", r"\1.\2.", key) if "denselayer" in key else key: value
        for key, value in network.state_dict().items()
    }
    torch.save(published, tmp_path / "w.pth")
    model = resolve_model("torchvision:densenet121", weights=tmp_path / "w.pth")
    assert all(a.equal(b) for a, b in zip(model.module[1].parameters(), network.parameters(), strict=True))
