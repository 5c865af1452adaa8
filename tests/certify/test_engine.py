from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import torch
from PIL import Image

from runs.synthetic import ArraySource, MarkedSource, assert_same_run, same
from smoothcert.certify import RunSpec, SamplingSpec, certify_run
from smoothcert.certify.engine import LocalEngine, Task
from smoothcert.certify.prepare import prepare
from smoothcert.data import Dataset
from smoothcert.data.preprocess import Preprocess
from smoothcert.errors import DataError, InvalidArgumentError, ModelError, RunError
from smoothcert.progress import Reporter
from smoothcert.runs import Run
from smoothcert.sampling import ConfidenceWarning, content_hash

from .tiny_model import Brightness, Constant, Refusing, tiny_model


class Listening(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.drawn = self.finished = self.skipped = 0

    def note(self, message: str) -> None:
        self.notes.append(message)

    def advance(self, samples: int) -> None:
        self.drawn += samples

    def finish(self) -> None:
        self.finished += 1

    def skip(self, samples: int) -> None:
        self.skipped += 1


class Interrupting(Listening):
    """Ctrl-C in the first batch after so many inputs are stored."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def advance(self, samples: int) -> None:
        super().advance(samples)
        if self.finished >= self.after:
            raise KeyboardInterrupt


def certify(out, *, model=None, data=None, **options):
    settings = {"sigma": 0.25, "n": 200, "n0": 20, "device": "cpu", **options}
    reporter = settings.pop("reporter", None)
    loaded = data or Dataset(ArraySource())
    return certify_run(RunSpec.of(**settings), out=out, model=model or tiny_model(), data=loaded, reporter=reporter)


def test_a_run_holds_what_was_asked(tmp_path):
    listening = Listening()
    source = ArraySource()
    run = certify(tmp_path, data=Dataset(source, limit=5, stride=2), seed=3, reporter=listening)
    config = run.config
    assert (config.sigma, config.n, config.n0, config.seed) == (0.25, 200, 20, 3)
    assert (config.num_classes, config.device, config.inputs, config.kind) == (3, "cpu", 5, "sampled")
    assert config.weights_hash == "cd" * 32
    assert config.versions["torch"] == version("torch")
    records = run.records()
    assert [r.index for r in records] == [0, 2, 4, 6, 8]
    assert [r.label for r in records] == [0, 2, 1, 0, 2]
    assert [r.samples.prediction for r in records] == [0, 2, 1, 0, 2]
    assert all((r.samples.n0, r.samples.n, r.samples.seed) == (20, 200, 3) for r in records)
    assert records[1].samples.content_hash == content_hash(source.read(2))
    assert all(r.seconds > 0.0 for r in records)
    assert (listening.drawn, listening.finished) == (5 * 220, 5)
    assert "5 inputs x 220 samples on cpu" in listening.notes[-1]


@pytest.mark.parametrize("after", [0, 1, 7])
def test_an_interrupted_run_resumed_equals_one_go(tmp_path, after):
    interrupting = Interrupting(after)
    with pytest.raises(KeyboardInterrupt):
        certify(tmp_path / "broken", reporter=interrupting)
    stored = interrupting.finished
    assert len(Run.open(tmp_path / "broken")) == stored
    assert after <= stored < 12
    listening = Listening()
    certify(tmp_path / "broken", reporter=listening)
    assert listening.finished == 12 - stored
    assert any(f"already holds {stored} of 12" in note for note in listening.notes) == (stored > 0)
    certify(tmp_path / "whole")
    assert_same_run(tmp_path / "broken", tmp_path / "whole")


def test_a_finished_run_is_left_alone(tmp_path):
    certify(tmp_path)
    listening = Listening()
    certify(tmp_path, reporter=listening)
    assert listening.drawn == 0
    assert listening.notes == [f"{tmp_path} already holds 12 of 12 inputs"]


def test_the_batch_size_is_no_part_of_a_run(tmp_path):
    certify(tmp_path / "one", batch_size=7)
    certify(tmp_path / "two", batch_size=64)
    assert_same_run(tmp_path / "one", tmp_path / "two")
    certify(tmp_path / "one", batch_size=64)


@pytest.mark.parametrize("change", [{"sigma": 0.5}, {"n0": 21}, {"seed": 1}, {"alpha": 0.01}, {"levels": 50}])
def test_another_run_in_the_folder_is_refused_by_name(tmp_path, change):
    certify(tmp_path)
    (name,) = change
    with pytest.raises(RunError, match=f"holds another run: {name} is"):
        certify(tmp_path, **change)


def test_other_data_in_the_folder_are_refused_by_name(tmp_path):
    certify(tmp_path)
    with pytest.raises(RunError, match="the content of the data changed"):
        certify(tmp_path, data=Dataset(ArraySource(12, labels=[2, *range(3), *[1] * 8])))


def test_an_unreadable_input_stops_the_run_by_default(tmp_path):
    data = Dataset(ArraySource(unreadable=[4]))
    with pytest.raises(DataError, match=r"array 4 cannot be read: it is broken; .* --on-unreadable skip"):
        certify(tmp_path, data=data)
    assert len(Run.open(tmp_path)) == 4
    run = certify(tmp_path, data=data, on_unreadable="skip")
    assert len(run) == 12


def test_an_unreadable_input_is_skipped_on_request_and_counted(tmp_path):
    listening = Listening()
    run = certify(tmp_path, data=Dataset(ArraySource(unreadable=[0, 4])), on_unreadable="skip", reporter=listening)
    assert [(r.index, r.id, r.label) for r in run.skipped] == [(0, "array 0", 0), (4, "array 4", 1)]
    assert run.skipped[1].error == "image array 4 cannot be read: it is broken"
    assert (listening.finished, listening.skipped) == (10, 2)


def test_nothing_readable_is_still_a_run_when_classes_are_known(tmp_path):
    model = replace(tiny_model(), num_classes=3)
    run = certify(tmp_path, model=model, data=Dataset(ArraySource(2, unreadable=[0, 1])), on_unreadable="skip")
    assert len(run.skipped) == len(run) == 2


def test_a_label_outside_the_classes_stops_before_sampling(tmp_path):
    data = Dataset(ArraySource(labels=[0, 1, 2] * 3 + [0, 1, 3]))
    with pytest.raises(DataError, match=r"array 11 .*0 to 2.* got 3"):
        certify(tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"sigma": 0.0}, "sigma must be"),
        ({"sigma": math.nan}, "sigma must be"),
        ({"alpha": 0.7}, "alpha must be"),
        ({"n": 0}, "n must be"),
        ({"n0": 0}, "n0 must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**63}, "seed must be"),
        ({"levels": 0}, "levels must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"precision": "int8"}, "precision must be"),
        ({"outputs": "guesses"}, "outputs must be"),
        ({"on_unreadable": "ignore"}, "on_unreadable must be"),
    ],
)
def test_bad_arguments_are_named_and_leave_no_folder(tmp_path, option, message):
    with pytest.raises(InvalidArgumentError, match=message):
        certify(tmp_path / "run", **option)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("module", "num_classes", "message"),
    [
        (Constant(0.0, math.nan, 1.0), 3, r"input \d+ \(array \d+\): .*finite logits"),
        (Constant(0.0, 1.0), 3, r"input \d+ \(array \d+\): .*num_classes"),
        (Constant(0.2, 0.5, 0.3), 3, r"input \d+ \(array \d+\): .*logits"),
    ],
)
def test_a_model_that_returns_no_scores_is_an_error_that_names_the_input(tmp_path, module, num_classes, message):
    model = replace(tiny_model(module), num_classes=num_classes)
    with pytest.raises(ModelError, match=message):
        certify(tmp_path, model=model)


def test_a_model_with_outputs_of_another_shape_is_an_error(tmp_path):
    class Flat(Brightness):
        def forward(self, x):
            return super().forward(x)[:, 0]

    with pytest.raises(ModelError, match="tiny must return class scores"):
        certify(tmp_path, model=tiny_model(Flat()))


def test_an_input_outside_the_domain_is_named(tmp_path):
    source = ArraySource()
    read = source.read
    source.read = lambda index: np.full((1, 4, 4), np.nan, np.float32) if index == 7 else read(index)
    with pytest.raises(DataError, match=r"array 7 .* not finite"):
        certify(tmp_path, data=Dataset(source), model=replace(tiny_model(), num_classes=3))


def test_too_few_samples_for_alpha_are_warned_of(tmp_path):
    with pytest.warns(ConfidenceWarning, match="n=9 samples can never certify"):
        certify(tmp_path, n=9, alpha=0.001)


def test_a_classifier_at_chance_is_warned_of(tmp_path):
    with pytest.warns(ConfidenceWarning, match="guessing would be 33.3%"):
        certify(tmp_path, model=tiny_model(Constant(0.0, 1.0, 0.5)))


def test_other_training_noise_is_noted(tmp_path):
    listening = Listening()
    certify(tmp_path, model=replace(tiny_model(), metadata={"sigma": "0.5"}), reporter=listening)
    assert "tiny was trained under noise of sigma 0.5, not 0.25" in listening.notes


def test_own_code_is_announced(tmp_path, monkeypatch):
    import smoothcert.models

    monkeypatch.setattr(smoothcert.models, "resolve_model", lambda name, weights: tiny_model())
    listening = Listening()
    spec = RunSpec.of(model="python:mine:make", sigma=0.25, n=200, n0=20, device="cpu")
    certify_run(spec, out=tmp_path, data=Dataset(ArraySource()), reporter=listening)
    assert "python:mine:make runs code of your own" in listening.notes


@pytest.mark.parametrize(
    ("recommended", "asked", "used"),
    [
        ("bicubic", None, "bicubic"),
        ("bicubic", "bilinear", "bilinear"),
        (None, "nearest", "nearest"),
        (None, None, "bilinear"),
    ],
)
def test_the_filter_is_the_one_asked_for_else_the_models_own(tmp_path, recommended, asked, used):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 17, 3), dtype=np.uint8)
    (tmp_path / "images" / "0").mkdir(parents=True)
    image = tmp_path / "images" / "0" / "x.png"
    Image.fromarray(pixels).save(image)
    names = {"num_classes": 3, "class_names": ("0", "1", "2")}
    model = replace(tiny_model(), **names, input_size=(3, 8, 8), resize=10, interpolation=recommended)
    spec = RunSpec.of(data=f"imagefolder:{image.parent.parent}", sigma=0.25, n=200, n0=20, interpolation=asked)
    run = certify_run(spec, out=tmp_path / "run", model=model)
    data = run.config.spec.data
    assert (data.image_size, data.resize, data.interpolation) == (8, 10, used)
    prepared = Preprocess(image_size=8, resize=10, interpolation=used)(image, name="x")
    assert run.record(0).samples.content_hash == content_hash(prepared)
    other = "hamming" if asked is None else None if recommended else "box"
    with pytest.raises(RunError, match="interpolation is"):
        certify_run(spec.vary(interpolation=other), out=tmp_path / "run", model=model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 5}, "limit must not be given beside loaded data"),
        ({"data": "digits", "stride": 2}, "data, stride must not be given"),
        ({"model": "digits"}, "model must not be given beside loaded model"),
        ({"weights": "w.safetensors"}, "weights must not be given"),
        ({"split": "test", "image_size": 8}, "split, image_size must not be given"),
    ],
)
def test_what_means_nothing_beside_what_is_loaded_is_refused(tmp_path, change, message):
    spec = RunSpec.of(sigma=0.25, n=200, n0=20, device="cpu").vary(**change)
    with pytest.raises(InvalidArgumentError, match=message):
        certify_run(spec, out=tmp_path / "run", model=tiny_model(), data=Dataset(ArraySource()))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        ({"model": "digits"}, "model must be loaded; its name belongs into the spec; got 'digits'"),
        ({"model": 3}, "base_classifier must be a torch module, a function"),
        ({"model": tiny_model(), "data": "digits"}, "data must be loaded; its name belongs into the spec"),
    ],
)
def test_what_is_nothing_loaded_is_refused(tmp_path, loaded, message):
    with pytest.raises(InvalidArgumentError, match=message):
        certify_run(SamplingSpec(sigma=0.25), out=tmp_path / "run", **loaded)


def test_a_module_and_arrays_are_certified_as_they_come(tmp_path):
    source = ArraySource()
    arrays = np.stack([source.read(index) for index in source.indices]), [source.label(i) for i in source.indices]
    spec = RunSpec.of(sigma=0.25, n=200, n0=20, device="cpu")
    run = certify_run(spec, out=tmp_path / "run", model=Brightness(), data=arrays)
    assert (run.config.model, run.config.spec.model.name) == ("Brightness", None)
    assert run.config.identity["code tiny_model.py"]
    assert run.config.weights_hash
    for one, other in zip(run.records(), certify(tmp_path / "other").records(), strict=True):
        assert one.samples.score == other.samples.score
    with pytest.raises(RunError, match="values of the weights changed"):
        certify_run(spec, out=tmp_path / "run", model=Brightness(41.0), data=arrays)
    with pytest.raises(RunError, match="the content of the data changed"):
        certify_run(spec, out=tmp_path / "run", model=Brightness(), data=(arrays[0][::-1].copy(), arrays[1]))


def test_a_function_is_a_classifier(tmp_path):
    def dark_or_bright(batch):
        return torch.stack([1.0 - batch.mean(dim=(1, 2, 3)), batch.mean(dim=(1, 2, 3))], dim=1) * 20.0

    x = np.linspace(0.0, 1.0, 12, dtype=np.float32).reshape(12, 1, 1, 1) * np.ones((1, 1, 4, 4), np.float32)
    run = certify_run(SamplingSpec(sigma=0.1, n=200, n0=20), out=tmp_path, model=dark_or_bright, data=x)
    assert [record.samples.prediction for record in run.records()] == [0] * 6 + [1] * 6


def test_what_is_neither_named_nor_loaded_is_asked_for(tmp_path):
    with pytest.raises(InvalidArgumentError, match="model must be given"):
        certify_run(SamplingSpec(sigma=0.25), out=tmp_path / "run", data=Dataset(ArraySource()))
    with pytest.raises(InvalidArgumentError, match="data must be given"):
        certify_run(SamplingSpec(sigma=0.25), out=tmp_path / "run", model=tiny_model())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("other", [{"stride": 2}, {"limit": 6, "stride": 2}, {"stride": 3}])
def test_two_selections_never_share_a_folder(tmp_path, other):
    source = ArraySource()
    certify(tmp_path, data=Dataset(source, limit=6))
    with pytest.raises(RunError, match="the content of the data changed"):
        certify(tmp_path, data=Dataset(source, **other))


class Halves(LocalEngine):
    """Lets two engines take every other input each, the second one first, and hands over in reverse."""

    def records(self, tasks, *, progress):
        taken, engines = list(tasks), [LocalEngine(self._run), LocalEngine(self._run)]
        halves = [list(one.records(taken[k::2], progress=progress)) for k, one in enumerate(engines)]
        yield from reversed([record for half in halves for record in half])


def test_who_samples_in_which_order_changes_nothing(tmp_path):
    data, spec = Dataset(ArraySource(unreadable=[3])), RunSpec.of(sigma=0.25, n=200, n0=20, on_unreadable="skip")
    for name, engine in (("halves", Halves), ("one", LocalEngine)):
        listening = Listening()
        loaded = {"model": tiny_model(), "data": data}

        def make(spec, engine=engine, **given):
            return engine(prepare(spec, **given))

        certify_run(spec, out=tmp_path / name, **loaded, engine=make, reporter=listening)
        assert (listening.drawn, listening.finished, listening.skipped) == (11 * 220, 11, 1)
    assert_same_run(tmp_path / "halves", tmp_path / "one")


@pytest.mark.parametrize("skips", [True, False])
def test_an_input_the_model_fails_on_is_found_in_its_batch_and_harms_no_other(tmp_path, skips):
    data = Dataset(MarkedSource(marked=[5]))
    listening = Listening()
    settings = {"model": tiny_model(Refusing()), "data": data, "batch_size": 500, "reporter": listening}
    said = "the base classifier failed on a batch of 21 copies of it with RuntimeError: this one I do not like"
    if skips:
        run = certify(tmp_path / "run", on_unreadable="skip", **settings)
        assert [(record.index, record.id, record.label) for record in run.skipped] == [(5, "array 5", 2)]
        assert said in run.skipped[0].error
        assert (listening.finished, listening.skipped) == (11, 1)
    else:
        with pytest.raises(ModelError, match=r"input 5 \(array 5\): .*what is stored so far is kept.*--on-error skip"):
            certify(tmp_path / "run", **settings)
        assert 5 not in [record.index for record in Run.open(tmp_path / "run").records()]
    certify(tmp_path / "alone", model=tiny_model(), data=data, batch_size=500)
    alone = Run.open(tmp_path / "alone")
    for record in Run.open(tmp_path / "run").records():
        if record.error is None:
            assert same(record, alone.record(record.index), seconds=False)


def test_a_model_that_fails_on_the_first_inputs_is_probed_on_others(tmp_path):
    data = Dataset(MarkedSource(marked=[0, 1]))
    run = certify(tmp_path / "run", model=tiny_model(Refusing()), data=data, on_unreadable="skip")
    assert [record.index for record in run.skipped] == [0, 1]
    assert run.config.witness.index == 2
    with pytest.raises(ModelError, match=r"input 0 \(array 0\): .*I do not like"):
        certify(tmp_path / "other", model=tiny_model(Refusing()), data=data)


def test_a_model_that_breaks_for_good_blames_no_input(tmp_path):
    class Breaking(Refusing):
        broken = False

        def forward(self, x):
            try:
                return super().forward(x)
            except RuntimeError:
                self.broken = True
                raise
            finally:
                if self.broken:
                    raise RuntimeError("the device is gone")

    data = Dataset(MarkedSource(100, marked=[20]))
    with pytest.raises(ModelError, match="given 4 rows, failed with RuntimeError: the device is gone"):
        certify(tmp_path, model=tiny_model(Breaking()), data=data, on_unreadable="skip", batch_size=100)
    assert not Run.open(tmp_path).skipped


def test_a_measure_that_fails_on_an_input_is_an_error_of_it(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from smoothcert import Measure\n"
        "def compute(scores, labels):\n"
        "    if scores[:, 2].mean() > 0.5:\n"
        "        raise RuntimeError('too bright')\n"
        "    return scores.gather(1, labels.expand(len(scores), -1))\n"
        "own = Measure('own', 0.0, 1.0, compute)\n"
    )
    run = certify(tmp_path / "run", measure=(f"python:{file}:own",), on_unreadable="skip")
    assert [record.index for record in run.skipped] == [2, 5, 8, 11]
    assert "too bright" in run.skipped[0].error


def test_a_task_draws_what_is_not_held(tmp_path):
    def engine(n):
        spec = RunSpec.of(sigma=0.25, n=n, n0=20, device="cpu")
        return LocalEngine(prepare(spec, model=tiny_model(), data=Dataset(ArraySource()), reporter=Reporter()))

    def sampled(n, tasks):
        drawn = []
        found = {record.index: record for record in engine(n).records(tasks, progress=drawn.append)}
        return found, sum(drawn)

    few, _ = sampled(150, map(Task, range(4)))
    whole, _ = sampled(400, map(Task, range(5)))
    tasks = [Task(0, few[0].samples), Task(4), Task(1, few[1].samples), Task(2, few[2].samples), Task(3, n=150)]
    grown, drawn = sampled(400, tasks)
    assert drawn == 3 * 250 + 420 + 170
    assert {index: record.samples for index, record in grown.items() if index != 3} == {
        index: whole[index].samples for index in (0, 1, 2, 4)
    }
    assert grown[3].samples == few[3].samples
    assert all(record.seconds > 0.0 for record in grown.values())


def test_inputs_that_failed_are_tried_again_on_request(tmp_path):
    source = ArraySource(unreadable=[4, 7])
    source.digest = str  # of the content as it is to be: what was away comes back
    listening = Listening()
    assert len(certify(tmp_path, data=Dataset(source), on_unreadable="skip").skipped) == 2
    certify(tmp_path, data=Dataset(source), reporter=listening)
    assert listening.drawn == 0
    assert "already holds 12 of 12 inputs, 2 of them as failed (--retry-failed)" in listening.notes[-1]
    source._unreadable = frozenset([7])
    listening = Listening()
    run = certify(tmp_path, data=Dataset(source), on_unreadable="skip", retry_failed=True, reporter=listening)
    assert (listening.finished, listening.skipped, listening.drawn) == (1, 1, 220)
    assert [record.index for record in run.skipped] == [7]
    source._unreadable = frozenset()
    certify(tmp_path, data=Dataset(source), retry_failed=True)
    whole = ArraySource()
    whole.digest = str
    certify(tmp_path / "whole", data=Dataset(whole))
    assert_same_run(tmp_path, tmp_path / "whole")


def test_a_run_goes_on_with_the_batch_size_it_began_with(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        certify(tmp_path, batch_size=77, reporter=Interrupting(2))
    sizes = []

    def make(spec, **given):
        sizes.append(spec.execution.batch_size)
        return LocalEngine(prepare(spec, **given))

    spec = RunSpec.of(sigma=0.25, n=200, n0=20, device="cpu")
    for asked in (spec, spec.vary(batch_size=50)):
        certify_run(asked, out=tmp_path, model=tiny_model(), data=Dataset(ArraySource()), engine=make)
    assert sizes == [77, 50]
