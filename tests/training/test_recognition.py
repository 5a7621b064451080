"""Long-tailed recognition: data, views, classifiers' losses, and a study as a whole, small."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
for package in ("dacite", "matplotlib"):
    pytest.importorskip(package, reason=f"training needs {package}")

from PIL import Image

from segface_edge.cli import longtail
from segface_edge.errors import DataError, TrainingError, UsageError
from segface_edge.training.recognition import stages
from segface_edge.training.recognition.classifiers import (
    CosineClassifier,
    class_aware,
    class_balanced_weights,
    class_means,
    ldam_loss,
)
from segface_edge.training.recognition.config import StudyConfig
from segface_edge.training.recognition.encoders import Projection, ResNet32, encoder_for
from segface_edge.training.recognition.labelled import open_dataset
from segface_edge.training.recognition.methods import METHODS
from segface_edge.training.recognition.outcomes import Study, thirds
from segface_edge.training.recognition.study import run_study
from segface_edge.training.recognition.tails import long_tail_counts, long_tailed
from segface_edge.training.recognition.views import Changes, random_views
from segface_edge.training.subclasses import SubclassSchedule


def test_a_tail_falls_exponentially() -> None:
    assert long_tail_counts(100, 3, 100) == [100, 10, 1]
    assert long_tail_counts(500, 100, 100)[0] == 500
    assert long_tail_counts(500, 100, 100)[-1] == 5
    assert long_tail_counts(7, 4, 1) == [7, 7, 7, 7]
    assert long_tail_counts(2, 3, 1000) == [2, 1, 1]


def test_a_tail_takes_each_sample_once_and_follows_from_the_seed() -> None:
    labels = torch.arange(400) % 4
    taken, counts = long_tailed(labels, 50, seed=3)
    assert labels[taken].bincount(minlength=4).tolist() == counts
    assert sorted(counts, reverse=True) == long_tail_counts(100, 4, 50)
    assert len(set(taken.tolist())) == len(taken)
    assert torch.equal(long_tailed(labels, 50, seed=3)[0], taken)
    assert len({tuple(long_tailed(labels, 50, seed=seed)[1]) for seed in range(8)}) > 1


def test_digits_are_split_into_train_and_a_balanced_test() -> None:
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    data = open_dataset("digits")
    assert data.test.labels.bincount().tolist() == [50] * 10
    assert len(data.train) + len(data.test) == 1797
    assert int(data.train.labels.bincount().min()) >= 124
    assert data.train.images.shape[1:] == (1, 8, 8)
    assert (float(data.train.images.min()), float(data.train.images.max())) == (0, 1)
    every = torch.cat([data.train.images, data.test.images]).flatten(1)
    assert len(every.unique(dim=0)) == 1797  # no picture is in both


def cifar(path: Path, name: str, *, label: int = 3, cut: int = 0, missing: bool = False) -> Path:
    """A small archive in CIFAR's binary layout: pixels count up, planes one after the other."""
    folder, files, before = {
        "cifar10": ("cifar-10-batches-bin", [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"], b""),
        "cifar100": ("cifar-100-binary", ["train.bin", "test.bin"], b"\x07"),
    }[name]
    pixels = bytes(range(256)) * 12
    with tarfile.open(path / f"{name[:5]}-{name[5:]}-binary.tar.gz", "w:gz") as archive:
        for number, file in enumerate(files[1:] if missing else files):
            content = (before + bytes([label if number == 0 else 1]) + pixels) * 2
            content = content[: len(content) - cut]
            entry = tarfile.TarInfo(f"{folder}/{file}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize(("name", "pictures"), [("cifar10", 10), ("cifar100", 2)])
def test_cifar_is_read_from_its_archive(tmp_path: Path, name: str, pictures: int) -> None:
    data = open_dataset(name, cifar(tmp_path, name))
    assert (len(data.train), len(data.test)) == (pictures, 2)
    assert data.train.labels.tolist()[:3] == [3, 3, 1][: 3 if pictures > 2 else 2]
    first = (255 * data.train.images[0]).round().long()
    assert first[:, 0, :3].tolist() == [[0, 1, 2]] * 3
    assert first[0, 1, 0].item() == 32


@pytest.mark.parametrize(
    ("options", "says"),
    [({"cut": 5}, "not records of 3073"), ({"missing": True}, "is not CIFAR's"), ({"label": 10}, "holds the label 10")],
)
def test_an_archive_that_is_none_is_one_line(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        open_dataset("cifar10", cifar(tmp_path, "cifar10", **options))


def test_an_archive_cut_off_or_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="binary version"):
        open_dataset("cifar10", tmp_path)
    path = cifar(tmp_path, "cifar10") / "cifar-10-binary.tar.gz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (whole[:300], whole[:middle] + bytes(200) + whole[middle + 200 :], b"", b"none"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is not CIFAR's"):
            open_dataset("cifar10", tmp_path)
    with pytest.raises(UsageError, match="--root"):
        open_dataset("cifar10")
    with pytest.raises(UsageError, match="use one of: digits"):
        open_dataset("mnist")


def test_views() -> None:
    images = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    still = Changes(rotation=0, scale=0, shift=0, brightness=0, noise=0)
    torch.testing.assert_close(random_views(images, still, torch.Generator().manual_seed(0)), images, rtol=0, atol=1e-5)
    mirror = Changes(rotation=0, scale=0, shift=0, brightness=0, noise=0, mirror=True)
    found = random_views(images, mirror, torch.Generator().manual_seed(1))
    turned = [torch.allclose(a, b.flip(-1), atol=1e-5) for a, b in zip(found, images, strict=True)]
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(found, images, strict=True)]
    assert all(a != b for a, b in zip(turned, same, strict=True))
    assert set(turned) == {True, False}
    wild = Changes(rotation=30, scale=0.3, shift=0.2, brightness=0.4, noise=0.2, mirror=True)
    one, other = (random_views(images, wild, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert (float(one.min()), float(one.max())) >= (0, 0)
    assert float(one.max()) <= 1
    assert not torch.allclose(one, other)


def test_class_balanced_weights_are_their_formula() -> None:
    counts = [1000, 50, 1]
    raw = np.array([(1 - 0.9999) / (1 - 0.9999**count) for count in counts])
    np.testing.assert_allclose(class_balanced_weights(counts).numpy(), raw / raw.mean(), rtol=1e-6)


def test_ldam_is_cross_entropy_with_margins() -> None:
    torch.manual_seed(0)
    cosines, labels, counts = 2 * torch.rand(6, 3) - 1, torch.tensor([0, 1, 2, 2, 1, 0]), [100, 10, 2]
    margins = [0.5 * (2 / count) ** 0.25 for count in counts]
    weights = torch.tensor([0.5, 1.0, 1.5])
    total, weight = 0.0, 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        scaled = [30 * (value - (margins[label] if k == label else 0)) for k, value in enumerate(row)]
        log_p = scaled[label] - math.log(sum(math.exp(value) for value in scaled))
        total, weight = total - float(weights[label]) * log_p, weight + float(weights[label])
    assert ldam_loss(cosines, labels, counts, weights).item() == pytest.approx(total / weight, rel=1e-5)
    assert ldam_loss(cosines, labels, counts).item() > torch.nn.functional.cross_entropy(30 * cosines, labels).item()


def test_class_aware_sampling_gives_every_class_its_share() -> None:
    labels = torch.cat([torch.zeros(900, dtype=torch.long), torch.ones(90, dtype=torch.long), torch.full((10,), 2)])
    drawn = labels[class_aware(labels, torch.Generator().manual_seed(0))].bincount(minlength=3)
    assert len(labels) == int(drawn.sum())
    assert all(250 <= count <= 420 for count in drawn.tolist())


def test_class_means_decide_by_the_cosine() -> None:
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(40, 6, generator=generator) * 7, torch.arange(40) % 4
    cosines = class_means(features, labels, 4)(features)
    for row, feature in zip(cosines.tolist(), features, strict=True):
        for label, cosine in enumerate(row):
            mean = sum(one / one.norm() for one in features[labels == label]) / 10
            assert cosine == pytest.approx(float(mean @ feature / mean.norm() / feature.norm()), abs=1e-5)


def test_encoders() -> None:
    resnet = encoder_for(3, 32)
    assert isinstance(resnet, ResNet32)
    # He et al.: 0.46 M parameters; without the classifier.
    assert sum(parameter.numel() for parameter in resnet.parameters()) == 463_504
    assert resnet(torch.zeros(2, 3, 32, 32)).shape == (2, 64)
    assert encoder_for(1, 8)(torch.zeros(2, 1, 8, 8)).shape == (2, 64)
    lengths = torch.linalg.vector_norm(Projection(64)(torch.randn(4, 64)), dim=1)
    torch.testing.assert_close(lengths, torch.ones(4))
    cosines = CosineClassifier(8, 3)(torch.randn(5, 8))
    assert cosines.shape == (5, 3)
    assert bool((cosines.abs() <= 1 + 1e-6).all())


def test_thirds_go_by_frequency() -> None:
    assert thirds([5, 100, 20, 1, 50, 7]) == {"many": [1, 4], "medium": [2, 5], "few": [0, 3]}
    assert thirds(list(range(10, 0, -1))) == {"many": [0, 1, 2], "medium": [3, 4, 5, 6], "few": [7, 8, 9]}


SMALL = {
    "seeds": 2,
    "epochs": 4,
    "classifier_epochs": 2,
    "batch": 256,
    "threads": 1,
    "schedule": SubclassSchedule(warmup=1, every=2),
}


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("second_stage", ["sampling", "means"])
def test_other_second_stages_learn_more_than_chance(second_stage: str) -> None:
    changes = {
        "seeds": 1,
        "epochs": 20,
        "classifier_epochs": 10,
        "batch": 64,
        "methods": ("supcon",),
        "second_stage": second_stage,
    }
    (outcome,) = run_study(StudyConfig(**{**SMALL, **changes})).outcomes
    assert outcome.summary()["all"] > 0.4  # chance is 0.1


@pytest.fixture(scope="module")
def small() -> Study:
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    return run_study(StudyConfig(methods=tuple(METHODS), **SMALL))


def test_every_method_trains_on_the_same_tail(small: Study) -> None:
    assert [(one.method, one.seed) for one in small.outcomes] == [(name, s) for s in (0, 1) for name in METHODS]
    for seed in (0, 1):
        assert len({one.counts for one in small.outcomes if one.seed == seed}) == 1
    assert all(0 <= accuracy <= 1 for one in small.outcomes for accuracy in one.accuracy)
    assert {len(one.accuracy) for one in small.outcomes} == {10}


def test_rows_are_means_and_paired_differences(small: Study) -> None:
    rows = {row["method"]: row for row in small.rows()}
    few = {name: [one.summary()["few"] for one in small.outcomes if one.method == name] for name in ("ce", "sbcl")}
    assert rows["sbcl"]["accuracy"]["few"]["mean"] == pytest.approx(np.mean(few["sbcl"]))
    assert rows["sbcl"]["accuracy"]["few"]["sd"] == pytest.approx(np.std(few["sbcl"], ddof=1))
    difference = np.subtract(few["sbcl"], few["ce"])
    assert rows["sbcl"]["better_than"]["ce"]["few"]["mean"] == pytest.approx(difference.mean())
    assert rows["sbcl"]["better_than"]["ce"]["few"]["least"] == pytest.approx(difference.min())
    json.dumps(small.to_dict())


def test_the_split_is_balanced(small: Study) -> None:
    assert small.split is not None
    counts = small.split.pictures.labels.bincount().tolist()
    for label, count in enumerate(counts):
        sizes = small.split.subclasses[small.split.pictures.labels == label].unique(return_counts=True)[1]
        assert len(sizes) == max(1, count // 10)
        assert int(sizes.max() - sizes.min()) <= 1


def test_a_study_can_be_made_again(small: Study) -> None:
    again = run_study(StudyConfig(methods=("sbcl",), **{**SMALL, "seeds": 1}))
    first = next(one for one in small.outcomes if (one.method, one.seed) == ("sbcl", 0))
    assert again.outcomes[0].accuracy == first.accuracy


def test_a_loss_that_is_no_number_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    monkeypatch.setattr(stages, "supervised_contrastive_loss", lambda *_: torch.tensor(math.nan, requires_grad=True))
    with pytest.raises(TrainingError, match="lower --lr"):
        run_study(StudyConfig(methods=("supcon",), **SMALL))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"methods": ("ce", "kcl")}, "use some of: ce"),
        ({"methods": ()}, "are none"),
        ({"methods": ("ce", "ce")}, "comes twice"),
        ({"seeds": 0}, "below 1"),
        ({"lr": 0.0}, "positive"),
        ({"second_stage": "knn"}, "use one of ldam"),
        ({"imbalance": 0.5}, "below 1"),
        ({"threads": 0}, "below 1"),
    ],
)
def test_a_study_that_cannot_be_is_one_line(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        StudyConfig(**options)


@pytest.mark.slow
def test_the_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    pictures = [tmp_path / "accuracy.png", tmp_path / "subclasses.png"]
    options = ["--seeds", 1, "--epochs", 3, "--classifier-epochs", 1, "--warmup", 1, "--recluster", 1, "--batch", 256]
    result = cli(
        "longtail", *options, "--plot", pictures[0], "--subclasses", pictures[1], "--json", tmp_path / "x.json"
    )
    assert result.code == 0, result.err
    assert "SBCL" in result.out
    assert "few: sbcl against ce" in result.out
    assert result.err.count("seed 0:") == 3
    for path in pictures:
        with Image.open(path) as picture:
            assert min(picture.size) > 300
    document = json.loads((tmp_path / "x.json").read_text())
    assert [row["method"] for row in document["rows"]] == ["ce", "supcon", "sbcl"]
    assert document["config"]["imbalance"] == 50


def test_the_command_s_help_names_every_method() -> None:
    assert longtail.METHODS.split(", ") == list(METHODS)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--methods", "kcl"], 2, "use some of"),
        (["--data", "mnist"], 2, "use one of"),
        (["--data", "cifar10"], 2, "--root"),
        (["--plot", "x.bmp"], 2, "no format of figures"),
        (
            ["--methods", "ce", "--seeds", 1, "--epochs", 1, "--classifier-epochs", 1, "--subclasses", "x.png"],
            2,
            "has none",
        ),
    ],
)
def test_bad_options_are_one_line(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[Any], code: int, says: str
) -> None:
    pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    monkeypatch.chdir(tmp_path)
    result = cli("longtail", *options)
    assert result.code == code
    assert says in result.err
