#!/usr/bin/env python3
"""Draws a ring: reads what `ringherd ring --json` prints, writes SVG.

    ringherd ring --slots 512 --virtual-nodes 9 --lookup 132574 --json \\
        | python3 scripts/ring-picture.py > docs/ring.svg

Needs nothing but Python 3. Virtual nodes are listed up to 1,024 slots: larger rings cannot be
drawn, nor can rendezvous placement, which has none.
"""

import json
import math
import sys

SIZE = 400
CENTRE = SIZE / 2
BAND = 130  # radius of the coloured band
WIDTH = 26
KEY = 172  # radius of the marks of looked-up keys
LEGEND = 230
# Okabe and Ito's colours, told apart with any colour vision.
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"]


def main():
    ring = json.load(sys.stdin)
    nodes = ring.get("virtual_node_slots")
    if not nodes:
        sys.exit("ring-picture: no virtual nodes to draw: use ring placement and at most 1024 slots")
    colours = {number: COLOURS[i % len(COLOURS)] for i, number in enumerate(ring["ids"])}
    width = SIZE + LEGEND
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {SIZE}" width="{width}" '
          f'height="{SIZE}" font-family="sans-serif" font-size="13" fill="#222">')
    print(f"<title>A ring of {ring['slots']} slots with {len(ring['ids'])} replicas</title>")
    print(f'<rect width="{width}" height="{SIZE}" fill="#fff"/>')
    arcs(ring["slots"], nodes, colours)
    for slot, number in nodes:
        dot(ring["slots"], slot, colours[number])
    ticks(ring["slots"])
    for request, slot, owner in ring["lookups"]:
        lookup(ring["slots"], nodes, request, slot, owner, colours)
    centre(ring)
    legend(ring, colours)
    print("</svg>")


def angle(slots, slot):
    """Slot 0 is at the top; numbers grow clockwise."""
    return 2 * math.pi * slot / slots - math.pi / 2


def point(slots, slot, radius):
    at = angle(slots, slot)
    return f"{CENTRE + radius * math.cos(at):.1f},{CENTRE + radius * math.sin(at):.1f}"


def arc(slots, first, last, radius, style):
    """Clockwise from the slot `first` to the slot `last`."""
    large = int((last - first) % slots > slots / 2)
    print(f'<path d="M{point(slots, first, radius)} A{radius},{radius} 0 {large} 1 '
          f'{point(slots, last, radius)}" fill="none" {style}/>')


def arcs(slots, nodes, colours):
    """A virtual node owns the slots from behind the one before it up to its own."""
    before = nodes[-1][0] - slots
    for slot, number in nodes:
        arc(slots, before + 0.5, slot + 0.5, BAND,
            f'stroke="{colours[number]}" stroke-width="{WIDTH}" stroke-opacity="0.45"')
        before = slot


def dot(slots, slot, colour):
    x, y = point(slots, slot, BAND).split(",")
    print(f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}" stroke="#fff" stroke-width="1.2"/>')


def ticks(slots):
    for quarter in range(4):
        slot = slots * quarter // 4
        x, y = point(slots, slot, BAND - WIDTH / 2 - 15).split(",")
        print(f'<text x="{x}" y="{y}" dy="4" text-anchor="middle" font-size="11" fill="#777">{slot}</text>')


def lookup(slots, nodes, request, slot, owner, colours):
    """The key at its slot, and its way clockwise to the virtual node that owns it."""
    target = next((at for at, _ in nodes if at >= slot), nodes[0][0] + slots)
    style = f'stroke="{colours[owner]}" stroke-width="1.6"'
    if target > slot:
        arc(slots, slot, target, KEY - 12, style)
    print(f'<path d="M{point(slots, target, KEY - 12)} L{point(slots, target, BAND + 7)}" {style}/>')
    x, y = point(slots, slot, KEY - 12).split(",")
    print(f'<circle cx="{x}" cy="{y}" r="4" fill="#222"/>')
    x, y = point(slots, slot, KEY + 4).split(",")
    anchor = "end" if float(x) < CENTRE else "start"
    print(f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="12">{request}</text>')


def centre(ring):
    lines = [f"M = {ring['slots']} slots", f"K = {ring['virtual_nodes']} virtual nodes", ring["family"]]
    for index, line in enumerate(lines):
        print(f'<text x="{CENTRE}" y="{CENTRE - 14 + 18 * index}" text-anchor="middle">{line}</text>')


def legend(ring, colours):
    x, y = SIZE + 4, CENTRE - 15 * len(ring["ids"])
    for number in ring["ids"]:
        owned = ring["slots_owned"][str(number)]
        share = 100 * owned / ring["slots"]
        print(f'<circle cx="{x + 6}" cy="{y}" r="6" fill="{colours[number]}"/>')
        print(f'<text x="{x + 20}" y="{y + 4}">replica {number}: {owned} slots, {share:.1f} %</text>')
        y += 24
    if ring["lookups"]:
        print(f'<circle cx="{x + 6}" cy="{y}" r="4" fill="#222"/>')
        print(f'<text x="{x + 20}" y="{y + 4}">a request id at its slot</text>')


if __name__ == "__main__":
    main()
