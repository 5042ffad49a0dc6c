"""`python -m edgesr` is the command `edgesr`."""

import sys

from edgesr.cli import main

sys.exit(main())
