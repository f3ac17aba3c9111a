"""Rules for what servers say about us: our address, pace, authentication and messages.

All are `ignored`: none of it is the fault of the recipient's address, which must be left alone.
"""

from deliveries.mail.text_patterns import any_of

from .rule import IGNORED, Rule

ABOUT_US: tuple[Rule, ...] = (
    Rule(
        118,
        "Our quota",
        any_of(
            r"(sending|sender|outbound|outgoing|daily|hourly|message|smtp|relay|rate|connection)"
            r" quota",
        ),
        IGNORED,
        "refused",
        detail="rate_limited",
    ),
    Rule(
        200,
        "Our domain's authentication",
        any_of(
            r"\bspf\b|openspf|\bdkim\b|\bdmarc\b|sender policy framework|\bsender.?id\b",
            r"unauthenticated|purported responsible",
            r"not (an )?authori[sz]ed (to send|sender|for this domain|by the domain)",
            r"authenticat(ion|ed) (is )?(required|fail|check|result)",
            r"auth(entication)? (first|credential)|anti.?spoof|spoof",
        ),
        IGNORED,
        "refused",
        detail="authentication",
    ),
    Rule(
        205,
        "Our reverse DNS or HELO",
        any_of(
            r"reverse.{0,3} ?(dns|lookup|hostname|name|mapping|address)|\brdns\b|\bptr\b|fcrdns",
            r"cannot find your (reverse )?host|mismatch(es)? (the )?(client|sending)? ?ip",
            r"may be forged|may not be mail exchanger",
            r"(helo|ehlo)\b.{0,80}(reject|invalid|den(y|ied)|not |must|need|bogus|forged|fqdn)",
            r"generic (host|ptr|rdns)",
            r"(client|sending|your) (host|hostname|ip).{0,60}(not match|does not resolve"
            r"|no (valid )?(host|domain) ?name)",
        ),
        IGNORED,
        "refused",
        detail="reverse_dns",
    ),
    Rule(
        210,
        "Encryption",
        any_of(
            r"(must|requires?|need|should).{0,40}\b(starttls|tls|ssl|encrypt)",
            r"\btls\b.{0,40}(required|fail|error|not (available|supported)|handshake|negotiat)",
            r"starttls.{0,40}(required|fail|error|first|not)|mta-sts|\bdane\b",
            r"certificate.{0,60}(verif|invalid|expired|trust|match)|encryption (required|needed)",
        ),
        IGNORED,
        "refused",
        detail="tls",
    ),
    Rule(
        215,
        "Our IP on a list",
        any_of(
            r"spamhaus|spamcop|sorbs|barracudacentral|uceprotect|abuseat|njabl",
            r"\b(dnsbl|dnsrbl|rbl|rbls|xbl|sbl|pbl|dul)\b|senderscore|senderbase|cloudmark",
            r"trustedsource|banned (sending|your|client)? ?ip",
            r"(ip|host|network|range|server|domain)\b.{0,60}(block|black|deny|reject).?list",
            r"(listed|found) (in|on|at|by) .{0,60}(list|bl\b|\.(org|net|com|de)\b)",
            r"black.?list(?!ed ur)|block.?list|deny.?list|\bblacklisted (ip|host|sender|by)",
        ),
        IGNORED,
        "refused",
        detail="blocked_ip",
    ),
    Rule(
        220,
        "Our IP refused",
        any_of(
            r"(client|sending|source|your|connecting|sender).{0,4} ?(ip|ip address|host"
            r"|mail ?server|server|network|isp)\b.{0,80}(reject|block|bann?ed|denied|refused"
            r"|not (allowed|accepted|permitted|welcome)|reputation|suspicious|spam)",
            r"\bip\b.{0,60}(is |was |has been |are )(temporarily |currently |being )?(block"
            r"|bann|denied|reject|refus|not allow)",
            r"client (host|address)?.{0,60}(reject|block)",
            r"messages from .{0,80}(were ?n.?t sent|deferred|not accepted|blocked)",
            r"(block|reject)ed (because|due|using|for|by|at) .{0,60}\b(ip|reputation|network"
            r"|host|list|complaints?)\b",
            r"reputation|\bts(s)?0\d|\[bl\d\d\]|\b(sc|dy|rp|ou)-00\d|user complaints",
            r"open (relay|proxy)|dynamic.{0,20}(ip|address|host|range)|dial-?up",
            r"connections? (is |are |will )?(not (be )?(accepted|allowed)|refused) from|bad dns",
            r":blocked\)|\((rtr|con|dyn|rly|hvu|dns|snd):",
            r"not accept.{0,20} from (this|your) (ip|host|server|network)",
            r"(554|550|521|571)\W+(5\.\d\.\d\W+)?(connection )?blocked\b|\bblocked - see",
            r"access denied.{0,30}\bip\b|you are (blocked|banned)",
        ),
        IGNORED,
        "refused",
        detail="blocked_ip",
    ),
    Rule(
        225,
        "Our pace",
        any_of(
            r"too many (concurrent |simultaneous |smtp |open )*(connection|message|mail|e-?mail"
            r"|recipient|error|request|session|deliver|thread|rcpt|bad|invalid|sending)",
            r"(rate|speed|frequency|throughput).{0,20}(limit|exceed|control|too)|throttl",
            r"limit(ed)? (exceeded|reached).{0,30}(rate|connection|recipient|message)|ratelimit",
            r"(connection|message|sending|sender|hourly|daily|recipient|relay|outbound)"
            r"s? ?(count |rate |per \w+ )?(limit|quota)s? (is |was |has been )?(exceeded"
            r"|reached|hit)",
            r"(mail|email|e-mail|messages?) (too quickly|too fast|at a rate)",
            r"unusual (rate|volume|amount|activity)|unexpected volume|excessive|sent too",
            r"temporarily deferred|concurrency|maximum .{0,30}(connections|recipients|messages) ",
            r"per (hour|minute|day|connection)",
        ),
        IGNORED,
        "refused",
        detail="rate_limited",
    ),
    Rule(
        230,
        "Greylisting",
        any_of(
            r"gr[ae]y.?list|try again in \d+ ?(sec|min|hour)|postgrey|deferred.{0,40}first time",
            r"new sender.{0,40}try",
        ),
        IGNORED,
        "refused",
        detail="greylisted",
    ),
    Rule(
        235,
        "Virus",
        r"\b(virus(es)?|malware|infected|trojan|worm|ransomware|eicar|clamav)\b|ウイルス",
        IGNORED,
        "refused",
        detail="virus",
    ),
    Rule(
        240,
        "Spam",
        any_of(
            r"\bspam(?!haus|cop)|spam(my|ming|assassin)|\b(ube|uce|ucebl)\b|unsolicited|\bjunk\b",
            r"\bbulk e?-?mail|phish|\buribl|\bsurbl|blacklisted ur[li]|bayes|迷惑メール|スパム|垃圾",
        ),
        IGNORED,
        "refused",
        detail="spam",
    ),
    Rule(
        245,
        "Our sender address",
        any_of(
            r"(sender|from|envelope|originator|reverse-?path|return-?path|mail ?from|mfrom"
            r"|expediteur|emetteur|absender)\b\W{0,3}(e-?mail |domain |address |name )"
            r"*(\S{1,120} )?(is |was |has been |are )?(address )?(reject|refus|den(y|ied)"
            r"|invalide?|not (exist|found|valid|allowed|verif|accept|permit|recogni)|unknown"
            r"|does not|unresolv|unverif|block|prohibit|must|verif|unrout|could not|malform)",
            r"domain of sender|(unrout|unresolv)e?able sender",
            r"invalid (sender|from|return|mail from)",
            r"(bad|unknown|forged|fake|null|empty) (sender|from|reverse-path)|sender.{0,20}verif",
            r"verify sender|callout",
            r"(no|without|need|not) .{0,20}(mx|a record|valid|resolvable).{0,30}(sender|from)",
            r"rejected by sender|sender domain",
        ),
        IGNORED,
        "refused",
        detail="sender_refused",
    ),
    Rule(
        250,
        "Message too big for the mailbox or the server",
        any_of(
            r"(message|mail|e-?mail|body|data|attachment)s?( file)?( size| length)? (\w+ )?(is "
            r"|was |are )?(too (big|large|long)|exceeds?|larger than|over(size|limit))",
            r"(size|length) (limit )?(is |was )?(exceed|too)",
            r"exceed\w* .{0,40}(message size|maximum (message )?(size|length)|size limit"
            r"|administrative limit|fixed maximum)",
            r"max(imum)? (message|mail) (size|length)|(message|mail) size limit|oversized?\b",
            r"サイズ.{0,10}超|大きすぎ",
        ),
        IGNORED,
        "refused",
        detail="message_too_big",
    ),
    Rule(
        252,
        "Policy",
        any_of(
            r"\bpolic(y|ies)\b|administrative(ly)? (prohibit|den|reject|refus)",
            r"prohibited (by|from)",
            r"(rejected|refused|denied|blocked|filtered) (by|due to|for|because of) (a |our "
            r"|the |local |site |security |some |custom )*(rule|reason|filter|admin|secur"
            r"|config|system)",
            r"security (polic|reason|violat|error)|transport rule|\bdlp\b|local (blacklist|rule)",
            r"violat(es|ion|ing)",
            r"not (allowed|permitted|authori[sz]ed|accepted) (by|from|to send|here|in this"
            r"|on this)",
            r"acl\b",
        ),
        IGNORED,
        "refused",
        detail="policy",
    ),
    Rule(
        255,
        "Message content",
        any_of(
            r"content.{0,30}(reject|den(y|ied)|block|filter|violat|unaccept|not accept|refus"
            r"|guidelines|potential|restrict)",
            r"(message|mail).{0,20}content",
            r"(forbidden|prohibited|banned|dangerous|illegal|not allowed|blocked|executable)"
            r".{0,30}(attachment|file|content|extension|header)",
            r"attachment.{0,30}(type|not|reject|block|forbid)",
            r"header.{0,30}(error|invalid|missing|duplicate|malform|too)",
            r"(missing|invalid|duplicate|bad|multiple) .{0,30}header|not (rfc|compliant)",
            r"rfc ?5?[28]22|non-?ascii|8.?bit (char|data|text)|bare (lf|linefeed|newline)",
            r"stray newline|conversion (not|required|failed)|mime (error|format|violation)",
            r"line (is )?too long|message.{0,20}(looks|appears) like|suspicious|malicious",
            r"objectionable|offensive|potential.{0,20}security",
        ),
        IGNORED,
        "refused",
        detail="content",
    ),
    Rule(
        270,
        "Access denied",
        any_of(
            r"access (denied|rejected|refused)|permission denied|\bdenied\b$|unauthori[sz]ed",
            r"not authori[sz]ed|forbidden",
        ),
        IGNORED,
        "refused",
        detail="policy",
        status=r"[45]\.7\.\d+|[45]\.0\.0|",
    ),
    Rule(
        290,
        "Refused before the recipient was named",
        "",
        IGNORED,
        "refused",
        detail="sender_refused",
        code=r"5\d\d",
        stage="connect|mail",
    ),
    Rule(
        490,
        "Message refused, nobody says why",
        any_of(
            r"(mail|message)s? (was |has been |is )?(rejete|rejected|refused|not accepted"
            r"|discarded)",
            r"\brejected$|\bdenied$|\brefused$",
        ),
        IGNORED,
        "refused",
        detail="content",
        code="5..",
    ),
)
