from __future__ import annotations

import os
import time

from wasupervisor.host.moments import boot_id, boottime, wall_time_of
from wasupervisor.host.proc import stat


def test_the_boot_has_a_name_that_stays() -> None:
    assert boot_id()
    assert boot_id() == boot_id()


def test_the_clock_is_the_one_on_which_the_kernel_dates_processes() -> None:
    us = stat(os.getpid())
    assert us is not None
    assert 0 < us.born <= boottime()
    assert wall_time_of(us.born) <= time.time()
