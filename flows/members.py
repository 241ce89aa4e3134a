"""Members: each network of a comparison, taken through the steps of a run, alone or beside the others."""

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows.imdb_flow import train_and_judge
from tasks.core.artifact import Artifact
from tasks.core.errors import MemberError
from tasks.core.journal import steps_of, unfinished_step
from tasks.core.members import Member, MemberRun, Outcome
from tasks.core.settings import RunSettings
from tasks.core.uncaught import describe


@flow(name="imdb-pipeline-member", persist_result=False)
def member_flow(settings: RunSettings, downloaded: Artifact) -> MemberRun:
    """Take one member of a comparison through the steps of a run, with one seed.

    Raises:
        MemberError: a step failed; it names the step.
    """
    run = str(flow_run.id)
    try:
        made = [artifact for artifact in train_and_judge(settings, downloaded) if artifact]
    except Exception as error:
        step = unfinished_step(run) or "the run"
        raise MemberError(f"{step} with seed {settings.training.seed}: {describe(error)}") from error
    return MemberRun({artifact.step: artifact for artifact in made}, steps_of(run))


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{member.name}")
def train_member(member: Member, downloaded: Artifact) -> Outcome:
    """Run a member with each of its seeds, until one fails."""
    done: list[MemberRun] = []
    for run in member.runs:
        try:
            named = member_flow.with_options(flow_run_name=f"{member.name}, seed {run.training.seed}")
            done.append(named(run, downloaded))
        except Exception as error:
            get_run_logger().error("%s failed at %s; the others go on", member.name, describe(error))
            return Outcome(member, done, describe(error))
    return Outcome(member, done)
