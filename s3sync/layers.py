"""Who said what about the settings, and what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from s3sync.errors import Usage
from s3sync.keys import printable

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody wrote it, and the name they wrote it under."""

    raw: object
    under: str
    wanted: str = ""
    """What would be right here, where that differs from what the field takes elsewhere."""


Layer = Mapping[str, Given]
"""What one place says, by the field's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What every place says, the one that counts most first."""

    flags: Layer = field(default_factory=dict)
    environment: Layer = field(default_factory=dict)
    older_names: Layer = field(default_factory=dict)
    credentials: Layer = field(default_factory=dict)
    file: Layer = field(default_factory=dict)
    defaults: Layer = field(default_factory=dict)

    def __iter__(self) -> Iterator[Layer]:
        yield from (self.flags, self.environment, self.older_names, self.credentials, self.file, self.defaults)

    def winner(self, name: str) -> Given | None:
        """Return what counts for the field `name`, None where nobody said anything."""
        return next((layer[name] for layer in self if name in layer), None)

    def without(self, names: Collection[str]) -> Layers:
        """Return the layers as if nobody had said anything about the fields `names`."""
        flags, environment, older_names, credentials, file = (
            {name: given for name, given in layer.items() if name not in names}
            for layer in (self.flags, self.environment, self.older_names, self.credentials, self.file)
        )
        return Layers(
            flags=flags,
            environment=environment,
            older_names=older_names,
            credentials=credentials,
            file=file,
            defaults=self.defaults,
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct. `seen` is None where nothing was given."""

    name: str
    seen: str | None
    wanted: str

    def __str__(self) -> str:
        seen = "is not given" if self.seen is None else f"is {printable(self.seen)}"
        return f"{printable(self.name)} {seen}; wanted: {self.wanted}"


class WrongSettings(Usage):
    """Settings that cannot be used; `problems` is everything wrong with them."""

    def __init__(self, problems: Collection[Problem]) -> None:
        """Report `problems`, at least one."""
        noun = "setting" if len(problems) == 1 else "settings"
        super().__init__("settings", f"{len(problems)} {noun} to correct")
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """Return a headline and a line for each problem."""
        return "\n  ".join([f"{self.wrong}:", *map(str, self.problems)])


@dataclass(frozen=True, slots=True)
class Conflict:
    """Values that are right by themselves and wrong together: `name` is the one to change, `others` those it must suit."""

    name: str
    wanted: str
    others: tuple[str, ...] = ()

    def touches(self, names: Collection[str]) -> bool:
        """Tell whether one of the fields `names` takes part."""
        return any(name in names for name in (self.name, *self.others))


def suggestion(name: str, known: Collection[str]) -> str:
    """Return what to say of a name nobody knows."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"the name of a setting, perhaps {close[0]}" if close else "the name of a setting"
