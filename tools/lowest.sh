#!/usr/bin/env bash
# Tests of images, upscaling, the command and the server with the lowest versions that pyproject.toml allows, in an environment that it makes
# with uv (`pip install uv`): `tools/lowest.sh [FOLDER] [TESTS...]`, by default build/lowest and those tests.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/lowest}
tests=("${@:2}")
[ ${#tests[@]} -gt 0 ] || tests=(tests/images tests/upscaling tests/commands/test_{first_steps,jobs,other_verbs,running}.py tests/serve/test_api.py tests/serve/test_api_jobs.py tests/test_cli.py tests/test_errors.py)
export EDGESR_PAGE=skip # the page has tests of its own
uv venv --quiet --clear "$folder"
uv pip install --python "$folder/bin/python" --resolution lowest-direct '.[fast,heic,jxl,openvino,serve]' \
  'httpx>=0.27' 'hypothesis>=6.100' 'opencv-python-headless>=4.10' 'psutil>=6' 'pytest>=8.3' 'pytest-timeout>=2.3' 'scikit-image>=0.25'
PYTHONPATH=src "$folder/bin/python" -m pytest "${tests[@]}"
