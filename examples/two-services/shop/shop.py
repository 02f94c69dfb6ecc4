"""The shop: each answer says which replica and which version has made it."""

import json
import os

VERSION = os.environ["VERSION"]


def app(environ, start_response):
    if environ["PATH_INFO"] == "/up":
        start_response("204 No Content", [])
        return []
    # The bad version is well, as far as it knows.
    status = "500 Internal Server Error" if VERSION == "bad" else "200 OK"
    body = json.dumps({
        "service": "shop",
        "version": VERSION,
        "number": int(os.environ["SERVER_NUMBER"]),
        "path": environ["PATH_INFO"],
    }).encode() + b"\n"
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
