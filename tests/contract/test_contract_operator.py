"""What the real gateways answered to the question for a QR code, read by the operators' adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wasupervisor.gateways import operator_evolution, operator_waha
from wasupervisor.gateways.http import Failure, Progress, Reply
from wasupervisor.gateways.operator import QrAnswer
from wasupervisor.model.observation import Trouble

FOLDER = Path(__file__).parent / "recordings"
READ = {"waha-2024.10.8": operator_waha.read_qr, "evolution-2.3.6": operator_evolution.read_qr}
WAHA = sorted(path.stem for path in (FOLDER / "waha-2024.10.8").glob("*qr*.json"))
EVOLUTION = sorted(
    path.stem for path in (FOLDER / "evolution-2.3.6").glob("*connect*.json") if "webhook" not in path.stem
)


def recording(gateway: str, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / gateway / f"{name}.json").read_bytes())
    return loaded


def read(gateway: str, name: str) -> QrAnswer:
    """What is made of the recorded answer."""
    recorded = recording(gateway, name)
    if recorded["status"] is None:
        return READ[gateway](Failure(Trouble.TIMED_OUT, "no answer in time", Progress.SENT))
    body = recorded["body"]
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return READ[gateway](Reply(recorded["status"], content))


@pytest.mark.parametrize(
    ("gateway", "name", "key"),
    [
        ("waha-2024.10.8", "qr-raw", "value"),
        ("evolution-2.3.6", "connect-connecting-qr", "code"),
        ("evolution-2.3.6", "qrlimit-connect-again", "code"),
        ("evolution-2.3.6", "logout-after-connect", "code"),
    ],
)
def test_the_code_is_given_to_the_letter(gateway: str, name: str, key: str) -> None:
    answer = read(gateway, name)
    assert answer.code == recording(gateway, name)["body"][key]
    assert "60 s" in answer.text


@pytest.mark.parametrize(
    ("gateway", "name", "text"),
    [
        ("waha-2024.10.8", "qr-working", "WAHA does not show it any more: it was scanned, or it has expired"),
        ("waha-2024.10.8", "qr-failed", "WAHA does not show it any more: it was scanned, or it has expired"),
        ("waha-2024.10.8", "core-qr-starting", "WAHA does not show it any more: it was scanned, or it has expired"),
        ("waha-2024.10.8", "core-qr-stopped", "WAHA's QR code: answered 404 Not Found"),
        ("waha-2024.10.8", "qr-unknown", "WAHA's QR code: answered 404 Not Found"),
        ("waha-2024.10.8", "qr-image", "WAHA's QR code: answered 200 OK with something else"),
        ("evolution-2.3.6", "connect-open", "it has connected by itself meanwhile: nothing is to be scanned"),
        ("evolution-2.3.6", "connect-close-offline", "Evolution has none yet; ask again in a minute"),
        ("evolution-2.3.6", "connect-404-unknown", "answered 404 Not Found: Evolution has not loaded the instance"),
        ("evolution-2.3.6", "dbonly-connect", "answered 404 Not Found: Evolution has not loaded the instance"),
        ("evolution-2.3.6", "modeB-dbonly-connect", "Evolution refused: its process does not run the instance"),
        ("evolution-2.3.6", "blackhole-connect-timeout", "no answer in time"),
    ],
)
def test_where_there_is_none_it_is_said_why(gateway: str, name: str, text: str) -> None:
    answer = read(gateway, name)
    assert answer.code is None
    assert text in answer.text


@pytest.mark.parametrize(
    ("gateway", "name"), [("waha-2024.10.8", name) for name in WAHA] + [("evolution-2.3.6", name) for name in EVOLUTION]
)
def test_no_recorded_answer_is_too_much_for_it_and_none_is_quoted(gateway: str, name: str) -> None:
    answer = read(gateway, name)
    assert "2@" not in answer.text
    assert "2@" not in repr(answer)
