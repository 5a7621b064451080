"""One training, stage by stage: the encoder by contrast, where the method has one, the classifier, the test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from segface_edge.errors import TrainingError
from segface_edge.training.sbcl import SubclassBalancedContrastiveLoss, supervised_contrastive_loss
from segface_edge.training.subclasses import class_temperatures, find_subclasses, subclass_counts

from .classifiers import CosineClassifier, class_aware, class_balanced_weights, class_means, ldam_loss
from .config import StudyConfig
from .encoders import Projection, encoder_for
from .labelled import DataSet, Pictures
from .methods import Method
from .outcomes import Split
from .views import random_views

Progress = Callable[[int], None]


class Run:
    """One training: a method on a long-tailed set.

    Attributes:
        split: what SBCL made of the samples in its last clustering; None before, and for all other methods.
    """

    def __init__(
        self,
        method: Method,
        config: StudyConfig,
        data: DataSet,
        train: Pictures,
        counts: Sequence[int],
        seed: int,
        progress: Progress,
    ) -> None:
        """Draws the encoder's weights.

        Args:
            method: what is trained.
            config: how long, and how.
            data: the test set, the classes, and how views differ.
            train: the N samples of the tail.
            counts: n_c of them by class.
            seed: draws the weights, and the order and views of the samples.
            progress: told of epochs done, one of two views as two.
        """
        self.method, self.config, self.data, self.counts = method, config, data, counts
        # A class without samples cannot be; counts are 1 at least.
        self.pictures, self.seed, self.progress = train, seed, progress
        torch.manual_seed(seed)
        self.random = torch.Generator().manual_seed(seed)
        channels, side = train.images.shape[1:3]
        self.encoder = encoder_for(channels, side)
        self.split: Split | None = None

    def train(self) -> list[float]:
        """All stages; accuracy in test of each class at the end, fractions.

        Raises:
            TrainingError: a loss is not a number.
        """
        config = self.config
        classifier: nn.Module = (
            CosineClassifier(self.encoder.width, self.data.classes)
            if self._classifier_loss() == "ldam"
            else nn.Linear(self.encoder.width, self.data.classes)
        )
        if self.method.contrast is None:
            self._classify(classifier, 2 * config.epochs + config.classifier_epochs, frozen=False)
        else:
            self._contrast()
            if config.second_stage == "means":
                classifier = self._means()
                self.progress(config.classifier_epochs)
            else:
                self._classify(classifier, config.classifier_epochs, frozen=True)
        return self._test(classifier)

    def _classifier_loss(self) -> str:
        second = self.method.contrast is not None
        return "ce" if second and self.config.second_stage == "sampling" else self.method.classifier

    def _batches(self, order: Tensor) -> Iterator[Tensor]:
        """Indices in parts of one size, give or take one: a batch, or some more."""
        yield from order.tensor_split(max(1, len(order) // self.config.batch))

    def _shuffled(self) -> Tensor:
        return torch.randperm(len(self.pictures), generator=self.random)

    def _view(self, images: Tensor) -> Tensor:
        return random_views(images, self.data.changes, self.random)

    def _optimiser(self, modules: Sequence[nn.Module], epochs: int) -> tuple[torch.optim.SGD, Callable[[int], None]]:
        optimiser = torch.optim.SGD(
            [parameter for module in modules for parameter in module.parameters()],
            lr=self.config.lr,
            momentum=0.9,
            weight_decay=5e-4,
        )

        def cool(epoch: int) -> None:
            for group in optimiser.param_groups:
                group["lr"] = self.config.lr * 0.5 * (1 + math.cos(math.pi * epoch / epochs))

        return optimiser, cool

    def _step(self, optimiser: torch.optim.SGD, loss: Tensor) -> None:
        if not bool(loss.isfinite()):
            raise TrainingError(f"seed {self.seed}", "a loss is not a finite number", "lower --lr")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def _contrast(self) -> None:
        config, method = self.config, self.method
        projection = Projection(self.encoder.width)
        optimiser, cool = self._optimiser([self.encoder, projection], config.epochs)
        loss = SubclassBalancedContrastiveLoss()
        labels = self.pictures.labels
        split = subclass_counts(self.counts, config.smallest)
        subclasses, temperatures = torch.zeros_like(labels), None
        for epoch in range(config.epochs):
            cool(epoch)
            if method.contrast == "sbcl" and config.schedule.is_due(epoch):
                embeddings = self._embed(projection)
                subclasses = find_subclasses(
                    embeddings, labels, split, seed=self.seed * config.epochs + epoch, method=method.clustering
                )
                temperatures = class_temperatures(embeddings, labels, split) if method.dynamic else None
                self.split = Split(pictures=self.pictures, embeddings=embeddings, subclasses=subclasses)
            self.encoder.train()
            for indices in self._batches(self._shuffled()):
                images = self.pictures.images[indices]
                both = torch.cat([self._view(images), self._view(images)])
                one, two = projection(self.encoder(both)).chunk(2)
                features = torch.stack([one, two], dim=1)
                if method.contrast == "supcon" or config.schedule.warms_up(epoch):
                    value = supervised_contrastive_loss(features, labels[indices])
                else:
                    value = loss(features, labels[indices], subclasses[indices], temperatures)
                self._step(optimiser, value)
            self.progress(2)

    @torch.no_grad()
    def _embed(self, projection: Projection) -> Tensor:
        self.encoder.eval()
        images = self.pictures.images
        return torch.cat([projection(self.encoder(part)) for part in torch.split(images, 1024)])

    @torch.no_grad()
    def _means(self) -> CosineClassifier:
        """The nearest class mean over the training samples as they are, not in views."""
        self.encoder.eval()
        encoded = torch.cat([self.encoder(part) for part in torch.split(self.pictures.images, 1024)])
        return class_means(encoded, self.pictures.labels, self.data.classes)

    def _classify(self, classifier: nn.Module, epochs: int, *, frozen: bool) -> None:
        labels, method = self.pictures.labels, self.method
        sampling = frozen and self.config.second_stage == "sampling"
        optimiser, cool = self._optimiser([classifier] if frozen else [self.encoder, classifier], epochs)
        weights = class_balanced_weights(self.counts)
        for epoch in range(epochs):
            cool(epoch)
            self.encoder.train(not frozen)
            order = class_aware(labels, self.random) if sampling else self._shuffled()
            weighted = weights if epoch >= method.balanced_from * epochs and not sampling else None
            for indices in self._batches(order):
                images = self._view(self.pictures.images[indices])
                with torch.set_grad_enabled(not frozen):
                    features = self.encoder(images)
                scores, truth = classifier(features), labels[indices]
                if self._classifier_loss() == "ldam":
                    value = ldam_loss(scores, truth, self.counts, weighted)
                else:
                    value = nn.functional.cross_entropy(scores, truth, weighted)
                self._step(optimiser, value)
            self.progress(1)

    @torch.no_grad()
    def _test(self, classifier: nn.Module) -> list[float]:
        self.encoder.eval()
        test = self.data.test
        found = torch.cat([classifier(self.encoder(part)).argmax(1) for part in torch.split(test.images, 1024)])
        right = (found == test.labels).double()
        return [float(right[test.labels == label].mean()) for label in range(self.data.classes)]
