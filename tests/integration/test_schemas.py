"""Every service's schema is one truth in two forms: schema.sql, and all migrations together."""

from pathlib import Path
from typing import Any

import pytest

from services import roles
from services.chassis import database as chassis_database

FOLDERS = sorted(
    folder.parent for folder in Path(roles.__file__).parent.glob("*/migrations") if folder.is_dir()
)

#: $1 is a schema, $2 the role that the service has in the database.
_SHAPE = {
    "columns": """
    SELECT table_name, column_name,
        row_number() OVER (PARTITION BY table_name ORDER BY ordinal_position), data_type,
        collation_name, is_nullable, column_default, is_identity
    FROM information_schema.columns WHERE table_schema = $1 AND $2 <> ''
    """,
    "constraints": """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), condeferred
    FROM pg_constraint WHERE connamespace = $1::regnamespace AND $2 <> ''
    """,
    "indexes": """
    SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = $1 AND $2 <> ''
    """,
    "rights": """
    SELECT table_name, privilege_type FROM information_schema.role_table_grants
    WHERE table_schema = $1 AND grantee = $2
    """,
    "rights to columns": """
    SELECT table_name, column_name, privilege_type
    FROM information_schema.role_column_grants WHERE table_schema = $1 AND grantee = $2
    """,
    "functions": """
    SELECT proname, prosrc, prosecdef, proacl::text FROM pg_proc
    WHERE pronamespace = $1::regnamespace AND $2 <> ''
    """,
    "storage": """
    SELECT relname, reloptions FROM pg_class
    WHERE relnamespace = $1::regnamespace AND relkind = 'r' AND $2 <> ''
    """,
}


async def _shape(connection: Any, schema: str, role: str) -> dict[str, list[tuple[str, ...]]]:
    shape = {}
    for name, statement in _SHAPE.items():
        found = await connection.fetch(statement, schema, role)
        rows = [tuple(str(value).replace(f"{schema}.", "") for value in row) for row in found]
        shape[name] = sorted(row for row in rows if "schema_migrations" not in row[0])
    return shape


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_migrations_add_up_to_the_schema(database: Any, folder: Path) -> None:
    """Both make the same tables, rules, rights and functions."""
    role = folder.name
    made = await database(role)
    connection = await chassis_database.connect_owner(made.settings())
    try:
        await connection.execute("CREATE SCHEMA whole")
        await connection.execute("SET search_path TO whole")
        await connection.execute((folder / "schema.sql").read_text())
        await connection.execute("SET search_path TO public")
        whole = await _shape(connection, "whole", role)
        assert whole["columns"]
        assert whole["rights"]
        assert whole == await _shape(connection, "public", role)
    finally:
        await connection.close()
