"""`firmshake ca`: what the project's private CA does. Each of its commands is a module here."""

from __future__ import annotations

import click

from firmshake.cli.lazygroup import LazyGroup

# name of the command: one line of help, shown without importing the command
COMMANDS = {
    "show": "Show the CAs of the project: where their keys are, what they issued, what is due.",
    "issue": "Make keys and certificates for devices that are no boards.",
    "renew": "Make a new certificate for the key that a device has.",
    "rekey": "Make a new key and certificate for a device that has one.",
    "sign": "Sign a certificate signing request.",
    "broker": "Give the broker a new certificate and key.",
    "list": "List the certificates that were issued.",
    "expiring": "List what expires soon.",
    "revoke": "Revoke certificates, for good.",
    "crl": "Sign new revocation lists.",
    "intermediate": "Renew the issuing CA below the same root.",
    "passphrase": "Change the passphrase of the CA's keys.",
    "remember": "Keep the CA's passphrase in the system's keyring.",
    "forget": "Take the CA's passphrase out of the system's keyring.",
    "profiles": "Print the certificate profiles that firmshake has.",
    "import": "Take a CA or certificates that were made elsewhere into the project.",
    "log": "Print the issuance log.",
    "audit": "Check that registry, log and files agree.",
    "export": "Write what a broker or a cloud needs to let the fleet in.",
}


@click.group("ca", cls=LazyGroup, package=__name__, table=COMMANDS)
def command() -> None:
    """The project's private CA."""
