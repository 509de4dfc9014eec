"""The benchmarks: Callboard beside other servers, same machine, same run. See `bench/README.md`.

They measure and print; they are never tests, and nothing in `src` or `tests` may import them.
"""
