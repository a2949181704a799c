"""The choice of archive and packages, from what apt prints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake.debian import (
    DEBIAN,
    UBUNTU,
    Mirror,
    Package,
    candidates,
    chosen,
    index,
    installed,
    is_library,
    mirrors,
    needed,
    os_release,
    own_suites,
    stanzas,
    version_of,
)

TARGETS = """\
MetaKey: main/binary-amd64/Packages
Codename: stable
Label: Somebody's tools
Origin: Somebody
Created-By: Packages
Repo-URI: https://tools.example/apt/

MetaKey: main/binary-amd64/Packages
Codename: bookworm
Label: Debian
Origin: Debian
Created-By: Packages
Description: one line
 and its continuation: with a colon
Repo-URI: http://mirror.example/debian/

MetaKey: main/i18n/Translation-en
Label: Debian
Origin: Debian
Created-By: Translations
Repo-URI: http://elsewhere.example/debian/

Label: Debian-Security
Origin: Debian
Created-By: Packages
Repo-URI: http://mirror.example/debian-security/
"""

URIS = """\
'https://tools.example/debian/dists/stable/InRelease' tools.example_dists_stable_InRelease 0
'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_InRelease 0
'http://mirror.example/debian-security/dists/bookworm-security/InRelease' security_InRelease 0
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' packages 0
'cdrom://[Debian GNU/Linux 12]/dists/bookworm/InRelease' disc_InRelease 0
'http://flat.example/./InRelease' flat_InRelease 0
"""

DEBIAN_12 = {"ID": "debian", "VERSION_CODENAME": "bookworm"}


def test_the_distributions_own_mirror_is_chosen_among_third_parties() -> None:
    tries = candidates(mirrors(TARGETS, URIS), DEBIAN_12)
    assert tries == [(DEBIAN, "http://mirror.example/debian", "trixie")]


def test_a_machine_whose_apt_never_fetched_a_list_tries_every_mirror_the_likely_one_first() -> None:
    tries = candidates(mirrors("", URIS), DEBIAN_12)
    assert [uri for _, uri, _ in tries] == [
        "https://tools.example/debian",
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
    ]
    assert {(family, suite) for family, _, suite in tries} == {(DEBIAN, "trixie")}


def test_installation_media_and_flat_archives_are_no_mirrors() -> None:
    addresses = [mirror.uri for mirror in mirrors("", URIS)]
    assert "http://mirror.example/debian" in addresses
    assert not [uri for uri in addresses if uri.startswith("cdrom:") or "flat" in uri]


def test_ubuntu_tries_the_running_suite_then_the_lts_release() -> None:
    listed = [Mirror("http://mirror.example/ubuntu", "Ubuntu", "Ubuntu", "noble")]
    tries = candidates(listed, {"ID": "ubuntu", "VERSION_CODENAME": "noble"})
    assert tries[0] == (UBUNTU, "http://mirror.example/ubuntu", "noble")
    assert tries[1] == (UBUNTU, "http://mirror.example/ubuntu", "resolute")


def test_ubuntus_own_lts_release_is_tried_once() -> None:
    listed = [Mirror("http://mirror.example/ubuntu", "Ubuntu", "Ubuntu", "resolute")]
    suites = [suite for _, _, suite in candidates(listed, {"ID": "ubuntu"})]
    assert suites[0] == "resolute"
    assert len(suites) == len(set(suites))


def test_a_derivative_takes_the_archive_of_its_nearest_parent() -> None:
    listed = [Mirror("http://mint.example"), Mirror("http://mirror.example/ubuntu")]
    mint = {"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_CODENAME": "zena"}
    tries = candidates(listed, mint)
    assert {family for family, _, _ in tries} == {UBUNTU}
    assert tries[0][1] == "http://mirror.example/ubuntu"


def test_a_system_of_another_family_has_nothing_to_try() -> None:
    assert candidates([Mirror("http://mirror.example/fedora")], {"ID": "fedora"}) == []
    assert candidates([], {}) == []


def test_what_runs_on_the_machines_libraries_comes_from_the_machines_release() -> None:
    listed = mirrors(TARGETS, URIS)
    assert own_suites(listed, DEBIAN_12) == [(DEBIAN, "http://mirror.example/debian", "bookworm")]
    # a mirror whose first list is another's: the system knows better what it is
    later = [Mirror("http://mirror.example/debian", "Debian", "Debian", "bookworm-updates")]
    assert [suite for _, _, suite in own_suites(later, DEBIAN_12)] == ["bookworm"]


def test_a_derivatives_own_release_is_its_parents() -> None:
    listed = [Mirror("http://mirror.example/ubuntu", "Ubuntu", "Ubuntu", "noble-updates")]
    mint = {
        "ID": "linuxmint",
        "ID_LIKE": "ubuntu debian",
        "VERSION_CODENAME": "zena",
        "UBUNTU_CODENAME": "noble",
    }
    assert own_suites(listed, mint) == [(UBUNTU, "http://mirror.example/ubuntu", "noble")]


def test_a_release_that_nothing_names_is_not_guessed() -> None:
    listed = [Mirror("http://mirror.example/debian")]
    assert own_suites(listed, {"ID": "debian"}) == []
    assert own_suites(listed, {"ID": "fedora", "VERSION_CODENAME": "x"}) == []


def test_a_program_spread_over_packages_is_taken_whole() -> None:
    packages = {
        "broker": Package("broker", "3", (("erl-base", "erl-small"), ("socat",))),
        "erl-base": Package("erl-base", "25", (("libtinfo6",), ("procps",))),
        "libtinfo6": Package("libtinfo6", "6"),
        "socat": Package("socat", "1"),
        "procps": Package("procps", "4", (("erl-other",),)),
    }
    names = [package.name for package in needed(["broker"], packages, parts="erl-")]
    assert names == ["broker", "erl-base", "libtinfo6"]


def test_installed_packages_are_those_of_the_machines_architecture() -> None:
    listing = (
        "installed libssl3 amd64\n"
        "installed libc6 i386\n"
        "config-files libold1 amd64\n"
        "not-installed odd\n"
        "installed adduser all\n"
    )
    assert installed(listing, "amd64") == {"libssl3"}


def test_only_the_libraries_among_what_is_needed_are_taken() -> None:
    packages = {
        "mosquitto": Package("mosquitto", "2", (("adduser",), ("libssl3t64",), ("libwrap0", "x"))),
        "adduser": Package("adduser", "3", (("libpam0g",),)),
        "libpam0g": Package("libpam0g", "1"),
        "libssl3t64": Package("libssl3t64", "3", (("libc6",), ("zlib1g",), ("debconf",))),
        "libwrap0": Package("libwrap0", "7", (("libc6",),)),
        "libc6": Package("libc6", "2", (("libgcc-s1",),)),
        "libgcc-s1": Package("libgcc-s1", "14", (("libc6",),)),
        "zlib1g": Package("zlib1g", "1"),
        "debconf": Package("debconf", "1"),
    }
    names = [package.name for package in needed(["mosquitto"], packages)]
    assert names == ["libc6", "libgcc-s1", "libssl3t64", "libwrap0", "mosquitto", "zlib1g"]


def test_a_virtual_library_is_followed_to_the_package_that_provides_it() -> None:
    packages = {
        "app": Package("app", "1", (("libthing-virtual",),)),
        "libthing1": Package("libthing1", "1", provides=("libthing-virtual",)),
    }
    assert [p.name for p in needed(["app"], packages)] == ["app", "libthing1"]


def test_apts_listing_gives_exact_versions_with_their_epoch() -> None:
    listing = (
        "Reading package lists...\n"
        "'http://m.example/x.deb' libcap2_1%3a2.75-10+b1_amd64.deb 28704 SHA256:0\n"
        "'http://m.example/x.deb' python3-pip-whl_25.1.1+dfsg-1_all.deb 1400000 SHA256:0\n"
    )
    assert chosen(listing) == ["libcap2=1:2.75-10+b1", "python3-pip-whl=25.1.1+dfsg-1"]


def test_a_packages_stanza_gives_its_needs_by_name() -> None:
    shown = (
        "Package: app\nVersion: 1:2.0-1\nPre-Depends: libc6 (>= 2.38)\n"
        "Depends: liba1:any (>= 1) | libb2, python3\nProvides: tool (= 2), other\n\n"
        "Package: liba1\nVersion: 3\n"
    )
    found = index(shown)
    assert found["app"] == Package(
        "app", "1:2.0-1", (("libc6",), ("liba1", "libb2"), ("python3",)), ("tool", "other")
    )
    assert found["liba1"] == Package("liba1", "3")


@pytest.mark.parametrize(
    ("text", "version"),
    [("1.25.0+ds-1", (1, 25)), ("2:1.22.1-1", (1, 22)), ("", (0, 0)), ("unknown", (0, 0))],
)
def test_a_version_is_read_without_its_epoch(text: str, version: tuple[int, int]) -> None:
    assert version_of(text) == version


def test_libraries_are_known_by_name() -> None:
    assert is_library("libc6")
    assert is_library("zlib1g")
    assert not is_library("debconf")


def test_os_release_is_read_with_and_without_quotes() -> None:
    assert os_release('ID=debian\n# note\nVERSION_ID="12"\n') == {
        "ID": "debian",
        "VERSION_ID": "12",
    }


@given(st.text())
def test_no_listing_makes_the_readers_fail(text: str) -> None:
    list(stanzas(text))
    candidates(mirrors(text, text), os_release(text))
    chosen(text)
    installed(text, "amd64")
