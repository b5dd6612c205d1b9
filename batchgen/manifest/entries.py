"""What a YAML document says about parameters, labels and prompts, checked value by value, each with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from batchgen.manifest.document import Location, Mark, Node, line_of
from batchgen.manifest.parameters import LabelNames, Parameters, check_label
from batchgen.manifest.problems import Problems, Refused
from batchgen.manifest.schema import Complaint
from batchgen.model import LabelValue, ParamValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one place of the document gives: the whole manifest, or one prompt of it."""

    params: Mapping[str, ParamValue]
    labels: Mapping[str, LabelValue]


class Entries:
    """Reads the parts of a document that may be sound even where others are not.

    Args:
        parameters: of the profile; None if there is no such profile, and so nothing to check against.
    """

    def __init__(self, root: Node, problems: Problems, parameters: Parameters | None) -> None:
        self._root = root
        self._problems = problems
        self._parameters = parameters
        self._label_names = LabelNames()

    def complain(self, complaints: Iterable[Complaint]) -> None:
        """Note what the document's model does not take."""
        for complaint in complaints:
            self._problems.add(line_of(self._root, complaint.location), complaint.message, complaint.hint)

    def common(self, top: Mapping[str, object]) -> Given:
        """What holds for all prompts."""
        return self._given(top, ())

    def own(self, top: Mapping[str, object]) -> list[Given]:
        """What each prompt says for itself."""
        prompts = top.get("prompts")
        if not isinstance(prompts, list):
            return []
        return [
            self._given(entry if isinstance(entry, dict) else {}, ("prompts", position))
            for position, entry in enumerate(prompts)
        ]

    def line(self, location: Location) -> int:
        """Where that begins, 1-based."""
        return line_of(self._root, location)

    def refuse(self, location: Location, refusal: Refused) -> None:
        """Note what was refused there."""
        self._problems.refuse(line_of(self._root, location), refusal)

    def _given(self, holder: Mapping[str, object], location: Location) -> Given:
        params = self._checked(holder.get("params"), (*location, "params"), self._param)
        labels = self._checked(holder.get("labels"), (*location, "labels"), self._label)
        return Given(params={name: value for name, value in params.items() if value is not None}, labels=labels)

    def _checked(
        self, given: object, location: Location, check: Callable[[str, object, Location], LabelValue]
    ) -> dict[str, LabelValue]:
        checked: dict[str, LabelValue] = {}
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
        self._parameters.must_know(name)
        return None if value is None else self._parameters.check(name, value)  # null: as if not given

    def _label(self, name: str, value: object, location: Location) -> LabelValue:
        self._label_names.check(name, line_of(self._root, location))
        return check_label(name, value)
