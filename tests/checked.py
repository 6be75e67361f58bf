"""The check of annotations at every call: an int is a float, as type checkers say."""

from beartype import BeartypeConf, beartype

typed = beartype(conf=BeartypeConf(is_pep484_tower=True))
