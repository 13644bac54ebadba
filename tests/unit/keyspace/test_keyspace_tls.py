"""TLS to Redis: whom we trust, who we are, and what is told when it does not fit."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyspace_talkers import talker
from redis_fixtures import RedisServer, _binary, _free_port, binaries
from skipping import cannot

from wasupervisor.keyspace.connection import Tls, connect
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

pytestmark = pytest.mark.anyio


class Authority:
    """Signs certificates with the openssl of the system."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.file = folder / f"{name}.pem"
        uses = ("-addext", "keyUsage=critical,keyCertSign")
        self._openssl("req", "-x509", *self._new(name), "-out", f"{name}.pem", "-days", "2", *uses)

    def sign(self, name: str, for_whom: str = "DNS:localhost,IP:127.0.0.1", days: int = 2) -> tuple[Path, Path]:
        """A certificate and its key."""
        (self.folder / f"{name}.cnf").write_text(f"subjectAltName={for_whom}\nbasicConstraints=critical,CA:FALSE\n")
        self._openssl("req", *self._new(name), "-out", f"{name}.csr")
        signed_by = ("-CA", self.file.name, "-CAkey", f"{self.name}.key", "-CAcreateserial")
        what = ("-in", f"{name}.csr", "-out", f"{name}.pem", "-days", str(days), "-extfile", f"{name}.cnf")
        self._openssl("x509", "-req", *signed_by, *what)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def lock(self, key: Path) -> Path:
        """The same key, encrypted."""
        self._openssl("pkey", "-in", key.name, "-aes256", "-passout", "pass:hunter2", "-out", "locked-away.key")
        return self.folder / "locked-away.key"

    def _new(self, name: str) -> tuple[str, ...]:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        return (*curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the servers trust, and we."""
    if shutil.which("openssl") is None:
        cannot("needs openssl: apt install openssl")
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


class TlsServer(RedisServer):
    """Speaks TLS on a second port."""

    def __init__(self, folder: Path, authority: Authority, certificate: tuple[Path, Path], *arguments: str) -> None:
        self.tls_port = _free_port()
        files = ("--tls-cert-file", str(certificate[0]), "--tls-key-file", str(certificate[1]))
        doors = ("--tls-port", str(self.tls_port), "--tls-ca-cert-file", str(authority.file))
        if "path" not in binaries():
            pytest.skip("needs a redis-server that is built with TLS: apt install redis-server")
        super().__init__(_binary("path"), folder, *doors, *files, *arguments)

    @property
    def tls_url(self) -> str:
        """Of database 0."""
        return f"rediss://127.0.0.1:{self.tls_port}/0"


@pytest.fixture(scope="module")
def tls_redis(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """Asks for a certificate of ours."""
    server = TlsServer(tmp_path_factory.mktemp("redis"), authority, authority.sign("server"))
    yield server
    server.stop()


async def _told(url: str, tls: Tls) -> str:
    with pytest.raises(KeyspaceError) as caught:
        async with await connect(url, tls=tls) as servers:
            await servers.nodes[0].call("PING")
    assert caught.value.trouble is RedisTrouble.UNREACHABLE, caught.value
    return str(caught.value)


async def test_both_sides_show_a_certificate(authority: Authority, tls_redis: TlsServer) -> None:
    tls = Tls(authority.file, *authority.sign("client"))
    for url in (tls_redis.tls_url, tls_redis.tls_url.replace("127.0.0.1", "localhost")):
        async with await connect(url, tls=tls) as servers:
            for _ in range(3):
                assert await servers.nodes[0].call("PING") == b"PONG"


async def test_a_redis_that_asks_for_our_certificate_is_told_of(authority: Authority, tls_redis: TlsServer) -> None:
    stranger = Authority(authority.folder, "stranger")
    for tls in (Tls(authority.file), Tls(authority.file, *stranger.sign("strange-client"))):
        told = await _told(tls_redis.tls_url, tls)
        assert "does not take our certificate" in told or "if it asks for a certificate" in told
        assert "set redis.tls.cert_file and redis.tls.key_file to one that it trusts" in told


async def test_a_port_that_speaks_only_tls_is_told_of(authority: Authority, tls_redis: TlsServer) -> None:
    told = await _told(tls_redis.tls_url.replace("rediss", "redis"), Tls())
    assert "if it speaks only TLS, write rediss:// in redis.url" in told


async def test_a_port_without_tls_is_told_of(authority: Authority, tls_redis: TlsServer) -> None:
    """Redis waits for the end of the line, and so do we."""
    url = tls_redis.tls_url.replace(str(tls_redis.tls_port), str(tls_redis.port))
    with pytest.raises(KeyspaceError, match=r"did not answer in 0\.3 s; is it a port that speaks TLS\?"):
        await connect(url, tls=Tls(authority.file), timeout=0.3)
    async with talker(lambda command: None, greeting=b"-ERR who are you?\r\n") as port:
        assert "does not speak TLS as we do" in await _told(f"rediss://127.0.0.1:{port}", Tls(authority.file))


async def test_who_is_not_trusted_is_told_of(authority: Authority, tls_redis: TlsServer) -> None:
    told = await _told(tls_redis.tls_url, Tls())
    assert "is not trusted (" in told
    assert "set redis.tls.ca_file to the authority that signed it" in told
    told = await _told(tls_redis.tls_url, Tls(Authority(authority.folder, "other").file))
    assert "is not trusted (" in told


async def test_a_certificate_for_another_name_is_told_of(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.sign("elsewhere", "DNS:redis.example")
    server = TlsServer(tmp_path, authority, certificate, "--tls-auth-clients", "no")
    try:
        for url in (server.tls_url, server.tls_url.replace("127.0.0.1", "localhost")):
            assert "is for another name: it must hold the name or address" in await _told(url, Tls(authority.file))
    finally:
        server.stop()


async def test_a_certificate_that_has_expired_is_told_of(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.sign("expired", days=-1)
    server = TlsServer(tmp_path, authority, certificate, "--tls-auth-clients", "no")
    try:
        assert "has expired: give Redis a new one" in await _told(server.tls_url, Tls(authority.file))
    finally:
        server.stop()


async def test_sentinel_and_cluster_speak_tls_when_an_authority_or_the_url_says_so(tls_redis: TlsServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        for url in (f"sentinel://{where}/main?tls=true", f"cluster://{where}?tls=true"):
            with pytest.raises(KeyspaceError):
                await connect(url, timeout=0.2)
            first, _ = silent.accept()
            with first:
                assert first.recv(1) == b"\x16"  # a TLS handshake


@pytest.mark.parametrize("field", ["ca_file", "cert_file"])
async def test_a_file_that_cannot_be_used_is_told(authority: Authority, tmp_path: Path, field: str) -> None:
    good = Tls(authority.file, *authority.sign("good"))
    (tmp_path / "empty.pem").touch()
    for path in (tmp_path / "none.pem", tmp_path / "empty.pem"):
        with pytest.raises(KeyspaceError, match=rf"^redis\.tls\.{field}.* cannot be used: "):
            await connect("rediss://127.0.0.1:1", tls=good._replace(**{field: path}))


async def test_a_key_with_a_password_is_no_reason_to_wait_at_a_terminal(authority: Authority) -> None:
    certificate, key = authority.sign("locked")
    with pytest.raises(KeyspaceError, match=r"redis\.tls\.cert_file or redis\.tls\.key_file cannot be used"):
        await connect("rediss://127.0.0.1:1", tls=Tls(authority.file, certificate, authority.lock(key)))
