"""Rules for what servers say about the recipient: the mailbox, its owner's filter, the address, the domain."""

from deliveries.mail.text_patterns import any_of

from .rule import HARD, IGNORED, SOFT, Rule

UNKNOWN = any_of(
    r"(\*|\b(user|recipient|addressee|mailbox|account|address|customer|alias|destinataire"
    r"|empf(a|ae)nger|usuario|utente|gebruiker|benutzer)s?)( ?name| address| account| id)"
    r"?( \S{1,80}){0,4}?[\s>)'.:]{0,4}(unknown|inconnue?|unbekannt|desconocid[oa]"
    r"|sconosciut[oa]|onbekend|(is |was )?(not|n.?t) (here|available|accepted)\b"
    r"|cannot be verified|(is |was |are )?not (be )?(known|found|valid|recogni[sz]ed|exist"
    r"|listed|a (valid|known|registered))|(does|do|did)( ?n.?t| not) exist|not exists?\b"
    r"|isn.?t (valid|known|here|found)|(is |are )?invalide?\b|(ci-dessus )?n.existe pas"
    r"|no existe|non esiste|no longer (exists?|valid|available|here)|could ?n.?t be found"
    r"|nicht (bekannt|gefunden|vorhanden))",
    r"\b(no such|unknown|invalid|bad|non-?existent|unbekannter?|incorrect) (local |virtual "
    r"|destination |e-?mail )*(user|recipient|mail ?box|account|address(ee)?|person|alias"
    r"|customer|login|name here|local.?part|domain user|id\b)",
    r"\bno (valid )?(mail ?box|account|user|recipient)s? (here|by that name|with|for|found"
    r"|exists?|named)",
    r"not our customer",
    r"not a (registered|valid|known|local) [\w ]{0,30}(user|recipient|mailbox|address|account)",
    r"(user|mailbox|account) (has|have) (been )?(removed|deleted)|mailbox not found",
    r"addressee unknown|users? not (in|on|found) ",
    r"not (in|on) (our|this|the) (server|system|user list)",
    r"(unknown|invalid|illegal) or (unknown|illegal|invalid) (user|alias|address|recipient"
    r"|mailbox)",
    r"not present in (the )?directory|not an? (active|local) (address|user|account|mailbox)",
    r"(can.?t|cannot|could not|could ?n.?t) (accept|find) (the )?(user|recipient|mailbox"
    r"|account)",
    r"no ?one at this address|no (such )?person|(bad|valid)(rcpt|recipient)to",
    r"recipient is not (accepted|local|ok)|missing home directory|(is )?wrong or no longer valid",
    r"address is (wrong|bad|incorrect)|no longer accepts (e-?)?mail",
    r"envelope recipient has been denied|no existe|inconnu[e !]|dicha persona",
    r"not known (here|at this)|nosuchuser|does ?n.?t have an? .{0,60}account|mailbox unavailable",
    r"no (mail ?box|account) |address rejected\b(?!: ?[a-z])|rejected address",
    r"mailbox name not allowed|mailbox .{0,40}not available|宛先.{0,20}(見つかりません|存在しません)",
    r"ユーザ.{0,30}(見つかりません|存在しません|不明)|不存在|адресат.{0,30}не (найден|существует)",
)

DIRECTORY = any_of(
    r"not listed in [\w& ]{0,60}(directory|address book|name)|resolver\.adr\.\w*notfound",
    r"by smtp address lookup|does ?n.?t have an? [\w.-]+\.\w+ account|invalid user address",
    r"local mailbox .{0,120}user not found|invalid final delivery userid",
    r"user unknown in (the )?[\w ]{0,30}table|no mailbox here by that name",
    r"(invalid|unknown) (or unknown )?virtual user|unrout(e)?able (mail )?(domain|address)",
    r"unknown local.?part|directory\w* には?見つかりません|ディレクトリ.{0,10}見つかりません",
    r"(recipient|e-?mail|address).{0,60}(was ?n.?t|was not|is not) found in the recipient.{0,20}"
    r"(e-?mail|system)",
    r"recipient name is not recogni[sz]ed",
    r"e-?mail account (that you tried to reach )?does not exist|address could ?n.?t be found",
    r"wasn.?t found at|e-?mail address (you entered )?couldn.?t be found",
    r"msexch:ims.{0,120}unknown recipient|\(000c05a6\)|deliver_unknown_user",
    r"alias .{0,80} not found|unable to look ?up (the )?(user|recipient)",
    r"check if (the )?address is correct|no valid recipients for this",
)

ABOUT_RECIPIENTS: tuple[Rule, ...] = (
    Rule(
        100,
        "Directory edge blocking",
        r"recipient address rejected: access denied",
        HARD,
        "user_unknown",
        status=r"5\.4\.1",
    ),
    Rule(
        105,
        "Delivered",
        r"^(\W*2\d\d )?\W*2\.\d\.\d\b",
        IGNORED,
        "not_defined",
        status=r"2\..*",
    ),
    Rule(
        110,
        "Owner's preferences",
        any_of(
            r"recipient.{0,3} preferences?|due to recipient|prefers? not to receive",
            r"blocked by (the )?(recipient|user)",
            r"recipient.{0,10} (has )?(rejected|refused|blocked) (you|your|the sender|mail)",
        ),
        SOFT,
        "refused",
        detail="recipient_filter",
    ),
    Rule(
        115,
        "Group or list",
        any_of(
            r"groups\.google\.com|group .{0,80}(may not exist|permission to post)",
            r"not (a |allowed|subscribed|permitted)?.{0,20}(member|subscriber|to post)",
            r"members?[- ]only|list .{0,40}closed|resolver\.rst",
            r"not (have )?(permission|authori[sz]ed) to (send|post|submit)",
            r"delivery not authori[sz]ed|only accepts? (mail|messages|e-?mails?) from",
            r"restricted (mailbox|recipient|to authenticated)",
            r"sender not in (his |their |the )?(white|allow)",
        ),
        SOFT,
        "refused",
        detail="recipient_filter",
    ),
    Rule(
        190,
        "Mailbox full",
        any_of(
            r"over ?-?quota|quota.{0,40}(exceed|full|reach|violat|limit|over|depass|superad|超)",
            r"(exceed\w{0,9}|over|out of|reached|past|insufficient|not enough|no|above|depass\w{0,9})"
            r".{0,40}(\bquota|storage|disk ?space|mailbox (size|space|limit))",
            r"(mail ?box|inbox|in-?box|mailfolder|mail folder|mail ?drop|account|user|recipient"
            r"|disk|storage|bo[i]te|postfach|casella|buzon|caixa)\b[^.;]{0,80}(\bfull\b"
            r"|at capacity|overfull|overflow|ubervoll|\bvoll\b|pleine?\b|piena|llen[oa]|cheia"
            r"|out of (storage|space))",
            r"full mailbox|mailbox.{0,40}exceed|exceed.{0,40}mailbox",
            r"storage (quota|limit|allocation|full|space)",
            r"insufficient (system )?(storage|disk|space)|no space left|disk (quota|full)",
            r"too (much|many) (mail|messages) (in|on|for)|容量|(いっぱい|一杯).{0,10}(です|なって|のため)",
            r"переполнен|превышен|已满|mbox(full| full)",
        ),
        SOFT,
        "mailbox_full",
    ),
    Rule(
        265,
        "Relaying",
        any_of(
            r"relay(ing|ed)?(?![\w.-]).{0,50}(den|not|prohibit|unable|disallow|reject|refus"
            r"|forbid|block|access)",
            r"(not|unable|cannot|can.?t|won.?t|don.?t|denies|no|unauthori[sz]ed|refus\w+)"
            r" .{0,20}relay",
            r"rcpthosts|not (hosted|local|handled|served) (here|by)",
            r"not (a |one of )?(our|my) (domain|local)|mail (for|to) this domain",
        ),
        SOFT,
        "refused",
        detail="relaying_denied",
    ),
    Rule(
        310,
        "Address switched off",
        r"inactive|disabled|deactivated|suspended",
        HARD,
        "account_disabled",
        status=r"5\.1\.1",
    ),
    Rule(
        315,
        "Account disabled",
        any_of(
            r"(account|mailbox|mail box|user|recipient|address|e-?mail|addressee|customer"
            r"|subscriber|domain)\b[^.;]{0,60}\b(disabled?|suspend\w*|inactive|in-active"
            r"|deactivated?|locked?|expired|frozen|on hold|closed|discontinued|cancell?ed"
            r"|terminated|not (currently )?active|no longer (active|in use)|dormant|restricted"
            r"|abandoned|not been (used|activated))",
            r"\b(disabled|suspended|inactive|deactivated|locked|expired|frozen|closed|dormant"
            r"|terminated|discontinued|abandoned) (account|mail ?box|user|recipient|e-?mail"
            r"|address|customer)",
            r"(?<!delivery )(is|has been|temporarily) (suspended|deactivated|disabled)",
            r"not accepting (any )?(mail|messages)|account_?disabled|休止|停止中|заблокирован",
            r"отключен",
        ),
        SOFT,
        "account_disabled",
    ),
    Rule(
        320,
        "Phone off",
        any_of(
            r"(phone|handset|terminal|device|subscriber).{0,40}(off|not connected|out of (range"
            r"|reach|service area)|absent)",
        ),
        IGNORED,
        "not_connected",
    ),
    Rule(
        395,
        "Domain takes no mail",
        any_of(
            r"null ?-?mx|could ?n.?t find (a|any) mail exchanger",
            r"(does ?n.?t|does not|never|not) (receive|accept) (any )?(e-?mail|mail)",
            r"domain.{0,40}(does not|doesn.?t) (handle|accept|receive)",
            r"no (valid )?(mx|mail exchanger)|mx records? point to non|non-?existent hosts?",
            r"mx .{0,30}(none|missing|empty)|no smtp service",
            r"malformed or unexpected name server reply|smtp service not (offered|provided)",
        ),
        HARD,
        "invalid_domain",
        detail="no_mail",
    ),
    Rule(
        420,
        "Domain unknown",
        any_of(
            r"\b(host|domain|site|hostname)s?( ?name)?( or domain name| or host)?( [\w.*\[\]<>()"
            r"-]{1,120}){0,2}?:? ?(is |was )?(unknown(?! user)|not found|does ?n.?t exist"
            r"|does not exist|not exist|could ?n.?t be found|could not be found|nonexist"
            r"|non-exist|not valid|invalid)",
            r"\b(unknown|no such|invalid|non-?existent|bad|illegal|unrouteable|unroutable)"
            r" (mail )?(host|domain|site|destination system|destination host|server|system)\b",
            r"domain is not reachable|domain must exist|unknown domain|nxdomain|no data known",
            r"could ?n.?t find any host|cannot resolve (the )?(host|domain)",
            r"name or service not known|nodename nor servname|ドメイン.{0,20}(見つかりません|存在しません)",
            r"domain(e)? inconnue?|domain.{0,20}unbekannt",
        ),
        HARD,
        "invalid_domain",
    ),
    Rule(
        430,
        "Moved away",
        any_of(
            r"(has|have|user|recipient|mailbox|address) (moved|relocated)",
            r"no longer (on|at|with|works?|employed)|(address|mailbox).{0,30}(has )?changed",
            r"user not local|new address|please use instead|recipient no longer",
        ),
        HARD,
        "user_unknown",
        detail="moved",
        status=r"5\.1\.\d+|5\.0\.0|",
    ),
    Rule(
        435,
        "Mailbox busy (RFC 5321)",
        r"mailbox (is )?(currently |temporarily )?(unavailable|busy|locked)",
        SOFT,
        "unreachable",
        detail="system_error",
        code=r"4\d\d",
    ),
    Rule(
        440,
        "Not in the directory",
        DIRECTORY,
        HARD,
        "user_unknown",
    ),
    Rule(
        445,
        "Address not registered with a filtering service",
        r"\* rejected|recipient rejected",
        HARD,
        "user_unknown",
        code="542",
    ),
    Rule(
        450,
        "Unknown, says the status too",
        UNKNOWN,
        HARD,
        "user_unknown",
        status=r"5\.1\.\d+",
    ),
    Rule(
        460,
        "Unknown, refused at RCPT",
        UNKNOWN,
        HARD,
        "user_unknown",
        stage="rcpt",
    ),
    Rule(
        470,
        "Called unknown, but perhaps by a filter",
        UNKNOWN,
        SOFT,
        "refused",
        detail="recipient_filter",
    ),
)
