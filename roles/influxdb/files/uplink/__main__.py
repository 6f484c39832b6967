# Managed by edgestack.iot
"""One look at the uplink: python3 -m edgestack_uplink SETTINGS.json"""

import sys

from edgestack_uplink._influxdb import uplink

code, text = uplink.main(sys.argv)
# The journal's mark of an error.
print(f"<3>{text}" if code else text, file=sys.stderr if code else sys.stdout)
sys.exit(code)
