"""`python -m limosa_agent.fetch`."""

import sys

from limosa_agent.fetch.main import main

sys.exit(main())
