"""Automatic replies of people's mailboxes (RFC 3834): out of office, received with thanks.

They show that the address lives; they are no failure, and must not be mistaken for bounces.
"""

from deliveries.mail.text_patterns import words

from .message import Headers

_HEADERS = (
    "x-autoreply",
    "x-autorespond",
    "x-autoresponder",
    "x-autoreply-from",
    "x-auto-reply",
    "x-ms-exchange-inbox-rules-loop",
    "x-vacation",
)
_PRECEDENCE = words(r"auto[-_ ]?repl")
_SUBJECT = words(
    r"^[\W_]*(re:\s*|aw:\s*|\[?auto\]?[:\s]*)*("
    r"auto(matic|mated|matically)?[-:_ ]*(re(ply|sponse|sponder|spond)|answer|generated reply)"
    r"|out of (the )?office|ooo\b|away (from|until|till|on)|(on |annual )?(vacation|holiday|leave)\b"
    r"|i( am|'m) (currently )?(away|out|on)|vacation (reply|notice|message)"
    r"|thank you for (your (e-?mail|message)|contacting)|we (have )?received your"
    r"|abwesen|automatische? antwort|nicht im (buro|haus)|urlaub|eingangsbestatigung"
    r"|reponse automatique|absen(ce|t)|message d.absence|accuse de reception|en conges"
    r"|respuesta automatica|fuera de (la )?oficina|ausencia|ausente|vacaciones"
    r"|risposta automatica|fuori (sede|ufficio)|assenza|in ferie"
    r"|resposta automatica|fora do escritorio|ferias"
    r"|automatisch antwoord|afwezig|automatiskt? svar|autosvar|fravaer|franvaro"
    r"|automaattinen vastaus|poissa|odpowiedz automatyczna|autoodpowiedz|nieobecn"
    r"|automaticka odpoved|automatikus valasz|otomatik yan"
    r"|автоответ|автоматическ|отсутств|в отпуске"
    r"|自動(応答|返信|回覆|回复|送信)|自动(回复|答复|应答)|不在|休暇|休業|자동 ?(응답|회신)|부재"
    r")",
)


def is_auto_reply(headers: Headers, folded_subject: str) -> bool:
    """Whether the mail is an automatic reply. `folded_subject` is the subject without accents.

    `Auto-Submitted: auto-generated` alone is not enough: it marks every notification (RFC 3834 section 5)."""
    submitted = headers.get("auto-submitted").lower()
    if submitted.startswith("auto-replied") or _PRECEDENCE.search(headers.get("precedence")):
        return True
    return any(headers.get(name) for name in _HEADERS) or bool(_SUBJECT.match(folded_subject))
