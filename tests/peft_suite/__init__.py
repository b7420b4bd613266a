"""peft's own test-suite, run on our tuner: the proof that a heterogeneous adapter is a first-class peft method.

`make test-peft` downloads the source distribution of the installed peft with pip, unpacks it in `build/peft-suite`,
and runs five of its test files there, through the plugin in this folder. Nothing of peft is kept in this repository,
and apart from pip nothing needs a network.

| file | what |
|---|---|
| `__main__.py` | downloads, unpacks, runs each file in a process of its own, prints the table of docs/peft.md |
| `plugin.py` | puts our configurations in the place of peft's; leaves out the tests of other methods |
| `structures.py` | those configurations |
| `impossible.py` | tests that must fail, with the reason; one that passes is an error too |
| `hub.py` | tiny random models under the hub names that the tests ask for |

`python -m peft_suite test_seq_classifier -k merge` (in `tests/`, after a first `make test-peft`) runs less: a file's
name, then arguments for pytest.
"""
