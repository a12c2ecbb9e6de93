"""A run's artifact, as its bundle with the model card, to the Hugging Face hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekd import bundle, hub, report_files, temporary
from edgekd.errors import EdgekdError, RefusedError, nearest

# The bundle's own folders: of what an earlier bundle left there, nothing stays. Files beside them are their owner's.
_OURS = ["model/*", "edgekd/*"]
# What the hub answers -> what is wrong, and what to do.
_FAULTS = {
    401: ("it does not take this token", "Log in again: hf auth login"),
    403: (
        "this token may not write there",
        "Use a token with write access: hf auth login. Whose it is: hf auth whoami",
    ),
    404: ("there is no such place, or this token does not see it", "Name OWNER/NAME, with an owner you may write for."),
}


def push(
    run: Path, repository: str, step: str = "", private: bool | None = None, platform: str = "", python: str = ""
) -> str:
    """Publish the bundle of a run's artifact, default the last step's, in a model repository; returns its address.

    The repository, OWNER/NAME, is made where there is none, and `private` says for whom; `platform` and `python` are
    the bundle's. Raises RefusedError for an artifact that failed a gate, and EdgekdError where there is no such step,
    no token, or the hub does not take it.
    """
    name = _sound(run, step)
    from huggingface_hub import HfApi, get_token

    if not get_token():
        raise EdgekdError("there is no token for the hub on this machine", "Log in: hf auth login (or set HF_TOKEN)")
    with temporary.folder() as folder:
        made = bundle.bundle(run / name, Path(folder), platform=platform, python=python)
        api = HfApi(endpoint=hub.endpoint())
        with _explained(repository):
            address = api.create_repo(repository, private=private, exist_ok=True)
            if private and not api.model_info(address.repo_id).private:
                raise EdgekdError(
                    f"{address} is there already, and public: nothing was sent",
                    "Make it private in its settings, or leave --private out.",
                )
            message = f"{made.name}, by edgekd"
            api.upload_folder(repo_id=address.repo_id, folder_path=made, commit_message=message, delete_patterns=_OURS)
    return str(address)


def _sound(run: Path, step: str) -> str:
    """The step whose artifact is to be pushed. Raises RefusedError where it failed a gate."""
    steps = {entry["step"]: entry for entry in report_files.read(run)["steps"]}
    name = step or list(steps)[-1]
    if name not in steps:
        raise EdgekdError(f"{run} has no step '{name}'", nearest(name, steps))
    if failed := [gate["name"] for gate in steps[name]["gates"] if not gate["passed"]]:
        sound = [other for other, entry in steps.items() if all(gate["passed"] for gate in entry["gates"])]
        hint = (
            f"Passed: {', '.join(sound)}; such as --step {sound[-1]}" if sound else "Mend the recipe and run it again."
        )
        raise RefusedError(f"'{name}' was refused ({', '.join(failed)}): it is not pushed", hint)
    return name


@contextmanager
def _explained(repository: str) -> Iterator[None]:
    """What the hub or the way to it says, as an EdgekdError."""
    from httpx2 import HTTPError  # what the hub's client asks by
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    where = f"{repository} at {hub.endpoint()}"
    try:
        yield
    except HFValidationError as error:
        raise EdgekdError(f"'{repository}' names no repository: {error}", "Such as OWNER/NAME.") from None
    except HfHubHTTPError as error:
        said = error.server_message or str(error).strip().splitlines()[0]
        problem, hint = _FAULTS.get(error.response.status_code, (said, "Try again; what was sent is not sent twice."))
        raise EdgekdError(f"{where}: {problem}", hint) from None
    except (HTTPError, OSError, RuntimeError) as error:  # no answer; or, of its client, an upload that broke off
        told = error.__cause__ or error
        raise EdgekdError(
            f"{where} cannot be reached: {type(told).__name__}: {told}",
            "Check the network, HF_ENDPOINT and HF_HUB_OFFLINE, and push again.",
        ) from None
