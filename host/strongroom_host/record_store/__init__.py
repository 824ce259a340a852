"""The record's database, on the host: tables, roles, migrations, the queue; believed nothing."""
