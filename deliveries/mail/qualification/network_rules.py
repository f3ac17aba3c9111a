"""Rules for trouble on the way: DNS, connections, loops, time, the other side's machines."""

from deliveries.mail.text_patterns import any_of

from .rule import SOFT, Rule

ABOUT_THE_WAY: tuple[Rule, ...] = (
    Rule(
        120,
        "Mailer on the recipient's side",
        any_of(
            r"(could ?n.?t|can.?t|cannot|could not|unable to) (create|open|write|append|lock"
            r"|chdir)",
            r"command (died|failed|time)|died with (status|signal)|failed to read|no such file",
            r"pipe to \||exit(ed)? (with )?status|exit code \d|\bmailer error|procmail|maildrop",
            r"unexpected (error|failure)|x-unix|permission denied.{0,40}(/|maildir)",
            r"error (opening|writing)|alias(es)? file",
        ),
        SOFT,
        "unreachable",
        detail="mailer_error",
    ),
    Rule(
        400,
        "Temporary DNS trouble",
        any_of(
            r"lookup fail(?!.{0,120}not found)|host name lookup|temporary (lookup|dns|name)",
            r"(dns|name ?server|resolver|name service).{0,60}(temporar|try again|servfail"
            r"|timeout|timed out|refused|unavailable)",
            r"servfail|host not found, try again|could not resolve",
            r"dns (error|failure|problem)\b(?!.{0,120}(nxdomain|null mx|not found))",
        ),
        SOFT,
        "unreachable",
        detail="dns",
    ),
    Rule(
        500,
        "Loop",
        any_of(
            r"too many (hops|received)|hop count|\bloop(s|ed|ing)?\b|loops back|mail forwarding",
            r"duplicated message-id",
        ),
        SOFT,
        "unreachable",
        detail="loop",
    ),
    Rule(
        510,
        "Time is up",
        any_of(
            r"failed \d+ attempts|after \d+ (delivery )?attempts",
            r"(delivery|retry|message|time|queue).{0,40}(expired|timed? ?out|timeout|exceeded"
            r"|too (long|old))",
            r"giv(e|ing) up|not (going|able) to try again|(in|on) (the )?(queue|spool)",
            r"could not be delivered (for|in|within)|undeliverable for|still undelivered",
            r"aborted after|has been delayed|for the (last|past) \d+",
            r"not (be|been) delivered (with)?in|will not (be retried|retry)|再送",
        ),
        SOFT,
        "unreachable",
        detail="expired",
    ),
    Rule(
        520,
        "No connection",
        any_of(
            r"timed? ?-?out",
            r"connect(ion|ing)?\b.{0,60}(refused|reset|closed|dropped|lost|fail|abort|timed"
            r"|broken|interrupt)",
            r"unreachable|no route",
            r"(could ?n.?t|can.?t|could not|cannot|unable to|was ?n.?t able to|failed to"
            r"|did not).{0,30}(connect|contact|establish|reach)",
            r"no answer|not respond|lost connection|socket error|network (error|problem|fail)",
            r"broken pipe|host.{0,30}(down|not reachable)|wait(ing)? for|conversation with",
            r"bad (response|greeting)|接続",
        ),
        SOFT,
        "unreachable",
        detail="connection",
    ),
    Rule(
        530,
        "No way",
        any_of(
            r"(no|find|any|unable to|cannot) .{0,20}(gateway|route|routing)|unable to route",
            r"routing (error|fail)|mail exchanger|local host|misconfigur",
            r"configuration (error|problem)",
        ),
        SOFT,
        "unreachable",
        detail="routing",
    ),
    Rule(
        540,
        "Trouble on their side",
        any_of(
            r"(system|server|service|internal|local|upstream|backend|database|ldap|mail ?box"
            r"|resources?|processing|software|temporary|host|storage)\b.{0,40}(error|fail"
            r"|problem|trouble|not (currently )?(available|accept)|unavailable|down\b|busy"
            r"|overload|unable|maintenance|shutting|full)",
            r"temporar(y|ily)|try (again|later)|try your (request|message) (again|later)",
            r"(please|come) .{0,10}(later|back)|out of (memory|resources)|insufficient|overload",
            r"maintenance|requested action (aborted|not taken): (local|error)|essayer plus tard",
            r"spater|しばらく|混み合って",
        ),
        SOFT,
        "unreachable",
        detail="system_error",
    ),
)
