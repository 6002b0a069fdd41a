"""`kubectl taskq`, also called `taskq`: the command line.

main       the root command: finds a command, runs it, turns what goes wrong into one line and an exit code
catalog    the commands by name, with one line each, so that `--help` imports none of them
commands/  one module a command: options, what to ask the API server, what to print
options    flags that commands share
api        the only place that talks to the API server, by the official client
selection  which Tasks: filters, as much of them as possible on the server's side
output     tables, JSON, YAML, names, JSONPath

It decides nothing that the operator decides: what can be computed without a cluster comes from `taskq.domain`.
Nothing imports this package, and it imports neither the operator's controller nor its cluster client.
"""
