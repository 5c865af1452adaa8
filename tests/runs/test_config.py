from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

import pytest

from smoothcert._version import __version__
from smoothcert.errors import RunError
from smoothcert.runs import RunConfig
from smoothcert.runs.config import SCHEMA, current_versions

from .synthetic import CONFIG

FULL = replace(
    CONFIG,
    weights_hash="12" * 32,
    limit=40,
    stride=2,
    split="test",
    image_size=(32, 48),
    resize=256,
    class_names=("ä", "b", "c"),
    weights="w.safetensors",
    versions={"torch": "2"},
)
DEFINING = {
    "kind": "imported",
    "model": "other",
    "weights_hash": "34" * 32,
    "data_fingerprint": "56" * 32,
    "limit": 41,
    "stride": 3,
    "image_size": 32,
    "resize": 255,
    "interpolation": "bicubic",
    "sigma": 0.5,
    "n0": 21,
    "n": 201,
    "question": "score:0.5@0.25",
    "alpha": 0.01,
    "seed": 1,
    "levels": 99,
    "num_classes": 4,
    "precision": "bfloat16",
    "backend": "openvino",
    "outputs": "probabilities",
    "device": "cuda",
}
INFORMATION = {
    "data": "other",
    "split": "train",
    "class_names": None,
    "weights": None,
    "inputs": 3,
    "notes": ("odd",),
    "versions": {},
    "created": "",
}


@pytest.mark.parametrize("config", [CONFIG, FULL])
def test_json_round_trip(config):
    assert RunConfig.from_json(config.to_json()) == config


def test_every_field_either_defines_or_informs():
    assert {f.name for f in fields(RunConfig)} == {*DEFINING, *INFORMATION, "schema"}


@pytest.mark.parametrize("name", DEFINING)
def test_defining_fields_change_the_fingerprint_and_are_named(name):
    other = replace(FULL, **{name: DEFINING[name]})
    assert other.fingerprint != FULL.fingerprint
    assert [tuple(d) for d in FULL.difference(other)] == [(name, getattr(FULL, name), DEFINING[name])]


def test_runs_from_before_later_fields_keep_their_fingerprint():
    without = [name for name in DEFINING if name not in ("question", "backend", "interpolation")]
    values = {name: getattr(FULL, name) for name in (*without, "schema")}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert FULL.fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_a_config_from_before_there_were_filters_is_that_of_a_bilinear_run():
    stored = json.loads(FULL.to_json())
    del stored["interpolation"]
    assert RunConfig.from_json(json.dumps(stored)) == FULL


@pytest.mark.parametrize("name", INFORMATION)
def test_information_changes_nothing(name):
    other = replace(FULL, **{name: INFORMATION[name]})
    assert other.fingerprint == FULL.fingerprint
    assert FULL.difference(other) == []


def test_other_data_are_named_as_people_named_them():
    other = replace(FULL, data="other", data_fingerprint="", split="train")
    assert [d.field for d in FULL.difference(other)] == ["data", "split", "data_fingerprint"]


def test_a_newer_schema_is_refused_in_a_sentence():
    text = json.dumps({**json.loads(FULL.to_json()), "schema": SCHEMA + 1, "new_field": 3})
    with pytest.raises(RunError, match=f"newer smoothcert .schema {SCHEMA + 1}, this one reads up to {SCHEMA}"):
        RunConfig.from_json(text, source="RUN/config.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not the configuration of a run"),
        ("[]", "no schema number"),
        ('{"model_type": "vit"}', "no schema number"),
        ('{"schema": 1, "colour": 2}', "does not know: colour"),
        ('{"schema": 1}', "lacks fields"),
    ],
)
def test_what_is_no_config_is_refused(text, message):
    with pytest.raises(RunError, match=message):
        RunConfig.from_json(text)


def test_an_edited_config_is_refused():
    with pytest.raises(RunError, match="fingerprint"):
        RunConfig.from_json(FULL.to_json().replace('"sigma": 0.25', '"sigma": 0.5'))


def test_versions_name_what_is_installed_only():
    versions = current_versions("numpy", "no-such-package")
    assert versions.keys() == {"smoothcert", "python", "numpy"}
    assert versions["smoothcert"] == __version__
