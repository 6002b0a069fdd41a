"""Schedules from what other systems call so: CronJobs, crontabs, Celery beat. Each source is a module."""
