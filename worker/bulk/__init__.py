"""Features of a folder of many videos, extracted by many processes through Celery."""
