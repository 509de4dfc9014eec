"""The page at /docs: /openapi.json for people, from this server alone.

Owns: the page and the policy that it is served with. Never: anything loaded from another host.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

_SCRIPT = files(__package__).joinpath("docs.js").read_text(encoding="utf-8")
_STYLE = files(__package__).joinpath("docs.css").read_text(encoding="utf-8")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


DOCS_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Callboard: REST reference</title>
<style>{_STYLE}</style>
</head>
<body>
<main id="reference"><p>Loading /openapi.json …</p></main>
<noscript><p>This page draws <a href="/openapi.json">/openapi.json</a> with a script.</p></noscript>
<script>{_SCRIPT}</script>
</body>
</html>
""".encode()

DOCS_HEADERS = (
    (
        b"content-security-policy",
        f"default-src 'none'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}".encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
)
