"""Labels: what a scanner reads, and that people can read the rest."""

import io
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import resvg_py
import zxingcpp
from PIL import Image
from support import desk
from support.commands import run
from support.fleetruns import finished_run

from firmshake.errors import Error
from firmshake.fleet.labels import SHEETS, Label, Size, sheets, single, size
from firmshake.registry import Registry

FINGERPRINT = "0123456789abcdef" * 4
LABEL = Label("lab-a0b1c2d3e4f5", FINGERPRINT)
SVG = "{http://www.w3.org/2000/svg}"

# of what label printers have, and paper
DPIS = (203, 300)


def scanned(svg: str, dpi: int) -> list[str]:
    """The QR codes that are found on the label as a printer of `dpi` prints it."""
    png = resvg_py.svg_to_bytes(svg_string=svg, dpi=dpi, background="#fff")
    return [found.text for found in zxingcpp.read_barcodes(Image.open(io.BytesIO(png)))]


def written(svg: str) -> str:
    return " ".join(text.text or "" for text in ET.fromstring(svg).iter(f"{SVG}text"))


@pytest.mark.parametrize("dpi", DPIS)
@pytest.mark.parametrize("name", ["50x25", "40x60", "30x20", "62x29", "25x40", "30x15"])
@pytest.mark.parametrize("device_id", ["gw-1", LABEL.device_id, "A_b.c-" * 10 + "Abcd"])
def test_a_scanner_reads_id_and_fingerprint(device_id: str, name: str, dpi: int) -> None:
    svg = single(Label(device_id, FINGERPRINT), size(name))
    assert scanned(svg, dpi) == [f"firmshake:1:{device_id}:{FINGERPRINT}"]


def test_people_read_the_id_and_the_first_digits() -> None:
    assert written(single(LABEL, Size(50, 25))).split() == [
        LABEL.device_id,
        *("0123", "4567", "89ab", "cdef") * 1,
    ]


@pytest.mark.parametrize("name", ["50x25", "40x60", "25x40", "30x15", "100x50"])
@pytest.mark.parametrize("device_id", ["gw-1", LABEL.device_id, "w" * 64])
def test_the_text_stays_on_the_label_and_off_the_code(device_id: str, name: str) -> None:
    wanted = size(name)
    tree = ET.fromstring(single(Label(device_id, FINGERPRINT), wanted))
    assert tree.get("width") == f"{wanted.width:g}mm"
    text = list(tree.iter(f"{SVG}text"))
    code = next(tree.iter(f"{SVG}g"))
    found = re.findall(r"[\d.]+", code.get("transform", ""))
    left, scale = float(found[0]), float(found[2])
    side = scale * float(next(tree.iter(f"{SVG}rect")).get("width", ""))
    for line in text:
        x, y, long = (float(line.get(key, "")) for key in ("x", "y", "textLength"))
        assert x >= left + side - 0.01 or y > side
        assert x + long <= wanted.width
        assert y <= wanted.height


def test_a_label_that_is_too_small_is_refused() -> None:
    with pytest.raises(Error, match="the label is too small for lab-") as raised:
        single(LABEL, Size(10, 10))
    assert "larger --size" in raised.value.hint


@pytest.mark.parametrize("text", ["", "50", "50x", "x25", "-5x5", "50x1", "5000x25", "1e2x25"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(Error, match="is no size"):
        size(text)
    assert size(" 50X25.5 ") == Size(50, 25.5)


@pytest.mark.parametrize("paper", SHEETS)
def test_sheets_hold_all_labels_in_their_order(paper: str) -> None:
    labels = [Label(f"lab-{number:03}", f"{number:064x}") for number in range(40)]
    pages = list(sheets(labels, Size(60, 30), paper))
    assert len(pages) == 2
    titles = [title.text for page in pages for title in ET.fromstring(page).iter(f"{SVG}title")]
    assert titles == [label.device_id for label in labels]
    read = [text for page in pages for text in scanned(page, 300)]
    assert sorted(read) == [label.payload for label in labels]


def test_a_label_larger_than_the_sheet_is_refused() -> None:
    with pytest.raises(Error, match="larger than the sheet"):
        next(sheets([LABEL], Size(200, 100), "a4"))


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = desk.make_project(tmp_path_factory.mktemp("labels") / "fleet")
    finished_run(made, proved=["gh-1", "gh-2"], failed=["gh-3"], left=["gh-4"])
    return made.root


@pytest.fixture
def fleet(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "fleet"))


def test_each_proved_device_of_the_run_gets_a_file(fleet: Path, tmp_path: Path) -> None:
    done = run("fleet", "labels", "--project", fleet, "--out", tmp_path / "out")
    assert done.out == f"{tmp_path / 'out'}: 2 labels\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gh-1.svg", "gh-2.svg"]
    device = Registry.open(fleet / "registry.sqlite").device("gh-1")
    assert device
    assert device.certificate
    svg = (tmp_path / "out/gh-1.svg").read_text()
    assert scanned(svg, 203) == [f"firmshake:1:gh-1:{device.certificate.fingerprint_sha256}"]
    again = run("fleet", "labels", "--project", fleet, "--out", tmp_path / "out")
    assert again.message.endswith("gh-1.svg is there already")


def test_labels_are_no_output(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fleet)
    done = run("fleet", "labels", "--out", "-")
    assert (done.status, done.message) == (2, "labels are files, and no output")
    assert not (fleet / "-").exists()


def test_by_itself_the_folder_is_a_new_one_of_the_project(fleet: Path) -> None:
    done = run("fleet", "labels", "--project", fleet, "--sheet", "a4")
    assert done.out.endswith(": 2 labels on 1 sheet\n")
    (page,) = fleet.glob("labels/*/labels-0001.svg")
    assert len(scanned(page.read_text(), 300)) == 2


def test_labels_that_are_too_small_leave_no_folder_behind(fleet: Path) -> None:
    words = ("fleet", "labels", "--project", fleet, "--size")
    assert run(*words, "20x10").message == "the label is too small for gh-1"
    assert run(*words, "250x250", "--sheet", "a4").message == "a label is larger than the sheet"
    assert not (fleet / "labels").exists()
    assert run(*words, "30x12").status == 0


def test_a_device_by_name_gets_one_whatever_its_run_where_it_has_a_certificate(
    fleet: Path, tmp_path: Path
) -> None:
    words = ("fleet", "labels", "--project", fleet, "--out", tmp_path / "out")
    assert run(*words, "--device", "gh-3").status == 0
    assert (tmp_path / "out/gh-3.svg").exists()
    for name in ("gh-4", "nobody"):
        assert run(*words, "--device", name).message == f"{name} has no certificate in force"
    assert run(*words, "1", "--device", "gh-3").status == 2
