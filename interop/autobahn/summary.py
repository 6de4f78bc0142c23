"""Figures per section of the reports of the Autobahn test suite; fails when a case was not passed."""

import json
import sys
from collections import Counter

SECTIONS = {
    "1": "framing", "2": "pings and pongs", "3": "reserved bits", "4": "opcodes", "5": "fragments",
    "6": "UTF-8", "7": "close", "9": "limits and speed", "10": "fragments, sent",
}
# INFORMATIONAL cases have no right answer.
GOOD = {"OK", "INFORMATIONAL"}

failed = 0
for role, path in zip(("server", "client"), sys.argv[1:]):
    with open(path) as file:
        [cases] = json.load(file).values()
    sections = {}
    for name, case in sorted(cases.items(), key=lambda item: [int(n) for n in item[0].split(".")]):
        counts = sections.setdefault(name.split(".")[0], Counter())
        counts[case["behavior"]] += 1
        if case["behavior"] not in GOOD or case["behaviorClose"] not in GOOD:
            failed += 1
            print(f"{role} case {name}: {case['behavior']}, close {case['behaviorClose']}")
    for section, counts in sections.items():
        figures = ", ".join(f"{count} {verdict.lower()}" for verdict, count in counts.items())
        print(f"{role} {section:>2} {SECTIONS.get(section, ''):16} {figures}")
    total = len(cases)
    print(f"{role}: {total} cases")
    if total < 300:
        failed += 1
        print(f"{role}: cases are missing")
sys.exit(1 if failed else 0)
