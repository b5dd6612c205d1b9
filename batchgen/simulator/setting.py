"""A part of what the simulator is told: a frozen value that can be written in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from batchgen.errors import UsageError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Setting(BaseModel):
    """Frozen; what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """What a file of YAML or JSON says.

        Raises:
            UsageError: the file cannot be read, or says what cannot be; names every problem.
        """
        try:
            content = yaml.safe_load(Path(path).read_bytes())
        except (OSError, yaml.YAMLError, UnicodeError, RecursionError) as error:
            raise UsageError(f"{path} cannot be read: {error}.") from error
        try:
            return cls.model_validate({} if content is None else content)
        except ValidationError as error:
            raise UsageError("\n".join(f"{path}: {problem}" for problem in _problems(error))) from error

    def changed(self, **changes: object) -> Self:
        """The same with other values for some of its names.

        Raises:
            UsageError: these cannot be; names every problem.
        """
        try:
            return self.model_validate({name: getattr(self, name) for name in type(self).model_fields} | changes)
        except ValidationError as error:
            raise UsageError(f"The simulator cannot behave so: {'; '.join(_problems(error))}.") from error


def _problems(error: ValidationError) -> list[str]:
    return [_problem(problem["loc"], problem["msg"].removeprefix("Value error, ")) for problem in error.errors()]


def _problem(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place))}: {message}" if place else message
