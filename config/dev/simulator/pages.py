"""The simulator's pages as HTML: pure functions of what the store holds.

Every value passes `_fill`, which escapes whatever isn't `Html` already; nothing else puts a value
into a page. No page runs a script, and a message's HTML is shown only inside a sandboxed frame.
"""

from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import urlencode

from .stored_mail import Mail
from .verdicts import RULE_OF, RULES, Entry, Personality, Verdict


class Html(str):
    """Text that is markup already."""


def _fill(template: str, **values: object) -> Html:
    """`template` with each {name} replaced; escaped unless Html."""
    safe = {name: value if isinstance(value, Html) else escape(str(value)) for name, value in values.items()}
    return Html(template.format_map(safe))


def _each(template: str, rows: Iterable[Mapping[str, object]]) -> Html:
    return Html("".join(_fill(template, **row) for row in rows))


_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} &middot; Mail simulator</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header><div><strong>Mail simulator</strong>
<nav aria-label="Pages"><a href="/"{on_mail}>Mail</a> <a href="/addresses"{on_words}>Test addresses</a></nav>
</div></header>
<main id="main">
<h1>{heading}</h1>
{body}
</main>
<footer>Mail sent here goes no further. SMTP on port {smtp_port}.</footer>
</body>
</html>
"""

_LIST = """<ul class="totals" aria-label="Totals; each shows its mail">{totals}</ul>
<form method="get" action="/" role="search">
<label for="q">Recipient</label>
<input type="search" id="q" name="q" value="{query}" autocomplete="off">
{kept_verdict}<button>Search</button>
</form>
{mail}
{pages}"""
_TOTAL = """<li><a href="{address}"{current}>{name}<b>{count}</b></a></li>"""
_ROW = """<li><a class="who" href="/mail/{number}">{recipient}</a>
<span class="what">{subject}</span>
<span class="end"><span class="badge {tone}">{verdict}</span></span>
<time datetime="{time}">{when}</time>
<span class="reply">{reply}</span></li>"""
_MESSAGE = """<div class="card"><dl>
<dt>Recipient</dt><dd>{recipient}</dd>
<dt>Verdict</dt><dd><span class="badge {tone}">{verdict}</span> {meaning}</dd>
<dt>Answer</dt><dd><code>{reply}</code></dd>
<dt>Attempt</dt><dd>{attempt}</dd>
<dt>Time</dt><dd><time datetime="{time}">{when}</time></dd>
<dt>Envelope sender</dt><dd>{sender}</dd>
{more}</dl></div>
{content}"""
_PAIR = """<dt>{name}</dt><dd>{value}</dd>
"""
_HTML_PART = """<h2>HTML part</h2>
<iframe sandbox="" src="/mail/{number}/html" title="HTML part of the message"></iframe>
<p class="soft">Images from elsewhere are not loaded, so looking here counts as no open.
Links work in the list below.</p>
"""
_TEXT_PART = """<h2>Text part</h2>
<pre tabindex="0" aria-label="Text part of the message">{text}</pre>
"""
_LINKS = """<h2>Links</h2>
<ul class="links">{links}</ul>
"""
_LINK = """<li><a href="{address}" target="_blank" rel="noopener noreferrer">{label}</a>
<span class="soft">{address}</span></li>"""
_FILES = """<h2>Attachments</h2>
<ul class="files">{files}</ul>
"""
_FILE = """<li>{name} <span class="soft">{kind}, {size} bytes</span></li>"""
_SOURCE = """<h2>Source</h2>
<p><a href="/mail/{number}/source">Download the message</a> <span class="soft">{size} bytes</span></p>
<details><summary>All headers</summary><dl>{headers}</dl></details>
"""
_WORDS = """<p>The first word of an address, or a <code>+tag</code>, says what becomes of it.
A number behind the word says for how many attempts; then the address is accepted.</p>
<div class="card"><dl>{words}</dl></div>
<p>For example <code>busy3.ann@example.com</code> is refused for now three times,
and <code>ann+unknown@example.com</code> is always refused.</p>
<p>Of all other addresses the seed {seed} makes {unknown}&nbsp;% unknown and {busy}&nbsp;% busy, always the same
ones; the rest is accepted.</p>
"""
_WORD = """<dt><code>{word}.ann@example.com</code></dt><dd>{meaning}{reply}</dd>
"""
_REPLY = """ <code class="answer">{reply}</code>"""
_SHOWN_HEADERS = ("From", "To", "Subject", "Reply-To", "Message-ID", "List-Unsubscribe")


def mail_list(
    rows: list[tuple[Entry, str]],
    counts: Mapping[Verdict, int],
    *,
    smtp_port: int,
    query: str,
    verdict: Verdict | None,
    before: int | None,
    more: bool,
) -> Html:
    """The newest mail first: `rows` are (entry, subject); `more` says that older ones exist."""
    chosen = {"q": query, "verdict": verdict or ""}
    kept_verdict = _fill('<input type="hidden" name="verdict" value="{v}">', v=verdict or "")
    body = _fill(
        _LIST,
        totals=_totals(counts, query, verdict),
        query=query,
        kept_verdict=kept_verdict if verdict else Html(),
        mail=_rows(rows, smtp_port, searched=bool(query or verdict or before is not None)),
        pages=_pages(chosen, rows[-1][0].number if rows and more else None, before),
    )
    return _page("Mail", body, smtp_port=smtp_port, at="/")


def _totals(counts: Mapping[Verdict, int], query: str, verdict: Verdict | None) -> Html:
    names = [("", "all", sum(counts.values()))]
    names += [(str(each), str(each), count) for each, count in counts.items() if count]
    return _each(
        _TOTAL,
        (
            {
                "address": _address(q=query, verdict=value),
                "current": _current(value == (verdict or "")),
                "name": name,
                "count": f"{count:,}",
            }
            for value, name, count in names
        ),
    )


def _rows(rows: list[tuple[Entry, str]], smtp_port: int, *, searched: bool) -> Html:
    if rows:
        shown = _each(_ROW, (_values(entry) | {"subject": subject} for entry, subject in rows))
        return _fill('<ul class="mail" aria-label="Mail, newest first">{rows}</ul>', rows=shown)
    if searched:
        return Html('<p class="card empty">No such mail.</p>')
    waiting = "No mail yet. Send some to port {port} by SMTP, then load this page again."
    return _fill(f'<p class="card empty">{waiting}</p>', port=smtp_port)


def _pages(chosen: Mapping[str, str], last: int | None, before: int | None) -> Html:
    links = []
    if before is not None:
        links.append(_fill('<a href="{to}">Newest</a>', to=_address(**chosen)))
    if last is not None:
        links.append(_fill('<a href="{to}">Older</a>', to=_address(**chosen, before=str(last))))
    return _fill('<nav class="pages" aria-label="Paging">{links}</nav>', links=Html(" ".join(links)))


def _address(**parameters: str) -> str:
    given = {name: value for name, value in parameters.items() if value}
    return f"/?{urlencode(given)}" if given else "/"


def message(entry: Entry, mail: Mail | None, *, smtp_port: int) -> Html:
    """One recipient's page; `mail` is None where no message is kept."""
    shown = [(name, mail.header(name)) for name in _SHOWN_HEADERS] if mail else []
    pairs = [(name, value) for name, value in (*shown, *entry.dsn.items()) if value]
    body = _fill(
        _MESSAGE,
        **_values(entry),
        meaning="" if entry.verdict is Verdict.ACCEPTED else RULE_OF[entry.verdict].meaning,
        more=_each(_PAIR, ({"name": name, "value": value} for name, value in pairs)),
        content=_content(entry, mail) if mail else _nothing(entry),
    )
    heading = (mail and mail.header("Subject")) or f"Mail to {entry.recipient}"
    return _page(heading, body, smtp_port=smtp_port)


def _nothing(entry: Entry) -> Html:
    why = "The message's file is gone." if entry.kept else "No message was kept."
    return _fill('<p class="card empty">{why}</p>', why=why)


def _content(entry: Entry, mail: Mail) -> Html:
    parts = [
        mail.html is not None and _fill(_HTML_PART, number=entry.number),
        bool(mail.links) and _fill(_LINKS, links=_each(_LINK, _named(mail.links, "label address"))),
        mail.text is not None and _fill(_TEXT_PART, text=mail.text),
        bool(mail.files) and _fill(_FILES, files=_each(_FILE, _named(mail.files, "name kind size"))),
        _fill(
            _SOURCE,
            number=entry.number,
            size=f"{entry.size:,}",
            headers=_each(_PAIR, _named(mail.headers, "name value")),
        ),
    ]
    return Html("".join(part for part in parts if part))


def _named(rows: Iterable[tuple[object, ...]], names: str) -> Iterable[dict[str, object]]:
    return (dict(zip(names.split(), row, strict=True)) for row in rows)


def addresses(personality: Personality, *, smtp_port: int) -> Html:
    """What the words of an address do, and the shares that the seed picks."""
    words = [
        {
            "word": rule.word,
            "meaning": rule.meaning,
            "reply": _fill(_REPLY, reply=rule.reply) if rule.reply else Html(),
        }
        for rule in RULES
    ]
    body = _fill(
        _WORDS,
        words=_each(_WORD, words),
        seed=personality.seed,
        unknown=f"{personality.unknown * 100:g}",
        busy=f"{personality.busy * 100:g}",
    )
    return _page("Test addresses", body, smtp_port=smtp_port, at="/addresses")


def problem(heading: str, *, smtp_port: int) -> Html:
    """A page that isn't there."""
    return _page(heading, Html('<p><a href="/">To the mail</a></p>'), smtp_port=smtp_port)


def _page(heading: str, body: Html, *, smtp_port: int, at: str = "") -> Html:
    return _fill(
        _FRAME,
        title=heading,
        heading=heading,
        body=body,
        smtp_port=smtp_port,
        on_mail=_current(at == "/"),
        on_words=_current(at == "/addresses"),
    )


def _current(is_current: bool) -> Html:
    return Html(' aria-current="page"' if is_current else "")


def _values(entry: Entry) -> dict[str, object]:
    """What every view of an entry shows; the times are UTC, to the second."""
    return {
        "number": entry.number,
        "recipient": entry.recipient,
        "sender": entry.sender or "<> (a report)",
        "verdict": entry.verdict,
        "tone": _tone(entry),
        "reply": entry.reply or "no answer: the line dropped",
        "attempt": entry.attempt,
        "time": entry.time,
        "when": f"{entry.time[:10]} {entry.time[11:19]} UTC",
    }


def _tone(entry: Entry) -> str:
    if entry.verdict is Verdict.ACCEPTED:
        return "good"
    return "bad" if entry.reply.startswith("5") else "wait"
