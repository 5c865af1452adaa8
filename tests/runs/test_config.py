"""The config of a run: what defines it, what only informs, and that neither is read otherwise than it was written."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

import pytest

from smoothcert._version import __version__
from smoothcert.errors import InvalidArgumentError, RunError
from smoothcert.runs import RunConfig
from smoothcert.runs.config import SCHEMA, Difference, Witness, current_versions

from .synthetic import CONFIG

FULL = replace(
    CONFIG,
    spec=CONFIG.spec.vary(
        weights="w.safetensors", limit=40, stride=2, split="test", image_size=(32, 48), resize=256, outputs="logits"
    ),
    weights_hash="12" * 32,
    identity={"source of net.py": "ab" * 32, "version of timm": "1.0"},
    class_names=("ä", "b", "c"),
    notes=("one",),
    witness=Witness(index=3, id="3.png", content_hash="ef" * 32, predictions=(0, 2), logits=(0.75, 0.5)),
    versions={"torch": "2"},
)
DEFINING = {
    "kind": "imported",
    "model": "other",
    "weights_hash": "34" * 32,
    "data_fingerprint": "56" * 32,
    "num_classes": 4,
    "device": "cuda",
}
INFORMATION = {
    "data": "other",
    "inputs": 3,
    "class_names": None,
    "indices": (0, 40, 2),
    "notes": ("odd",),
    "witness": None,
    "versions": {},
    "created": "",
}
SAMPLING = {
    "sigma": 0.5,
    "n": 201,
    "n0": 21,
    "alpha": 0.01,
    "seed": 1,
    "levels": 99,
    "measure": ["score"],
    "noise": "float",
    "lattice": 0.5,
    "precision": "bfloat16",
    "backend": "openvino",
}


@pytest.mark.parametrize("config", [CONFIG, FULL])
def test_json_round_trip(config):
    assert RunConfig.from_json(config.to_json()) == config


def test_every_field_either_defines_or_informs():
    assert {f.name for f in fields(RunConfig)} == {*DEFINING, *INFORMATION, "spec", "identity", "grown", "schema"}


@pytest.mark.parametrize("name", DEFINING)
def test_defining_fields_change_the_fingerprint_and_are_named(name):
    other = replace(FULL, **{name: DEFINING[name]})
    assert other.fingerprint != FULL.fingerprint
    assert (name, getattr(FULL, name), DEFINING[name]) in FULL.difference(other)


@pytest.mark.parametrize("name", SAMPLING)
def test_every_option_of_sampling_defines_a_run(name):
    before, after = FULL.spec.options(all=True), SAMPLING[name]
    other = replace(FULL, spec=FULL.spec.vary(**{name: after}))
    assert other.fingerprint != FULL.fingerprint
    assert FULL.difference(other) == [Difference(name, before[name], after)]
    assert {*SAMPLING, "decide", "max_n"} == FULL.spec.options(all=True, parts=("sampling",)).keys()


def test_a_question_defines_a_run():
    spec = FULL.spec.vary(n=None, decide="score:0.5@0.25", max_n=200)
    differences = FULL.difference(replace(FULL, spec=spec))
    assert Difference("decide", None, "score:0.5@0.25") in differences
    assert [d.field for d in FULL.difference(replace(FULL, spec=FULL.spec.vary(outputs="probabilities")))] == [
        "outputs"
    ]


@pytest.mark.parametrize(
    "open_option", [{"n": 9_500}, {"n0": 500}, {"weights": "elsewhere"}, {"batch_size": 7}, {"limit": 3}]
)
def test_what_is_left_open_or_changes_nothing_does_not_define(open_option):
    spec = FULL.spec.vary(n=None, n0=None, limit=None)
    one, other = replace(FULL, spec=spec), replace(FULL, spec=spec.vary(**open_option))
    assert one.fingerprint == other.fingerprint
    assert one.difference(other) == []


@pytest.mark.parametrize("name", INFORMATION)
def test_information_changes_nothing(name):
    other = replace(FULL, **{name: INFORMATION[name]})
    assert other.fingerprint == FULL.fingerprint
    assert FULL.difference(other) == []


def test_code_that_changed_is_named():
    edited = replace(FULL, identity={**FULL.identity, "source of net.py": "cd" * 32})
    assert edited.fingerprint != FULL.fingerprint
    assert [str(d) for d in FULL.difference(edited)] == ["the source of net.py changed"]
    newer = replace(FULL, identity={**FULL.identity, "version of timm": "1.1"})
    assert [str(d) for d in FULL.difference(newer)] == ["the version of timm is '1.0' there and '1.1' here"]
    fewer = replace(FULL, identity={})
    assert len(FULL.difference(fewer)) == 2


def test_other_data_are_named_as_people_named_them():
    other = replace(FULL, data="other", data_fingerprint="", spec=FULL.spec.vary(split="train", limit=39), inputs=39)
    assert [d.field for d in FULL.difference(other)] == ["data", "limit", "split", "inputs", "data_fingerprint"]


def test_a_newer_schema_is_refused_in_a_sentence():
    text = json.dumps({**json.loads(FULL.to_json()), "schema": SCHEMA + 1, "new_field": 3})
    with pytest.raises(RunError, match=f"newer smoothcert .schema {SCHEMA + 1}, this one reads up to {SCHEMA}"):
        RunConfig.from_json(text, source="RUN/config.json")


@pytest.mark.parametrize("schema", ["true", "0", "-3", "1.0", '"2"', "null", "[2]"])
def test_other_schema_numbers_are_refused(schema):
    text = FULL.to_json().replace('"schema": 2', f'"schema": {schema}')
    with pytest.raises(RunError, match=r"not the configuration of a run: it(s schema number is| has no schema number)"):
        RunConfig.from_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not the configuration of a run"),
        ("[]", "no schema number"),
        ('{"schema": ' + "9" * 10_000 + "}", "not the configuration of a run"),
        ("[" * 100_000, "not the configuration of a run"),
        ('{"model_type": "vit"}', "no schema number"),
        ('{"schema": 1, "colour": 2}', "does not know: colour"),
        ('{"schema": 1}', "lacks fields: model, data, sigma"),
        ('{"schema": 2}', "was changed after"),
    ],
)
def test_what_is_no_config_is_refused(text, message):
    with pytest.raises(RunError, match=message):
        RunConfig.from_json(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"sigma": 0.25', '"sigma": 0.5'),
        ('"one"', '"another note"'),
        ('"created": "2024', '"created": "2025'),
        ('"torch": "2"', '"torch": "3"'),
        ('"inputs": 40', '"inputs": 41'),
        ('"stride": 2', '"stride": 1'),
    ],
)
def test_an_edited_config_is_refused(old, new):
    assert old in FULL.to_json()
    with pytest.raises(RunError, match="changed after the run was started"):
        RunConfig.from_json(FULL.to_json().replace(old, new))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inputs", "many"),
        ("inputs", True),
        ("notes", "a note"),
        ("notes", [3]),
        ("class_names", [1, 2]),
        ("versions", {"torch": 2}),
        ("identity", {"source": None}),
        ("num_classes", 2.0),
        ("kind", "sampledd"),
        ("witness", {"index": 3}),
        ("witness", 3),
        ("spec", None),
        ("spec", {"sigma": "0.25"}),
        ("spec", {"sigma": 0.25, "colour": 1}),
        ("colour", 1),
    ],
)
def test_every_field_is_typed_on_reading(name, value):
    values = json.loads(FULL.to_json())
    values[name] = value
    del values["checksum"]
    values["checksum"] = hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    with pytest.raises(RunError, match="is not the configuration of a run"):
        RunConfig.from_json(json.dumps(values))


def test_fields_are_typed_in_python_too():
    with pytest.raises(InvalidArgumentError, match="num_classes must be an integer, at least 1; got 0"):
        replace(CONFIG, num_classes=0)
    with pytest.raises(InvalidArgumentError, match="kind must be one of sampled, decided, imported; got 'x'"):
        replace(CONFIG, kind="x")


SCHEMA_1 = {
    "kind": "sampled",
    "model": "cifar:resnet20",
    "weights_hash": "12" * 32,
    "data": "cifar10",
    "data_fingerprint": "ab" * 32,
    "limit": 40,
    "stride": 2,
    "split": "test",
    "image_size": [32, 48],
    "resize": None,
    "interpolation": None,
    "sigma": 0.25,
    "n0": 20,
    "n": 200,
    "question": None,
    "alpha": 0.001,
    "seed": 7,
    "levels": 100,
    "num_classes": 10,
    "precision": "bfloat16",
    "backend": None,
    "outputs": "logits",
    "device": "cpu",
    "class_names": ["a", "b"],
    "weights": "w.safetensors",
    "inputs": 20,
    "notes": ["one"],
    "versions": {"torch": "2"},
    "created": "2024-01-01T00:00:00+00:00",
    "schema": 1,
}
IMPORTED_1 = SCHEMA_1 | {"kind": "imported", "levels": 0, "precision": "unknown", "outputs": "unknown", "device": "?"}


def first_layout(values, *, without=()):
    """A config.json as the first layout wrote it."""
    information = ("data", "split", "class_names", "weights", "inputs", "notes", "versions", "created")
    defining = {name: value for name, value in values.items() if name not in information}
    defining = {k: v for k, v in defining.items() if v is not None or k not in ("interpolation", "question", "backend")}
    text = json.dumps(defining, sort_keys=True, separators=(",", ":"))
    stored = {"fingerprint": hashlib.sha256(text.encode()).hexdigest(), **values}
    return json.dumps({name: value for name, value in stored.items() if name not in without})


def test_the_first_layout_is_read_as_the_present_one():
    config = RunConfig.from_json(first_layout(SCHEMA_1, without=("interpolation", "question", "backend")))
    assert (config.schema, config.kind, config.model, config.num_classes) == (1, "sampled", "cifar:resnet20", 10)
    assert (config.sigma, config.n0, config.n, config.alpha, config.seed, config.levels) == (
        0.25,
        20,
        200,
        0.001,
        7,
        100,
    )
    assert (config.measures, config.spec.sampling.noise, config.spec.sampling.backend) == (
        ("score", "margin"),
        "float",
        "torch",
    )
    assert (config.spec.data.limit, config.spec.data.image_size, config.inputs) == (40, (32, 48), 20)
    assert (config.notes, config.class_names, config.versions) == (("one",), ("a", "b"), {"torch": "2"})
    decided = RunConfig.from_json(first_layout(SCHEMA_1 | {"kind": "decided", "question": "score:0.5@0.25"}))
    assert (decided.question, decided.n) == ("score:0.5@0.25", 200)
    imported = RunConfig.from_json(first_layout(IMPORTED_1))
    assert (imported.kind, imported.sigma, imported.n) == ("imported", 0.25, 200)


def test_a_run_of_the_first_layout_is_not_continued():
    config = RunConfig.from_json(first_layout(SCHEMA_1))
    assert Difference("schema", 1, 2) in config.difference(replace(config, schema=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": 0.5}, "was changed after the run was started"),
        ({"sigma": -1.0}, "sigma must be a positive"),
        ({"notes": 3}, "notes must be"),
        ({"levels": 2**40}, "levels must be an integer, at least 1 and at most 1,000,000"),
        ({"precision": "unknown"}, "precision must be one of"),
    ],
)
def test_an_edited_config_of_the_first_layout_is_refused(change, message):
    with pytest.raises(RunError, match=message):
        RunConfig.from_json(json.dumps(json.loads(first_layout(SCHEMA_1)) | change))


def test_versions_name_what_is_installed_only():
    versions = current_versions("numpy", "no-such-package")
    assert versions.keys() == {"smoothcert", "python", "numpy"}
    assert versions["smoothcert"] == __version__
