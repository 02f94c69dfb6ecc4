"""Charts in SVG, with nothing but rectangles and text."""

import html

from .workloads import CPU, MEMORY, spread

WIDTH, LEFT, RIGHT, ROW, GAP, TOP = 820, 270, 70, 16, 14, 64
COLOURS = ["#2f6f4f", "#7aa6c2", "#c9965a", "#8d7ab8", "#b86b77", "#6b8f3a", "#999999"]


def bars(title, subtitle, groups, names, line=None):
    """Groups of horizontal bars: `groups` are (label, {name: value}, target); `line` is drawn through all."""
    top = max((value for _, values, _ in groups for value in values.values()), default=1)
    top = max(top, line or 0, *(target or 0 for _, _, target in groups)) * 1.05 or 1
    height = TOP + sum(ROW * len(values) + GAP for _, values, _ in groups) + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
           f'<text x="10" y="20" font-size="15" font-weight="bold">{html.escape(title)}</text>',
           f'<text x="10" y="38" fill="#555">{html.escape(subtitle)}</text>']
    x = LEFT
    for name in names:
        out.append(f'<rect x="{x}" y="46" width="10" height="10" fill="{colour(names, name)}"/>')
        out.append(f'<text x="{x + 14}" y="55">{html.escape(name)}</text>')
        x += 30 + 8 * len(name)
    scale = (WIDTH - LEFT - RIGHT) / top
    y = TOP + 4
    for label, values, target in groups:
        size = ROW * len(values)
        out.append(f'<text x="{LEFT - 8}" y="{y + size / 2 + 4}" text-anchor="end">{html.escape(label)}</text>')
        for index, (name, value) in enumerate(values.items()):
            top_edge = y + ROW * index
            out.append(f'<rect x="{LEFT}" y="{top_edge}" width="{value * scale:.1f}" height="{ROW - 3}" '
                       f'fill="{colour(names, name)}"/>')
            out.append(f'<text x="{LEFT + value * scale + 4:.1f}" y="{top_edge + 11}" font-size="11">{value:.2f}</text>')
        if target:
            at = f"{LEFT + target * scale:.1f}"
            out.append(f'<line x1="{at}" x2="{at}" y1="{y - 4}" y2="{y + size + 1}" stroke="#c00" stroke-width="2"/>')
        y += size + GAP
    if line:
        at = f"{LEFT + line * scale:.1f}"
        out.append(f'<line x1="{at}" x2="{at}" y1="{TOP - 4}" y2="{height - 8}" stroke="#000" stroke-dasharray="4 3"/>')
    out.append("</svg>\n")
    return "\n".join(out)


def colour(names, name):
    return COLOURS[names.index(name) % len(COLOURS)]


def draw(workloads, results, names, ours, verdicts):
    """All charts, by file name."""
    found = {}
    costs, memory, ratios = [], [], []
    for workload in workloads:
        rounds = results[workload.key]
        medians = {name: spread(values)[0] for name in names
                   if (values := [entry[name]["value"] for entry in rounds if name in entry])}
        if workload.unit == CPU:
            costs.append((workload.title, medians, None))
        if workload.unit == MEMORY:
            memory.append((workload.title, {name: max(0, value) for name, value in medians.items()}, workload.target))
        compared = {name: verdicts[workload.key][name].compared for name in ours}
        if workload.unit != MEMORY and all(value is not None for value in compared.values()):
            ratios.append((f"{workload.key}: {workload.title}"[:44], compared, workload.target))
    if costs:
        found["cpu.svg"] = bars("CPU time per request", "user and system, µs, medians; less is better", costs, names)
    if memory:
        found["memory.svg"] = bars("Memory for an idle connection", "KB; red: target; less is better", memory, names)
    if ratios:
        found["ratios.svg"] = bars(
            "Ratio to the best peer", "dashed: as the best peer; red: target; less is better, except for two workers",
            ratios, ours, 1.0)
    return found
