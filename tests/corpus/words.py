"""Words for paths, queries and headers."""

from __future__ import annotations

from .entry import Entry, How

__all__ = ["ENTRIES"]

_WORDS: tuple[tuple[str, str, str], ...] = (
    ("empty", "what needs a first character", ""),
    ("space", "what strips", " "),
    ("NUL", "C strings, PostgreSQL", "\x00"),
    ("newline", "logs, headers", "a\nb"),
    ("CRLF", "headers of the answer", "a\r\nX-Injected: 1"),
    ("RTL override", "what a name looks like", "evil\u202etxt.exe"),
    ("RTL mark", "comparisons by eye", "a\u200fb"),
    ("line separator", "logs by line", "a\u2028b"),
    ("emoji", "what counts characters as bytes", "💣" * 30),
    ("NFC", "file systems that fold (with its twin)", "caf\u00e9"),
    ("NFD", "file systems that fold (with its twin)", "cafe\u0301"),
    ("CJK", "ASCII", "日本"),
    ("superscript digit", "isdigit", "²"),
    ("dot", "paths", "."),
    ("dot dot", "paths", ".."),
    ("climbing", "paths", "../../etc/passwd"),
    ("climbing, encoded", "decoding after the check", "%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
    ("climbing, encoded twice", "decoding twice", "%252e%252e%252f"),
    ("climbing in the middle", "paths", "a/../../b"),
    ("absolute", "paths", "/etc/passwd"),
    ("UNC", "paths", "\\\\server\\share"),
    ("drive", "paths", "C:\\windows\\win.ini"),
    ("device", "file systems with devices", "con"),
    ("option", "command lines", "-rf"),
    ("command", "shells", "$(id)"),
    ("separator", "shells", ";id"),
    ("quote", "SQL", "'\";--"),
    ("wildcards", "NATS subjects", "*.>"),
    ("blank in a token", "NATS subjects", "a b.c"),
    ("empty token", "NATS subjects", "a..b"),
    ("file URL", "fetching", "file:///etc/passwd"),
    ("gopher URL", "fetching", "gopher://127.0.0.1:25/"),
    ("mapped loopback", "fetching", "http://[::ffff:127.0.0.1]/"),
    ("null", "guesses of types", "null"),
    ("zero", "limits", "0"),
    ("minus one", "limits", "-1"),
    ("a thousand million", "limits", "1000000000"),
    ("2^63", "columns", str(2**63)),
    ("forty digits", "integers", "9" * 40),
    ("five thousand digits", "reading of integers", "9" * 5000),
    ("infinite", "floats", "1e400"),
    ("NaN", "floats", "NaN"),
    ("minus nought", "floats", "-0"),
    ("no zone", "timestamps", "2026-01-01T00:00:00"),
    ("leap second", "timestamps", "2026-06-30T23:59:60Z"),
    ("year 1 in a zone", "timestamps", "0001-01-01T00:00:00+14:00"),
    ("year 9999 in a zone", "timestamps", "9999-12-31T23:59:59-14:00"),
    ("forged cursor", "pages", "dzk5OTk5OTk5OTk5OTk5OTk5OTk5"),
    ("cursor of another list", "pages", "YS9iL2MB"),
    ("cursor that is no base64", "pages", "%%%=\u00e4"),
    ("a job that is not there", "records", "job-" + "0" * 32),
    ("3,000 characters", "columns", "a" * 3000),
)

ENTRIES = tuple(Entry(name, attacks, How.WORD, value) for name, attacks, value in _WORDS)
