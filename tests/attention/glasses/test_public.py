"""The package's public names: all are there, and none loads torch before it is used."""

import subprocess
import sys

from outrange.attention import glasses


def test_every_public_name_leads_to_something():
    assert all(getattr(glasses, name) is not None for name in glasses.__all__)


def test_public_functions_stay_functions_whatever_modules_are_imported():
    import outrange.attention.glasses.collapse
    import outrange.attention.glasses.probe  # noqa: F401

    functions = ("ask", "build_prompts", "collapse_curves", "compare_models", "probe_model", "probe_story")
    assert all(callable(getattr(glasses, name)) for name in functions)


def test_asking_a_server_loads_neither_torch_nor_transformers():
    code = (
        "import sys\n"
        "from outrange.attention import glasses\n"
        "glasses.build_prompts(['last digit'], [2])\n"
        "glasses.open_backend('a-model', 'http://localhost:1/v1')\n"
        "print([name for name in ('torch', 'transformers', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
