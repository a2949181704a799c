"""The private CA: a root, an issuing intermediate below it, and the identities that it issues.

Does no I/O: keys and certificates are values, and the time is a parameter.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from firmshake import deviceid
from firmshake.ca import certificate, constraints, profiles
from firmshake.ca.certificate import Issuer, Validity
from firmshake.ca.identity import Identity, PrivateKey, PublicKey
from firmshake.ca.profiles import Profile, Profiles
from firmshake.endpoint import is_address, is_host
from firmshake.errors import Error

__all__ = ["Authority", "Identity", "Root", "create"]


@dataclass(frozen=True)
class Root(Issuer):
    """The root CA. It is needed to make intermediates, and for nothing in daily work."""

    @classmethod
    def create(
        cls,
        name: str,
        *,
        now: datetime,
        key: PrivateKey | None = None,
        using: Profiles | None = None,
    ) -> Root:
        """Return a new root CA of the fleet `name`, with a new key unless one is given."""
        profile = (using or profiles.load()).root
        key = key or certificate.new_key(profile)
        valid = certificate.window(profile, now)
        return cls(key, certificate.self_signed(profile, _ca_name(name, "root", key), key, valid))

    def issue_authority(
        self,
        name: str,
        *,
        now: datetime,
        key: PrivateKey | None = None,
        using: Profiles | None = None,
    ) -> Authority:
        """Return a new issuing intermediate of the fleet `name`, signed by this root.

        It has a new key unless one is given. Raises Error where `now` is outside the root's
        validity.
        """
        profile = (using or profiles.load()).intermediate
        key = key or certificate.new_key(profile)
        valid = certificate.window(profile, now, self.certificate)
        subject = _ca_name(name, "issuing", key)
        made = certificate.signed(profile, subject, [], key.public_key(), valid, self)
        return Authority(key, made, self.certificate, using)


@dataclass(frozen=True)
class Authority(Issuer):
    """The issuing intermediate: key, certificate, and the root certificate above it.

    `using` are the profiles of what it issues, those of firmshake where it is None. Raises Error
    where they don't belong together.
    """

    root: x509.Certificate
    using: Profiles | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not certificate.issued_by(self.certificate, self.root):
            raise Error(
                f"{certificate.subject(self.certificate)!r} was not issued by"
                f" {certificate.subject(self.root)!r}",
                hint="put back the two certificates that were made together",
            )

    def issue(
        self,
        device_id: str,
        *,
        now: datetime,
        valid: Validity | None = None,
        key: PrivateKey | None = None,
        profile: str | None = None,
    ) -> Identity:
        """Return the identity of the device `device_id`, with a new key unless one is given.

        The id is the common name, which brokers take as user name, and a URI among the alternative
        names. A URI, because it is no host: a DNS name would claim a place in the DNS that it does
        not have, would forbid the underscore, and could pass for a server's name.

        `profile` names one of the profiles for devices, None the usual one. `valid` replaces the
        profile's dates and is taken as it is. Raises Error where `device_id` can't be one, there is
        no such profile, or `now` is outside the intermediate's validity.
        """
        deviceid.check(device_id)
        names = _device_names(device_id)
        return self._identity(self.device_profile(profile), device_id, names, now, valid, key)

    def issue_broker(
        self,
        names: Sequence[str],
        *,
        now: datetime,
        valid: Validity | None = None,
        key: PrivateKey | None = None,
    ) -> Identity:
        """Return the identity of a broker that is reached by `names`, DNS names or IP addresses.

        Clients look at the alternative names only (RFC 9525 section 6); the common name is for
        people. `valid` replaces the profile's dates and is taken as it is, for a certificate that
        has expired. Raises Error where a name is none, or `now` is outside the intermediate's
        validity.
        """
        found = self.profile("broker")
        return self._identity(found, *self._broker_names(names), now, valid, key)

    def _identity(
        self,
        profile: Profile,
        common_name: str,
        names: list[x509.GeneralName],
        now: datetime,
        valid: Validity | None,
        key: PrivateKey | None,
    ) -> Identity:
        key = key or certificate.new_key(profile)
        made = self._sign(profile, common_name, names, key.public_key(), now, valid)
        return Identity(key, made, chain=(self.certificate,), anchors=(self.root,))

    def profile(self, kind: str) -> Profile:
        """Return the profile of a "device" or a "broker"."""
        return self.device_profile() if kind == "device" else self._profiles().broker

    def device_profile(self, name: str | None = None) -> Profile:
        """Return the profile for devices of that name, the usual one for None; Error on none."""
        return self._profiles().of_device(name)

    def _profiles(self) -> Profiles:
        return self.using or profiles.load()

    def certify(
        self,
        device_id: str,
        public_key: PublicKey,
        *,
        now: datetime,
        profile: str | None = None,
    ) -> x509.Certificate:
        """Return a device's certificate for a key that it keeps to itself, as `issue` would."""
        deviceid.check(device_id)
        found = self.device_profile(profile)
        return self._sign(found, device_id, _device_names(device_id), public_key, now)

    def certify_broker(
        self, names: Sequence[str], public_key: PublicKey, *, now: datetime
    ) -> x509.Certificate:
        """Return a broker's certificate for a key that it keeps, as `issue_broker` would."""
        return self._sign(self.profile("broker"), *self._broker_names(names), public_key, now)

    def _broker_names(self, names: Sequence[str]) -> tuple[str, list[x509.GeneralName]]:
        """A broker's common name, which is for people, and its alternative names."""
        assert names
        found = [form for name in dict.fromkeys(names) for form in _general_names(name)]
        kept = constraints.within(self.certificate, found)
        return names[0] if len(names[0]) <= deviceid.LONGEST else "broker", kept

    def _sign(
        self,
        profile: Profile,
        common_name: str,
        names: list[x509.GeneralName],
        public_key: PublicKey,
        now: datetime,
        valid: Validity | None = None,
    ) -> x509.Certificate:
        # asked even where the dates are given: an expired CA issues nothing
        usual = certificate.window(profile, now, self.certificate)
        return certificate.signed(
            profile, _name(common_name), names, public_key, valid or usual, self
        )


def create(name: str, *, now: datetime, using: Profiles | None = None) -> tuple[Root, Authority]:
    """Return a new root CA of the fleet `name` and its issuing intermediate."""
    root = Root.create(name, now=now, using=using)
    return root, root.issue_authority(name, now=now, using=using)


def _ca_name(name: str, role: str, key: PrivateKey) -> x509.Name:
    """Return a CA's name, which ends in a piece of its key identifier.

    Two CAs of one fleet are then never taken for each other where only names are shown.
    """
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    return _name(f"{name} {role} CA {identifier[:4].hex()}")


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _device_names(device_id: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(f"urn:firmshake:device:{device_id}")]


def _general_names(name: str) -> list[x509.GeneralName]:
    """The alternative names for a broker's name; an IPv4 address stands there in two forms.

    mbedTLS before 3.5 has no eye for iPAddress, and compares an address with the dNSNames as text:
    the firmware of MicroPython 1.23 for ESP32 has such a one.
    """
    if is_address(name):
        address = ipaddress.ip_address(name)
        text = [x509.DNSName(name)] if address.version == 4 else []
        return [x509.IPAddress(address), *text]
    if not is_host(name):
        raise Error(f"{name!r} can't be the name of a broker", hint="give a DNS name or an address")
    return [x509.DNSName(name)]
