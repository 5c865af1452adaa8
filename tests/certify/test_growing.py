"""A run that grows ends with the records it would have had at once, and draws only what is new."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runs.synthetic import ArraySource, assert_same_run
from smoothcert.certify import RunSpec, certify_run
from smoothcert.certify.engine import LocalEngine
from smoothcert.certify.prepare import prepare
from smoothcert.data import Dataset
from smoothcert.errors import RunError
from smoothcert.runs import Run, RunConfig, merge_runs

from .test_engine import Interrupting, Listening, certify
from .tiny_model import tiny_model


def uneven():
    source = ArraySource()
    source.indices = [0, 1, 4, 5, 7, 8, 11]
    return source


@pytest.mark.parametrize("n", [150, 256, 300])  # before, at and behind the end of a chunk of noise
def test_more_samples_equal_one_go_at_the_larger_number(tmp_path, n):
    certify(tmp_path / "grown", n=n)
    listening = Listening()
    certify(tmp_path / "grown", n=700, reporter=listening)
    certify(tmp_path / "whole", n=700)
    assert_same_run(tmp_path / "grown", tmp_path / "whole")
    assert (listening.drawn, listening.finished) == (12 * (700 - n), 12)
    assert any("12 of 12 inputs, 12 of them with fewer than 700 samples" in note for note in listening.notes)
    run = Run.open(tmp_path / "grown")
    assert run.sizes == {700: 12}
    assert [extent.n for extent in run.config.extents] == [n, 700]
    assert run.state().whole


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"limit": 5}, {"limit": 9}),
        ({"limit": 5}, {}),
        ({"limit": 4, "stride": 3}, {"limit": 10, "stride": 1}),
        ({"stride": 4}, {"stride": 2}),
        ({"limit": 1}, {"limit": 12}),
    ],
)
@pytest.mark.parametrize("n", [200, 400])
def test_more_inputs_equal_one_go(tmp_path, before, after, n):
    source = ArraySource()
    certify(tmp_path / "grown", data=Dataset(source, **before))
    held = len(Run.open(tmp_path / "grown"))
    listening = Listening()
    run = certify(tmp_path / "grown", data=Dataset(source, **after), n=n, reporter=listening)
    certify(tmp_path / "whole", data=Dataset(source, **after), n=n)
    assert_same_run(tmp_path / "grown", tmp_path / "whole")
    assert listening.drawn == (len(run) - held) * (20 + n) + held * (n - 200)
    assert (run.missing, run.config.inputs) == (0, len(run))
    assert run.config.data_fingerprint == Run.open(tmp_path / "whole").config.data_fingerprint


def test_a_run_grows_again_and_keeps_its_fingerprint(tmp_path):
    source = ArraySource()
    first = certify(tmp_path / "grown", data=Dataset(source, limit=4), n=100).config
    for limit, n in ((6, 100), (6, 300), (12, 500)):
        certify(tmp_path / "grown", data=Dataset(source, limit=limit), n=n)
    run = Run.open(tmp_path / "grown")
    certify(tmp_path / "whole", n=500)
    assert_same_run(tmp_path / "grown", tmp_path / "whole")
    assert run.config.fingerprint == first.fingerprint
    assert [(extent.inputs, extent.n) for extent in run.config.extents] == [(4, 100), (6, 100), (6, 300), (12, 500)]
    assert "after n 100 and 300 could be looked at, up to 500 per input" in run.notes[0]
    assert "--alpha 0.0003333" in run.notes[0]
    assert "12 in place of 4 and 6" in run.notes[1]
    assert len(run.notes) == 2


def test_uneven_selections_grow_at_their_end(tmp_path):
    source = uneven()
    certify(tmp_path / "grown", data=Dataset(source, limit=4))
    assert Run.open(tmp_path / "grown").config.indices is None
    certify(tmp_path / "grown", data=Dataset(source, limit=6))
    certify(tmp_path / "whole", data=Dataset(source, limit=6))
    assert_same_run(tmp_path / "grown", tmp_path / "whole")


def test_seconds_add_up(tmp_path):
    before = {record.index: record.seconds for record in certify(tmp_path).records()}
    after = {record.index: record.seconds for record in certify(tmp_path, n=400).records()}
    assert all(after[index] > before[index] > 0.0 for index in before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 199}, r"holds more than is asked for, 200 samples per input of 12 inputs and not 199 samples"),
        (
            {"limit": 11},
            r"of 12 inputs and not 200 samples per input of 11 inputs: a run grows and never",
        ),
        ({"stride": 2, "n": 400}, r"holds more than is asked for"),
        ({"n": 400, "n0": 21}, r"holds another run: n0 is 20 there and 21 here"),
        ({"n": 400, "seed": 1}, r"holds another run: seed is 0 there and 1 here"),
        ({"n": 400, "alpha": 0.01}, r"holds another run: "),
    ],
)
def test_what_is_no_growth_is_refused_and_changes_nothing(tmp_path, change, message):
    certify(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    selection = {name: change.pop(name) for name in ("limit", "stride") if name in change}
    with pytest.raises(RunError, match=message):
        certify(tmp_path, data=Dataset(ArraySource(), **selection), **change)
    assert (tmp_path / "config.json").read_bytes() == before
    assert Run.open(tmp_path).sizes == {200: 12}


def test_other_contents_of_a_stored_input_are_refused(tmp_path):
    class Other(ArraySource):
        def read(self, index):
            return np.float32(1.0) - super().read(index) if index == 3 else super().read(index)

    certify(tmp_path, data=Dataset(ArraySource(), limit=6))
    with pytest.raises(RunError, match="the content of the data changed"):
        certify(tmp_path, data=Dataset(Other(), limit=9))
    relabelled = ArraySource(labels=[0, 1, 2, 1, 1, 2, *[0] * 6])
    with pytest.raises(RunError, match="the content of the data changed"):
        certify(tmp_path, data=Dataset(relabelled, limit=9))


def test_another_classifier_is_noticed_before_the_configuration_is_written(tmp_path):
    from .tiny_model import Brightness

    certify(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(RunError, match="the base classifier is another"):
        certify(tmp_path, model=tiny_model(Brightness(scale=20.0)), n=400)
    assert (tmp_path / "config.json").read_bytes() == before


def test_no_input_is_read_again_for_the_fingerprint(tmp_path):
    class Counting(ArraySource):
        def __init__(self):
            super().__init__()
            self.digested = []

        def digest(self, index):
            self.digested.append(index)
            return str(index)

    certify(tmp_path, data=Dataset(Counting(), limit=6))
    source = Counting()
    certify(tmp_path, data=Dataset(source), n=300)
    assert sorted(source.digested) == list(range(12))


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_growth_that_was_interrupted_goes_on(tmp_path, after):
    certify(tmp_path / "grown", data=Dataset(ArraySource(), limit=8))
    interrupting = Interrupting(after)
    with pytest.raises(KeyboardInterrupt):
        certify(tmp_path / "grown", n=500, reporter=interrupting)
    run = Run.open(tmp_path / "grown")
    assert run.sizes.get(500, 0) == interrupting.finished
    assert sum(run.sizes.values()) >= 8
    if interrupting.finished:
        assert run.short == run.sizes.get(200, 0) == len(run.state().short)
        assert not run.state().whole
        assert any("this run is still growing" in note for note in run.notes) == (run.short > 0)
        with pytest.raises(RunError, match="holds more than is asked for, 500 samples"):
            certify(tmp_path / "grown", data=Dataset(ArraySource(), limit=8))
    else:  # nothing was stored that needs the larger configuration
        assert run.config.grown == ()
    certify(tmp_path / "grown", n=500)
    certify(tmp_path / "whole", n=500)
    assert_same_run(tmp_path / "grown", tmp_path / "whole")
    assert Run.open(tmp_path / "grown").short == 0


def test_parts_that_were_merged_before_take_no_row_with_them(tmp_path):
    """The merged part of a growth can have the name of an older one, and hold fewer inputs."""
    certify(tmp_path / "grown")
    certify(tmp_path / "whole", n=400)

    class Backwards(LocalEngine):
        """Samples the first and the last input, and then stops."""

        def __init__(self, spec, **loaded):
            super().__init__(prepare(spec, **loaded))

        def records(self, tasks, *, progress):
            tasks = list(tasks)
            yield from super().records([tasks[0], tasks[-1]], progress=progress)
            raise KeyboardInterrupt

    spec = RunSpec.of(sigma=0.25, n=400, n0=20, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        certify_run(spec, out=tmp_path / "grown", model=tiny_model(), data=Dataset(ArraySource()), engine=Backwards)
    run = Run.open(tmp_path / "grown")
    assert run.sizes == {200: 10, 400: 2}
    assert len(run.records()) == 12
    certify(tmp_path / "grown", n=400)
    assert_same_run(tmp_path / "grown", tmp_path / "whole")


def test_skipped_inputs_stay_skipped(tmp_path):
    data = Dataset(ArraySource(unreadable=[3]))
    for n in (200, 400):
        run = certify(tmp_path, data=data, n=n, on_unreadable="skip")
    assert [record.index for record in run.skipped] == [3]
    assert run.sizes == {400: 11}


def test_a_decided_run_takes_more_inputs_but_not_more_samples(tmp_path):
    question = {"n": None, "decide": "score:0.5@0.1", "max_n": 300}
    certify(tmp_path / "grown", data=Dataset(ArraySource(), limit=4), **question)
    with pytest.raises(RunError, match="with at most 300 samples per input, and its answers are only good for that"):
        certify(tmp_path / "grown", data=Dataset(ArraySource(), limit=4), **(question | {"max_n": 600}))
    certify(tmp_path / "grown", **question)
    certify(tmp_path / "whole", **question)
    assert_same_run(tmp_path / "grown", tmp_path / "whole")


def test_a_grown_configuration_is_read_as_written_and_cannot_be_edited(tmp_path):
    certify(tmp_path)
    config = certify(tmp_path, n=400).config
    assert RunConfig.from_json(config.to_json()) == config
    assert '"grown"' not in replace(config, grown=()).to_json()  # which earlier versions read
    edited = (tmp_path / "config.json").read_text().replace('"n": 200', '"n": 201')
    with pytest.raises(RunError, match="changed after the run was started"):
        RunConfig.from_json(edited)


@pytest.mark.parametrize("make", [ArraySource, uneven])
def test_shards_make_the_run_of_one_machine_and_grow_with_it(tmp_path, make):
    folders = [tmp_path / "1", tmp_path / "2", tmp_path / "3"]
    for limit, n in ((5, 200), (7, 200), (7, 400)):
        data, whole = Dataset(make(), limit=limit), tmp_path / f"{limit}-{n}"
        certify(whole, data=data, n=n)
        drawn = 0
        for number, folder in enumerate(folders, start=1):
            listening = Listening()
            run = certify(folder, data=data, n=n, shard=f"{number}/3", reporter=listening)
            assert [record.index for record in run.records()] == data.indices[number - 1 :: 3]
            assert (run.missing, run.expected, str(run.config.shard)) == (0, len(run), f"{number}/3")
            drawn += listening.drawn
        assert drawn == {(5, 200): 5 * 220, (7, 200): 2 * 220, (7, 400): 7 * 200}[limit, n]
        merged = merge_runs(folders, tmp_path / f"merged {limit} {n}")
        assert_same_run(merged.path, whole)
        assert merged.config.data_fingerprint == Run.open(whole).config.data_fingerprint
        assert merged.config.shard is None
    assert [extent.n for extent in merged.config.extents] == [200, 200, 400]
    certify(merged.path, data=Dataset(make()), n=500)  # the whole grows, too
    certify(tmp_path / "all", data=Dataset(make()), n=500)
    assert_same_run(merged.path, tmp_path / "all")


def test_a_shard_keeps_its_inputs_and_its_folder(tmp_path):
    certify(tmp_path, data=Dataset(ArraySource(), stride=2), shard="2/3")
    with pytest.raises(RunError, match="in the larger selection that shard has other inputs: merge the shards"):
        certify(tmp_path, data=Dataset(ArraySource()), shard="2/3")
    for shard, message in (("1/3", "choose another folder for shard 1/3"), (None, "choose another folder for the who")):
        with pytest.raises(RunError, match=message):
            certify(tmp_path, data=Dataset(ArraySource(), stride=2), shard=shard)
    certify(tmp_path / "whole")
    with pytest.raises(RunError, match="holds the whole of its run"):
        certify(tmp_path / "whole", shard="1/1")
    assert Run.open(tmp_path).indices.tolist() == [2, 8]


def test_a_shard_may_be_empty(tmp_path):
    run = certify(tmp_path / "5", data=Dataset(ArraySource(), limit=4), shard="5/5")
    assert (len(run), run.expected, run.missing, run.state().whole) == (0, 0, 0, True)
    certify(tmp_path / "1", data=Dataset(ArraySource(), limit=4), shard="1/5")
    assert merge_runs([tmp_path / "5", tmp_path / "1"], tmp_path / "all").missing_indices.tolist() == [1, 2, 3]
