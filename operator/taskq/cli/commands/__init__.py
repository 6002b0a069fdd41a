"""One module a command; `taskq.cli.catalog` names them."""
