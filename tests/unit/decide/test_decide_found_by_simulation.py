"""What random schedules of tests/simulation found in the decider; each named after what a person would have seen."""

from __future__ import annotations

from decide_scenes import Stage, failed, starting, stopped, working

from wasupervisor.model.journal import EntryKind
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.model.sessions import Condition, Reason


def test_a_session_that_was_stopped_right_after_our_restart_was_started_again() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(starting())
    stage.look()  # the call ends, and this look sees what became of it
    stage.change(stopped())  # by its operator
    stage.run(3600)
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]
    assert stage.health().condition is Condition.STOPPED


def test_a_session_was_called_healed_for_a_time_in_which_nobody_could_look() -> None:
    """Seed 20569: killed while a remedy was verified, and the first looks after the restart read nothing."""
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(working())
    stage.run(10)
    stage.restart_supervisor()
    stage.readable = False
    stage.run(10)
    stage.readable = True
    stage.run(20)
    assert not any("healed" in one for one in stage.told(EntryKind.VERIFIED))
    stage.run(15)
    assert any("healed" in one for one in stage.told(EntryKind.VERIFIED))


def test_a_session_was_called_logged_out_by_a_diagnosis_that_was_made_before_it_worked_again() -> None:
    """Seed 21222: the process was restarted in the middle of the diagnosis, and the session failed again later."""
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.look()
    stage.change(failed())
    stage.run(15)  # the diagnosis is over: it failed again
    assert stage.session().diagnosed
    stage.begin_anew(working("a"), working("b"))
    stage.run(60)
    stage.change(failed())
    stage.run_until_remedy(60)
    assert stage.health().condition is not Condition.FATAL
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")] * 2


def test_what_worked_while_nobody_heard_of_its_restart_and_failed_again_is_not_called_unlinked() -> None:
    """Seed 409093: killed after the restart was on the books; healed by somebody else, it failed for another reason."""
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.restart_supervisor(away=5)
    stage.change(working())
    stage.run(20)
    stage.change(failed())
    stage.run(120)
    assert stage.session("a").cause is Reason.UNEXPLAINED
    assert stage.health().condition is Condition.FAILING


def test_a_restart_that_was_perhaps_never_made_does_not_call_a_session_unlinked() -> None:
    """Seed 607542: killed before the restart that was on the books; the session started and failed by itself later."""
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.restart_supervisor(away=5)
    stage.change(starting())
    stage.run(65)
    stage.change(failed())
    stage.run(15)
    assert any("did not heal it" in one for one in stage.told(EntryKind.VERIFIED))
    assert not stage.session("a").diagnosed
    assert stage.health().condition is Condition.FAILING
