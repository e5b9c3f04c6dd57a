"""`acumen watch`: a local page that shows what the choices of a journal directory do.

`watcher.py` follows the journal in a thread and adds up, in constant memory; `server.py` serves the
page, read-only; `guard.py` says who may see it. The page itself lies in `assets`.
"""
