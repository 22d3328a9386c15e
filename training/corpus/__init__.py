"""The project's own labelled articles, and the stand-off labels of public text.

`schema.py` says what a record is, `markup.py` how one is written by hand, `validate.py` what must hold, `fill.py` how slots become names.
Command line: `python -m training.corpus --help`.
"""
