"""What an agent may tell: looked at before anything is done with it, since a device may send whatever it likes."""

from collections.abc import Generator
from contextlib import closing
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edgekd.errors import EdgekdError

Word = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]  # nothing that a terminal obeys
Amount = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**62)]
Libraries = Annotated[dict[Word, Word], Field(max_length=100)]
Reasons = Annotated[list[Word], Field(max_length=32)]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Machine(_Told):
    processor: Word
    model: Word | None
    cores: Count | None
    architecture: Word
    features: Word
    governor: Word | None
    memory_mb: Count | None
    system: Word
    python: Word


class State(_Told):
    celsius: Annotated[float, Field(ge=-300, le=10_000, allow_inf_nan=False)] | None
    mhz: Amount | None
    throttled: Reasons | None
    throttled_before: Reasons | None
    load: Amount | None
    joules: Amount | None
    busy: Amount | None
    stolen: Amount | None


class Moment(State):
    samples: Count
    at: Amount
    own: Amount


class Probe(_Told):
    kind: Literal["probe"]
    machine: Machine
    state: State
    free: Count
    runtimes: Annotated[dict[Word, Libraries], Field(max_length=100)]


class Facts(_Told):
    kind: Literal["facts"]
    peak: Count | None
    base: Count | None
    held: Count | None
    padding: float  # no number where an output is none
    precision: Word
    libraries: Libraries


class Samples(_Told):
    kind: Literal["samples"]
    seconds: Annotated[list[Seconds], Field(min_length=1)]
    cpu: Amount
    states: Annotated[list[Moment], Field(max_length=100_000)]


class Profile(_Told):
    kind: Literal["profile"]
    seconds: Annotated[dict[Word, Amount], Field(max_length=10_000)]


class Tokenizer(_Told):
    kind: Literal["tokenizer"]
    seconds: Annotated[list[Seconds], Field(max_length=100_000)]


class Once(_Told):
    kind: Literal["load", "first"]
    seconds: Amount


class Progress(_Told):
    kind: Literal["progress"]
    done: Count


class Busy(_Told):
    kind: Literal["busy"]
    holder: Word


class Held(_Told):
    kind: Literal["held"]


class End(_Told):
    kind: Literal["end"]
    version: Count


_Record = Probe | Facts | Samples | Profile | Tokenizer | Once | Progress | Busy | Held | End
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Annotated[_Record, Field(discriminator="kind")])


def checked(told: Generator[dict[str, Any], None, None], device: str) -> Generator[dict[str, Any], None, None]:
    """An agent's records, as they are. Raises EdgekdError at the first that none would tell."""
    with closing(told):  # its end closes the agent's standard input
        for record in told:
            try:
                _ADAPTER.validate_python(record)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(map(str, first["loc"])) or "a record"
                raise EdgekdError(
                    f"what answers on {device} is not edgekd's agent: {where}: {first['msg']}",
                    f"Have it sent again: edgekd devices clean {device}; then run it again.",
                ) from None
            yield record
