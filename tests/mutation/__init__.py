"""Mutation testing of core modules: do the tests notice a small change of the code?

`make mutation` draws a seeded sample of mutants from each module and runs, for each,
the quick tests that execute the function which it changes. `docs/testing.md` has the
figures.
"""
