"""The image API over HTTP, as a profile describes it. Only this package knows JSON fields and status codes.

HTTPImageAPI    submits and asks                            client.py
AnswerReader    what an answer means; pure                  answers.py
Wording         what an answer says, without secrets; pure  wording.py
ImageHosts      downloads; never sees the API key           image_hosts.py
AddressRule     where images may be fetched from            addresses.py
Timeouts        and what aiohttp's errors mean              transport.py
"""
