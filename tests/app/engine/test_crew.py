"""Processes that share shards: each input once, whoever dies; what kills is named."""

import multiprocessing
import os
import signal
import threading
import time

import pytest
from engine_models import Reader, make_jobs
from pyarrow import parquet

from jumok.app.engine.crew import Crew, Worker
from jumok.app.engine.worker import work
from jumok.errors import JumokError


class Unopened(Reader):
    @property
    def about(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Changing(Reader):
    @property
    def fingerprint(self):
        return str(os.getpid())


def hire_with(looker):
    """Forks, which is quick; there is no device here whose state could be shared."""

    def hire(_number):
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, looker, 1), daemon=True)
        process.start()
        theirs.close()
        return Worker(process, ours)

    return hire


def run(texts, folder, looker=None, size=2, meanwhile=lambda _crew: None):
    jobs = list(make_jobs(texts, folder))
    with Crew(hire_with(looker or Reader()), size) as crew:
        meanwhile(crew)
        done = [job.number for job, _ in crew.work(iter(jobs))]
    assert sorted(done) == list(range(len(jobs)))
    rows = [row for job in jobs for row in parquet.read_table(job.order.path).to_pylist()]
    assert [row["index"] for row in rows] == list(range(len(texts)))
    return {row["path"]: row["prediction"] if row["error"] is None else row["error"] for row in rows}


TEXTS = [f"text {number}" for number in range(18)]
WHOLE = {f"input {number}": text for number, text in enumerate(TEXTS)}


@pytest.mark.parametrize("size", [1, 3])
def test_each_input_is_looked_at_once(size, tmp_path):
    assert run(TEXTS, tmp_path, size=size) == WHOLE


def test_what_kills_a_process_costs_its_own_row_and_is_named(tmp_path):
    texts = list(TEXTS)
    texts[5] = texts[6] = texts[17] = "kill"
    found = run(texts, tmp_path)
    for number in (5, 6, 17):
        assert "it ended the process that looked at it (SIGKILL, as when memory runs out)" in found[f"input {number}"]
    rest = {name: text for name, text in found.items() if name not in ("input 5", "input 6", "input 17")}
    assert rest == {name: WHOLE[name] for name in rest}
    assert len(rest) == 15


def test_inputs_that_kill_only_together_are_no_input_s_fault(tmp_path):
    texts = [*TEXTS[:8], "crowd", "crowd", *TEXTS[10:]]
    with pytest.raises(JumokError, match=r"inputs 8 to 11, each of which passes alone.*--batch-size"):
        run(texts, tmp_path)


def test_processes_killed_from_outside_change_nothing(tmp_path):
    killed = []

    def kill_some(crew):
        def kill():
            while len(killed) < 3:
                time.sleep(0.07)
                worker = crew._workers[len(killed) % 2].process
                if worker.is_alive():
                    worker.kill()
                    killed.append(worker.pid)

        threading.Thread(target=kill, daemon=True).start()

    assert run(TEXTS, tmp_path / "killed", Reader(pause=0.1), meanwhile=kill_some) == WHOLE
    assert len(killed) == 3
    run(TEXTS, tmp_path / "whole")
    for path in (tmp_path / "whole").glob("*.parquet"):
        assert path.read_bytes() == (tmp_path / "killed" / path.name).read_bytes()
    assert not list((tmp_path / "killed" / "work").glob("*.parquet"))


def test_a_model_that_no_process_can_open_is_told(tmp_path):
    with pytest.raises(JumokError, match=r"3 processes ended \(SIGKILL.*before the model was open"):
        run(TEXTS, tmp_path, Unopened())


def test_a_model_that_changes_meanwhile_is_told(tmp_path):
    with pytest.raises(JumokError, match="reader was changed while it was in use"):
        run(TEXTS, tmp_path, Changing(pause=0.2))


def test_a_reason_that_lies_in_no_input_ends_the_work(tmp_path):
    with pytest.raises(JumokError, match="disk full"):
        run(TEXTS, tmp_path, Reader(broken=JumokError("disk full")))
    with pytest.raises(RuntimeError, match="KeyError: 'gone'") as caught:
        run(TEXTS, tmp_path / "other", Reader(broken=KeyError("gone")))
    assert "Traceback" in caught.value.__notes__[0]


def test_processes_end_with_the_work(tmp_path):
    crews = []
    run(TEXTS, tmp_path, meanwhile=crews.append)
    assert not any(worker.process.is_alive() for worker in crews[0]._workers)


def test_what_a_killed_process_left_is_swept_by_the_next(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".part-0.447c3fed.parquet").write_bytes(b"half a table")
    assert run(TEXTS, tmp_path) == WHOLE
    assert not list((tmp_path / "work").iterdir())
