"""Runs pushed to a Hub on this machine, by the real client, and read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import yaml

from smoothcert.certify import RunSpec, certify_run
from smoothcert.cli.app import run as command
from smoothcert.errors import InvalidArgumentError, RunError, SmoothcertError
from smoothcert.runs import Run
from smoothcert.sharing import push_to_hub, write_package

from .conftest import SPEC
from .local_hub import READER, USER, WRITER, Hub, Repository, serve

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the client about itself
QUICK = {"radii": [0.0, 0.25], "thresholds": [0.5], "bounds": ["dual"]}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A Hub, and a client that knows it, its writer's token, and no storage but plain files."""
    monkeypatch.setenv("HF_TOKEN", WRITER)
    with serve() as found:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        addresses = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", addresses)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield found


def test_a_pushed_run_is_a_run_with_a_card_and_evidence(hub: Hub, shared_run: Run, tmp_path: Path, capsys) -> None:
    command(["push", str(shared_run.path), "--repo", f"{USER}/digits-certified", "--radii", "0.25"])
    assert capsys.readouterr().out.strip() == f"{hub.url}/datasets/{USER}/digits-certified"
    repository = hub.repositories[f"datasets/{USER}/digits-certified"]
    assert not repository.private
    for path in shared_run.files():
        assert repository.files[path.relative_to(shared_run.path).as_posix()] == path.read_bytes()
    assert hub.objects  # parts went as large files
    assert len(repository.commits) == 2

    there = tmp_path / "downloaded"
    huggingface_hub.snapshot_download(f"{USER}/digits-certified", repo_type="dataset", local_dir=there)
    command(["verify", str(there / "evidence.json"), "--inputs", "1"])
    assert "claims follow from the samples" in capsys.readouterr().out
    command(["query", str(there), "--measure", "score", "--bound", "dual", "--radii", "0.25", "--format", "json"])
    (row, *_) = json.loads(capsys.readouterr().out)
    in_evidence = [
        one["certified_accuracy"]
        for one in json.loads(repository.files["evidence.json"])["results"]["certified_accuracy"]
        if (one["measure"], one["bound"], one["threshold"]) == ("score", "dual", row["threshold"])
    ]
    assert in_evidence == [row["certified_accuracy"]]


def test_what_was_pushed_is_asked_and_verified_where_it_is(hub: Hub, shared_run: Run, capsys) -> None:
    push_to_hub(shared_run, "me/there", **QUICK)
    answers = []
    for place in (str(shared_run.path), "hf://datasets/me/there"):
        command(["query", place, "--measure", "score", "--radii", "0,0.25", "--format", "json"])
        answers.append([{**row, "run": ""} for row in json.loads(capsys.readouterr().out)])
    assert answers[0] == answers[1]
    command(["verify", "hf://datasets/me/there/evidence.json", "--inputs", "1"])
    assert "claims follow from the samples" in capsys.readouterr().out


def test_the_card_is_one_that_the_client_accepts(hub: Hub, shared_run: Run) -> None:
    push_to_hub(shared_run, "digits", private=True, **QUICK)  # the user's own, by its short name
    repository = hub.repositories[f"datasets/{USER}/digits"]
    assert repository.private
    assert "POST /api/validate-yaml" in hub.requests
    text = repository.files["README.md"].decode()
    card = huggingface_hub.DatasetCard(text)
    assert card.data.task_categories == ["image-classification"]
    assert card.data.configs == [{"config_name": "records", "data_files": "parts/*.parquet"}]
    assert card.data.size_categories == ["n<1K"]
    evidence = json.loads(repository.files["evidence.json"])
    for sentence in ("hf://datasets/me/digits", "smoothcert verify RUN/evidence.json", "kumar2020certifying"):
        assert sentence in text
    assert str(shared_run.config.weights_hash) in text
    assert all(sentence.split(":")[0][:40] in text for sentence in evidence["assumptions"][:3])
    (shown,) = [line for line in text.splitlines() if line.startswith("| score > 0.5 | dual")]
    row = next(one for one in evidence["results"]["certified_accuracy"] if one["measure"] == "score")
    assert f"| {row['certified_accuracy']:.1%} (" in shown


def test_the_same_run_is_brought_up_to_date_and_another_refused(hub: Hub, shared_run: Run, tmp_path: Path) -> None:
    push_to_hub(shared_run, "me/digits", **QUICK)
    repository = hub.repositories["datasets/me/digits"]
    repository.files["parts/part-00000007.parquet"] = b"of an earlier state"
    push_to_hub(shared_run, "datasets/me/digits", **QUICK)
    assert "parts/part-00000007.parquet" not in repository.files
    other = certify_run(RunSpec.of(**SPEC | {"seed": 1, "limit": 2}), out=tmp_path / "other")
    before = dict(repository.files)
    with pytest.raises(InvalidArgumentError, match="holds another run"):
        push_to_hub(other, "me/digits", **QUICK)
    hub.repositories["datasets/me/photos"] = Repository(files={"README.md": b"# Photos", "a.png": b""})
    with pytest.raises(InvalidArgumentError, match=r"holds no run but README.md, a.png: take another name"):
        push_to_hub(shared_run, "me/photos", **QUICK)
    assert repository.files == before


def test_a_model_of_that_name_is_no_obstacle_unless_the_hub_says_so(hub: Hub, shared_run: Run) -> None:
    hub.repositories["models/me/net"] = Repository()
    push_to_hub(shared_run, "me/net", **QUICK)
    assert "evidence.json" in hub.repositories["datasets/me/net"].files
    assert "evidence.json" not in hub.repositories["models/me/net"].files
    hub.shared_names, hub.repositories["models/me/other"] = True, Repository()
    with pytest.raises(SmoothcertError, match="me/other is there already as something else than a data set"):
        push_to_hub(shared_run, "me/other", **QUICK)


@pytest.mark.parametrize(
    ("token", "repo", "sentence"),
    [
        ("", "me/run", "there is no token for the Hugging Face Hub: run 'hf auth login', or set HF_TOKEN"),
        ("hf_expired", "me/run", "does not accept the token: run 'hf auth login' again"),
        (READER, "me/run", "the token may not write the data set me/run"),
        (WRITER, "somebody/run", "the token may not write the data set somebody/run"),
        (WRITER, "me/what is this", "--repo must be USER/NAME or NAME; got 'me/what is this'"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(token, repo, sentence, hub, shared_run, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(SmoothcertError) as caught:
        push_to_hub(shared_run, repo, **QUICK)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not hub.repositories


def test_a_hub_that_is_not_there(shared_run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # before it asks again
    with pytest.raises(SmoothcertError, match=r"the Hub at http://127.0.0.1:9 cannot be reached: "):
        push_to_hub(shared_run, "me/run", **QUICK)


def test_a_dry_run_writes_the_same_and_asks_nobody(hub: Hub, shared_run: Run, tmp_path: Path) -> None:
    names = write_package(shared_run, tmp_path / "dry", repo="me/digits", **QUICK)
    assert hub.requests == []
    push_to_hub(shared_run, "me/digits", **QUICK)
    pushed = {k: v for k, v in hub.repositories["datasets/me/digits"].files.items() if k != ".gitattributes"}
    assert {name: (tmp_path / "dry" / name).read_bytes() for name in names} == pushed
    with pytest.raises(RunError, match="is not empty"):
        write_package(shared_run, tmp_path / "dry", repo="me/digits", **QUICK)
    for words in (["--repo", "a/b", "--mlflow", "c"], [], ["--mlflow", "c", "--dry-run", "d"]):
        with pytest.raises(InvalidArgumentError, match="--repo"):
            command(["push", str(shared_run.path), *words])


def test_names_of_strangers_stay_names(hub: Hub, tmp_path: Path) -> None:
    from dataclasses import replace

    from smoothcert.sharing.package import card
    from smoothcert.verify import export_run

    run = certify_run(RunSpec.of(**SPEC | {"limit": 2}), out=tmp_path / "run")
    evidence = export_run(run, **QUICK)
    config = replace(run.config, model="a: |b\n---\n<script>`x`</script>", data="[c](javascript:d)")
    text = card(config, evidence, repo="me/x")
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["pretty_name"] == f"Certified confidence: a: |b --- <script>`x`</script> on {config.data}, sigma 0.25"
    assert "<script" not in text.split("\n---\n", 2)[-1]
    assert "](javascript" not in text.split("\n---\n\n")[1]


def test_an_unfinished_run_is_not_pushed(hub: Hub, tmp_path: Path) -> None:
    run = certify_run(RunSpec.of(**SPEC | {"limit": 2}), out=tmp_path / "run")
    shards = [certify_run(RunSpec.of(**SPEC, shard=f"{k}/2"), out=tmp_path / f"shard{k}").path for k in (1, 2)]
    with pytest.raises(RunError, match="put them together first"):
        push_to_hub(Run.open(shards), "me/run", **QUICK)
    for path in run.files()[1:]:
        path.unlink()
    with pytest.raises(RunError, match="lacks 2 of 2 inputs"):
        push_to_hub(Run.open(run.path), "me/run", **QUICK)
    assert not hub.repositories
