"""Packages of the machine's own Debian or Ubuntu mirror, unpacked without root into a folder.

apt does the work that it is good at (mirrors, proxies, signatures, what needs what), on a private
state in a folder of ours: the system's packages, lists and settings are read, never changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from firmshake import debian
from firmshake.errors import Error
from progress import complaint

NO_PACKAGES = (
    "check that `apt-get update` works on this machine and reaches its mirror, then repeat; or "
    "install MicroPython 1.23 or later, mosquitto 2 or later and libfaketime yourself; the tests "
    "also want SoftHSM2, RabbitMQ, gnome-keyring and PostgreSQL, the benches easy-rsa and cfssl"
)


class Archive:
    """One suite of one mirror, with a private apt state in `folder`; made for one architecture."""

    def __init__(
        self, folder: Path, family: debian.Family, uri: str, suite: str, architecture: str = ""
    ) -> None:
        self.family, self.uri, self.suite = family, uri, suite
        self.architecture = architecture or machine_architecture()
        self._folder = folder.resolve()
        self._config = self._folder / "apt.conf"
        self._prepare()

    def _prepare(self) -> None:
        for name in ("lists/partial", "cache/archives/partial", "state", "etc"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "archive.sources").write_text(
            f"Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\n"
            f"Components: {self.family.components}\nTargets: Packages\nLanguages: none\n"
            f"Architectures: {self.architecture}\nSigned-By: {self.family.keyring}\n"
        )
        self._config.write_text(_settings(self._folder, self.architecture))

    def update(self) -> None:
        """Fetch the signed index. Raises Error if it cannot be had or its signature is not good."""
        if not Path(self.family.keyring).exists():
            raise Error(
                f"cannot check the signature of {self.uri}: {self.family.keyring} is missing",
                f"install the package {self.family.name.lower()}-archive-keyring",
            )
        self._apt("update", "-o", "APT::Update::Error-Mode=any")

    def version(self, name: str) -> str:
        """The version of a package, "" where the archive has none."""
        command = ["apt-cache", "-c", str(self._config), "show", "--no-all-versions", name]
        done = run(command, check=False)
        return next((fields.get("Version", "") for fields in debian.stanzas(done)), "")

    def resolve(self, wanted: list[str], parts: str = "") -> list[debian.Package]:
        """The wanted packages and the libraries they need. Raises Error if apt finds no way.

        Packages whose names begin with `parts`, where it is not empty, are followed too.
        """
        listing = self._apt("install", "--print-uris", "--yes", *wanted)
        exact = debian.chosen(listing)
        shown = run(["apt-cache", "-c", str(self._config), "show", *exact])
        return debian.needed(wanted, debian.index(shown), parts)

    def unpack(self, packages: Iterable[debian.Package], into: Path) -> None:
        """Download the packages, checked against the signed index, and unpack them in `into`."""
        names = [f"{p.name}={p.version}" for p in packages]
        parcels = self._folder / "parcels"
        shutil.rmtree(parcels, ignore_errors=True)
        parcels.mkdir()
        self._apt("download", *names, cwd=parcels)
        into.mkdir(parents=True, exist_ok=True)
        for parcel in sorted(parcels.glob("*.deb")):
            run(["dpkg-deb", "--extract", str(parcel), str(into)])
            parcel.unlink()
        for name in ("doc", "lintian", "locale", "man"):
            shutil.rmtree(into / "usr/share" / name, ignore_errors=True)

    def sibling(self, folder: Path, architecture: str) -> Archive:
        """The same suite of the same mirror for another architecture."""
        return Archive(folder, self.family, self.uri, self.suite, architecture)

    def _apt(self, *arguments: str, cwd: Path | None = None) -> str:
        return run(["apt-get", "-c", str(self._config), "-q", *arguments], cwd=cwd)


def _settings(folder: Path, architecture: str) -> str:
    # read after the system's own settings, which stay in force for proxies and the like
    lines = [
        *(f"#clear {name};" for name in _FOREIGN),
        f'Dir::State "{folder}/state";',
        f'Dir::State::Lists "{folder}/lists";',
        f'Dir::State::status "{folder}/status";',
        f'Dir::Cache "{folder}/cache";',
        f'Dir::Cache::archives "{folder}/cache/archives";',
        f'Dir::Etc::SourceList "{folder}/archive.sources";',
        'Dir::Etc::SourceParts "-";',
        'Dir::Etc::Preferences "-";',
        'Dir::Etc::PreferencesParts "-";',
        f'APT::Architecture "{architecture}";',
        f'APT::Architectures {{ "{architecture}"; }};',
        'APT::Install-Recommends "false";',
        'APT::Get::AllowUnauthenticated "false";',
        'Acquire::AllowInsecureRepositories "false";',
        'Acquire::Retries "3";',
        'Debug::NoLocking "true";',
    ]
    if os.geteuid() == 0:
        # apt's own download user could not enter a folder below root's home
        lines.append('APT::Sandbox::User "root";')
    return "\n".join(lines) + "\n"


# settings of the system that make no sense for a private state, or touch the system's
_FOREIGN = (
    "APT::Architectures",
    "APT::Default-Release",
    "APT::Update::Pre-Invoke",
    "APT::Update::Post-Invoke",
    "APT::Update::Post-Invoke-Success",
    "DPkg::Pre-Install-Pkgs",
    "DPkg::Pre-Invoke",
    "DPkg::Post-Invoke",
)


def machine_architecture() -> str:
    """dpkg's name of this machine's architecture, as amd64."""
    return run(["dpkg", "--print-architecture"]).strip()


def machine_packages(architecture: str) -> set[str]:
    """The packages that are installed on this machine."""
    form = "${db:Status-Status} ${Package} ${Architecture}\\n"
    return debian.installed(run(["dpkg-query", "--show", f"--showformat={form}"]), architecture)


def machine_release() -> dict[str, str]:
    """The fields of this machine's os-release(5); none where it has no such file."""
    release = Path("/etc/os-release")
    return debian.os_release(release.read_text() if release.is_file() else "")


def machine_mirrors() -> list[debian.Mirror]:
    """The archives that the machine's own apt is set to use. Raises Error where there is no apt."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Error("cannot fetch packages here: there is no apt-get", NO_PACKAGES)
    # sources that an ordinary user may not read give a complaint and the rest of the list
    targets = run(["apt-get", "indextargets"], check=False)
    return debian.mirrors(targets, run(["apt-get", "update", "--print-uris"], check=False))


def run(command: list[str], *, cwd: Path | None = None, check: bool = True) -> str:
    """The standard output of a program. Raises Error with its complaint, unless told not."""
    env = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    # apt reads this first and would take its places for ours
    env.pop("APT_CONFIG", None)
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise Error(f"cannot start {command[0]}: {error.strerror}", NO_PACKAGES) from error
    if check and done.returncode != 0:
        raise complaint(command[0], done.stderr, ("E:", "dpkg"), NO_PACKAGES)
    return done.stdout
