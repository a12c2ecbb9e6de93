"""A step that finds no memory: its rows go through the model in more parts, and it is begun again."""

import traceback

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from edgekd.errors import EdgekdError
from edgekd.kd.checks import by_batch
from edgekd.kd.phase import Phase
from edgekd.resident import exhausted, give_back

# What oneDNN says where PyTorch's own allocator was not asked.
_PRIMITIVES = ("could not create a primitive", "could not execute a primitive")


def parts_after(error: Exception, phase: Phase, parts: int, processes: int) -> int:
    """Into how many parts to cut a step's rows after they did not fit as `parts`; what is free is given back first.

    Raises the error itself where it is another one, and EdgekdError where smaller parts are not the same training, or
    cannot be had: the others of several processes wait for this one's gradients, and would not know.
    """
    if not (should_reduce_batch_size(error) or exhausted(error) or any(map(str(error).__contains__, _PRIMITIVES))):
        raise error
    traceback.clear_frames(error.__traceback__)  # which hold what was computed so far
    clear_device_cache(garbage_collection=True)
    give_back()
    rows = -(-phase.batch_size // (parts * processes))
    reason = str(error).partition("\n")[0][:200]
    said = f"phase '{phase.name}' ran out of memory with {rows} row{'s' * (rows > 1)} in the model at once ({reason})"
    smaller = f"Lower its batch_size ({phase.batch_size}), the data's max_length, or choose a smaller model."
    if whole := by_batch(phase):
        raise EdgekdError(f"{said}, and {whole} compares all rows of a batch", smaller) from None
    if rows == 1:  # or oneDNN, which makes no code any more in a process where it once found no place for some
        most = f"Set accumulate: {phase.batch_size} on it and begin again: a checkpoint is kept"
        raise EdgekdError(said, f"{most}; else lower the data's max_length.") from None
    if processes > 1:
        raise EdgekdError(said, f"Set accumulate: {2 * parts} on it, and begin again: a checkpoint is kept.") from None
    return 2 * parts


def told(phase: Phase, step: int, parts: int) -> str:
    """What a report says of it."""
    return (
        f"phase '{phase.name}' ran out of memory: from step {step + 1} on, the {phase.batch_size} rows of a step "
        f"went through the model in {parts} parts"
    )
