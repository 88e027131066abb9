"""Real reverse proxies that publish a service under a path, with TLS: the distributions' nginx and Caddy."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import trustme

from tests.support.servers import free_port, is_free
from tests.support.services import PATIENCE, wait_for

PREFIX = "/sentiloc"
_NGINX_HEAD = """
$user
worker_processes 1;
pid $folder/nginx.pid;
error_log $folder/error.log;
events {}
http {
  access_log off;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi;
  scgi_temp_path $folder/scgi;
  server {
"""
_NGINX = Template(
    _NGINX_HEAD
    + """\
    listen 127.0.0.1:$port ssl;
    ssl_certificate $folder/chain.pem;
    ssl_certificate_key $folder/key.pem;
    client_max_body_size $most;
    location $prefix/ {
      proxy_pass $upstream$tail;
      proxy_http_version 1.1;
      proxy_set_header Host $$http_host;
      proxy_set_header X-Forwarded-For $$proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $$scheme;
      proxy_set_header X-Forwarded-Prefix $prefix;
      proxy_set_header X-Request-ID $$request_id;
      proxy_buffering $buffering;
      proxy_request_buffering $buffering;
      proxy_read_timeout 1h;
    }
  }
}
"""
)
_REDIRECT = Template(
    _NGINX_HEAD
    + """\
    listen 127.0.0.1:$port;
    return 301 $target$$request_uri;
  }
}
"""
)
_CADDY = Template("""
{
  admin off
  auto_https off
  storage file_system $folder/caddy
}
https://localhost:$port {
  tls $folder/chain.pem $folder/key.pem
  redir $prefix $prefix/ 308
  $handle $prefix/* {
    $limit
    reverse_proxy $upstream {
      header_up X-Forwarded-Prefix $prefix
      $buffering
    }
  }
}
""")


@dataclass(frozen=True)
class Proxy:
    """A running proxy. `url` includes the path; `authority` is the certificate that clients must trust."""

    url: str
    authority: Path


def installed(name: str) -> bool:
    """Whether the proxy is installed."""
    return shutil.which(name) is not None


@contextmanager
def proxy(
    name: str,
    folder: Path,
    upstream: str,
    *,
    buffers: bool,
    strips: bool = True,
    port: int | None = None,
    most_mib: int = 0,
) -> Iterator[Proxy]:
    """Start `nginx` or `caddy` in front of `upstream`.

    Args:
        name: The program.
        folder: Folder for its files.
        upstream: The service's address, without a path.
        buffers: Whether requests and answers are buffered before they are forwarded.
        strips: Whether the proxy removes its path before it forwards a request.
        port: Its port, if somebody has to know it earlier.
        most_mib: The largest body of a request in MiB; 0: any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(str(folder / "chain.pem"), append=True)
    port = port or free_port()
    process = _start(
        name, folder, port, upstream.rstrip("/"), buffers=buffers, strips=strips, most_mib=most_mib
    )
    try:
        _wait(process, port, folder)
        yield Proxy(f"https://localhost:{port}{PREFIX}", folder / "authority.pem")
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _start(
    name: str, folder: Path, port: int, upstream: str, *, buffers: bool, strips: bool, most_mib: int
) -> subprocess.Popen[bytes]:
    # As root, nginx would give its work to a user who may not write to the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    common = {"user": user, "folder": folder, "port": port, "upstream": upstream, "prefix": PREFIX}
    config = folder / f"{name}.conf"
    if name == "nginx":
        config.write_text(
            _NGINX.substitute(
                common,
                buffering="on" if buffers else "off",
                tail="/" if strips else "",
                most=f"{most_mib}m" if most_mib else "0",
            ),
            encoding="utf-8",
        )
        command = _nginx_command(folder, config)
    else:
        buffering = "buffer_requests" if buffers else "flush_interval -1"
        config.write_text(
            _CADDY.substitute(
                common,
                buffering=buffering,
                handle="handle_path" if strips else "handle",
                limit=f"request_body {{\n max_size {most_mib}MiB\n }}" if most_mib else "",
            ),
            encoding="utf-8",
        )
        command = ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]
    return _run(folder, command)


def _nginx_command(folder: Path, config: Path) -> list[str]:
    errors = str(folder / "error.log")
    return ["nginx", "-p", str(folder), "-c", str(config), "-g", "daemon off;", "-e", errors]


def _run(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    output = (folder / "output").open("wb")
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    wait_for(lambda: process.poll() is not None or not is_free(port))
    if process.poll() is not None:
        raise RuntimeError((folder / "output").read_text(encoding="utf-8"))


@contextmanager
def redirecting(folder: Path, target: str) -> Iterator[str]:
    """Start nginx, which redirects every request to `target`, as for `https`; yields its address."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(
        _REDIRECT.substitute(user=user, folder=folder, port=port, target=target), encoding="utf-8"
    )
    process = _run(folder, _nginx_command(folder, config))
    try:
        _wait(process, port, folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)
