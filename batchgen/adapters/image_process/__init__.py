"""Images are fetched, verified and written in processes of their own, to which no key is ever given.

Downloading, decoding and flushing keep each other and the run's loop waiting for the interpreter: in a process of
their own they cost a part of it, and a decoder that crashes takes no run along.

ImageProcesses  hands links over, and waits for what becomes of them   fetching.py
Serving         the far side                                           serving.py
Order, Outcome  what goes through the pipes between them               frames.py
"""
