"""Schedules: which Tasks are created when. All of it is computed from its arguments.

spec       what a Schedule says and what stands in its status
cron       an expression → the wall-clock times that it names
instants   wall-clock times of a zone → instants, clock changes included
ticks      every kind of schedule → its ticks: the next, the latest, how many
catchup    ticks that are due, late or missed → those that run
runs       concurrency: which of the runs that are wanted start now, wait, or are skipped
decide     one Schedule, its Tasks and the time → actions, status, and when to look again
describe   a Schedule's times in plain words
"""
