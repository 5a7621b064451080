"""What a sampler measured, as the part `power` of a benchmark's report."""

from __future__ import annotations

from typing import Any

from .energy import Energy
from .sampler import Phase, Sampler

IDLE, BUSY = "idle", "busy"
# Where less of the measuring time has samples, joules a photo are not said.
MIN_COVERED = 0.9
# Shorter than this, a sensor that answers ten times a second says little.
SHORT_S = 1.0


def document(sampler: Sampler, photos: int) -> dict[str, Any]:
    """JSON-ready; see docs/json.md.

    Args:
        sampler: with the phases IDLE and BUSY.
        photos: how many were parsed in the phase BUSY.
    """
    rails = sampler.sensors.rails
    idle, busy = sampler.phases[IDLE], sampler.phases[BUSY]
    counted = [index for index, rail in enumerate(rails) if rail.counted]
    watts, idle_watts = _watts(busy, counted), _watts(idle, counted)
    covered = min((busy.energies[index].seconds for index in counted), default=0.0)
    sound = watts is not None and covered >= MIN_COVERED * busy.seconds and photos > 0
    return {
        "interval_s": sampler.interval_s,
        # The photos of the time that has samples, so that time without any adds neither joules nor photos.
        "joules_per_photo": watts * busy.seconds / photos if sound and watts is not None else None,
        "watts": watts,
        "idle_watts": idle_watts,
        "watts_above_idle": None if watts is None or idle_watts is None else watts - idle_watts,
        "joules": sum(busy.energies[index].joules for index in counted),
        "photos": photos,
        "seconds": busy.seconds,
        "covered_s": covered,
        "idle_s": idle.seconds,
        "rails": [
            {
                "name": rail.name,
                "sensor": rail.sensor,
                "total": rail.counted,
                "counter": rail.counter,
                "idle": _figures(idle.energies[index]),
                "busy": _figures(busy.energies[index]),
            }
            for index, rail in enumerate(rails)
        ],
        "throttling": [*sampler.throttling, *sampler.sensors.board.events()],
        "absent": [{"sensor": absent.sensor, "reason": absent.reason} for absent in sampler.sensors.absent],
        "samples": [
            {
                "seconds": round(sample.seconds, 4),
                "phase": sample.phase,
                "watts": [None if value is None else round(value, 4) for value in sample.watts],
                "cpu_mhz": sample.state.cpu_mhz,
                "gpu_mhz": sample.state.gpu_mhz,
                "temperature_c": sample.state.temperature_c,
                "throttling": list(sample.state.throttling),
            }
            for sample in sampler.timeline.samples
        ],
    }


def warnings(power: dict[str, Any]) -> list[str]:
    """What makes these figures doubtful."""
    found = [f"power: clocks were held down: {', '.join(power['throttling'])}"] if power["throttling"] else []
    if power["joules_per_photo"] is None:
        found.append(
            f"power: {power['covered_s']:.1f} of {power['seconds']:.1f} s have samples, "
            "too few to say joules a photo; measure longer"
        )
    for what, seconds in (("measured", power["seconds"]), ("idle", power["idle_s"])):
        if seconds < SHORT_S:
            found.append(f"power: {what} for {seconds:.1f} s, few samples of most sensors; measure for longer")
    for rail in power["rails"]:
        busy = rail["busy"]
        if busy["gaps"]:
            found.append(
                f"power: {rail['name']} has {busy['gaps']} gap(s) of {busy['gap_s']:.1f} s in all without samples; "
                "their energy is not counted"
            )
        if rail["total"] and busy["seconds"] >= 1 and busy["joules"] == 0:
            found.append(f"power: {rail['name']} reads 0 W all the time; its sensor does not work here")
    return found


def lines(report: dict[str, Any]) -> list[str]:
    """The figures of a report for people; none where power was not measured, as in reports older than that."""
    power, mode = report.get("power"), report["environment"]["power_mode"]
    if power is None:
        return []
    joules = "unknown" if power["joules_per_photo"] is None else f"{power['joules_per_photo']:.3f}"
    found = [
        f"power: {joules} J a photo, {_text(power['watts'])} W; idle {_text(power['idle_watts'])} W, "
        f"above it {_text(power['watts_above_idle'])} W; power mode {mode}"
    ]
    width = max(len(rail["name"]) for rail in power["rails"])
    for rail in power["rails"]:
        mark = "  total" if rail["total"] else ""
        watts, idle = rail["busy"]["watts"], rail["idle"]["watts"]
        found.append(f"  {rail['name']:<{width}} {_text(watts):>9} W   idle {_text(idle):>9} W{mark}")
    found += [f"  not read: {absent['sensor']}: {absent['reason']}" for absent in power["absent"]]
    return found


def _watts(phase: Phase, counted: list[int]) -> float | None:
    means = [phase.energies[index].watts for index in counted]
    known = [mean for mean in means if mean is not None]
    return sum(known) if known and len(known) == len(means) else None


def _figures(energy: Energy) -> dict[str, Any]:
    return {
        "watts": energy.watts,
        "joules": energy.joules,
        "seconds": energy.seconds,
        "gaps": energy.gaps,
        "gap_s": energy.gap_s,
    }


def _text(watts: float | None) -> str:
    # No -0.00 of a difference that rounding made.
    return "unknown" if watts is None else f"{round(watts, 2) + 0.0:.2f}"
