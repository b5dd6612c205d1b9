"""The image API over HTTP, as a profile describes it. Only this package knows JSON fields and status codes.

HTTPImageAPI    submits, asks, downloads                    client.py
AnswerReader    what an answer means; pure                  answers.py
Wording         what an answer says, without secrets; pure  wording.py
ImageHosts      downloads; never sees the API key           image_hosts.py
AddressRule     where images may be fetched from            addresses.py
Timeouts        and what aiohttp's errors mean              transport.py
"""

from batchgen.adapters.http_api.client import HTTPImageAPI
from batchgen.adapters.http_api.image_hosts import ImageRules
from batchgen.adapters.http_api.transport import Timeouts

__all__ = ["HTTPImageAPI", "ImageRules", "Timeouts"]
