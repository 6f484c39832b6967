# Managed by edgestack.iot
"""One look at the uplink: python3 -m edgestack_uplink SETTINGS.json"""

import sys

from edgestack_uplink._influxdb import uplink

code, lines = uplink.main(sys.argv)
print("\n".join(lines), file=sys.stderr if code else sys.stdout)
sys.exit(code)
