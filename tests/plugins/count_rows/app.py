"""A plugin in Python: the operation `count_rows`.

The build gives it nothing but the interfaces in `wit/`: no files, no network, no clock but theirs.
"""

import json
import sys
import traceback
from typing import List

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import manifest
from wit_world.exports import operations as api
from wit_world.imports import log, tables

SCHEMA = {
    "type": "object",
    "properties": {
        "operation": {"const": "count_rows"},
        "database": {"type": "string", "description": "Name of the database; `data` without it"},
        "table": {"type": "string", "description": "Name of the table"},
    },
    "required": ["operation", "table"],
    "examples": [{"operation": "count_rows", "database": "dev", "table": "dog"}],
}


class Manifest(exports.Manifest):
    def asks(self) -> manifest.Grants:
        """All tables but those of `system`, to read."""
        return manifest.Grants(
            config_read=[],
            config_write=[],
            nats_request=[],
            nats_servers=False,
            jetstream_inspect=[],
            jetstream_purge=[],
            tables_read=["*.*"],
            tables_write=[],
            tables_create=[],
            tables_describe=False,
            replication=False,
        )


class Operations(exports.Operations):
    def describe(self) -> List[api.Operation]:
        return [
            api.Operation(
                name="count_rows",
                super_user=True,
                changes=False,
                warning=None,
                help="Count the rows of a table",
                schema=json.dumps(SCHEMA),
            )
        ]

    async def handle(self, caller: api.Caller, request: str) -> str:
        try:
            return json.dumps(await count_rows(json.loads(request)))
        except Err:
            raise
        except Exception as error:
            # Uncaught, it would be a trap without a word.
            raise Err(api.Error_Failed(f"count_rows failed: {error}")) from error


async def count_rows(request: dict) -> dict:
    database, table = request.get("database", "data"), request.get("table")
    wrong = [
        f"'{name}' must be a string"
        for name, value in (("database", database), ("table", table))
        if not isinstance(value, str)
    ]
    if wrong:
        raise Err(api.Error_Invalid(". ".join(wrong)))
    rows, after = 0, None
    while True:
        try:
            page = await tables.list(database, table, after)
        except Err as error:
            raise refused(error.value) from error
        rows += len(page.rows)
        if page.next is None:
            return {"database": database, "table": table, "rows": rows}
        after = page.next


def refused(error: tables.Error) -> Err:
    """What the caller is told of an error of the tables."""
    match error:
        case tables.Error_NotFound(text) | tables.Error_InvalidRequest(text):
            return Err(api.Error_Invalid(text))
        case tables.Error_Denied(text) | tables.Error_Unavailable(text) | tables.Error_Other(text):
            return Err(api.Error_Failed(text))
        case _:
            return Err(api.Error_Failed(f"The table cannot be read: {error}"))


def tell(kind, error, trace) -> None:
    log.write(log.Level.ERROR, "".join(traceback.format_exception(kind, error, trace)))


# Where Python would print an exception that nobody catches there is nothing to print on.
sys.excepthook = tell
