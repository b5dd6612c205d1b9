"""The nouns: what flows from manifest to index. Frozen values, no behaviour beyond naming. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, NewType, Self

from batchgen.checks import Checks, DuplicateCheck, Finding

RequestKey = NewType("RequestKey", str)
JobId = NewType("JobId", str)
RunId = NewType("RunId", str)

#: The index's file name, fixed by what dataset loaders look for.
INDEX_NAME = "metadata.parquet"
#: Where images lie that a check rejected, relative to the batch folder: paid for, but no part of the dataset.
REJECTED_FOLDER = ".batchgen/rejected"
#: The report's file name in the batch folder, and where its parts lie if they are not all in it.
REPORT_NAME = "report.html"
PARTS_FOLDER = ".batchgen/report"
#: A value of a request parameter, as the API takes it in JSON; a list is a tuple.
ParamValue = str | int | float | bool | tuple[str, ...] | tuple[float, ...]
#: What a scorer may say of an image in one of its columns.
ScoreValue = str | int | float | bool | None
#: A value of a label, as it travels into the index.
LabelValue = str | int | float | bool | None


def params_of_json(text: str) -> dict[str, ParamValue]:
    """Canonical parameters as they were before they became a JSON object."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()}


def number_of(params: Mapping[str, ParamValue], name: str, otherwise: float) -> float:
    """The number that a parameter holds, or *otherwise* if it holds none."""
    value = params.get(name)
    return value if isinstance(value, int | float) else otherwise


class InDoubt(StrEnum):
    """What to do with a request that may have been paid for although its answer was lost."""

    HOLD = "hold"  # leave it, report it
    RETRY = "retry"  # submit it again, at the risk of paying twice
    FAIL = "fail"  # give it up


class Completion(StrEnum):
    """How a run learns that a job has ended."""

    POLL = "poll"  # it asks
    WEBHOOK = "webhook"  # the API tells, and then it asks
    EARLY_URLS = "early-urls"  # the image is there
    DETACH = "detach"  # it does not: it submits and ends, and a later run asks


class FailureKind(StrEnum):
    """Why a request, or one of its samples, has no image. Written to the index as `error_class`."""

    REFUSED = "refused"  # the API does not take this input
    CONTENT_POLICY = "content_policy"  # the API will not draw this
    UNREACHABLE = "unreachable"  # surely never arrived
    BUSY = "busy"  # 429, or 503 with Retry-After
    ANSWER_LOST = "answer_lost"  # may have arrived; nobody knows
    JOB_FAILED = "job_failed"  # accepted, and then failed at the API
    JOB_LOST = "job_lost"  # accepted, and then forgotten by the API
    RESULT_LOST = "result_lost"  # finished, but its images cannot be had
    MISSING = "missing"  # the job gave fewer images than were asked for
    REJECTED = "rejected"  # the image came, and a check keeps it out of the dataset


class Status(StrEnum):
    """Where a sample stands. Written to the index as `status`."""

    STORED = "stored"
    REJECTED = "rejected"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    PENDING = "pending"


def cost_of(images: int, price_per_image: float | None) -> float | None:
    """What so many images cost, in the account's currency; None if nobody said what one costs.

    Counted as prices are written: three images at 0.1 cost 0.3.
    """
    return None if price_per_image is None else float(Decimal(repr(price_per_image)) * images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a batch may cost over all its runs. None: no limit of that kind."""

    images: int | None = None  #: asked for, repeated submissions included
    cost: float | None = None  #: in the account's currency

    def but(self, other: Budget) -> Budget:
        """With what *other* says in place of its own."""
        return Budget(
            images=self.images if other.images is None else other.images,
            cost=self.cost if other.cost is None else other.cost,
        )


NO_BUDGET = Budget()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something did not happen, in the API's words where it gave any."""

    kind: FailureKind
    message: str
    http_status: int | None = None
    code: str | None = None  #: the API's own code, such as MODEL_ERROR
    response: str | None = None  #: the API's answer as JSON text, cut and without secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """Says of a request in whose place it is made, after a check rejected an image."""

    of: RequestKey  #: of the request whose image was rejected; which of its images, the replacement's `sample` says
    number: int  #: 1 for the first that is made in place of that image, 2 where it was rejected, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry of a manifest, validated and complete: every parameter of the profile has its value."""

    index: int  #: 0-based position among the manifest's rows
    prompt: str
    params: Mapping[str, ParamValue]  #: canonical values, defaults filled in; neither the prompt nor a tag
    file_prefix: str  #: already safe for a file name
    labels: Mapping[str, LabelValue] = field(default_factory=dict)
    repeats: range = range(1)  #: which submissions of it are wanted; 0 is the first
    split: str | None = None  #: the part of the dataset that it says itself; None: by the manifest's shares
    sample: int = 0  #: which of its images, where a row of several samples has become as many rows
    kept: bool = False  #: as of Request; only the row of a frozen plan is
    replaces: Replacement | None = None  #: as of Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One submission: `samples` images of one prompt with one set of parameters."""

    key: RequestKey
    manifest_sha256: str  #: of the manifest that asks, or last asked, for it; 64 hex digits
    row_index: int  #: 0-based position of its row in that manifest
    repeat: int  #: 0 for the first of the manifest's `repeat`
    first_sample: int  #: samples wanted by all requests before this one; places its files in folders
    sample: int = 0  #: number of its first image among those of its row; above 0 only where a row fans out
    batch_id: str
    file_prefix: str
    file_stem: str  #: unique in the batch; the sample number and the extension follow it
    prompt: str
    params: Mapping[str, ParamValue]  #: as of Row
    labels: Mapping[str, LabelValue]
    split: str | None = None  #: which part of the dataset it belongs to; all samples of a prompt share it
    kept: bool = False  #: the manifest no longer asks for it; it stays in the plan because it was paid for
    replaces: Replacement | None = None  #: None: the manifest itself asks, or asked, for it

    @property
    def samples(self) -> int:
        """Images wanted, at least 1."""
        return int(number_of(self.params, "samples", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedImage:
    """What an image's bytes were found to be."""

    format: str  #: file extension without dot: png, webp or jpg
    width: int  #: pixels
    height: int  #: pixels
    sha256: str  #: of the bytes; 64 hex digits
    bytes: int  #: length of the file
    #: Perceptual hash: images that look alike differ in few of its 64 bits; 16 hex digits. None: it was not decoded.
    phash: str | None
    delivered_sha256: str | None = None  #: of what the API delivered, where that is not what was written
    blank: bool = False  #: seen to be of one colour, all black, or wholly transparent


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a scorer says of an image."""

    version: str  #: of the scorer
    values: Mapping[str, ScoreValue]  #: by the names of its columns, without `score_`


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """One verified image file of a request, safe on disk."""

    sample: int  #: 0-based
    file_name: str  #: relative to the batch folder, forward slashes
    source_url: str  #: where it was downloaded from
    image: VerifiedImage
    findings: tuple[Finding, ...] = ()  #: what checks found, whether that keeps it out or not
    rejected: str | None = None  #: why it is no part of the dataset; None if it is
    scores: Mapping[str, Scored] = field(default_factory=dict)  #: scorer -> what it says


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingImage:
    """A sample of a stored request that has no image."""

    sample: int  #: 0-based
    failure: Failure
    source_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the user says of the dataset, for its card. None of it is made up if it is not given."""

    title: str | None = None
    description: str | None = None
    license: str | None = None  #: an SPDX identifier, the name of a licence, or where it is to be read
    intended_use: str | None = None
    creator: str | None = None  #: a person or an organisation
    url: str | None = None  #: where the dataset is, or will be, to be found


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """What is true of every row of a batch; the same for all rows of its index."""

    batch_id: str
    profile: str
    provider: str
    model: str
    endpoint: str
    price_per_image: float | None  #: in the account's currency; None if nobody said
    manifest_sha256: str = ""  #: of the manifest's bytes; 64 hex digits
    duplicates: DuplicateCheck = DuplicateCheck.FLAG
    scores: Mapping[str, str] = field(default_factory=dict)  #: column without `score_` -> int, float, bool or str
    card: CardFacts = field(default_factory=CardFacts)
    spending: Mapping[str, int] = field(default_factory=dict)  #: images that may have been paid for, by their fate

    def to_json(self) -> str:
        """As text that `from_json` takes."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """From the text of `to_json`, of this version or an earlier one.

        Raises:
            ValueError, TypeError: it is not.
        """
        return cls.of(json.loads(text))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From the values of `to_json`; what is not known is left out.

        Raises:
            ValueError, TypeError: it is not.
        """
        known = {field.name: given[field.name] for field in fields(cls) if field.name in given}
        duplicates = DuplicateCheck(known.get("duplicates", DuplicateCheck.FLAG))
        return cls(**known | {"duplicates": duplicates, "card": CardFacts(**known.get("card", {}))})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHead:
    """What a frozen plan says of itself: what it was made from, and what is in it."""

    #: Where it stands in the metadata of a plan's file; tells a frozen plan from any other table.
    METADATA: ClassVar[bytes] = b"batchgen"

    fingerprint: str  #: equal for equal manifests, overrides and tool versions
    endpoint: str  #: what all its requests are addressed to
    keys_sha256: str = ""  #: of its request keys in order; 64 hex digits
    requests: int = 0
    samples: int = 0
    replacements: int = 0  #: of the requests, each for one sample in another's place
    elsewhere: int = 0  #: requests that were left out because other batches had them
    label_types: Mapping[str, str] = field(default_factory=dict)  #: label -> int, float, bool or str; in order
    manifest: str = ""  #: the file, as the user named it
    manifest_sha256: str = ""  #: of the file's bytes; 64 hex digits
    includes: Mapping[str, str] = field(default_factory=dict)  #: files that the manifest read -> their SHA-256
    words: Mapping[str, str] = field(default_factory=dict)  #: what its tags were resolved with, such as date
    batch_id: str = ""
    profile: str = ""  #: its name
    image_parameters: tuple[str, ...] = ()  #: the profile's parameters that are in a request key
    concurrency: int | None = None  #: jobs in flight
    rate: float | None = None  #: submissions a second
    in_doubt: InDoubt = InDoubt.HOLD
    price_per_image: float | None = None  #: in the account's currency; None: unknown
    checks: Checks = field(default_factory=Checks)
    card: CardFacts = field(default_factory=CardFacts)
    budget: Budget = NO_BUDGET
    provenance: bool = False  #: whether image files say where they come from

    @property
    def wanted(self) -> int:
        """Images that the batch is to have, whatever is asked for in place of rejected ones."""
        return self.samples - self.replacements

    def to_json(self) -> str:
        """As text that `from_json` takes."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """From the text of `to_json`, of this version or an earlier one.

        Raises:
            ValueError, TypeError: it is not.
        """
        given = json.loads(text)
        read: dict[str, Any] = {
            "image_parameters": tuple(given.get("image_parameters", ())),
            "in_doubt": InDoubt(given.get("in_doubt", InDoubt.HOLD)),
            "checks": Checks.of(given.get("checks", {})),
            "card": CardFacts(**given.get("card", {})),
            "budget": Budget(**given.get("budget", {})),
        }
        return cls(**given | read)
