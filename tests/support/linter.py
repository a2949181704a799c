"""What pkilint says of certificates and CRLs: its own commands, run in this process."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from pkilint.bin import lint_crl, lint_pkix_cert, lint_pkix_signer_signee_cert_chain

DER = serialization.Encoding.DER

# (code, message): what was found, from NOTICE upwards
Findings = set[tuple[str, str]]


def certificate(made: x509.Certificate) -> Findings:
    """What is found in a certificate (RFC 5280)."""
    return _run(lint_pkix_cert.main, [], made.public_bytes(DER))


def pair(issuer: x509.Certificate, made: x509.Certificate) -> Findings:
    """What is found where a certificate is held against its issuer's, the signature included."""
    return _run(
        lint_pkix_signer_signee_cert_chain.main,
        [],
        issuer.public_bytes(DER),
        made.public_bytes(DER),
    )


def crl(content: bytes, *, of_cas: bool) -> Findings:
    """What is found in a CRL, PEM or DER, of CA certificates or of others."""
    return _run(lint_crl.main, ["-t", "ARL" if of_cas else "CRL", "-p", "PKIX"], content)


def _run(main: Callable[[list[str]], int], options: list[str], *files: bytes) -> Findings:
    output = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(len(files))]
        for path, content in zip(paths, files, strict=True):
            path.write_bytes(content)
        command = ["lint", *options, "-s", "NOTICE", "-f", "JSON", *map(str, paths)]
        with contextlib.redirect_stdout(output), warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves its files to be closed
            status = main(command)
    found = {
        (description["code"], description["message"] or "")
        for result in json.loads(output.getvalue())["results"]
        for description in result["finding_descriptions"]
    }
    assert bool(status) == bool(found)
    return found
