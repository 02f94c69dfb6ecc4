// Elements and words. What users named is only ever text here, never markup.

const $ = (id) => document.getElementById(id);

/** An element with attributes; a child is an element or text. */
function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for pictures. */
function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Sets text only where it differs, so that selections and screen readers are left in peace. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows what became of a request, next to where it was made. `tone` is good, bad or nothing. */
function tell(node, text, tone = '') {
  node.className = `result ${tone}`;
  say(node, text);
}

const COUNT = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const ONE_DIGIT = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
const PERCENT = new Intl.NumberFormat('en', { style: 'percent', ...ONE_DIGIT });
const RATE = new Intl.NumberFormat('en', ONE_DIGIT);
const NOTHING = '–';

/** Events in a second; the decimal goes where it would be noise. */
function rate(value) {
  return value >= 10 || value === 0 ? COUNT.format(value) : RATE.format(value);
}

/** Milliseconds with about three digits; nothing where there was no request. */
function duration(ms) {
  if (ms === null || ms === undefined) return NOTHING;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0)} ms`;
}

function plural(count, one) {
  return `${COUNT.format(count)} ${one}${count === 1 ? '' : 's'}`;
}

// Okabe and Ito's colours, told apart with any colour vision. A number keeps its colour; from the
// eighth on they come again, darker and then lighter.
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442'];
const SHADES = [[0, 0], [0, 0.35], [255, 0.45], [0, 0.6], [255, 0.7]];

/** Red, green and blue of the replica with this number, 0 to 255. */
function colourParts(number) {
  const colour = parseInt(COLOURS[(number - 1) % COLOURS.length].slice(1), 16);
  const [towards, part] = SHADES[Math.floor((number - 1) / COLOURS.length) % SHADES.length];
  return [16, 8, 0].map((shift) => {
    const value = (colour >> shift) & 255;
    return Math.round(value + (towards - value) * part);
  });
}

function colourOf(number) {
  return `rgb(${colourParts(number).join(' ')})`;
}

/** Black or white, whichever is read better on the replica's colour. */
function inkOn(number) {
  const [red, green, blue] = colourParts(number);
  return red * 0.299 + green * 0.587 + blue * 0.114 > 140 ? '#000' : '#fff';
}

