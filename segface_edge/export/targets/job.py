"""What a conversion is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segface_edge.spec import ModelSpec

if TYPE_CHECKING:
    import torch

    from segface_edge.evaluation.photos import Faces
    from segface_edge.export.config import ExportConfig
    from segface_edge.export.quantize import QuantizeConfig
    from segface_edge.network.deploy import DeployGraph


@dataclass(frozen=True, kw_only=True)
class Job:
    """A conversion.

    Attributes:
        onnx: the deploy graph as an ONNX file, in fp32 or the precision that was asked for, compared with PyTorch.
        spec: of the file to be.
        config: what was asked for.
        out: the file to write; what belongs to it has its name but for the suffix.
    """

    onnx: Path
    spec: ModelSpec
    config: ExportConfig
    out: Path

    def companion(self, suffix: str) -> Path:
        """A file that belongs to `out`."""
        return self.out.with_suffix(suffix)

    def calibration(self) -> tuple[QuantizeConfig, Faces]:
        """What int8 is asked of, for CPUs, and the photos that its ranges come from: chosen as for an ONNX file."""
        from segface_edge.engines.ort.engine import OrtEngine
        from segface_edge.export.precision import no_bar
        from segface_edge.export.quantize import QuantizeConfig, photos_to_calibrate_on

        config = self.config
        asked = QuantizeConfig(
            precision="int8",
            made_for="cpu",
            calib_data=config.calib_data,
            calib_images=config.calib_images,
            calib_method=config.calib_method,
        )
        with OrtEngine(self.onnx) as engine:
            return asked, photos_to_calibrate_on(asked, engine, no_bar)

    def module(self) -> tuple[DeployGraph, torch.Tensor]:
        """The deploy graph as a PyTorch module in eval mode, and frames (N, S, S, 3) uint8 to trace it with."""
        import torch

        from segface_edge.export.pipeline import load_network
        from segface_edge.network.deploy import DeployGraph

        model, _ = load_network(self.config, [])
        frames = torch.zeros(self.spec.batch or 2, self.spec.size, self.spec.size, 3, dtype=torch.uint8)
        return DeployGraph(model, self.config.output or "labels").eval(), frames
