"""PostgreSQL as an operator meets it: it lets nobody in, is set up otherwise than by default, breaks
connections off; each time the error says what to do, and the server goes on when it is done."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, make_url, text
from sqlmodel import select

from limosa_contracts.errors import LimosaError
from limosa_server.errors import DatabaseRefused, StoreBusy, StoreDown
from limosa_server.store import Store
from limosa_server.store.claim import Claim
from limosa_server.store.engine import place_of, shown
from limosa_server.tables.devices import Device
from tests.fleet_server.world import make_trust
from tests.support.ports import free_port
from tests.support.postgresql import USER, Cluster, running_cluster
from tests.support.processes import Processes, script
from tests.support.programs import require_program

_NUMBERS = itertools.count(1)
SECRET = "s3cr3t-canary"
NOBODY = "operator-test"
HBA = f"""
local all {USER} trust
host all {USER} 127.0.0.1/32 trust
host all {NOBODY} 127.0.0.1/32 scram-sha-256
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Over TCP, without TLS, with few connections, and a role that owns nothing."""
    settings = {
        "listen_addresses": "127.0.0.1", "port": str(free_port()), "max_connections": "14",
        "superuser_reserved_connections": "3",
    }  # fmt: skip
    with running_cluster(settings=settings) as running:
        (running.data / "pg_hba.conf").write_text(HBA)
        running.stop()  # to read it again; a signal would be answered some time later
        running.start()
        running.command(f"""CREATE ROLE "{NOBODY}" LOGIN PASSWORD '{SECRET}'""")
        running.create("template")
        Store.open(running.url("template")).close()
        yield running


@pytest.fixture
def name(cluster: Cluster) -> Iterator[str]:
    """A database with the newest schema."""
    made = f"limosa_{next(_NUMBERS)}"
    cluster.create(made, template="template")
    yield made
    cluster.drop(made)


def over_tcp(cluster: Cluster, database: str, user: str = NOBODY, password: str | None = SECRET) -> URL:
    port = int(make_url(cluster.url(database)).query["port"])  # type: ignore[arg-type]  # given once
    return URL.create("postgresql", user, password, "127.0.0.1", port, database)


def plain(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def write(store: Store, name: str = "d") -> None:
    with store.transaction() as tx:
        tx.add(Device(id=name, enrolled_at=0.0))


def test_whoever_is_not_let_in_is_told_why_and_not_that_nothing_runs(cluster: Cluster) -> None:
    fitting = over_tcp(cluster, "template")
    for url, why in (
        (fitting.set(password="wrong"), "password authentication failed"),
        (over_tcp(cluster, "template", password=None), "no password supplied"),
        (fitting.set(database="nowhere"), "does not exist"),
        (fitting.set(username="stranger"), "no pg_hba.conf entry"),
        (fitting.update_query_dict({"sslmode": "require"}), "does not support SSL"),
    ):
        with pytest.raises(StoreDown) as caught:
            Store.open(plain(url))
        assert (why in caught.value.why, "says no" in caught.value.hint) == (True, True), caught.value
        assert SECRET not in f"{caught.value} {caught.value.hint}"
    with pytest.raises(StoreDown) as caught:
        Store.open(plain(fitting.set(port=1)))
    assert ("Connection refused" in caught.value.why, "running?" in caught.value.hint) == (True, True)


def test_a_role_that_may_not_create_tables_is_told_what_it_needs(cluster: Cluster) -> None:
    for database in ("postgres", "template"):  # without tables, and with another's
        with pytest.raises(DatabaseRefused) as caught:
            Store.open(plain(over_tcp(cluster, database)))
        assert "permission denied" in caught.value.why
        assert "own the database" in caught.value.hint


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_name_is_refused(cluster: Cluster, encoding: str) -> None:
    cluster.command(f"CREATE DATABASE odd_{encoding} TEMPLATE template0 ENCODING '{encoding}'")
    with pytest.raises(DatabaseRefused) as caught:
        Store.open(cluster.url(f"odd_{encoding.lower()}"))
    assert (encoding in caught.value.why, "UTF8" in caught.value.hint) == (True, True)


def test_a_database_set_up_otherwise_gives_the_same_results(
    cluster: Cluster, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another isolation, time zone, encoding of the client and precision of numbers: none of it counts."""
    for setting in (
        "default_transaction_isolation = serializable", "timezone = 'Asia/Kathmandu'",
        "extra_float_digits = -3", "client_encoding = 'LATIN1'",
    ):  # fmt: skip
        cluster.command(f'ALTER DATABASE "{name}" SET {setting}')
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with closing(Store.open(cluster.url(name))) as one, closing(Store.open(cluster.url(name))) as other:
        with one.transaction() as tx:
            tx.add(Device(id="ж", enrolled_at=1763769955.1234567, desired_counter=0))

        def count(store: Store) -> None:
            for _ in range(20):
                with store.transaction() as tx:
                    tx.get_one(Device, "ж").desired_counter += 1

        threads = [threading.Thread(target=count, args=(store,)) for store in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with one.read() as tx:
            found = tx.get_one(Device, "ж")
            assert (found.desired_counter, found.enrolled_at) == (40, 1763769955.1234567)
            assert tx.connection().execute(text("SHOW timezone")).scalar() == "UTC"


def test_options_of_the_url_hold_beside_the_servers_own(cluster: Cluster, name: str) -> None:
    url = make_url(cluster.url(name)).update_query_dict(
        {
            "options": "-c work_mem=7MB -c timezone=Asia/Tokyo",
            "application_name": "mine",
        }
    )
    with closing(Store.open(plain(url))) as store, store.read() as tx:
        shown_of = {
            setting: tx.connection().execute(text(f"SHOW {setting}")).scalar()
            for setting in ("work_mem", "timezone", "application_name", "lock_timeout", "random_page_cost")
        }
    assert shown_of == {
        "work_mem": "7MB", "timezone": "UTC", "application_name": "mine", "lock_timeout": "15s",
        "random_page_cost": "1.1",
    }  # fmt: skip
    turning = url.update_query_dict({"options": "-c random_page_cost=4"})
    with closing(Store.open(plain(turning))) as store, store.read() as tx:
        assert tx.connection().execute(text("SHOW random_page_cost")).scalar() == "4"


def test_a_host_that_vanishes_is_noticed_within_half_a_minute(cluster: Cluster, name: str) -> None:
    url = plain(over_tcp(cluster, name, USER, ""))
    with closing(Store.open(url)) as store, store.read() as tx:
        driver = tx.connection().connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        told = driver.info.get_parameters()
    idle, every, times = (int(told[f"keepalives_{what}"]) for what in ("idle", "interval", "count"))
    assert (idle + every * times, told["tcp_user_timeout"]) == (25, "25000")


@pytest.mark.parametrize(
    ("setting", "statement", "error"),
    [
        ("statement_timeout = '100ms'", "SELECT pg_sleep(20)", StoreBusy),
        ("default_transaction_read_only = on", "DELETE FROM devices", StoreDown),
        ("idle_in_transaction_session_timeout = '50ms'", "", StoreDown),
    ],
)
def test_what_the_database_breaks_off_is_stored_not_at_all_and_can_be_tried_again(
    cluster: Cluster, name: str, setting: str, statement: str, error: type[LimosaError]
) -> None:
    cluster.command(f'ALTER DATABASE "{name}" SET {setting}')
    with closing(Store.open(cluster.url(name), busy_timeout_s=5)) as store:
        with pytest.raises(error) as caught, store.transaction() as tx:  # noqa: PT012  # inside it, not at its end
            if statement:
                tx.connection().execute(text(statement))
            else:
                tx.add(Device(id="d", enrolled_at=0.0))
                tx.flush()
                driver = tx.connection().connection.driver_connection
                assert isinstance(driver, psycopg.Connection)
                _until_closed(cluster, driver.info.backend_pid)
                tx.exec(select(Device.id)).all()
        assert caught.value.http_status == 503, "who asked may ask again"
        cluster.command(f'ALTER DATABASE "{name}" RESET {setting.partition(" ")[0]}')
        cluster.command(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        with store.read() as tx:
            assert tx.exec(select(Device.id)).all() == []
        write(store)


def _until_closed(cluster: Cluster, backend: int) -> None:
    cluster.command(
        "DO $$ BEGIN FOR i IN 1..500 LOOP PERFORM pg_stat_clear_snapshot(); EXIT WHEN NOT EXISTS"
        f" (SELECT FROM pg_stat_activity WHERE pid = {backend}); PERFORM pg_sleep(0.02); END LOOP; END $$"
    )


def test_every_session_is_ended_and_the_next_transaction_holds_again(cluster: Cluster, name: str) -> None:
    """pg_terminate_backend, or an idle_session_timeout: the pool and the claim come back by themselves."""
    claim = Claim(cluster.url(name))
    claim.hold()
    with closing(Store.open(cluster.url(name))) as store:
        write(store)
        cluster.command(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        claim.hold()
        with store.read() as tx:
            assert tx.exec(select(Device.id)).all() == ["d"]
    claim.release()


def test_no_connection_is_left_and_one_that_is_given_back_is_taken(cluster: Cluster, name: str) -> None:
    with closing(Store.open(cluster.url(name))) as store, ExitStack() as stack:
        store.engine.dispose()
        with suppress(psycopg.OperationalError):
            while True:
                stack.callback(psycopg.connect(cluster.url("postgres")).close)
        with pytest.raises(StoreDown, match="no connection left") as caught:
            write(store)
        assert "max_connections" in caught.value.hint
        stack.close()
        write(store)


def test_rights_that_are_taken_away_are_named_and_nothing_is_lost_when_they_are_back(
    cluster: Cluster, name: str
) -> None:
    cluster.command(f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{NOBODY}"', database=name)
    with closing(Store.open(plain(over_tcp(cluster, name)))) as store:
        write(store)
        cluster.command(f'REVOKE INSERT ON devices FROM "{NOBODY}"', database=name)
        with pytest.raises(StoreDown, match="permission denied") as caught:
            write(store, "e")
        assert "own the database" in caught.value.hint
        cluster.command(f'GRANT INSERT ON devices TO "{NOBODY}"', database=name)
        write(store, "e")


def test_a_password_as_a_parameter_is_not_shown_either() -> None:
    url = place_of(f"postgresql://db.example/limosa?user=me&password={SECRET}&sslpassword={SECRET}")
    assert SECRET not in shown(url)
    assert url.password == SECRET


def test_a_second_server_leaves_the_database_as_it_is(
    cluster: Cluster, tmp_path: Path, processes: Processes
) -> None:
    """Of a newer version it would bring the schema to its own, under the first one."""
    require_program("mosquitto")
    url = cluster.create("claimed")
    first = Claim(url)
    first.hold()
    make_trust(tmp_path)
    second = processes.start(
        [
            script("limosa"), "server", "run", "--data", str(tmp_path / "data"), "--dev",
            "--broker", "mosquitto", "--listen", "127.0.0.1:0", "--mqtt-port", "0", "--database", url,
        ],
        name="second",
    )  # fmt: skip
    assert (second.wait(timeout_s=60), "LM-623" in second.log()) == (1, True), second.log()
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)
    first.release()


def test_over_tls_only(tmp_path: Path) -> None:
    openssl = require_program("openssl")
    with running_cluster(settings={"listen_addresses": "127.0.0.1", "port": str(free_port())}) as cluster:
        certificate, key = cluster.data / "server.crt", cluster.data / "server.key"
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        shutil.copy(certificate, tmp_path / "ca.crt")
        for one in (certificate, key):
            cluster.give(one)
            one.chmod(0o600)
        (cluster.data / "pg_hba.conf").write_text(
            f"local all all trust\nhostssl all {USER} 127.0.0.1/32 trust\n"
        )
        cluster.command("ALTER SYSTEM SET ssl = on")
        cluster.stop()
        cluster.start()
        cluster.create("limosa")
        url = over_tcp(cluster, "limosa", USER, "")
        verified = url.update_query_dict({"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.crt")})
        with closing(Store.open(plain(verified))) as store, store.read() as tx:
            assert (
                tx.connection()
                .execute(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
                .scalar()
            )
        with pytest.raises(StoreDown) as caught:
            Store.open(plain(url.update_query_dict({"sslmode": "disable"})))
        assert "no encryption" in caught.value.why
        stranger = verified.update_query_dict({"sslrootcert": str(_other_ca(tmp_path, openssl))})
        with pytest.raises(StoreDown) as caught:
            Store.open(plain(stranger))
        assert ("certificate" in caught.value.why, "says no" in caught.value.hint) == (True, True)


def _other_ca(folder: Path, openssl: str) -> Path:
    made = folder / "other.crt"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other",
         "-keyout", folder / "other.key", "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    return made
