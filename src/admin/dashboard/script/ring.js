// The picture of the ring: outside who owns what, then the shares, then the measured load.

const OUTER = [152, 122];
const SHARES = [116, 100];
const LOAD = [96, 90];

/** The point at a radius and a part of the circle, clockwise from the top. */
function at(radius, part) {
  const angle = part * 2 * Math.PI;
  return `${(radius * Math.sin(angle)).toFixed(2)} ${(-radius * Math.cos(angle)).toFixed(2)}`;
}

/** The outline of a part of a band. A whole circle is drawn as nearly one: an arc needs two ends. */
function arc([outer, inner], from, to) {
  const end = Math.min(to, from + 0.99999);
  const large = end - from > 0.5 ? 1 : 0;
  return `M${at(outer, from)}A${outer} ${outer} 0 ${large} 1 ${at(outer, end)}`
    + `L${at(inner, end)}A${inner} ${inner} 0 ${large} 0 ${at(inner, from)}Z`;
}

/** The sectors as one outline for each owner. */
function outlines(sectors) {
  const paths = new Map();
  for (let first = 0; first < sectors.length;) {
    let end = first + 1;
    while (end < sectors.length && sectors[end] === sectors[first]) end += 1;
    const path = arc(OUTER, first / sectors.length, end / sectors.length);
    paths.set(sectors[first], (paths.get(sectors[first]) ?? '') + path);
    first = end;
  }
  // Nobody's part is left to the track.
  paths.delete(0);
  return paths;
}

/** Parts of a band one after another, by number. */
function band(radii, parts) {
  const paths = new Map();
  let from = 0;
  for (const [number, part] of parts) {
    if (part > 0) paths.set(number, arc(radii, from, from + part));
    from += part;
  }
  return paths;
}

let drawnSectors = null;
let owners = new Map();

/** Draws what has changed since the last time. */
function drawRing() {
  const replicas = sortedReplicas();
  drawFills(replicas);
  if (drawnSectors !== state.sectors && state.sectors) {
    drawnSectors = state.sectors;
    owners = outlines(state.sectors.sectors);
  }
  // Each time, because a replica may be ejected and recover without another ring.
  drawBand('owners', OUTER, owners);
  drawBand('shares', SHARES, band(SHARES, replicas.map(({ number, share }) => [number, share])));
  const load = replicas.map(({ number, measured }) => [number, measured ?? 0]);
  drawBand('load', LOAD, band(LOAD, load));
  drawChosen();
}

/** The parts of the picture that are always there. */
function prepareRing() {
  const figure = $('ring-figure');
  figure.append(shape('defs', { id: 'fills' }));
  for (const [id, [outer, inner]] of [['owners', OUTER], ['shares', SHARES], ['load', LOAD]]) {
    const track = { class: 'track', r: (outer + inner) / 2, 'stroke-width': outer - inner };
    figure.append(shape('circle', track), shape('g', { id }));
  }
  figure.append(shape('path', { class: 'zero', d: `M${at(OUTER[0] + 6, 0)}L${at(OUTER[0], 0)}` }));
  figure.addEventListener('pointermove', (event) => choose(numberOf(event.target)));
  figure.addEventListener('pointerleave', () => choose(null));
  $('ring').addEventListener('keydown', stepThroughRing);
  $('ring').addEventListener('blur', () => choose(null));
}

function numberOf(node) {
  return node.dataset?.number ? Number(node.dataset.number) : null;
}

/** Arrow keys choose the next replica or the one before; Escape none. */
function stepThroughRing(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (event.key === 'Escape') choose(null);
  if (!step) return;
  event.preventDefault();
  const numbers = sortedReplicas().map(({ number }) => number);
  const now = numbers.indexOf(state.chosen);
  const next = now < 0 && step < 0 ? numbers.length - 1 : (now + step + numbers.length) % numbers.length;
  choose(numbers[next] ?? null);
}

/** Paths are kept by number, so that what is pointed at stays the same element. */
function drawBand(id, radii, outlineOf) {
  const group = $(id);
  const known = new Map([...group.children].map((path) => [numberOf(path), path]));
  for (const [number, path] of known) if (!outlineOf.has(number)) path.remove();
  for (const [number, d] of outlineOf) {
    let path = known.get(number);
    if (!path) {
      path = shape('path', { 'data-number': number, class: radii === SHARES ? 'gap' : '' });
      group.append(path);
    }
    if (path.getAttribute('d') !== d) path.setAttribute('d', d);
    const replica = state.replicas.get(number);
    const fill = !replica || replica.state === 'ready' ? colourOf(number) : `url(#hatch-${number})`;
    if (path.getAttribute('fill') !== fill) path.setAttribute('fill', fill);
  }
}

const HATCHING = {
  width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)',
};

/** Hatching for replicas that take no requests. */
function drawFills(replicas) {
  const hatched = replicas.filter((replica) => replica.state !== 'ready');
  $('fills').replaceChildren(...hatched.map(({ number }) => shape(
    'pattern',
    { ...HATCHING, id: `hatch-${number}` },
    shape('rect', { width: 6, height: 6, fill: colourOf(number), opacity: 0.2 }),
    shape('rect', { width: 2.5, height: 6, fill: colourOf(number) }),
  )));
}

/** Points at the replica with this number, in the picture and in the table; null at none. */
function choose(number) {
  if (state.chosen === number) return;
  state.chosen = number;
  drawChosen();
  markChosenRow();
}

function drawChosen() {
  const replica = state.replicas.get(state.chosen);
  for (const id of ['owners', 'shares', 'load']) {
    $(id).classList.toggle('others', Boolean(replica));
    for (const path of $(id).children) path.classList.toggle('chosen', numberOf(path) === state.chosen);
  }
  const lines = replica ? linesOf(replica) : linesOfAll();
  const middle = $('ring-middle');
  if (middle.dataset.text === lines.join('\n')) return;
  middle.dataset.text = lines.join('\n');
  const [first, ...others] = lines;
  const title = element('strong', replica ? { class: 'name' } : {}, first);
  middle.replaceChildren(title, ...others.map((line) => element('span', {}, line)));
}

function linesOf(replica) {
  const lines = [replica.name, replica.state, `${PERCENT.format(replica.share)} of slots`];
  if (replica.measured !== null) lines.push(`${PERCENT.format(replica.measured)} of load`);
  return lines;
}

function linesOfAll() {
  const replicas = [...state.replicas.values()];
  const ready = replicas.filter(({ state: is }) => is === 'ready').length;
  if (state.link === 'connecting') return [NOTHING];
  return [`${ready} of ${replicas.length}`, 'replicas ready'];
}

