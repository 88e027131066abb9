"""The page in a real browser, a resumable upload across a kill, events and both clients behind real proxies.

`python -m tests.proofs.proxies [-o FILE]` starts `sentiloc serve`, nginx and Caddy (Debian's nginx-light and caddy)
with TLS under `/sentiloc`, with buffering on and off. It needs Chromium; the TypeScript client is tried if `npm ci`
was run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from docs.tools.drawn_clip import draw_clip
from sentiloc.client import Client
from tests.page.browsing import Visit, chromium
from tests.page.conftest import SteadyService
from tests.service.test_proxies import CHUNK, PROGRAM, TUS
from tests.support.proxies import PREFIX, Proxy, proxy

ROOT = Path(__file__).parents[2]
COMPILER = ROOT / "node_modules" / ".bin" / "tsc"
PATIENCE = 600_000  # milliseconds: a busy machine may take its time
KINDS = [("nginx", True), ("nginx", False), ("caddy", True), ("caddy", False)]


def page(shown: Proxy, clip: Path) -> dict[str, Any]:
    """Drop a video on the page and see its result."""
    with chromium() as browser:
        visit = Visit(browser, shown.url, ignore_https_errors=True)
        visit.context.set_default_timeout(PATIENCE)
        visit.go("/")
        visit.page.set_input_files("#file", clip)
        visit.wait_result()
        rows = visit.page.locator("#rows button").count()
        # Pictures that the page itself holds have a whole address as their path.
        outside = [path for _, path in visit.asked if not path.startswith((f"{PREFIX}/", "https://"))]
        visit.context.close()
        return {"segments": rows, "errors": visit.errors, "requests": len(visit.asked), "outside": outside}


def killed_upload(shown: Proxy, service: SteadyService, clip: Path) -> dict[str, Any]:
    """Send half of a video, kill and restart the whole service, and send the rest."""
    data, trusted = clip.read_bytes(), ssl.create_default_context(cafile=str(shown.authority))
    half = len(data) // 2
    with httpx.Client(base_url=shown.url, verify=trusted, timeout=60) as http:
        made = http.post("/v1/uploads", headers={**TUS, "Upload-Length": str(len(data))})
        place = str(http.base_url.join(made.headers["location"]))
        http.patch(place, headers={**CHUNK, "Upload-Offset": "0"}, content=data[:half])
        os.kill(service.process("API"), signal.SIGKILL)
        # The supervisor starts the API again; the proxy answers 502 meanwhile.
        refused = 0
        while (answer := http.head(place, headers=TUS)).status_code != 200:
            refused += 1
            time.sleep(0.2)
        stored = int(answer.headers["upload-offset"])
        http.patch(place, headers={**CHUNK, "Upload-Offset": str(stored)}, content=data[stored:])
        job = http.post("/v1/localize/upload", json={"upload": place.rpartition("/")[2]}).json()
        with http.stream("GET", str(http.base_url.join(f"{job['links']['self']}/events"))) as stream:
            events = [line for line in stream.iter_lines() if line.startswith("event: ")]
    return {"stored_before_the_kill": stored, "of": len(data), "answers_502": refused, "last": events[-1]}


def python_client(shown: Proxy, clip: Path) -> dict[str, Any]:
    """The Python client uploads in chunks and follows the job."""
    os.environ["SSL_CERT_FILE"] = str(shown.authority)
    with Client(shown.url) as client:
        job = client.submit_resumable(clip, piece_bytes=32_768)
        kinds = [event.kind for event in client.watch(job.id)]
        return {"events": len(kinds), "last": kinds[-1], "segments": len(client.result(job.id).segments)}


def typescript_client(shown: Proxy, clip: Path, folder: Path) -> dict[str, Any]:
    """The TypeScript client uploads in chunks and follows the job."""
    if not COMPILER.exists():
        return {"skipped": "npm ci was not run"}
    dist, program = folder / "dist", folder / "program.mjs"
    if not dist.exists():
        config = ROOT / "clients" / "typescript" / "tsconfig.json"
        subprocess.run([str(COMPILER), "--project", str(config), "--outDir", str(dist)], check=True)
        (dist / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    program.write_text(PROGRAM.replace("2000", "32768") % (dist / "index.js").as_uri(), encoding="utf-8")
    done = subprocess.run(
        ["node", str(program), shown.url, str(clip)],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(shown.authority)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return {"events": len(found["events"]), "last": found["events"][-1], "segments": found["segments"]}


def main() -> None:
    """Run all, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("tests/proofs/results/proxies.json"))
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = folder / "drawn.mp4"
        draw_clip(clip, 6.0)
        service = SteadyService(folder / "serve", trusted_proxies='["127.0.0.1"]', webhook_senders=1)
        (folder / "serve").mkdir()
        try:
            service.start()
            for kind, buffers in KINDS:
                if shutil.which(kind) is None:
                    raise SystemExit(f"{kind} is not installed")
                label = f"{kind}, buffering {'on' if buffers else 'off'}"
                with proxy(kind, folder / label.replace(" ", ""), service.url, buffers=buffers) as shown:
                    result[label] = {
                        "page": page(shown, clip),
                        "upload through a kill": killed_upload(shown, service, clip),
                        "python client": python_client(shown, clip),
                        "typescript client": typescript_client(shown, clip, folder),
                    }
                    print(label, json.dumps(result[label]), flush=True)
        finally:
            service.stop()
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
