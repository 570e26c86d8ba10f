"""The run-time type checker of the test suite: beartype, which then also takes a whole number for a float (PEP 484)."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
