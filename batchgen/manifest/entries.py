"""What a YAML document says about parameters, labels and columns, checked value by value, each with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from batchgen.manifest.complaints import Complaint
from batchgen.manifest.document import Location, Mark, Node, line_of
from batchgen.manifest.parameters import LabelNames, Parameters, check_label
from batchgen.manifest.problems import Problems, Refused
from batchgen.model import LabelValue, ParamValue

V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What one place of the document gives: the whole manifest, or one entry under prompts."""

    params: Mapping[str, ParamValue | None] = field(default_factory=dict)  #: None: as if not given
    labels: Mapping[str, LabelValue] = field(default_factory=dict)

    def over(self, other: Values) -> Values:
        """These, and those of another place that these do not give."""
        return Values(params={**other.params, **self.params}, labels={**other.labels, **self.labels})


class Entries:
    """Reads the parts of a document that may be sound even where others are not.

    Args:
        root: None where there is no document, because a table is the manifest.
        parameters: of the profile; None if there is no such profile, and so nothing to check against.
    """

    def __init__(self, root: Node | None, problems: Problems, parameters: Parameters | None) -> None:
        self._root = root
        self._problems = problems
        self._parameters = parameters
        self.label_names = LabelNames()  #: of the whole manifest
        self.none = root is None  #: whether there is no document

    def complain(self, complaints: Iterable[Complaint]) -> None:
        """Note what the document's model does not take."""
        for complaint in complaints:
            self._problems.add(self.line(complaint.location), complaint.message, complaint.hint)

    def common(self, top: Mapping[str, object]) -> Values:
        """What holds for all rows."""
        return self._values(top, ())

    def own(self, top: Mapping[str, object]) -> list[Values]:
        """What each entry under prompts says for itself."""
        prompts = top.get("prompts")
        if isinstance(prompts, dict):
            prompts = [prompts]
        if not isinstance(prompts, list):
            return []
        return [
            self._values(entry if isinstance(entry, dict) else {}, ("prompts", position))
            for position, entry in enumerate(prompts)
        ]

    def look_through(self, top: Mapping[str, object]) -> None:
        """Note what is wrong with parameters and labels of a document that is wrong elsewhere."""
        self.common(top)
        self.own(top)

    def line(self, location: Location) -> int | None:
        """Where that begins, 1-based."""
        return None if self._root is None else line_of(self._root, location)

    def refuse(self, location: Location, refusal: Refused) -> None:
        """Note what was refused there."""
        self._problems.refuse(self.line(location), refusal)

    def _values(self, holder: Mapping[str, object], location: Location) -> Values:
        return Values(
            params=self._checked(holder.get("params"), (*location, "params"), self._param),
            labels=self._checked(holder.get("labels"), (*location, "labels"), self._label),
        )

    def _checked(self, given: object, location: Location, check: Callable[[str, object, Location], V]) -> dict[str, V]:
        checked: dict[str, V] = {}
        for name, value in given.items() if isinstance(given, dict) else ():
            if value is Mark.UNUSABLE:
                continue
            try:
                checked[name] = check(name, value, (*location, name))
            except Refused as refusal:
                self.refuse((*location, name), refusal)
        return checked

    def _param(self, name: str, value: object, location: Location) -> ParamValue | None:
        if self._parameters is None:
            return None
        parameter = self._parameters.must_know(name)
        if isinstance(value, str) and parameter.type != "text" and "{" in value:
            return value  # a template; what it makes is checked row by row
        return None if value is None else self._parameters.check(name, value)  # null: as if not given

    def _label(self, name: str, value: object, location: Location) -> LabelValue:
        self.label_names.check(name, self.line(location))
        return check_label(name, value)
