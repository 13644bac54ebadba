"""Control groups: version 1 for real where root may make them, version 2 from files where the machine has none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from host_theatre import SteppedClock, Theatre

from wasupervisor.host.cgroups import SYSTEMD, UNIFIED, Cgroups, Groups, Memory, Mount, members, memory, oom_kills_above
from wasupervisor.host.found import Find
from wasupervisor.host.process import ProcessWatch

pytestmark = pytest.mark.anyio

MIB = 1 << 20


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")
    return folder


class TestVersion2:
    def test_the_memory_without_the_file_cache_and_its_limit(self, tmp_path: Path) -> None:
        folder = write(
            tmp_path,
            memory__current=str(300 * MIB),
            memory__max=str(500 * MIB),
            memory__stat=f"anon {200 * MIB}\ninactive_file {60 * MIB}\nactive_file 0",
        )
        assert memory(folder) == Memory(used=240 * MIB, limit=500 * MIB)

    def test_no_limit(self, tmp_path: Path) -> None:
        folder = write(tmp_path, memory__current="5", memory__max="max", memory__stat="inactive_file 9")
        assert memory(folder) == Memory(used=0, limit=None)

    def test_what_cannot_be_read_is_unknown(self, tmp_path: Path) -> None:
        assert memory(tmp_path) is None

    def test_the_smallest_quota_above_counts(self, tmp_path: Path) -> None:
        write(tmp_path, cpu__max="10000 100000")  # the root of the mount does not count
        write(tmp_path / "a.slice", cpu__max="50000 100000")
        write(tmp_path / "a.slice" / "waha.service", cpu__max="200000 100000")
        groups = Groups({UNIFIED: Mount("/", tmp_path)}, {UNIFIED: "/a.slice/waha.service"})
        assert groups.cpus() == 0.5

    def test_no_quota(self, tmp_path: Path) -> None:
        write(tmp_path / "waha.service", cpu__max="max 100000")
        assert Groups({UNIFIED: Mount("/", tmp_path)}, {UNIFIED: "/waha.service"}).cpus() is None

    def test_a_container_that_sees_its_group_as_the_root_of_the_mount(self, tmp_path: Path) -> None:
        groups = Groups({UNIFIED: Mount("/docker/4f", tmp_path)}, {UNIFIED: "/docker/4f/inner"})
        assert groups.folder("memory") == tmp_path / "inner"

    @pytest.mark.parametrize("path", ["/", "/../waha.service"])
    def test_the_root_and_what_lies_outside_have_no_folder(self, tmp_path: Path, path: str) -> None:
        assert Groups({UNIFIED: Mount("/", tmp_path)}, {UNIFIED: path}).folder("memory") is None


class TestVersion1:
    def test_the_quota(self, tmp_path: Path) -> None:
        write(tmp_path / "waha", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
        write(tmp_path / "free", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
        mounts = {"cpu": Mount("/", tmp_path)}
        assert Groups(mounts, {"cpu": "/waha"}).cpus() == 1.5
        assert Groups(mounts, {"cpu": "/free"}).cpus() is None

    def test_the_memory_and_no_limit(self, tmp_path: Path) -> None:
        folder = write(
            tmp_path,
            memory__usage_in_bytes=str(300 * MIB),
            memory__limit_in_bytes="9223372036854771712",
            memory__stat=f"inactive_file 1\ntotal_inactive_file {100 * MIB}",
        )
        assert memory(folder) == Memory(used=200 * MIB, limit=None)


class TestOomKills:
    """What the kernel writes: memory.events (cgroup-v2, Linux 5.10), memory.oom_control (cgroup-v1, Linux 4.13)."""

    def test_version_2_counts_them(self, tmp_path: Path) -> None:
        folder = write(
            tmp_path,
            memory__current="1",
            memory__max="max",
            memory__stat="",
            memory__events="low 0\nhigh 0\nmax 1204\noom 3\noom_kill 2\noom_group_kill 0",
        )
        assert memory(folder) == Memory(used=1, limit=None, oom_kills=2)
        assert oom_kills_above(folder / "waha.service") == 2
        assert oom_kills_above(folder) is None
        (folder / "memory.events").write_text("low 0\n")
        assert oom_kills_above(folder / "waha.service") is None

    @pytest.mark.parametrize(
        ("text", "kills"), [("oom_kill_disable 0\nunder_oom 0\noom_kill 7", 7), ("under_oom 0", None)]
    )
    def test_version_1_counts_them_since_a_while(self, tmp_path: Path, text: str, kills: int | None) -> None:
        folder = write(
            tmp_path,
            memory__usage_in_bytes="1",
            memory__limit_in_bytes="9223372036854771712",
            memory__stat="total_inactive_file 0",
            memory__oom_control=text,
        )
        assert memory(folder) == Memory(used=1, limit=None, oom_kills=kills)


class TestMounts:
    def test_a_unit_is_found_below_its_slices(self, tmp_path: Path) -> None:
        deep = write(tmp_path / "system.slice" / "system-waha.slice" / "waha@a.service", cgroup__procs="1")
        flat = write(tmp_path / "system.slice" / "waha.service", cgroup__procs="1")
        groups = Cgroups({SYSTEMD: Mount("/", tmp_path)})
        assert list(groups.unit_folders("waha@a.service")) == [deep]
        assert list(groups.unit_folders("waha.service")) == [flat]
        assert list(groups.unit_folders("none.service")) == []

    def test_members_of_groups_below_belong_to_it(self, tmp_path: Path) -> None:
        write(tmp_path, cgroup__procs="7\n8")
        write(tmp_path / "inner", cgroup__procs="9")
        assert members(tmp_path) == {7, 8, 9}

    def test_our_own_groups_can_be_read(self) -> None:
        assert Cgroups.mounted().groups_of(os.getpid()).unit_path.startswith("/")


@pytest.fixture
def memory_group() -> Iterator[Path]:
    point = next((Path(at) for at in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup") if _limits_memory(Path(at))), None)
    if point is None or os.geteuid() != 0:
        pytest.skip("needs root and a memory controller of its own")
    folder = point / f"wasupervisor-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    for pid in members(folder):
        with suppress(ProcessLookupError):
            (point / "cgroup.procs").write_text(str(pid))
    folder.rmdir()


def _limits_memory(point: Path) -> bool:
    if (point / "memory.limit_in_bytes").exists():
        return True
    control = point / "cgroup.subtree_control"
    return control.exists() and "memory" in control.read_text().split()


@pytest.mark.root
class TestARealGroup:
    def _limit(self, folder: Path, size: int) -> None:
        name = "memory.max" if (folder / "memory.max").exists() else "memory.limit_in_bytes"
        (folder / name).write_text(str(size))

    async def test_its_limit_counts_while_it_holds_nothing_but_the_gateway(
        self, theatre: Theatre, memory_group: Path, tmp_path: Path
    ) -> None:
        gateway = theatre.puppet()
        self._limit(memory_group, 300 * MIB)
        (memory_group / "cgroup.procs").write_text(str(gateway.pid))
        gateway.spawn()  # born into the group
        file = tmp_path / "gateway.pid"
        file.write_text(str(gateway.pid))
        clock = SteppedClock()
        watch = ProcessWatch(Find(pid_file=file), clock=clock)
        alone = await watch.read()
        stranger = theatre.puppet()
        (memory_group / "cgroup.procs").write_text(str(stranger.pid))
        passing = await watch.read()
        clock.ahead += 11
        shared = await watch.read()
        stranger.kill()
        alone_again = await watch.read()
        # A container's health check is in its group for a moment, and is no child of the gateway's.
        assert {one.limit_bytes for one in (alone, passing, alone_again)} == {300 * MIB}
        assert alone.rss_bytes is not None
        assert alone.memory_percent is not None
        assert 0 < alone.memory_percent < 100
        assert (alone.oom_kills, shared.oom_kills, alone_again.oom_kills) == (0, None, 0)
        # Of the tree, not of the group, whose count begins when it was moved there.
        assert alone.rss_bytes > 5 * MIB
        assert shared.limit_bytes not in (None, 300 * MIB)
