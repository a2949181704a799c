"""Manifests as CSV: separators, quotes, comments, line ends, encodings; and back from rows."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.manifests import ids, planned, problems, rows, told

from firmshake.fleet.planned import Planned


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_separator_line_end_and_byte_order_mark_are_recognised(
    separator: str, end: str, mark: bytes
) -> None:
    lines = ["id,board,wifi.ssid", 'pump-1,esp32,"a,b;c\td"', "pump-2,,", ""]
    head, first, second, last = lines
    text = end.join(
        [
            head.replace(",", separator),
            first.replace(",", separator, 2),
            second.replace(",", separator),
            last,
        ]
    )
    assert planned(mark + text.encode()) == [
        Planned("pump-1", board="esp32", settings={"wifi.ssid": "a,b;c\td"}, line=2),
        Planned("pump-2", line=3),
    ]


def test_the_line_by_which_excel_names_the_separator_is_understood() -> None:
    assert ids("sep=;\nid\na\n") == ids('"sep=,"\nid\na\n') == ["a"]


@pytest.mark.parametrize("header", ["id,board;count", "id\tboard,count", "sep=|\nid|board"])
def test_a_header_that_leaves_the_separator_open_is_refused(header: str) -> None:
    (found,) = told(header + "\na,b\n")
    assert found[1] == "the header does not tell the separator"


def test_comments_and_empty_lines_are_left_out_and_counted() -> None:
    text = "# ours\n\nid,wifi.ssid\n#pump-0,\n,\n  \npump-1,x\npump-2,#x\n"
    found = planned(text)
    assert [(one.id_rule, one.line) for one in found] == [("pump-1", 7), ("pump-2", 8)]
    assert found[1].settings == {"wifi.ssid": "#x"}
    assert planned('wifi.ssid,id\n"#x",a\n')[0].settings == {"wifi.ssid": "#x"}


def test_blanks_around_a_value_count_in_a_networks_name_and_password_alone() -> None:
    (found,) = planned(" ID , Board ,wifi.ssid,wifi.password\n pump-1 , pico-w , a , bcdefgh \n")
    assert found == Planned(
        "pump-1",
        board="pico-w",
        settings={"wifi.ssid": " a ", "wifi.password": " bcdefgh "},
        line=2,
    )


def test_empty_columns_that_a_spreadsheet_adds_do_no_harm() -> None:
    assert ids("id,board,,\na,esp32,,\nb,,,\n,,,\n") == ["a", "b"]
    assert ids("id,board\na,esp32,,\n") == ["a"]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ('"a,esp32', "the quotes"),
        ('a","esp32', "the quotes"),
        ('a, "esp32"', "the quotes"),
        ('"a"b,esp32', "the quotes"),
        ('"a"",esp32', "the quotes"),
        ("a", "the row has 1 field, and the header 2"),
        ("a,b,c", "the row has 3 fields, and the header 2"),
    ],
)
def test_a_row_that_can_not_be_taken_apart_is_told_and_the_next_is_read(
    row: str, what: str
) -> None:
    first, second = told(f"id,board\n{row}\n-x,\n")
    assert first[0] == 2
    assert first[1].startswith(what)
    assert second == (3, "'-x' can't be a device id")


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("", "there is no header"),
        ("# only this", "there is no header"),
        ("pump-1,any", "the first line names no column 'id'"),
        ("id", "there is no device in it"),
        ("id,id", "the column id is there twice"),
        ("id,,board", "column 2 has no name"),
        ("id,colour", "unknown column 'colour'"),
    ],
)
def test_a_header_that_will_not_do(header: str, what: str) -> None:
    assert what in [message for _, message in told(header + "\n")]


def test_an_unknown_column_hides_nothing_else() -> None:
    assert [line for line, _ in told("id,colour\n-a,red\nb,blue\n-c,red\n")] == [1, 2, 4]


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_unicode_than_utf_8_is_named(code: str) -> None:
    mark = "" if code in ("utf-16", "utf-32") else "\ufeff"
    (found,) = problems((mark + "id\npump-1\n").encode(code))
    assert code[:6].upper() in found.message
    assert "UTF-8" in found.hint


def test_utf_16_without_a_mark_is_found_by_its_zero_bytes() -> None:
    assert "the line has a zero byte" in [each for _, each in told("id\na\n".encode("utf-16-le"))]


def test_bytes_that_are_not_utf_8_are_told_with_line_and_byte() -> None:
    text = "id,wifi.ssid\na,b\nc,Werkstatt Süd\nd,Gießerei\n-e,x\n"
    assert ids(text.replace("-e", "e").encode()) == ["a", "c", "d", "e"]
    first, second = problems(text.encode("latin-1"))
    assert (first.line, list(first.also)) == (3, [4])
    assert first.message == "byte 14 of the line, 0xfc, is not UTF-8"
    assert second.line == 5


def test_lines_that_end_in_cr_alone_are_named() -> None:
    assert told("id,board\ra,esp32\r") == [(1, "the lines end in CR alone")]


def test_a_spreadsheets_own_file_is_named() -> None:
    assert "spreadsheet" in told(b"PK\x03\x04\x14\x00\x06\x00")[0][1]


def test_a_line_without_end_is_refused() -> None:
    (found,) = told("id\n" + "x" * 100_000 + "\n")
    assert found == (2, "the line has more than 65,536 bytes")


@given(rows(), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_is_written_as_csv_is_read_back(
    made: list[dict[str, object]], separator: str, end: str, quoted: bool
) -> None:
    names = list(dict.fromkeys(name for row in made for name in row))
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerow(names)
    writer.writerows([[_cell(row.get(name)) for name in names] for row in made])
    found = planned(text.getvalue())
    assert [one.id_rule for one in found] == [row["id"] for row in made]
    for one, row in zip(found, made, strict=True):
        assert one.settings == {name: value for name, value in row.items() if "." in name}
        assert (one.unique_id, one.board) == (row.get("unique_id"), row.get("board"))


def _cell(value: object) -> object:
    if value is None:
        return ""
    return (" ".join(value) or "none") if isinstance(value, list) else value
