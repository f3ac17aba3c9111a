"""What goes over the wire is what was rendered, whatever the profile holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.content.compile import Compiled, compile_content
from campaigns.content.problems import RenderError
from campaigns.core.domains import BadAddress
from deliveries.mail.mime import Template, compile_mime, encode, smtp_address

NAMES = ["first_name", "country"]
SUBJECT = "Hello {{ first_name }}, {{ country | upcase }}"
HTML = """<html><body>
<p>Dear {{ first_name }}, <a href="https://a.example/?x=1&amp;y=2">{{ country | default: ".none=" }}</a></p>
{% if country == "FR" %}<p>.{{ first_name }}</p><a href="https://b.example/">.</a>
{% elsif first_name %}{{ first_name | append: "=" }}{% endif %}
.{{ first_name }}
<a href="{{ unsubscribe_url }}">Stop</a> <a href="{{ mirror_url }}">Web</a></body></html>"""
TEXT = """Dear {{ first_name }},
.{{ country }}.
{{ first_name }}.{{ country }} \t
a line that goes on and on until it is longer than any line of quoted-printable may be, =20 and more ééé
https://a.example/ {{ unsubscribe_url }} {{ first_name }}"""


@dataclass
class Urls:
    optout_url: str = "https://o.example/?token=a&b"
    mirror_url: str = "https://m.example/" + "m" * 90
    pixel_url: str = "https://p.example/c"

    class tokens:
        optout, link, pixel = "a", "b", "c"

    def link(self, index: int) -> str:
        return f"https://t.example/{self.tokens.link}/{index}"


class Around:
    """What stands around the token in `Urls`; some of them need encoding, or are too long for a line."""

    sample = "b"

    def __call__(self, kind: str, index: int) -> tuple[str, str] | None:
        return {
            "link": ("https://t.example/", f"/{index}"),
            "pixel": ("https://p.example/", ""),
            "mirror": None,
            "optout": ("https://o.example/?token=", "&b"),
        }[kind]


SIMPLE = compile_content(SUBJECT, HTML, TEXT, fields=NAMES)
BY_LIQUID = compile_content(SUBJECT, HTML + "{% assign x = 1 %}", TEXT + "{% assign x = 1 %}", fields=NAMES)


def template(compiled: Compiled = SIMPLE, **changes: object) -> Template:
    settings = {"sender": "news@example.com", "sender_name": "Shop", "delivery_code": "DM5"} | changes
    return compile_mime(compiled, **settings)  # type: ignore[arg-type]


def filled(
    compiled: Compiled = SIMPLE,
    *,
    fields: dict[str, str] | None = None,
    around: Around | None = None,
    **changes: object,
) -> bytes:
    settings = {"message_id": "1@example.com", "to_address": "ann@example.org", "urls": Urls(), "date": 0} | changes
    return template(compiled, around=around).fill(fields or {}, **settings)  # type: ignore[arg-type]


def parsed(wire: bytes) -> EmailMessage:
    message = message_from_bytes(wire, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


values = st.one_of(
    st.text(max_size=200),
    st.text(st.sampled_from(".=\r\n \t\0é😀a\u2028\x85\x1f"), max_size=200),
    st.sampled_from(
        ["FR", "." * 80, "=" * 80, " " * 80, "x" * 999, "\r\nBcc: evil@example.net\r\n\r\nx", "=?utf-8?q?x?=", "\ud800"]
    ),
)


@settings(max_examples=150, deadline=None)
@given(values, values, values, st.sampled_from([SIMPLE, BY_LIQUID]), st.sampled_from([None, Around()]))
@example(".", ".", '"\\', SIMPLE, Around())
def test_the_wire_gives_back_what_was_rendered(
    first: str, country: str, to_name: str, compiled: Compiled, around: Around | None
) -> None:
    fields = {"first_name": first, "country": country}
    wire = filled(compiled, fields=fields, to_name=to_name, around=around)
    message, shown = parsed(wire), compiled.render(fields, Urls())
    assert message["Subject"] == shown.subject
    assert body(message, "html") == shown.html
    assert body(message, "plain") == shown.text
    assert message["To"].addresses[0].addr_spec == "ann@example.org"
    assert not message.defects


def test_addresses_that_were_laid_out_are_not_asked_for_again() -> None:
    class Silent(Urls):
        def link(self, index: int) -> str:
            raise AssertionError("asked for again")

    html = '<a href="https://a.example/">A</a> {% if country %}<a href="https://b.example/">B</a>{% endif %}'
    linked = compile_content("S", html, "https://c.example/", fields=NAMES)
    fields = {"country": "FR"}
    wire = filled(linked, fields=fields, around=Around(), urls=Silent())
    shown = linked.render(fields, Urls())
    assert (body(parsed(wire), "html"), body(parsed(wire), "plain")) == (shown.html, shown.text)
    with pytest.raises(RenderError, match="asked for again"):
        filled(linked, fields=fields, urls=Silent())


@settings(max_examples=150, deadline=None)
@given(values, values, values)
@example(".x", ".", "")
def test_lines_are_short_none_starts_with_a_dot_and_headers_stay_as_many(
    first: str, country: str, to_name: str
) -> None:
    wire = filled(fields={"first_name": first, "country": country}, to_name=to_name, around=Around())
    lines = wire.split(b"\r\n")
    assert max(map(len, lines)) <= 78
    assert not [line for line in lines if line.startswith(b".") or b"\r" in line or b"\n" in line or b"\0" in line]
    assert wire.endswith(b"\r\n")
    assert len(parsed(wire).keys()) == len(parsed(filled()).keys())


@given(st.text())
def test_encoded_text_has_lines_of_76_characters_at_most(text: str) -> None:
    lines = encode(text).split(b"\r\n")
    assert max(map(len, lines)) <= 76
    assert not [line for line in lines if line.startswith(b".") or line.endswith((b" ", b"\t"))]


def test_the_headers() -> None:
    compiled = template(sender_name="Müller, Söhne", reply_to="answer@bücher.example", feedback_id="c:b:a:shop")
    wire = compiled.fill(
        {"first_name": "Zoé"},
        message_id="7@example.com",
        to_address="Ann@example.org",
        to_name='Ann "A"',
        urls=Urls(),
        date=1_700_000_000,
        optout_mailto="stop+x@example.com",
    )
    message = parsed(wire)
    assert dict(message.items()) == {
        "Date": "Tue, 14 Nov 2023 22:13:20 +0000",
        "Message-ID": "<7@example.com>",
        "To": '"Ann \\"A\\"" <Ann@example.org>',
        "Subject": "Hello Zoé,",
        "List-Unsubscribe": "<https://o.example/?token=a&b>, <mailto:stop+x@example.com?subject=unsubscribe>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "From": '"Müller, Söhne" <news@example.com>',
        "MIME-Version": "1.0",
        "Reply-To": "answer@xn--bcher-kva.example",
        "Feedback-ID": "c:b:a:shop",
        "X-Delivery": "DM5",
        "Content-Type": message["Content-Type"],
    }
    assert message.get_content_type() == "multipart/alternative"


def test_one_click_needs_https_and_an_address_at_all() -> None:
    assert "List-Unsubscribe-Post" not in parsed(filled(urls=Urls(optout_url="http://o.example/")))
    assert "List-Unsubscribe" not in parsed(filled(urls=Urls(optout_url="")))


def test_a_header_address_cannot_break_out() -> None:
    message = parsed(filled(urls=Urls(optout_url="https://o.example/>\r\nBcc: x@example.net, é")))
    assert message["List-Unsubscribe"] == "<https://o.example/%3E%0D%0ABcc:%20x@example.net,%20%C3%A9>"


def test_the_pixel_is_left_out_without_its_address() -> None:
    assert "<img" in body(parsed(filled()), "html")
    assert "<img" not in body(parsed(filled(urls=Urls(pixel_url=""))), "html")


def test_text_only_for_those_who_want_no_html() -> None:
    message = parsed(filled(text_only=True, fields={"first_name": "Ann"}))
    assert message.get_content_type() == "text/plain"
    assert message.get_content().startswith("Dear Ann,")


def test_a_constant_message_differs_in_its_headers_alone() -> None:
    compiled = compile_content("Hi", "<p>é</p>", "é", fields=[])
    bodies = {
        re.split(rb"\r\n\r\n", filled(compiled, message_id=f"{n}@example.com", urls=Urls(pixel_url="")), maxsplit=1)[1]
        for n in (1, 2)
    }
    assert len(bodies) == 1


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@example.com",
        "a b@example.com",
        "a@b\r\nc",
        "é@example.com",
        "a@-\u200d.example",
        "<a@example.com>",
        "a,b@example.com",
        "a@[1.2.3.4]",
    ],
)
def test_bad_addresses_are_refused(address: str) -> None:
    with pytest.raises(BadAddress):
        smtp_address(address)


@pytest.mark.parametrize(
    ("address", "ascii"),
    [
        ("Ann+x@Example.com", "Ann+x@example.com"),
        ("a@straße.example", "a@xn--strae-oqa.example"),
        ("a@a_b.example", "a@a_b.example"),
    ],
)
def test_domains_become_ascii(address: str, ascii: str) -> None:
    assert smtp_address(address) == ascii


def test_a_bad_message_id_is_refused() -> None:
    with pytest.raises(ValueError, match="no Message-ID"):
        filled(message_id="1@example.com>\r\nBcc: x@example.net")


@pytest.mark.parametrize("where", ["Subject", "HTML", "Text"])
def test_what_cannot_be_filled_fails_for_this_recipient_and_names_the_part(where: str) -> None:
    parts = {
        name: "{{ first_name | truncate: country }}" if name == where else "x" for name in ("Subject", "HTML", "Text")
    }
    compiled = compile_content(parts["Subject"], parts["HTML"], parts["Text"], fields=NAMES)
    with pytest.raises(RenderError, match=f"^{where}: truncate expected an integer"):
        filled(compiled, fields={"first_name": "a", "country": "b"})
    assert filled(compiled, fields={"first_name": "a", "country": "1"})
