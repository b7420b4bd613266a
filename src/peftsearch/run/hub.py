"""Upload a finished run to the Hugging Face hub, and check before a run starts that this can work."""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.constants import is_offline_mode
from huggingface_hub.errors import HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

from peftsearch.errors import HubError, RunFolderError
from peftsearch.modules.adapter_card import CARD
from peftsearch.report.run.html import published_page
from peftsearch.report.run.model_card import make_run_card
from peftsearch.report.run.record import RunRecord, collect
from peftsearch.report.run.usage import usage_of
from peftsearch.run.config import RunConfig
from peftsearch.run.saved_model import SavedModel

# Uploaded beside the adapter, which lies at the top where peft looks for it.
_RESULTS, _REPORT = "results.json", "report.html"


# Answers of the hub, a network that does not answer, files that cannot be read, a card that the hub finds invalid.
_REFUSALS = (HTTPError, OSError, ValueError)


def check_push(config: RunConfig) -> None:
    """Fail before the run if `push_to_hub` is set and the push cannot work.

    Raises:
        HubError: for the first thing that is wrong.
    """
    if config.push_to_hub:
        check_hub(str(config.hub_model_id))


def check_hub(repository: str) -> None:
    """Check that a push to the repository can work: its name, the network, the token and the owner.

    Raises:
        HubError: for the first thing that is wrong.
    """
    _check_name(repository)
    if is_offline_mode():
        raise HubError(
            "Nothing can be pushed to the hub while HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set. Unset it, or leave "
            "--push_to_hub out and push the finished run later with `peftsearch push RUN --hub_model_id ID`."
        )
    _check_owner(repository, _whoami())


def _check_name(repository: str) -> None:
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise HubError(f"hub_model_id is '{repository}', which is no name of a repository: {error}") from error


def _whoami() -> dict:
    """Ask the hub whom the token belongs to."""
    token = get_token()
    if not token:
        raise HubError(
            "There is no token for the Hugging Face hub. Log in with `hf auth login`, or set HF_TOKEN to a token with "
            "write access."
        )
    try:
        return HfApi(token=token).whoami()
    except _REFUSALS as error:
        raise HubError(f"The hub does not accept the token or cannot be reached: {_reason(error)}") from error


def _check_owner(repository: str, user: dict) -> None:
    names = [user["name"], *(organisation["name"] for organisation in user.get("orgs", []))]
    owner, slash, _ = repository.partition("/")
    if slash and owner not in names:
        raise HubError(
            f"hub_model_id is '{repository}', but the token belongs to '{names[0]}'. Allowed owners: "
            f"{', '.join(names)}."
        )
    role = user.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise HubError("The token can only read. Log in with one that can write: `hf auth login`.")


def push_run(run: Path, repository: str, *, private: bool) -> str:
    """Upload the result of a finished run with its card, its numbers and its report, in one commit.

    Args:
        run: the run folder.
        repository: its name, such as "me/my-adapter".
        private: make the repository private if it does not exist yet.

    Returns:
        the address of the repository.

    Raises:
        HubError: if the hub refuses; the run stays as it is.
        RunFolderError: if the folder is not a finished run.
    """
    record = collect(run)
    results = record.finished
    check_hub(repository)
    api = HfApi(token=get_token())
    try:
        created = api.create_repo(repository, private=private or None, exist_ok=True)
        name = f"{results.of_adapter.method} on {results.task}"
        api.create_commit(
            created.repo_id, operations=_operations(record, created.repo_id), commit_message=f"Upload {name}"
        )
    except _REFUSALS as error:
        raise HubError(
            f"The push to '{repository}' failed: {_reason(error)} The run in '{run}' is finished and complete. "
            f"Push it with: peftsearch push {run} --hub_model_id {repository}{' --hub_private_repo' * private}"
        ) from error
    return str(created)


def _operations(record: RunRecord, repository: str) -> list[CommitOperationAdd]:
    """Every file with its path in the repository; the card names the repository."""
    folder = record.folder / SavedModel.read(record.folder).saved_as
    card = make_run_card(record, usage=usage_of(record, folder, place=repository))
    saved = _files(folder, below=folder)
    beside = _files(record.folder / "lora", below=record.folder) | {_RESULTS: record.folder / _RESULTS}
    contents = {
        **saved,
        **beside,
        CARD: str(card).encode(),
        # The page in the run folder quotes the data.
        _REPORT: published_page(record).encode(),
        "configuration.json": record.handed_over.to_json().encode(),
    }
    inside = record.folder.resolve()
    for path in (*saved.values(), *beside.values()):
        # In a folder from somebody else a link could name any file of the user's.
        if not path.resolve().is_relative_to(inside):
            raise RunFolderError(f"'{path}' leads out of the run folder and is not uploaded. Remove the link.")
    return [CommitOperationAdd(path, content) for path, content in contents.items()]


def _files(folder: Path, *, below: Path) -> dict[str, Path]:
    """Every file in a folder by its path below another."""
    return {p.relative_to(below).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}


def push_if_asked(config: RunConfig, run: Path) -> None:
    """Push a run that was started with `push_to_hub`."""
    if config.push_to_hub:
        push_run(run, str(config.hub_model_id), private=config.hub_private_repo)


def _reason(error: Exception) -> str:
    """The first line of what went wrong, never with the token in it."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    token = get_token()
    return (text.replace(token, "***") if token else text).rstrip(".") + "."
