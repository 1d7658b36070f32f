"""What an operator asks: why is this file left alone, what would a pass do, how do things stand, is the host fit for it.

Engines that look and change nothing (but for a probe file that `doctor` renames through a quarantine and removes); what they
find comes back as frozen records, and the commands of the same names say it.
"""
