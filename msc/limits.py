"""Every bound of MSC, with its reason. A full queue has a defined answer; nothing grows without end.

Numbers that a county may want to change stand in `msc.toml` and only take their defaults from here.
"""

from __future__ import annotations

from typing import Final

# --- frames -------------------------------------------------------------------------------------
FRAME_OVERHEAD_BYTES: Final = 5
"""Kind and sequence: what `length` counts besides the payload."""

FRAME_BYTES_MAX: Final = 65_536
"""Default bound of `length`. The longest legal message (an administrative text of 14 400 characters)
fits four times over."""

FRAME_BYTES_MIN_ALLOWED: Final = 16_384
"""A switch told to accept less than this could not carry a full administrative message."""

FRAME_BYTES_MAX_ALLOWED: Final = 1_048_576
"""Above a mebibyte a frame is a file transfer; one slow peer would hold too much of our memory."""

TEXT_CHARS_MAX: Final = 14_600
"""Message text: 14 400 characters of administrative free text and its key, ORI and destinations."""

MSN_MAX: Final = 2**63 - 1
"""The journal's databases count no further."""

# --- windows ------------------------------------------------------------------------------------
STATION_WINDOW: Final = 32
"""Unanswered `D` frames a terminal or host may have: an operator has a few, a busy CAD a few dozen."""

WINDOW_MAX: Final = 4_096
"""No peer is believed when it offers a larger window than this."""

# --- time ---------------------------------------------------------------------------------------
HEARTBEAT_S: Final = 30.0
PINGS_UNANSWERED_MAX: Final = 2
FRAME_COMPLETE_S: Final = 10.0
"""A frame begun must be whole within this; a peer that trickles bytes is cut off."""
HANDSHAKE_S: Final = 10.0
TLS_SHUTDOWN_S: Final = 2.0
"""uvloop lingers 30 s on a TLS close unless told otherwise."""
LINE_ACK_S: Final = 10.0
"""A state host that has left a message without an acknowledgement this long takes none: the line is cut, so that
the backup gets its traffic. Taking a message over is a matter of milliseconds, even where its answer takes long."""
LINE_FAILBACK_S: Final = 5.0
"""How long a primary line must have been open again before its traffic returns from the backup: one that comes and
goes would drag the traffic to and fro, and hold it up each time."""
LINE_TEST_S: Final = 5.0
"""How long an operator waits for a host to answer a test of its line; a sound line takes milliseconds."""
SLOW_READER_S: Final = 30.0
"""A peer that has not read what waits for it for this long is disconnected; its messages stay queued."""
IDLE_LOCK_S: Final = 1_800
"""CJIS AC-11: session lock after 30 idle minutes."""
IDLE_END_S: Final = 3_600
"""CJIS SC-10: the session ends after an idle hour."""
DRAIN_S: Final = 10.0
CERTIFICATE_POLL_S: Final = 0.4
"""How often certificate files are looked at. A change counts once it has stood still from one look to the next, so
what is revoked or renewed takes effect within a second, and never half written."""
SWEEP_S: Final = 0.25
"""How often clocks are looked at: heartbeats, time-outs and idle locks are this exact, no more."""

# --- connections --------------------------------------------------------------------------------
CONNECTIONS_MAX: Final = 2_000
CONNECTIONS_PER_DEVICE: Final = 4
"""A device is one thing in one place, but it may come back before its old connection is known to be dead. More
than this is not a device but somebody with its key, filling our connections."""
REFUSALS_MAX: Final = 100
"""A station that is refused this often in a row, while nobody is signed on at it, is disconnected. Each refusal
stands in the journal, and a stolen certificate alone must not fill that; an honest client needs far fewer."""
HOST_USERS_MAX: Final = 500
"""Users signed on through one CAD connection."""
WRITE_BUFFER_HIGH_BYTES: Final = 262_144
WRITE_BUFFER_LOW_BYTES: Final = 65_536

# --- queues -------------------------------------------------------------------------------------
OUTBOX_MESSAGES_MAX: Final = 2_000
"""Undelivered messages for one station. Beyond it messages go to the operator's queue, journaled."""
OPERATOR_QUEUE_MAX: Final = 10_000
"""Messages an operator can list at once; beyond it they are counted, and stand in the journal alone until an order
makes room. Nobody works off so many by hand."""
OPERATOR_REFILL_MAX: Final = 1_000
"""Messages that are read back from the journal after one order, where more wait than can be listed: each is looked
up, and the order's answer waits for it."""
UNROUTED_OF_DEVICE_MAX: Final = 50
"""Messages of one device that no route takes and that wait for the operator at once. Further ones are refused like
anything else: a terminal that is in the wrong hands must not fill the queue that everybody's messages go to."""
DELIVERY_ATTEMPTS_MAX: Final = 3
"""A message a station refuses this often goes to the operator's queue, so it never blocks the rest."""
ACK_S: Final = 120.0
"""How long a station may leave a message unanswered: paper is put into a printer meanwhile. Longer is a queue that is
stuck behind a link that looks sound, and the connection ends."""
DELIVERIES_UNANSWERED_MAX: Final = 3
"""A message that is left unanswered this often goes to the operator's queue: what a station chokes on, it chokes on
again, and all behind it waits."""
LINE_LOSSES_MAX: Final = 3
"""How often a line may be lost over one inquiry that it does not acknowledge: then it is not the line's fault."""
SUBMISSION_ATTEMPTS_MAX: Final = 3
"""The same for a message that a state host cannot take just now."""
SUBMIT_AGAIN_S: Final = 1.0
"""How long such a message rests in between; what came after it goes on meanwhile."""

BULLETINS_MAX: Final = 100
"""Bulletins on the board at once: more than anybody reads at the beginning of a shift."""
BULLETIN_S_MAX: Final = 31 * 86_400.0
"""The longest a bulletin may hang: what is true for longer belongs into an order of the agency."""
RECEIPTS_AT_ONCE: Final = 64
"""Receipts in one control message, of at most 170 bytes each: it fits the smallest frame there may be. The rest is
asked for with `after`."""
RECEIPT_REQUESTS_MAX: Final = 16
"""Requests for receipts under way at once; beyond it E502, as each looks into the journal."""
RECEIPTS_REST_S: Final = 0.2
"""How long a station, or a host's user, waits after one answer before asking again: nobody polls in a circle."""

# --- forwarding ---------------------------------------------------------------------------------
FORWARD_HOPS_MAX: Final = 8
"""Forwards and alternates one message may follow. Day desk, night desk, the neighbour's, their alternate: four is a
long way already, and whoever asks where a message went must be able to read it."""
FORWARDED_REMEMBERED_MAX: Final = 20_000
"""Messages that went to a station instead of to another, remembered so that one meant for both comes once. That is
found out within the same moment; four messages to all stations there may be is more than enough."""
FORWARD_RULES_MAX: Final = 10_000
"""Forwards of a site, and likewise alternates: five for each connection there may be."""
FORWARD_SEARCH_STEPS_MAX: Final = 100_000
"""Rules looked at in the search for loops, when a file is loaded. Rules so entangled that it takes more are refused:
nobody could say where a message goes."""

# --- pending inquiries --------------------------------------------------------------------------
PENDING_WINDOW_S: Final = 3_600.0
"""How long answers to one inquiry are accepted: several sources answer, some late (Oregon: one hour)."""
PENDING_MAX: Final = 100_000
"""Inquiries remembered at once. Beyond it the oldest fully answered one is forgotten; if every one
still waits, a new inquiry is refused with E502."""
ANSWER_TIMEOUT_S: Final = 30.0
"""Until E403, where the catalog names no time of its own."""

REPEATS_MAX: Final = 2 * PENDING_MAX
"""Messages from the lines remembered by a hash, to know one that comes again: two for each inquiry there may be."""

# --- clocks -------------------------------------------------------------------------------------
UNANSWERED_S: Final = 10.0
"""An inquiry without an answer for this long is an alarm: the state answers in well under a second (NCIC: 0.06 s)."""
UNANSWERED_MAX: Final = 2 * PENDING_MAX
"""Inquiries watched for that, one for each line they went to: as many as can wait at two lines each."""
SERVICE_OUT_S: Final = 3_600.0
"""How long the state's word that it is out of service holds if it does not repeat it. It may have forgotten to say
that it is back, and a county must not wait for ever; the journal is searched as far back when the switch starts."""
HIT_CONFIRMATION_URGENT_S: Final = 600.0
"""Nlets: an urgent hit confirmation is answered within ten minutes,"""
HIT_CONFIRMATION_ROUTINE_S: Final = 3_600.0
"""and a routine one within the hour."""
REMIND_URGENT_S: Final = 120.0
"""How long before the end its reminder comes (LEADS 1240.60.a.6): time to find the file and type the answer,"""
REMIND_ROUTINE_S: Final = 900.0
"""and, where an hour is allowed, to find whoever has it."""
HIT_CONFIRMATION_KEPT_S: Final = 86_400.0
"""How long an overdue confirmation stays on the list: whoever has the next shift sees it too."""
HIT_CONFIRMATIONS_MAX: Final = 10_000
"""Open confirmations remembered at once: a county has a few dozen. Beyond it the oldest one is forgotten, and its
end journaled."""
HIT_CONFIRMATION_MESSAGES_MAX: Final = 8
"""Requests of one open confirmation that are kept with it. Three are the rule; past this somebody's machine repeats
itself, and a request ends for the clock as it comes."""

# --- journal ------------------------------------------------------------------------------------
JOURNAL_QUEUE_ROWS_MAX: Final = 50_000
"""Rows waiting for the next commit, and so the rows of one; past it new messages are refused with E502."""
JOURNAL_RETRY_S: Final = 1.0
"""How often a journal that failed is tried again."""
NOTES_RIDE_S: Final = 0.1
"""How long what is only noted waits for a commit to ride with. A crash loses it, which errs on the safe side: what a
station had acknowledged comes once more, marked as a possible duplicate."""
STEPS_GATHER_S: Final = 2.0
"""How long steps of a message that waits for its answer gather before they are written without it: most of the
state's answers come sooner, and then it is one record."""
JOURNAL_YEARS_MIN: Final = 3
"""PPP 1.6.2.B.1.c, 1.7.1.A: all traffic is kept for three years."""
LIFE_S: Final = 5.0
"""How long a running switch waits for a message of its journal; looking stands back behind traffic."""
CHECKPOINT_S: Final = 30.0
"""A record is covered by a signed checkpoint at most this much later: half of the minute that is promised."""
CHECKPOINT_RECORDS_MAX: Final = 50_000
"""A checkpoint is made sooner after this many records, so that the archivist, who packs only what is covered, never
lets the tail grow long."""
CLOCK_STEP_S: Final = 0.25
"""A wall clock that moves by more than this against the monotonic one, within a quarter of a second, was set. NTP
slews a thousand times slower."""
WITNESS_QUEUE_MAX: Final = 1_024
"""Checkpoints kept for witnesses that are slow: seventeen hours at one a minute. What is older is read again."""
WITNESS_TELL_S: Final = 15.0
"""How long a witness may take to hear a few checkpoints; then it is tried again."""
WITNESS_RETRY_FIRST_S: Final = 1.0
WITNESS_RETRY_LAST_S: Final = 60.0
WITNESS_LAG_S: Final = 300.0
"""A witness that is this far behind is an alarm: what it has not heard can be put back unseen."""

# --- access control -----------------------------------------------------------------------------
FAILED_SIGN_ONS_MAX: Final = 5
FAILED_SIGN_ON_WINDOW_S: Final = 900.0
"""CJIS AC-7: five failures in fifteen minutes lock the account."""
FAILURE_RECORDS_MAX: Final = 20_000
"""User ids whose failures are remembered, so that inventing names cannot fill our memory."""
HASHING_QUEUE_MAX: Final = 256
"""Sign-ons waiting for the password hasher; beyond it E502."""
FAILED_AT_DEVICE_MAX: Final = 20
"""Failed sign-ons at one terminal within the same fifteen minutes lock sign-on there until an administrator releases
it: a stolen terminal can lock four accounts, not a county."""
FAILED_AT_HOST_MAX: Final = 100
"""The same for a host, behind which hundreds sign on; it is released by itself when the fifteen minutes are over."""
REAUTHENTICATE_S: Final = 43_200.0
"""CJIS IA-5(1), IA-11: the password again after twelve hours."""
SESSIONS_PER_USER: Final = 8
"""Sessions of one person at once: a dispatcher's desks, a car, the CAD. More is an id that is shared."""
RECOVERY_CODES: Final = 10
DIRECTORY_POLL_S: Final = 0.25
"""How often the switch looks whether somebody changed the directory; a change is in force this much later."""
MISUSE_REMEMBERED_MAX: Final = 200_000
"""Who asked for what within a week, as hashes for the misuse watch: two thousand operators with a hundred different
inquiries each, in some fifty megabytes. Beyond it what was asked longest ago is forgotten."""
MISUSE_FLAGS_WAITING_MAX: Final = 10_000
"""Flags kept while the directory cannot be written; beyond it the oldest stand in the audit stream alone."""
PASSWORD_CHARS_MIN: Final = 8
PASSWORD_CHARS_MAX: Final = 128

# --- operators, over the administrative socket --------------------------------------------------
CHALLENGE_S: Final = 30.0
"""How long a nonce is good for: longer than any machine takes to sign one request, too short to be of use later."""
CHALLENGES_USED_MAX: Final = 10_000
"""Nonces remembered as used while they are fresh: three hundred signed requests a second."""
OPERATOR_REASON_CHARS_MAX: Final = 200
"""Why somebody looks into the journal: a sentence and a case number."""
OPERATOR_CERTIFICATE_BYTES_MAX: Final = 8_192
"""Ours take six hundred; an authority elsewhere may have more to say."""
OPERATOR_REQUEST_BYTES_MAX: Final = 65_536
"""Body of a request at the administrative socket: criteria with hundreds of words."""
OPERATOR_REFUSALS_MAX: Final = 60
"""Requests of one account of the machine refused within a minute, after which it is not listened to until the minute
is over: each refusal stands in the journal, and nobody may fill that."""
SEARCHES_MAX: Final = 16
"""Journal requests under way at once; beyond it they are refused, as each takes a share of two cores."""
SEARCHES_PER_OPERATOR: Final = 4
"""Of those, one operator's: a few windows that follow, and one to search in."""
STANDING_S: Final = 1.0
"""How often somebody whose request lasts is looked at again: who is suspended or revoked sees nothing more then."""
STREAM_QUIET_S: Final = 5.0
"""A stream with nothing to say shows a sign of life this often, so that its reader can tell it from a dead one."""
JOURNALED_S: Final = 5.0
"""How long a search waits until its own record is durable; longer means that the journal cannot be written."""
ORDER_MESSAGES_MAX: Final = 2_000
"""Messages one order names: a full outbox."""
ORDER_LOOKUP_S: Final = 8.0
"""How long an order waits for the process that searches to find its messages: that has the lowest priority of all,
other orders about messages wait behind it, and one may look twice while its command waits for the switch."""
ECHO_WAIT_S_MAX: Final = 20.0
"""How long an operator waits for a station to answer a test message: less than the command waits for the switch."""
NOTICE_CHARS_MAX: Final = 1_000
"""A notice is read on a screen, between two messages."""
STANDING_ORDERS_MAX: Final = 1_000
"""Holds, alternates and intercept rules at a time: more than a county has devices. Each intercept rule is looked at
for every message."""
INTERCEPT_RULES_MAX: Final = 50

# --- test ---------------------------------------------------------------------------------------
TEST_DAYS_MAX: Final = 366
"""A test mnemonic, and a test line, ends after a year at most (C-TEST)."""

# --- what a peer may write in an envelope -------------------------------------------------------
REF_CHARS_MAX: Final = 32
REASON_CHARS_MAX: Final = 80
PERSON_CHARS_MAX: Final = 64
"""`requester` and `secondary`: a name or badge and an agency."""
ADDRESSEES_MAX: Final = 20
"""Destinations of one administrative message, where the catalog names no smaller number."""

# --- routes and groups --------------------------------------------------------------------------
PATTERNS_MAX: Final = 1_000
"""Patterns of one of a row's criteria. Beginnings are tried one after the other; a longer list is more rows."""
PATTERN_CHARS_MAX: Final = 64
PRECEDENCE_MAX: Final = 1_000_000
PRECEDENCE_DEFAULT: Final = 100
"""Of a route that names none: some can be put before it without all the others being written anew."""
ROUTES_MAX: Final = 100_000
"""Five times what the largest county is built for."""
GROUPS_MAX: Final = 20_000
GROUP_MEMBERS_MAX: Final = 2_000
"""Members one group names."""
GROUP_STATIONS_MAX: Final = 5_000
"""Stations one message can be meant for, through groups or ALL: each is a row in the same commit, and this is a tenth
of what may wait for one."""
ROUTING_FILE_BYTES_MAX: Final = 33_554_432
"""A file of routes or groups. Twenty thousand routes take three megabytes."""
EXPLAINED_MAX: Final = 20
"""Routes an explanation tells of, besides the one that took the message."""
DIFFERENCES_MAX: Final = 1_000
"""Changes of a new table that are told one by one, and messages that would go elsewhere; the rest is counted."""
ROUTE_FAULTS_MAX: Final = 500
"""Faults of refused files that are told one by one; the rest is counted."""
EXAMPLES_MAX: Final = 5
ROUTES_LISTED_MAX: Final = 1_000
"""Routes in one answer of the switch; whoever wants the rest asks on."""
REPLAYED_AT_ONCE: Final = 32
"""Journaled messages looked at before the event loop goes on: some two milliseconds."""
