"""The qualification rules that the product starts with: how mail servers say what went wrong.

The first rule that holds decides. Their orders form groups, because the words of an early group also
occur in texts of a later one, never the other way round with the same meaning:

    100  exceptions: phrases that mean something else than their words or their status; mailbox full
    200  about us (our address, pace, authentication, message): ignored, the address is left alone
    300  about the mailbox: disabled, phone off
    400  the domain, then the address, doesn't exist: the only hard ones, by words or by status
    500  the way there: DNS, connections, loops, time
    800  no known words: what the enhanced status (RFC 3463, registry of RFC 5248) says
    900  nor that: what the reply code says (RFC 5321 section 4.2.3)

"User unknown" alone is no proof. Some servers, Japanese carriers above all, answer so after DATA when
the owner's filter refuses a message. It is hard when the status is 5.1.x, when RCPT was refused, or in
words that only a server uses that looked into its own directory.
"""

from .network_rules import ABOUT_THE_WAY
from .recipient_rules import ABOUT_RECIPIENTS
from .rule import HARD, IGNORED, SOFT, Rule
from .sender_rules import ABOUT_US

BY_CODE: tuple[Rule, ...] = (
    Rule(
        415,
        "Domain takes no mail, by code (RFC 7504, RFC 7505)",
        "",
        HARD,
        "invalid_domain",
        detail="no_mail",
        code="556|521",
        status=r"5\.1\.10|5\.1\.2|5\.3\.2",
    ),
    Rule(
        480,
        "Status: no such address",
        "",
        HARD,
        "user_unknown",
        status=r"5\.1\.(1|3|6|10)",
    ),
    Rule(
        481,
        "Status: no such domain",
        "",
        HARD,
        "invalid_domain",
        status=r"5\.1\.2",
    ),
    Rule(
        802,
        "Status: our sender address",
        "",
        IGNORED,
        "refused",
        detail="sender_refused",
        status=r"[45]\.1\.[789]",
    ),
    Rule(
        803,
        "Status: mailbox disabled",
        "",
        SOFT,
        "account_disabled",
        status=r"[45]\.2\.1|[45]\.7\.13",
    ),
    Rule(
        804,
        "Status: mailbox full",
        "",
        SOFT,
        "mailbox_full",
        status=r"[45]\.2\.2",
    ),
    Rule(
        805,
        "Status: message too big",
        "",
        IGNORED,
        "refused",
        detail="message_too_big",
        status=r"[45]\.(2\.3|3\.4)",
    ),
    Rule(
        806,
        "Status: mail system",
        "",
        SOFT,
        "unreachable",
        detail="system_error",
        status=r"[45]\.3\.\d+",
    ),
    Rule(
        807,
        "Status: time is up",
        "",
        SOFT,
        "unreachable",
        detail="expired",
        status=r"[45]\.4\.7",
    ),
    Rule(
        808,
        "Status: loop",
        "",
        SOFT,
        "unreachable",
        detail="loop",
        status=r"[45]\.4\.6",
    ),
    Rule(
        809,
        "Status: network or routing",
        "",
        SOFT,
        "unreachable",
        detail="connection",
        status=r"[45]\.4\.\d+",
    ),
    Rule(
        810,
        "Status: too many recipients",
        "",
        IGNORED,
        "refused",
        detail="rate_limited",
        status=r"[45]\.5\.3",
    ),
    Rule(
        811,
        "Status: content",
        "",
        IGNORED,
        "refused",
        detail="content",
        status=r"[45]\.6\.\d+",
    ),
    Rule(
        812,
        "Status: authentication",
        "",
        IGNORED,
        "refused",
        detail="authentication",
        status=r"[45]\.7\.(8|9|2\d)",
    ),
    Rule(
        813,
        "Status: security or policy",
        "",
        IGNORED,
        "refused",
        detail="policy",
        status=r"[45]\.7\.\d+",
    ),
    Rule(
        900,
        "Code: not our user",
        "",
        HARD,
        "user_unknown",
        code="551",
        stage="rcpt",
    ),
    Rule(
        901,
        "Code: service not available",
        "",
        SOFT,
        "unreachable",
        detail="system_error",
        code="421|451",
    ),
)

DEFAULT_RULES: tuple[Rule, ...] = tuple(
    sorted((*ABOUT_RECIPIENTS, *ABOUT_US, *ABOUT_THE_WAY, *BY_CODE), key=lambda rule: rule.order)
)
