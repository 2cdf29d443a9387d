"""`python -m webhook.describe`: prints the OpenAPI document; needs no configuration."""

import json
import sys

from webhook.app import routed
from webhook.document import document

if __name__ == "__main__":
    json.dump(document(routed()), sys.stdout, indent=2)
    sys.stdout.write("\n")
