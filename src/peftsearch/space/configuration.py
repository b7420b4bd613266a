"""Configurations: which module kinds, with which ranks, stand at which sites of a model."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigurationError
from peftsearch.files import read_limited, write_text

SCHEMA_VERSION = 1
# The largest file that is read: ten times what all modules of a model with 1,000 layers need.
MAX_BYTES = 20_000_000


@dataclass(frozen=True, order=True)
class Placement:
    """One module kind at one site, whatever its rank; the papers call it a module of the search space.

    Args:
        site: name of the site, such as "encoder.3.value".
        kind: name of the module kind, such as "lora".
    """

    site: str
    kind: str

    def __str__(self) -> str:
        """Words for messages and reports: "lora at encoder.3.value"."""
        return f"{self.kind} at {self.site}"


@dataclass(frozen=True, order=True)
class Choice:
    """One module kind with one rank at one site.

    Args:
        site: name of the site, such as "encoder.3.value".
        kind: name of the module kind, such as "lora".
        rank: number of components, at least 1; 1 for kinds without ranks.
    """

    site: str
    kind: str
    rank: int = 1

    @property
    def placement(self) -> Placement:
        """The site and kind of the choice, without its rank."""
        return Placement(self.site, self.kind)


@dataclass(frozen=True)
class Configuration:
    """A set of choices: the result of a search, and the modules that a training attaches.

    Args:
        choices: at most one for each kind at each site.

    Raises:
        ConfigurationError: if a kind is chosen twice at one site, a rank is below 1, or these are no choices.

    Example:
        configuration = Configuration.of([Choice("encoder.3.value", "lora", 4), Choice("encoder.3.ffn_in", "bitfit")])
        configuration.save("configuration.json")
        assert Configuration.load("configuration.json") == configuration
    """

    choices: frozenset[Choice] = frozenset()

    def __post_init__(self) -> None:
        """Check the choices."""
        object.__setattr__(self, "choices", _frozen(self.choices))
        twice = [p for p, n in Counter(c.placement for c in self.choices).items() if n > 1]
        if twice:
            raise ConfigurationError(f"{min(twice)} is chosen with several ranks; keep one of them.")
        wrong = [c for c in self.choices if c.rank < 1]
        if wrong:
            raise ConfigurationError(f"Rank {wrong[0].rank} of {wrong[0].placement} must be 1 or more.")

    def __len__(self) -> int:
        """Number of modules."""
        return len(self.choices)

    def __iter__(self) -> Iterator[Choice]:
        """Iterate over the choices, sorted by site, kind and rank."""
        return iter(sorted(self.choices))

    @classmethod
    def of(cls, choices: Iterable[Choice]) -> "Configuration":
        """Build a configuration from any iterable of choices."""
        return cls(_frozen(choices))

    def num_modules_by_kind(self) -> dict[str, int]:
        """Count the modules of each kind.

        Returns:
            kind -> number of modules, sorted by kind.
        """
        return dict(sorted(Counter(c.kind for c in self.choices).items()))

    def to_json(self) -> str:
        """Format as readable JSON; the same configuration always gives the same text."""
        rows = ",\n".join("    " + json.dumps({"site": c.site, "kind": c.kind, "rank": c.rank}) for c in self)
        body = f"[\n{rows}\n  ]" if rows else "[]"
        return f'{{\n  "schema_version": {SCHEMA_VERSION},\n  "choices": {body}\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> "Configuration":
        """Parse the JSON text of `to_json`.

        Raises:
            ConfigurationError: if the text is no such document, or has a newer schema.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"The configuration is not valid JSON: {error}.") from error
        if not isinstance(document, dict) or not isinstance(document.get("choices"), list):
            raise ConfigurationError("A configuration is a JSON object with a list 'choices'.")
        check_schema_version(document.get("schema_version"))
        return cls.of(_read_choice(row) for row in document["choices"])

    def save(self, path: str | Path) -> None:
        """Write the configuration to a JSON file."""
        write_text(Path(path), self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "Configuration":
        """Read a configuration from a JSON file.

        Raises:
            ConfigurationError: if the file is missing or malformed.
        """
        try:
            text = read_limited(Path(path), max_bytes=MAX_BYTES)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"Cannot read the configuration file '{path}': {error}.") from error
        try:
            return cls.from_json(text)
        except ConfigurationError as error:
            raise ConfigurationError(f"'{path}' holds no configuration that can be read. {error}") from error


def check_schema_version(version: object) -> None:
    """Refuse a configuration file that this release cannot read.

    Args:
        version: the file's "schema_version".

    Raises:
        ConfigurationError: if the version is not a whole number from 1 to the current one.
    """
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= SCHEMA_VERSION:
        raise ConfigurationError(
            f"Schema version {version!r} cannot be read; this peftsearch reads versions 1 to {SCHEMA_VERSION}. "
            "Upgrade peftsearch if the file comes from a newer one."
        )


def _frozen(choices: Any) -> frozenset[Choice]:
    found = tuple(choices) if isinstance(choices, Iterable) else (choices,)
    other = [item for item in found if not isinstance(item, Choice)]
    if isinstance(choices, Choice) or other:
        raise ConfigurationError(
            f"A configuration is made of choices, but {choices!r:.200} was given. Write "
            "Configuration.of([Choice('encoder.0.query', 'lora', 4)]), or Configuration.load(file)."
        )
    return frozenset(found)


def _read_choice(row: Any) -> Choice:
    allowed = {"site": str, "kind": str, "rank": int}
    if not isinstance(row, dict) or not {"site", "kind"} <= row.keys() <= allowed.keys():
        raise ConfigurationError(f"A choice has 'site', 'kind' and 'rank', but found {row!r:.200}.")
    for key, value in row.items():
        if type(value) is not allowed[key]:
            raise ConfigurationError(f"'{key}' of a choice must be {allowed[key].__name__}, found {value!r:.200}.")
    return Choice(**row)
