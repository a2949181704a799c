"""What follows from a board's verdict and this computer's: the table behind `compare`.

Does no I/O. Rows are tried from the top; where none fits, the pair of stages decides.
Of a board that fails at dns or tcp, the rows of READY hold wherever this computer gets further.
"""

from __future__ import annotations

from dataclasses import dataclass

READY = "ready"
NO_REPORT = "no_report"


@dataclass(frozen=True)
class Row:
    """Fits where both verdicts do ("*" stands for anything) and the computer found `finding`.

    `finding` "" asks for none. `so` is the conclusion, `do` what to do, `because` the reason for
    which the row is right.
    """

    board: str
    computer: str
    finding: str
    so: str
    do: str
    because: str


_OWN = "the stage needs nothing but the board itself"
_AGAIN = "Provision the board again."
_SINCE = "the broker answers this computer now, and the log may be older than a change to it"

ROWS = (
    # the board's own
    Row(
        "identity/key_mismatch", "*", "key_mismatch",
        "Key and certificate were made apart: this computer was given the same two.",
        "Issue the device's identity again, and provision the board with it.",
        "the same pair fails in two places",
    ),
    Row(
        "identity/expired", "*", "expired",
        "The certificate has really expired: this computer's clock says so too.",
        "Provision the board again for a new certificate.",
        "two clocks agree",
    ),
    # the way to the broker
    Row(
        "dns/not_found", "dns/not_found", "",
        "The name does not exist, for the board and for this computer.",
        "Correct the broker's name in fleet.toml, or add it to your DNS.",
        "two resolvers agree",
    ),
    Row(
        "dns/*", READY, "",
        "The board's network, not the broker: its DNS does not know the name that ours knows.",
        "Look which DNS server the board's network hands out, and add the name there.",
        "the same name resolves here",
    ),
    Row(
        "tcp/timeout", READY, "",
        "The board's network, not the broker: something drops the board's packets on the way.",
        "Let the board's network (guest network, VLAN, client isolation) reach the broker's port.",
        "the broker answers this computer on the same port",
    ),
    Row(
        "tcp/unreachable", READY, "",
        "The board's network, not the broker: it has no way to the broker's address.",
        "Check gateway and subnet of the board's network.",
        "the broker answers this computer on the same port",
    ),
    Row(
        "tcp/refused", READY, "",
        "The broker listens for this computer: it was down then, or the board went elsewhere.",
        "Compare the address in the board's log with the broker's; then reset the board.",
        _SINCE,
    ),
    Row(
        "tcp/reset", READY, "",
        "Something before the broker knows this computer and not the board.",
        "Look what load balancer and firewall let in from the board's network.",
        "the broker answers this computer on the same port",
    ),
    Row(
        "tcp/refused", "tcp/refused", "",
        "Nothing listens on that port, for anyone.",
        "Start the broker, or correct the port in fleet.toml.",
        "two networks agree",
    ),
    Row(
        "tcp/timeout", "tcp/timeout", "",
        "The broker is not reached from either place: it is down, or a firewall hides it.",
        "Check that the broker runs, and its own firewall.",
        "two networks agree",
    ),
    Row(
        "tls.client_hello/not_tls*", "tls.client_hello/not_tls*", "",
        "The port does not speak TLS, to anyone.",
        "Use the broker's TLS port, usually 8883.",
        "two clients agree",
    ),
    Row(
        "tls.client_hello/*", READY, "",
        "The board's network, not the broker: something on the way stops its TLS.",
        "Look for a firewall that inspects traffic between the board and the broker.",
        "the same first message reaches the broker from here",
    ),
    # version and cipher
    Row(
        "tls.server_hello/protocol_version", "*", "protocol_version",
        "The broker does not take the TLS version that boards speak.",
        "Allow TLS 1.2 on the broker.",
        "asked for each version, it takes others only",
    ),
    Row(
        "tls.server_hello/*", "*", "no_shared_cipher",
        "The broker takes no cipher suite that the board has.",
        "Allow ECDHE-ECDSA-AES128-GCM-SHA256 or ECDHE-RSA-AES128-GCM-SHA256 on the broker.",
        "asked with each board's own list, it refuses",
    ),
    # the broker's certificate
    Row(
        "tls.server_certificate/unknown_ca", "*", "incomplete_chain",
        "The broker does not send its intermediate.",
        "Append the intermediate to the broker's certificate file and reload it.",
        "the certificate that is missing leads to the trusted CA, and is here",
    ),
    Row(
        "tls.server_certificate/incomplete_chain", "*", "incomplete_chain",
        "The broker does not send its intermediate.",
        "Append the intermediate to the broker's certificate file and reload it.",
        "the certificate that is missing leads to the trusted CA, and is here",
    ),
    Row(
        "tls.server_certificate/unknown_ca", "*", "out_of_order",
        "The broker sends its certificates in an order that boards cannot follow.",
        "Put each certificate before that of its issuer in the broker's file.",
        "mbedTLS looks for an issuer only behind a certificate; OpenSSL looks everywhere",
    ),
    Row(
        "tls.server_certificate/unknown_ca", "*", "issuer_unknown",
        "The broker's issuer is neither sent nor trusted: its intermediate, or another CA.",
        "Append the issuer to the broker's file if it is your intermediate; else trust its CA.",
        "nothing that was sent, and no CA that was given, has signed it",
    ),
    Row(
        "tls.server_certificate/unknown_ca", "*", "unknown_ca",
        "The broker's certificate is from another CA, for the board and for this computer.",
        "Issue the broker's certificate from your CA.",
        "two trust stores agree",
    ),
    Row(
        "tls.server_certificate/*", "*", "self_signed",
        "The broker's certificate signed itself: no CA stands behind it.",
        "Give the broker a certificate of your CA.",
        "it verifies under its own key",
    ),
    Row(
        "tls.server_certificate/unknown_ca", "*", "weak_signature",
        "The chain is whole, and signed with a hash that boards refuse.",
        "Issue the broker's certificate again with SHA-256.",
        "mbedTLS reports what it refuses as not correctly signed",
    ),
    Row(
        "tls.server_certificate/unknown_ca", READY, "",
        "The board trusts another CA than this computer was given.",
        "Provision the board again, so that it has the CA of today.",
        "the same chain leads to the CA that was given here",
    ),
    Row(
        "tls.server_certificate/clock_wrong", "*", "",
        "The board's clock is wrong; the dates of the certificate are not the fault.",
        "Make an NTP server reachable for the board.",
        "the board itself says that it does not know the time",
    ),
    Row(
        "tls.server_certificate/expired", "*", "expired",
        "The certificate has really expired: this computer's clock says so too.",
        "Renew the broker's certificate (firmshake ca broker) and reload the broker.",
        "two clocks agree",
    ),
    Row(
        "tls.server_certificate/expired", "*", "",
        "The certificate is valid here: it was renewed since, or the board's clock is ahead.",
        "Reset the board; if it says the same, look at the time that its log states.",
        "this computer's clock finds every certificate in its time",
    ),
    Row(
        "tls.server_certificate/not_yet_valid", "*", "not_yet_valid",
        "The certificate is from the future for both clocks: who issued it had a wrong one.",
        "Set the clock of the computer that issues, and issue the certificate again.",
        "two clocks agree",
    ),
    Row(
        "tls.server_certificate/not_yet_valid", "*", "",
        "The board's clock is behind.",
        "Make an NTP server reachable for the board, or provision it again: that stamps the time.",
        "this computer's clock finds every certificate in its time",
    ),
    Row(
        "tls.server_certificate/hostname_mismatch", "*", "hostname_mismatch",
        "The broker's certificate lacks the name, whoever asks.",
        "Issue it for that name too, or set server_name in fleet.toml to one that it has.",
        "the names in the certificate were read here too",
    ),
    Row(
        "tls.server_certificate/hostname_mismatch", "*", "",
        "The board asks for another name than this computer did.",
        "Compare host and server_name in fleet.toml, and provision the board again.",
        "the certificate has the name that was asked for here",
    ),
    Row(
        "tls.server_certificate/weak_key", "*", "weak_key",
        "The broker's key is too short for boards.",
        "Issue the broker's certificate with an EC P-256 key.",
        "its size was read here too",
    ),
    Row(
        "tls.server_certificate/wrong_usage", "*", "wrong_usage",
        "The broker shows a certificate that is not made for servers.",
        "Issue a broker's certificate for it.",
        "its usages were read here too",
    ),
    # ours
    Row(
        "tls.client_certificate/missing", READY, "",
        "The board shows no certificate, and the broker wants one.",
        _AGAIN,
        "a client with a certificate gets in",
    ),
    Row(
        "tls.client_certificate/*", "*", "client_unknown_ca",
        "The broker does not know the CA of the fleet.",
        "Give the broker your CA's root certificate to check clients by (mosquitto: cafile).",
        "it refuses this computer's certificate too, and says so",
    ),
    Row(
        "tls.client_certificate/unknown_ca", READY, "",
        "The board's certificate is from another CA than the one that was shown from here.",
        "Provision the board again, so that its certificate is from the CA of today.",
        "the broker takes a certificate of the CA of today",
    ),
    Row(
        "tls.client_certificate/expired", "*", "client_expired",
        "The broker calls both certificates expired.",
        "Check the broker's clock; then provision the board again for a new certificate.",
        "two certificates get the same answer",
    ),
    Row(
        "tls.client_certificate/expired", READY, "",
        "The board's own certificate has expired; the one shown from here has not.",
        "Provision the board again for a new certificate.",
        "the broker's clock lets a newer certificate in",
    ),
    Row(
        "tls.client_certificate/*", "*", "revoked",
        "The certificate is on the list of those revoked.",
        "Provision the board again, if it is to be let in.",
        "the CRL was read here",
    ),
    Row(
        "tls.client_certificate/revoked", "*", "crl_expired",
        "The broker's CRL is out of date: brokers then refuse everyone.",
        "Make the CRL again and reload the broker.",
        "OpenSSL refuses all certificates where the CRL is not current",
    ),
    Row(
        "tls.client_certificate/*", READY, "",
        "The board's certificate, not the broker: another client gets in.",
        _AGAIN,
        "the broker takes a certificate of the same CA from here",
    ),
    # memory
    Row(
        "tls*/out_of_memory", "*", "chain_too_long",
        "The chain that the broker sends is longer than what a board can take in.",
        "Send fewer or smaller certificates.",
        "its size was counted here",
    ),
    Row(
        "tls*/out_of_memory", "*", "root_sent",
        "The board has too little memory, and the broker sends more than is needed.",
        "Leave the root out of the broker's file; free memory on the board.",
        "a certificate that a board has anyway still takes its memory",
    ),
    Row(
        "tls*/out_of_memory", "*", "",
        "The board has too little memory for a handshake; the broker is in order.",
        "Import less on the board before it connects, or use one with more memory.",
        "the same handshake succeeds with enough memory",
    ),
    # behind TLS
    Row(
        "mqtt/*", READY, "",
        "The broker is in order: it does not let this device in, by its id or account.",
        "Look in the broker's log for this device's id; try the same id here with --device.",
        "MQTT works from here",
    ),
    Row(
        "subscribe/denied", READY, "",
        "The broker's rules let this computer's id in, and not the board's.",
        "Check the broker's ACL for the board's id; try the same id here with --device.",
        "subscribing works from here",
    ),
    Row(
        "subscribe/no_echo", READY, "",
        "The broker's rules let this computer's id in, and drop what the board publishes.",
        "Check the broker's ACL for the board's id; try the same id here with --device.",
        "the echo comes back here",
    ),
)  # fmt: skip


# stage of the board: what follows where this computer gets to the end, and what to do
WHEN_READY = {
    NO_REPORT: ("The broker is in order; the board said nothing.", "Watch it: firmshake console."),
    "identity": ("The board itself, not the broker: its files are at fault.", _AGAIN),
    "wifi": ("The board's radio network, not the broker.", "See the board's own fix above."),
    "clock": ("The board's clock, not the broker.", "Make an NTP server reachable for the board."),
    "dns": ("The board's network, not the broker: its DNS.", "Check that network's DNS server."),
    "tcp": ("The board's network, not the broker.", "Let that network reach the broker's port."),
    "tls": (
        "The broker is in order for this computer: what the board has or sees is different.",
        "Compare CA, names and time in the board's log with those here; reset the board.",
    ),
    "websocket": ("The way to the broker is different for the board.", "Look for a proxy there."),
    "mqtt": ("The broker treats this device differently.", "Look for its id in the broker's log."),
    "subscribe": ("The broker's rules for this device.", "Check the ACL for the board's id."),
    READY: ("Both get in: nothing is wrong now.", ""),
}

# stage of the computer: what follows where the board got further, or to the end
WHEN_BEHIND = {
    NO_REPORT: ("This computer came to no verdict.", "Run firmshake doctor again."),
    "identity": ("What this computer was given cannot be used.", "Check --ca, --cert and --key."),
    "wifi": ("This computer has no radio to ask for.", ""),
    "clock": ("This computer's clock is at fault.", "Set it."),
    "dns": ("The name resolves for the board and not here.", "Check this computer's DNS."),
    "tcp": (
        "The broker is down now, or this computer's network keeps it away.",
        "Check that the broker runs; try from the board's network.",
    ),
    "tls": (
        "The broker has changed since, or this computer has other files than the board.",
        "Check --ca, --cert, --key and --server-name.",
    ),
    "websocket": ("A proxy treats this computer differently.", "Look at the proxy's rules."),
    "mqtt": ("The broker treats this computer's id differently.", "Use --device with a known id."),
    "subscribe": ("The broker's rules for this computer's id.", "Use --device with a known id."),
}
