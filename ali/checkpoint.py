"""Reads and writes a run folder. It knows files and tensors, and no recipe.

========================  ====================================================================================
file                      what
========================  ====================================================================================
config.json               recipe, spec, every resolved argument, seed, versions, data fingerprint
model.safetensors         the game's weights (their moving average, where there is one; of the best moment, if the last was worse)
preprocess.json           the map between the data and the network's range
README.md                 model card
log.jsonl                 a line per report: step, losses, rows per second; at times its health, warnings, at the end a verdict
samples/*.png             samples while it learned
resume/state.safetensors  weights, average, the best so far, optimisers and step; only needed to go on training
resume/data.json          where the data was read from; only needed to go on training
========================  ====================================================================================

No file is ever half written, but for the last line of the log: each is written under a temporary name and then renamed. No file
is a pickle.
"""

from __future__ import annotations

__all__ = [
    "read_json",
    "read_log",
    "read_state",
    "read_weights",
    "write_file",
    "write_json",
    "write_state",
    "write_text",
    "write_weights",
]

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ali.errors import AliError


def write_text(file: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_file(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(file: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(file, json.dumps(value, indent=2) + "\n")


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file of a run.

    Raises:
        AliError: it is missing or broken.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        inside = sorted(path.parent.name for path in file.parent.glob(f"*/{file.name}"))
        which = f"; there is one in {file.parent / inside[0]}" if inside else ""
        raise AliError(f"{file.parent}: not a run folder, {file.name} is missing{which}") from None
    except (ValueError, OSError) as error:
        raise AliError(f"{file}: broken ({error}); copy it again, or train again") from None
    if not isinstance(value, dict):
        raise AliError(f"{file}: broken (not an object); copy it again, or train again")
    return value


def read_log(file: Path) -> list[dict[str, Any]]:
    """The lines of ``log.jsonl``, up to one that was being written when the run was killed; none if there is no log."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def write_weights(file: Path, weights: nn.Module | Mapping[str, Tensor]) -> None:
    """Write a module's parameters and buffers, or those that it had."""
    _write_tensors(file, dict(weights.state_dict() if isinstance(weights, nn.Module) else weights), {})


def read_weights(file: Path, module: nn.Module, parts: Sequence[str] = ()) -> None:
    """Pour weights into a module, in the module's own precision.

    Arguments:
        file: of weights.
        module: to fill.
        parts: if any, the file holds these parts of the module alone, and the others stay as they are.

    Raises:
        AliError: the file is missing or broken, or holds weights of another module.
    """
    others = {name: tensor for name, tensor in module.state_dict().items() if parts and name.split(".")[0] not in parts}
    _pour(others | _read_tensors(file)[0], module, file)


def write_state(
    file: Path,
    game: nn.Module,
    average: nn.Module | None,
    optimizers: Mapping[str, Optimizer],
    step: int,
    best: Mapping[str, Tensor] | None = None,
    guard: dict[str, Any] | None = None,
) -> None:
    """Write all that going on needs. Noise and batches depend on (seed, step) alone, so no random state is in it.

    Arguments:
        best, guard: weights of the best moment so far, and what is known of it (:class:`ali.recovery.Guard`).
    """
    tensors = {f"game.{name}": tensor for name, tensor in game.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    for player, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{player}.{index}.{name}": value for name, value in state.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (best or {}).items()}
    _write_tensors(file, tensors, {"step": str(step), "guard": json.dumps(guard or {})})


def read_state(
    file: Path, game: nn.Module, average: nn.Module | None, optimizers: Mapping[str, Optimizer]
) -> tuple[int, dict[str, Tensor], dict[str, Any]]:
    """Pour a state back in; returns the number of steps done, and ``best`` and ``guard`` as they were written.

    Raises:
        AliError: the file is broken, or of another game.
    """
    try:
        tensors, metadata = _read_tensors(file)
    except AliError as error:
        words = str(error).removesuffix("; copy it again, or train again")
        raise AliError(f"{words}; the weights in model.safetensors are apart from it: every verb but --resume works") from None

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    _pour(part("game."), game, file)
    if average is not None:
        _pour(part("average."), average, file)
    for player, optimizer in optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for key, value in part(f"optimizer.{player}.").items():
            number, name = key.split(".", 1)
            weight = weights[int(number)]
            # Laid out in memory as its weight is, or fused optimisers would mix numbers up.
            state.setdefault(int(number), {})[name] = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(metadata["step"]), part("best."), json.loads(metadata.get("guard", "{}"))


def _pour(tensors: dict[str, Tensor], module: nn.Module, file: Path) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError:
        wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        name = next((name for name in [*wanted, *found] if wanted.get(name) != found.get(name)), "one")
        raise AliError(
            f"{file}: these are not the weights of the networks that config.json describes: {name} has shape "
            f"{found.get(name, 'none')} here and {wanted.get(name, 'none')} there; was config.json edited?"
        ) from None


def _write_tensors(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    # Copies, because weights that two networks share may not share memory in the file.
    on_cpu = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    write_file(file, lambda temporary: save_file(on_cpu, temporary, {"format": "pt", **metadata}))


def _read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not file.is_file():
        raise AliError(f"{file}: missing")
    try:
        with safe_open(file, "pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise AliError(f"{file}: broken ({error}); copy it again, or train again") from None


def write_file(file: Path, write: Callable[[Path], Any]) -> None:
    """Write to a neighbour, force it to the disk, rename: at any moment the file is the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp{file.suffix}")  # always the same, so that a killed run leaves at most one
    try:
        write(temporary)
        os.chmod(temporary, 0o666 & ~_umask())  # safetensors writes for the owner alone
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The process's file mode mask; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
