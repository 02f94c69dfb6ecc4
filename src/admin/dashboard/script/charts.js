// The last two minutes as curves. Drawn in pixels, so that lines and words keep their size. Latency
// is on a logarithmic axis: a slow second must not flatten all the others.

const GUTTER = { left: 54, right: 6, top: 8, bottom: 18 };
// About as wide as a character of a label is.
const CHARACTER = 6.5;
// Longer than this between two points, and the line is broken: nobody knows what was there.
const GAP = 3_000;

const charts = [
  {
    id: 'rate-chart', read: 'rate-read', axis: linear, format: (value) => value.toLocaleString('en'),
    series: [{ key: 'rate', area: true }],
    words: (point) => `${rate(point.rate)} requests/s`,
  },
  {
    id: 'latency-chart', read: 'latency-read', axis: logarithmic,
    format: (ms) => (ms >= 1000 ? `${ms / 1000} s` : `${Number(ms.toPrecision(3))} ms`),
    series: [{ key: 'p99' }, { key: 'p50' }],
    words: (point) => `p50 ${duration(point.p50)}, p99 ${duration(point.p99)}`,
  },
];

function prepareCharts() {
  for (const chart of charts) {
    const figure = $(chart.id);
    figure.addEventListener('pointermove', (event) => {
      chart.pointed = event.clientX - figure.getBoundingClientRect().left;
      drawChart(chart);
    });
    figure.addEventListener('pointerleave', () => {
      chart.pointed = undefined;
      drawChart(chart);
    });
    new ResizeObserver(() => drawChart(chart)).observe(figure);
  }
}

function drawCharts() {
  for (const chart of charts) drawChart(chart);
}

/** From 0 to the next round number above `values` whose half is round as well. */
function linear(values) {
  const highest = Math.max(...values);
  const power = 10 ** Math.floor(Math.log10(highest));
  const top = [1, 2, 3, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= highest * 0.999);
  return { ticks: [0, top / 2, top], part: (value) => value / top };
}

/** From the power of ten below `values` to the one above. */
function logarithmic(values) {
  const low = Math.floor(Math.log10(Math.max(Math.min(...values), 1e-3)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...values))), low + 1);
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  return { ticks, part: (value) => Math.max((Math.log10(value) - low) / (high - low), 0) };
}

/** Where there is nothing to show. */
const EMPTY = { ticks: [], part: () => 0 };

function drawChart(chart) {
  const figure = $(chart.id);
  const { clientWidth: width, clientHeight: height } = figure;
  if (width === 0 || height === 0) return;
  const points = state.history;
  const values = points.flatMap((point) => chart.series.map(({ key }) => point[key] ?? 0));
  const some = values.filter((value) => value > 0);
  const axis = some.length > 0 ? chart.axis(some) : EMPTY;
  const scale = scaleOf(width, height, axis, gutterOf(axis, chart.format));
  figure.setAttribute('viewBox', `0 0 ${width} ${height}`);
  figure.replaceChildren(
    ...gridOf(scale, chart.format),
    ...chart.series.flatMap((series) => curvesOf(points, series, scale)),
    ...(some.length > 0 ? [] : [label(scale.middle, height / 2, 'middle', emptyWords())]),
  );
  readChart(chart, figure, scale);
}

/** What an empty chart says: that nothing came, once that is known. */
function emptyWords() {
  return state.history.length > 0 ? 'no requests' : 'no figures yet';
}

/** Room for the labels of an axis: none may begin left of the chart, where it would be cut off. */
function gutterOf({ ticks }, format) {
  const longest = Math.max(0, ...ticks.map((value) => format(value).length));
  return Math.max(GUTTER.left, longest * CHARACTER + 8);
}

/** From times and values to pixels. */
function scaleOf(width, height, { ticks, part }, left) {
  const now = state.history.at(-1)?.time ?? 0;
  const right = width - GUTTER.right;
  const bottom = height - GUTTER.bottom;
  return {
    ticks, right, bottom, left, middle: (left + right) / 2,
    x: (time) => right + ((time - now) / (SECONDS * 1000)) * (right - left),
    y: (value) => bottom - part(value) * (bottom - GUTTER.top),
  };
}

function label(x, y, anchor, text) {
  return shape('text', { x, y, 'text-anchor': anchor }, text);
}

function gridOf(scale, format) {
  const { left, right, bottom, middle, ticks } = scale;
  const lines = ticks.flatMap((value) => {
    const y = scale.y(value);
    const line = shape('line', { class: 'grid', x1: left, x2: right, y1: y, y2: y });
    return [line, label(left - 6, y + 4, 'end', format(value))];
  });
  const foot = bottom + 14;
  return [
    ...lines,
    label(left, foot, 'start', '2 min ago'),
    label(middle, foot, 'middle', '1 min'),
    label(right, foot, 'end', 'now'),
  ];
}

/** Runs of points without a gap between them. */
function runsOf(points, key) {
  const runs = [];
  let last = -Infinity;
  for (const point of points) {
    if (point[key] === null || point[key] === undefined) continue;
    if (point.time - last > GAP) runs.push([]);
    runs.at(-1).push(point);
    last = point.time;
  }
  return runs;
}

function curvesOf(points, { key, area }, scale) {
  return runsOf(points, key).flatMap((run) => {
    const place = (point) => `${scale.x(point.time).toFixed(1)} ${scale.y(point[key]).toFixed(1)}`;
    // A point alone is a dot: a line of no length with round ends.
    const line = `M${run.map(place).join('L')}${run.length === 1 ? 'h0' : ''}`;
    const curve = shape('path', { class: key, d: line });
    if (!area) return [curve];
    const [from, to] = [run[0], run.at(-1)].map((point) => scale.x(point.time).toFixed(1));
    const ground = `L${to} ${scale.bottom}L${from} ${scale.bottom}Z`;
    return [shape('path', { class: 'area', d: line + ground }), curve];
  });
}

/** Says the values at the pointer, or the newest. */
function readChart(chart, figure, scale) {
  const newest = state.history.at(-1);
  if (!newest) return;
  if (chart.pointed === undefined) {
    say($(chart.read), chart.words(newest));
    return;
  }
  const distance = (point) => Math.abs(scale.x(point.time) - chart.pointed);
  const nearest = state.history.reduce((best, point) => (distance(point) < distance(best) ? point : best));
  const x = scale.x(nearest.time);
  figure.append(shape('line', { class: 'cross', x1: x, x2: x, y1: GUTTER.top, y2: scale.bottom }));
  const ago = Math.round((newest.time - nearest.time) / 1000);
  say($(chart.read), `${chart.words(nearest)}, ${ago} s ago`);
}

/** The small curve of a replica in its row. */
function sparkOf(rates, width, height) {
  const highest = Math.max(...rates, 1e-9);
  const place = (value, index) => {
    const x = width - (rates.length - 1 - index) * (width / SECONDS);
    return `${x.toFixed(1)} ${(height - 1 - (value / highest) * (height - 2)).toFixed(1)}`;
  };
  return rates.length > 1 ? `M${rates.map(place).join('L')}` : '';
}

