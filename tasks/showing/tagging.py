"""Tags: what a flow run learns about itself only while it runs."""

from prefect import get_client
from prefect.context import FlowRunContext


def tag_flow_run(tag: str) -> None:
    """Add a tag to the flow run that is going on; outside a flow run there is nothing to tag."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    run = context.flow_run
    with get_client(sync_client=True) as client:
        client.update_flow_run(run.id, tags={*run.tags, tag})
