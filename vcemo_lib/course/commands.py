"""The command `vcemo course`, and `vcemo doctor`: functions of the chosen arguments."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from vcemo_lib import course


def doctor(_chosen: Namespace) -> int:
    """Say what this machine has and what is missing."""
    print(course.doctor.report(findings := course.doctor.examine()))
    return int(any(finding.state == "missing" for finding in findings))


def run(chosen: Namespace) -> int:
    """Run the notebooks and compare what they measure with what is expected."""
    results = course.run(chosen.lane, chosen.only, chosen.jobs, chosen.update_expected)
    return int(not all(result.ok for result in results))


def plan(_chosen: Namespace) -> None:
    """List the notebooks: a reader's minutes, and what a run takes in each lane on two cores."""
    for notebook in (notebooks := course.Course().notebooks):
        runs = ", ".join(f"{lane} {seconds:g} s" for lane, seconds in notebook.seconds.items())
        print(f"{notebook.number}  {notebook.minutes:>4g} min  {notebook.title}  ({runs})")
    print(f"    {sum(notebook.minutes for notebook in notebooks):>4g} min to read and try it all")


def store(chosen: Namespace) -> None:
    """Make the last `cpu` run's outputs those that notebooks/ shows."""
    for path in course.store(only=chosen.only):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def site(chosen: Namespace) -> None:
    """Write the executed course as one HTML site that works from a folder, offline, sound included."""
    print(f"open {course.site.build(out=chosen.out, lane=chosen.lane)}")


def answers(_chosen: Namespace) -> None:
    """Print the answer key, for teachers."""
    from vcemo_lib.course.answers import key

    print(key(), end="")


def app(chosen: Namespace) -> None:
    """Serve the playground as a page of its own, for this machine."""
    course.widgets.app.serve(chosen.port, chosen.host, not chosen.no_browser)


def results(_chosen: Namespace) -> None:
    """Print README's results, number by number, from the runs stored in data/expected/results."""
    print(course.results.section(), end="")


ARGUMENTS: dict[str, dict[str, Any]] = {
    "--host": {"default": "127.0.0.1", "help": "0.0.0.0: for other machines too, without a password"},
    "--no-browser": {"action": "store_true", "help": "do not open the page"},
    "--port": {"type": int, "default": 8866, "help": "0: any free one"},
    "--jobs": {"type": int, "help": "notebooks at once"},
    "--lane": {"default": "cpu", "help": "smoke, cpu or gpu"},
    "--only": {"nargs": "+", "metavar": "NN", "help": "these notebooks, by number or name"},
    "--update-expected": {"action": "store_true", "help": "take what is measured as what is expected"},
}
COMMANDS = {
    "run": (run, "--lane --only --jobs --update-expected"), "list": (plan, ""), "store": (store, "--only"),
    "site": (site, "--out --lane"), "answers": (answers, ""), "app": (app, "--host --no-browser --port"),
}  # fmt: skip
