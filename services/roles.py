"""The roles of the distribution: what a process can be told to run."""

#: Role → package, which holds `config.Settings`, `main.main` and, with a database, `migrations/`.
ROLES = {
    "identity": "services.identity",
    "ledger": "services.ledger",
    "promotions": "services.promotions",
}

#: The sections that a settings file may have besides `shared`; other programs read the last two.
SECTIONS = (*ROLES, "gateway", "stack")
