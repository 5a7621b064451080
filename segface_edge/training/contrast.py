"""SBCL on the regions of faces (`regions.py`): which loss a step has, and the memory that subclasses are found in.

Shape letters: P photos of the training set, N of a step, K classes, E width of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from segface_edge.errors import CheckpointError, UsageError

from .processes import several
from .regions import EMBEDDING, Kind
from .sbcl import TEMPERATURE, SubclassBalancedContrastiveLoss, supervised_contrastive_loss
from .subclasses import SubclassSchedule, class_temperatures, find_subclasses, subclass_counts

Temperatures = Literal["linear", "exponential", "static"]


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig:
    """The recipe's [contrastive]: subclass-balancing contrastive learning on regions (SBCL, arXiv 2306.15925).

    Attributes:
        weight: of the loss beside SegFace's.
        regions: what a region's two views are, `pixels` or `tokens`, see `RegionNetwork`.
        warmup_steps: of plain supervised contrastive loss, while the memory fills: an epoch's are a good number.
        recluster_every: steps between clusterings.
        smallest: delta: no subclass is meant to have fewer regions.
        temperatures: `linear` or `exponential`: the dynamic form, a temperature for every class; `static`: the other.

    Raises:
        UsageError: a value is out of range.
    """

    weight: float = 0.1
    regions: Kind = "pixels"
    warmup_steps: int = 100
    recluster_every: int = 100
    smallest: int = 10
    temperatures: Temperatures = "linear"

    def __post_init__(self) -> None:
        checks = {
            "weight": (0 < self.weight < math.inf, "use a positive number, 0.1 for example"),
            "regions": (self.regions in get_args(Kind), f"use one of {', '.join(get_args(Kind))}"),
            "warmup_steps": (self.warmup_steps >= 1, "use 1 or more: the memory is empty at first"),
            "recluster_every": (self.recluster_every >= 1, "use 1 or more"),
            "smallest": (self.smallest >= 1, "use 1 or more"),
            "temperatures": (
                self.temperatures in get_args(Temperatures),
                f"use one of {', '.join(get_args(Temperatures))}",
            ),
        }
        for name, (fine, cure) in checks.items():
            if not fine:
                raise UsageError(f"contrastive.{name} {getattr(self, name)!r}", "is out of range", cure)


class Contrast:
    """The contrastive loss of a training, step by step.

    Every process holds the same memory, and sees the regions of all of them.

    Args:
        config: of the recipe.
        present: the classes that each photo of the training set shows, by which head and tail are told apart.
        classes: K.
        seed: of the clustering.
        device: where the memory is.
    """

    def __init__(
        self,
        config: ContrastiveConfig,
        present: Sequence[frozenset[int]],
        classes: int,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self.config, self.seed, self.classes = config, seed, classes
        self.schedule = SubclassSchedule(warmup=config.warmup_steps, every=config.recluster_every)
        self.split = subclass_counts(
            [sum(label in shown for shown in present) for label in range(classes)], config.smallest
        )
        self.loss = SubclassBalancedContrastiveLoss()
        # Each region as it looked when it was seen last, and the subclass that it was put in then: -1 for none yet.
        # Half precision: of CelebAMask-HQ's 24,183 photos it takes 118 MB.
        self.memory = torch.zeros(len(present), classes, EMBEDDING, dtype=torch.float16, device=device)
        self.subclasses = torch.full((len(present), classes), -1, dtype=torch.long, device=device)
        # Of each subclass, and the class that it is of.
        self.centres = torch.zeros(0, EMBEDDING, device=device)
        self.owners = torch.zeros(0, dtype=torch.long, device=device)
        self.temperatures = torch.full((classes,), TEMPERATURE, device=device)

    def __call__(self, step: int, embeddings: Tensor, present: Tensor, photos: Tensor) -> Tensor:
        """The loss of a step, a scalar; 0 where no region is there.

        Args:
            step: number of the step, from 0.
            embeddings: (N, K, 2, E) unit vectors, of this process.
            present: (N, K) bool, which regions are there.
            photos: (N,) int64 in [0, P), which photo each is of.
        """
        embeddings, present, photos = _of_all(embeddings.float()), _of_all(present), _of_all(photos)
        if self.schedule.is_due(step):
            self._find_subclasses(step)
        rows, labels = present.nonzero(as_tuple=True)
        if not len(rows):
            return 0 * embeddings.sum()
        features, photo = embeddings[rows, labels], photos[rows]
        if len(self.centres):
            subclasses = self._subclasses_of(features.detach(), photo, labels)
            temperatures = None if self.config.temperatures == "static" else self.temperatures
            value: Tensor = self.loss(features, labels, subclasses, temperatures)
        else:
            value = supervised_contrastive_loss(features, labels)
        self._remember(torch.nn.functional.normalize(features.detach().mean(1), dim=-1), photo, labels)
        return value

    def _remember(self, regions: Tensor, photos: Tensor, labels: Tensor) -> None:
        """Regions (R, E) as they were seen last: of a photo that comes twice in a step, the later one."""
        _, places = torch.unique(photos * self.classes + labels, return_inverse=True)
        rows = torch.arange(len(places), device=places.device)
        last = rows.new_zeros(int(places.max()) + 1).scatter_reduce(0, places, rows, "amax", include_self=False)
        self.memory[photos[last], labels[last]] = regions[last].to(self.memory.dtype)

    def _find_subclasses(self, step: int) -> None:
        # One process's is everyone's: sums in another order differ in their last digit, and so might a subclass.
        self.memory = _of_first(self.memory)
        photos, labels = self.memory.any(-1).nonzero(as_tuple=True)
        if not len(photos):
            return
        seen = self.memory[photos, labels].float()
        found = find_subclasses(seen, labels, self.split, seed=self.seed + step)
        # Ids of classes that were not seen are left out: a row a subclass that has a region.
        ids, members = torch.unique(found, return_inverse=True)
        sums = seen.new_zeros(len(ids), EMBEDDING).index_add(0, members, seen)
        self.centres = _of_first(torch.nn.functional.normalize(sums, dim=1))
        self.owners = labels.new_zeros(len(ids)).index_copy(0, members, labels)
        self.subclasses.fill_(-1)
        self.subclasses[photos, labels] = members
        if self.config.temperatures != "static":
            found = class_temperatures(seen, labels, self.split, form=self.config.temperatures)
            self.temperatures = _of_first(found)

    def _subclasses_of(self, features: Tensor, photos: Tensor, labels: Tensor) -> Tensor:
        """(R,) of regions: as they were put; those not seen then (another part pasted on, say) to the nearest centre
        of their class, or, where that has none, to one of their own."""
        found = self.subclasses[photos, labels]
        new = (found < 0).nonzero()[:, 0]
        if len(new):
            cosines = features[new].mean(1) @ self.centres.T
            cosines = cosines.masked_fill(labels[new][:, None] != self.owners, -math.inf)
            best, nearest = cosines.max(1)
            found[new] = torch.where(best > -math.inf, nearest, len(self.centres))
        return found

    def regions(self) -> tuple[Tensor, Tensor]:
        """(R,) photos and (R,) labels of all regions that have a subclass."""
        photos, labels = (self.subclasses >= 0).nonzero(as_tuple=True)
        return photos, labels

    def state(self) -> dict[str, Tensor]:
        """What a run goes on from."""
        return {
            "memory": self.memory,
            "subclasses": self.subclasses,
            "centres": self.centres,
            "owners": self.owners,
            "temperatures": self.temperatures,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises CheckpointError where it is not of this training set."""
        for name, now in self.state().items():
            then = state.get(name)
            # What clustering makes anew may have another length.
            fits = isinstance(then, Tensor) and (
                then.shape == now.shape or (name in ("centres", "owners") and then.shape[1:] == now.shape[1:])
            )
            if not fits:
                raise CheckpointError(
                    "state.pt", f"holds no '{name}' for this training set", "start again in another folder"
                )
            setattr(self, name, then)


class _Gather(torch.autograd.Function):
    """Tensors of one shape from all processes, in order of rank. Every process must compute the same from them: then
    each one's gradient is the whole's, and the sum over processes, which DistributedDataParallel turns into a mean, is
    the world's size times it (see `losses.SegmentationLoss`)."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local.contiguous())
        ctx.length = len(local)
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        first = dist.get_rank() * ctx.length
        return dist.get_world_size() * gradient[first : first + ctx.length]


def _of_all(local: Tensor) -> Tensor:
    if several():
        # gloo gathers no booleans.
        kind = torch.uint8 if local.dtype == torch.bool else local.dtype
        gathered: Tensor = _Gather.apply(local.to(kind))  # type: ignore[no-untyped-call]
        return gathered.to(local.dtype)
    return local


def _of_first(tensor: Tensor) -> Tensor:
    """The first process's."""
    if several():
        tensor = tensor.contiguous()
        dist.broadcast(tensor, 0)
    return tensor
