"""What an image file says of where it comes from: texts in the forms that image tools read. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from batchgen.model import ParamValue, Request
from batchgen.profile import Profile

#: What IPTC calls a picture that a trained model made; readers of photo metadata show it.
DIGITAL_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
#: Parameter -> what the tools call it that this form comes from, in their order.
_CALLED = {"num_inference_steps": "Steps", "scheduler": "Sampler", "guidance_scale": "CFG scale", "seed": "Seed"}
#: Said elsewhere, or not of one image.
_LEFT_OUT = ("prompt", "negative_prompt", "samples", "width", "height")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where one image comes from."""

    parameters: str  #: prompt and parameters, as the text `parameters` of PNG files has them
    xmp: str  #: an XMP packet: that a model made it, which, of what prompt, and the image's name in the batch


def provenance_of(request: Request, sample: int, *, profile: Profile, version: str) -> Provenance:
    """What the image file of a sample says.

    Args:
        sample: 0-based, of the request.
        version: of batchgen.
    """
    name = f"{request.key}/{request.sample + sample}"
    facts = dict(_facts(request, profile)) | {"Version": f"batchgen {version}", "Request key": name}
    lines = [request.prompt]
    if negative := request.params.get("negative_prompt"):
        lines.append(f"Negative prompt: {negative}")
    lines.append(", ".join(f"{fact}: {_quoted(value)}" for fact, value in facts.items()))
    tool = f"batchgen {version}: {profile.endpoint}"
    return Provenance(parameters="\n".join(lines), xmp=_packet(prompt=request.prompt, tool=tool, name=name))


def _facts(request: Request, profile: Profile) -> Iterator[tuple[str, ParamValue]]:
    params = {name: request.params[name] for name in profile.image_parameters if name in request.params}
    yield from ((called, params[name]) for name, called in _CALLED.items() if name in params)
    if "width" in params and "height" in params:
        yield "Size", f"{params['width']}x{params['height']}"
    yield "Model", profile.model
    rest = (name for name in params if name not in _CALLED and name not in _LEFT_OUT)
    yield from ((name, params[name]) for name in rest)


def _quoted(value: ParamValue) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return json.dumps(text, ensure_ascii=False) if any(char in text for char in ',:\n"') else text


def _packet(*, prompt: str, tool: str, name: str) -> str:
    prompt, tool = (escape(_NOT_XML.sub(" ", text)) for text in (prompt, tool))
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<Iptc4xmpExt:DigitalSourceType>{DIGITAL_SOURCE}</Iptc4xmpExt:DigitalSourceType>"
        f"<xmp:CreatorTool>{tool}</xmp:CreatorTool><dc:identifier>{name}</dc:identifier>"
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{prompt}</rdf:li></rdf:Alt></dc:description>'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )
