// The table of replicas. Rows are kept and only their words change, so that a button that has the
// focus keeps it; a replacement takes over the row with the number.

const FRESH = 4_000;
// The revision of replicas to which nothing was deployed.
const BASE_REVISION = 'base';
const rows = new Map();

function drawReplicas() {
  const replicas = sortedReplicas();
  const widest = Math.max(...replicas.flatMap((replica) => [replica.share, replica.measured ?? 0]), 1e-9);
  const hasRevisions = replicas.some(({ revision }) => (revision ?? BASE_REVISION) !== BASE_REVISION);
  $('revision-heading').hidden = !hasRevisions;
  for (const [number, row] of rows) {
    if (!state.replicas.has(number)) {
      rows.delete(number);
      dropRow(row);
    }
  }
  for (const replica of replicas) {
    if (!rows.has(replica.number)) insertRow(replica.number);
    fillRow(rows.get(replica.number), replica, widest);
    rows.get(replica.number).ofRevision.hidden = !hasRevisions;
  }
  $('rows-empty').hidden = replicas.length > 0 || state.link === 'connecting';
}

/** Takes a row away; a focus in it goes to the table instead of nowhere. */
function dropRow({ node }) {
  if (node.contains(document.activeElement)) $('replicas').focus();
  node.remove();
}

/** Makes the row for a number, where it belongs in the order. */
function insertRow(number) {
  const row = makeRow(number);
  rows.set(number, row);
  const later = [...rows.keys()].filter((other) => other > number);
  const next = later.length > 0 ? rows.get(Math.min(...later)).node : null;
  $('rows').insertBefore(row.node, next);
}

function makeRow(number) {
  const row = { name: '' };
  const part = (key, node) => (row[key] = node);
  const chip = element('span', { class: 'chip', title: `number ${number} on the ring` }, String(number));
  chip.style.background = colourOf(number);
  chip.style.color = inkOn(number);
  const who = element('div', { class: 'who' }, chip,
    part('title', element('span', {})), part('place', element('span', { class: 'muted' })));
  row.share = makeBar('', colourOf(number));
  row.measured = makeBar('measured', '');
  const bars = element('div', { class: 'bars' },
    row.share.bar, row.share.words, row.measured.bar, row.measured.words);
  row.line = shape('path');
  const spark = shape('svg', { class: 'spark', viewBox: '0 0 72 20', 'aria-hidden': 'true' }, row.line);
  row.node = element('tr', { role: 'row', 'data-number': number },
    element('th', { role: 'rowheader', scope: 'row', class: 'wide' }, who),
    cell('State', 'half', part('state', element('span', {})), part('note', element('div', { class: 'note' }))),
    part('ofRevision', cell('Revision', '', part('revision', element('span')))),
    cell('Weight', 'number', part('weight', element('span'))),
    cell('Share and measured load', 'shares wide', bars),
    cell('Requests/s', 'number', element('span', { class: 'rate' }, spark, part('rate', element('span')))),
    cell('In flight', 'number', part('flight', element('span'))),
    cell('Requests', 'number', part('requests', element('span'))),
    element('td', { role: 'cell', class: 'actions wide' }, ...makeButtons(row)));
  row.node.addEventListener('pointerenter', () => choose(number));
  row.node.addEventListener('pointerleave', () => choose(null));
  return row;
}

function cell(heading, kind, ...children) {
  return element('td', { role: 'cell', class: kind, 'data-label': heading }, ...children);
}

function makeBar(kind, colour) {
  const filling = element('i');
  if (colour) filling.style.background = colour;
  const bar = element('div', { class: `bar ${kind}` }, filling);
  return { bar, filling, words: element('span', { class: kind && 'dim' }) };
}

/** Buttons for whichever replica has the row when they are pressed. */
function makeButtons(row) {
  const actions = [
    ['Log', openLog, ''],
    ['Weight', askForWeight, ''],
    ['Drain', askToDrain, ''],
    ['Kill', askToKill, 'danger'],
    ['Remove', askToRemoveOne, 'danger'],
  ];
  row.buttons = actions.map(([word, ask, kind]) => {
    const button = element('button', { type: 'button', class: kind, 'data-action': word.toLowerCase() }, word);
    button.addEventListener('click', () => ask(row.name, button));
    return button;
  });
  row.drain = row.buttons.find((button) => button.dataset.action === 'drain');
  return row.buttons;
}

/** What the buttons do to whom: a replica without weight is drained, and may get it back. */
function nameButtons(row, { name, weight }) {
  const drain = weight === 0 ? 'Undrain' : 'Drain';
  if (row.name === name && row.drain.textContent === drain) return;
  row.name = name;
  say(row.drain, drain);
  for (const button of row.buttons) button.setAttribute('aria-label', `${button.textContent} ${name}`);
}

/** Bars are relative to `widest`, so that those of many replicas can be told apart. */
function fillRow(row, replica, widest) {
  nameButtons(row, replica);
  say(row.title, replica.name);
  say(row.place, [replica.address, replica.instance].filter(Boolean).join(' · '));
  say(row.state, replica.state);
  row.state.className = `state ${replica.state}`;
  say(row.note, noteOf(replica));
  say(row.revision, replica.revision ?? BASE_REVISION);
  fillBar(row.share, replica.share, widest);
  fillBar(row.measured, replica.measured, widest);
  say(row.rate, rate(replica.requests_per_second ?? 0));
  row.line.setAttribute('d', sparkOf(replica.rates, 72, 20));
  say(row.flight, COUNT.format(replica.in_flight));
  say(row.requests, COUNT.format(replica.requests));
  say(row.weight, String(replica.weight));
}

function fillBar({ filling, words }, part, widest) {
  filling.style.width = `${((part ?? 0) / widest) * 100}%`;
  say(words, part === null ? NOTHING : PERCENT.format(part));
}

/** Lights up the row of a replica to which something has just happened. */
function flashRow(number) {
  const row = rows.get(number);
  if (!row) return;
  row.node.classList.add('fresh');
  clearTimeout(row.timer);
  row.timer = setTimeout(() => row.node.classList.remove('fresh'), FRESH);
}

function markChosenRow() {
  for (const [number, row] of rows) row.node.classList.toggle('chosen', number === state.chosen);
}

