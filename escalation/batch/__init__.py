"""`escalation batch`: files of articles to files of scores, as a stream that can be stopped and goes on; on one machine or on a Ray cluster."""

from escalation.batch.run import BatchReport, score_files

__all__ = ["BatchReport", "score_files"]
