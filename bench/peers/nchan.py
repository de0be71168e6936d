"""nchan, the publish/subscribe module of nginx."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from bench.peers.base import Peer, missing_program

_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
# One process: a master would outlive a benchmark that is killed.
_CONFIG = """\
load_module {module};
{user}
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections {files}; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    nchan_shared_memory_size 512M;
    server {{
        listen 127.0.0.1:{port} backlog=4096 {ssl};
        {certificate}
        auth_basic bench;
        auth_basic_user_file {folder}/passwords;
        nchan_channel_id $arg_topic;
        nchan_store_messages off;
        location = /ws {{ nchan_subscriber websocket; }}
        location = /publish {{ nchan_publisher websocket; }}
    }}
}}
"""


class Nchan(Peer):
    """nginx with nchan: no stored messages, no log.

    Publishers have a location of their own, since a member of a channel reads its own messages. nchan answers each
    message with a few words to its publisher; they are read and thrown away.
    """

    name = "nchan"
    answers_publishers = True

    def unavailable(self) -> str | None:
        if reason := missing_program("nginx", "install the packages nginx and libnginx-mod-nchan"):
            return reason
        return None if _MODULE.exists() else f"{_MODULE} is not there: install the package libnginx-mod-nchan"

    def version(self) -> str:
        nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
        package = subprocess.run(
            ["dpkg-query", "-W", "libnginx-mod-nchan"], capture_output=True, text=True, check=False
        )
        nchan = re.search(r"\d+(\.\d+)+", package.stdout)
        return f"nchan {nchan[0] if nchan else 'of an unknown version'} in {nginx.strip().split(': ')[-1]}"

    def command(self, port: int, workdir: Path) -> list[str]:
        (user, password) = self.accounts[0]
        (workdir / "passwords").write_text(f"{user}:{{PLAIN}}{password}\n")
        lines = ["ssl_certificate {};", "ssl_certificate_key {};"]
        certificate = " ".join(line.format(file) for line, file in zip(lines, self.tls_files(), strict=False))
        config = workdir / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                module=_MODULE,
                user="user root;" if os.geteuid() == 0 else "",
                files=os.sysconf("SC_OPEN_MAX"),
                folder=workdir,
                port=port,
                ssl="ssl" if self.certificate else "",
                certificate=certificate,
            )
        )
        return [shutil.which("nginx") or "nginx", "-c", str(config)]

    def publishing_target(self, topic: str) -> str:
        return f"/publish?topic={topic}"
