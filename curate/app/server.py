"""The App's server: FiftyOne's application behind our guard, with what a collection needs of it and no more.

curate/app/service.py starts it as a process of its own, in place of fiftyone/server/main.py. Each route and built-in
operator of FiftyOne 1.22 was looked at; what is not listed here, or comes with a later release, is closed.
"""

import asyncio
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curate.app import fiftyone_library
from curate.app.guard import Guard
from curate.app.pictures import Pictures
from curate.collection.directory import Collection

TOLD = "FEWPOSE_APP"  # the environment variable that says what to serve
_GRACE_SECONDS = 0.2  # for answers that are being given at the end
_END_SECONDS = 0.5  # and then it ends whatever still runs: FiftyOne's threads would take seconds

# They read and write the dataset in the database, and nothing else. Closed are:
#   /media                      hands out any file; the guard answers in its place
#   .../commit-mask             writes a file of any name, which a label may have
#   /screenshot                 of notebooks
#   /runtime-assets             where to download models
#   /frames, /video-labels, camera, groups, temporal tags, similar labels: of videos and 3D, which no collection has
ROUTES = frozenset(
    {
        *("/aggregate", "/event", "/events", "/features", "/fiftyone", "/geo", "/graphql", "/sort", "/tag", "/tagging"),
        *("/values", "/ontologies", "/ontologies/{name}/attributes", "/ontologies/{name}/taxonomy"),
        # Decisions, and all other operators: which of them, is said below.
        *("/operators", "/operators/execute", "/operators/execute/generator", "/operators/resolve-type"),
        *("/operators/resolve-placements", "/operators/resolve-execution-options"),
        "/operators/subscribe-execution-store",
        # The plot.
        *("/embeddings/plot", "/embeddings/selection", "/embeddings/extended-stage", "/embeddings/color-by-choices"),
        *(f"/embeddings/v2/{name}" for name in ("runs-status", "run-info", "geometry", "ids", "color", "masks")),
        *("/embeddings/v2/lasso-stage", "/embeddings/v2/sample-info"),
        # Labels that are changed in the open picture.
        "/dataset/{dataset_id}/sample/{sample_id}",
        "/dataset/{dataset_id}/sample/{sample_id}/{field_path}/{field_id}",
        # Files: of plugins, which are ours and those that the user installed, and the App itself.
        *("/plugins", ""),
    }
)

# Of FiftyOne's built-in operators: views, workspaces, a person's own fields and labels, and search. list_files and
# download_file are closed, and what is of videos, groups and evaluations. Our own operators run, and those of plugins
# that the user installed.
OPERATORS = frozenset(
    f"@voxel51/{plugin}/{name}"
    for plugin, names in {
        "operators": (
            *("list_saved_views", "load_saved_view", "reload_saved_view", "save_view", "edit_saved_view_info"),
            *("delete_saved_view", "list_workspaces", "load_workspace", "save_workspace", "edit_workspace_info"),
            *("delete_workspace", "load_group_by", "edit_field_info", "edit_field_values", "get_field_schema"),
            *("clone_sample_field", "rename_sample_field", "clear_sample_field", "delete_sample_field"),
            *("add_dynamic_sample_fields", "remove_dynamic_sample_fields", "create_index", "drop_index"),
            *("create_summary_field", "update_summary_field", "delete_summary_field", "sync_last_modified_at"),
            *("clone_selected_samples", "delete_selected_samples", "delete_selected_labels", "delete_brain_run"),
            *("activate_label_schemas", "create_and_activate_field", "deactivate_label_schemas"),
            *("delete_label_schemas", "get_label_schemas", "generate_label_schemas", "list_valid_annotation_fields"),
            *("set_active_label_schemas", "update_label_schema", "validate_label_schemas"),
        ),
        "panels": (
            *("similarity_search_panel", "similarity_search", "init_similarity_run", "list_similarity_runs"),
            "get_similarity_search_subscription_notifier",
        ),
    }.items()
    for name in names
)


@dataclass(frozen=True)
class Told:
    """What to serve. port: of 127.0.0.1.  key: of the guard.  collection: an absolute path."""

    port: int
    key: str
    collection: str

    def environment(self) -> dict[str, str]:
        """No other account reads a process's environment, and all of them its arguments."""
        return {TOLD: json.dumps(asdict(self))}


def main() -> None:
    """Serve what the environment says, until SIGTERM."""
    told = Told(**json.loads(os.environ.pop(TOLD)))  # no program that is started from here has the key
    # As fiftyone/server/main.py does, before the import.
    os.environ.pop("FIFTYONE_DISABLE_SERVICES", None)
    os.environ["FIFTYONE_SERVER"] = "1"
    pictures = Pictures(Collection.open(Path(told.collection)))
    asyncio.run(_serve(Guard(application(), told.key, pictures), told.port))


def application() -> Any:
    """FiftyOne's application (ASGI) with ROUTES and OPERATORS alone."""
    app = fiftyone_library.part("server.app").app
    app.router.routes[:] = [_only_asked(route) for route in app.router.routes if route.path in ROUTES]
    fiftyone_library.part("operators.permissions").PermissionedOperatorRegistry.can_execute = _may_run
    return app


def _only_asked(route: Any) -> Any:
    """GET of /graphql is a page that loads programs from elsewhere: queries are posted."""
    if route.path == "/graphql":
        route.methods = {"POST"}
    return route


def _may_run(registry: Any, uri: str) -> bool:
    operator = registry.get_operator(uri)
    return operator is not None and (not operator._builtin or uri in OPERATORS)


async def _serve(guard: Guard, port: int) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.graceful_timeout = _GRACE_SECONDS
    fiftyone_library.part("server.events").set_port(port)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        ended.set()
        loop.call_later(_END_SECONDS, os._exit, 0)

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    await serve(guard, config, shutdown_trigger=ended.wait)  # type: ignore[arg-type]
    os._exit(0)  # asyncio would wait for threads


if __name__ == "__main__":
    main()
