"""File names in the forms that clients really send."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from sentiloc.app.http.file_names import display_name, disposition_name, sent_disposition

HEADERS = {"Content-Type": "multipart/form-data; boundary=x"}
SENT = [
    ('filename="holiday.mp4"', "holiday.mp4"),
    ("filename=holiday.mp4", "holiday.mp4"),
    ('filename="über 日本.mp4"', "über 日本.mp4"),
    ('filename="a\\"b;c.mp4"', 'a"b;c.mp4'),
    ("filename*=UTF-8''%e2%82%ac%20rates.mp4", "€ rates.mp4"),
    ("filename*=utf-8'en'%C3%BCber.mp4", "über.mp4"),
    ("filename*=ISO-8859-1''%A3%20rates.mp4", "£ rates.mp4"),
    ("filename=\"x.mp4\"; filename*=UTF-8''%e2%82%ac.mp4", "€.mp4"),
    ("filename*=UTF-8''%e2%82%ac.mp4; filename=\"x.mp4\"", "€.mp4"),
    ('filename*0="long "; filename*1="name.mp4"', "long name.mp4"),
    ("filename*0*=UTF-8''%C3%BC; filename*1*=ber.mp4", "über.mp4"),
    ('filename="=?UTF-8?B?w7xiZXIubXA0?="', "über.mp4"),
    ('filename="=?utf-8?Q?=C3=BCber=20uns.mp4?="', "über uns.mp4"),
    ('filename="=?iso-8859-1?Q?=FCber.mp4?="', "über.mp4"),
]
BROKEN = [
    "filename*=UTF-9''%ff.mp4",
    "filename*=''",
    "filename*",
    "filename*=UTF-8''%",
    "filename*99999999=x",
    'filename="=?UTF-8?B?!!!?="',
    'filename="=?nonsense?B?AAAA?="',
    'filename="=?UTF-8?Q?=ZZ?="',
    "filename*=UTF-8''..%2F..%2Fetc%2Fpasswd",
    "filename*=UTF-8''%00%0d%0a",
]


def send(client: TestClient, parameter: str) -> str:
    start = f'--x\r\nContent-Disposition: form-data; name="video"; {parameter}\r\n\r\n'
    answer = client.post("/localize", content=start.encode() + b"not a video\r\n--x--\r\n", headers=HEADERS)
    assert answer.status_code == 202, answer.text
    name: str = answer.json()["source"]["name"]
    return name


@pytest.mark.parametrize(("parameter", "name"), SENT)
def test_a_name_arrives_as_it_was_meant(parameter: str, name: str) -> None:
    header = f'form-data; name="video"; {parameter}'
    assert disposition_name(header.encode().decode("latin-1")) == name


def test_the_job_has_the_name(client: TestClient) -> None:
    assert send(client, "filename*=UTF-8''%e2%82%ac%20rates.mp4") == "€ rates.mp4"


@pytest.mark.parametrize("parameter", BROKEN)
def test_a_broken_name_is_harmless(client: TestClient, parameter: str) -> None:
    name = send(client, parameter)
    assert name
    assert name.isprintable()
    assert not set(name) & {"/", "\\"}


@pytest.mark.parametrize(
    "name", ["Best of.xml", "Tränen.vtt", 'a"b\\c%41;d.csv', "日本.edl", "a\r\nX: y.csv"]
)
def test_a_name_that_is_sent_is_read_by_old_and_new_clients(name: str) -> None:
    header = sent_disposition("attachment", name)
    assert header.isascii() and header.isprintable()
    assert disposition_name(header) == name
    plain = header.split('"')[1]
    assert header.startswith(f'attachment; filename="{plain}"; ') and plain.endswith(name[-4:])
    assert not set(plain) & set('"\\%;/')


def test_spaces_and_joiners_of_other_scripts_stay() -> None:
    assert display_name("C:\\clips\\花子\u3000日記\u200d.mp4") == "花子\u3000日記\u200d.mp4"
    assert display_name("a\x01b\u202e\n.mp4") == "ab.mp4"
    assert display_name("\udcff/") == "video"
