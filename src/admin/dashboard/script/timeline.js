// The events, newest first, in words.

/** What a replica did, and whether that is good news. */
const DEEDS = {
  starting: ['is being started', ''],
  joined: ['joined the ring', 'good'],
  ejected: ['was ejected', 'bad'],
  recovered: ['recovered', 'good'],
  died: ['died', 'bad'],
  left: ['left the ring', 'warn'],
  stopped: ['is stopped', ''],
};

const WORDS = {
  replica: replicaWords,
  publish: publishWords,
  change: changeWords,
  outage: outageWords,
  config: configWords,
};

/** Takes in an event that belongs into the timeline; a second time is no time. */
function takeEvent(kind, id, data) {
  const key = `${id} ${data.time}`;
  if (state.events.some((event) => event.key === key)) return;
  const event = { key, id: Number(id), kind, data, ...wordsOf(kind, data) };
  const order = (other) => other.data.time - data.time || other.id - event.id;
  const place = state.events.findIndex((other) => order(other) <= 0);
  state.events.splice(place < 0 ? state.events.length : place, 0, event);
  state.events.length = Math.min(state.events.length, MAX_EVENTS);
}

function wordsOf(kind, data) {
  const words = (WORDS[kind] ?? otherWords)(data, kind);
  // With one pool there is nothing to tell apart.
  const pool = state.pools.length > 1 && data.pool ? `${data.pool}: ` : '';
  return { ...words, what: `${pool}${words.what}` };
}

function replicaWords({ replica, event, reason }) {
  const [deed, tone] = DEEDS[event] ?? [event, ''];
  return { what: `${replica} ${deed}`, why: reason, tone };
}

function publishWords({ version, replicas, slots_moved, keys_moved, peak_to_average, build_seconds }) {
  const what = `Snapshot ${version} published`;
  const facts = [plural(replicas, 'replica')];
  if (slots_moved === 0) return { what, why: `${facts}, no key moved`, tone: '' };
  if (slots_moved !== null) facts.push(`${plural(slots_moved, 'slot')} moved`);
  if (keys_moved !== null) facts.push(`${PERCENT.format(keys_moved)} of keys`);
  facts.push(`peak to average ${peak_to_average.toFixed(3)}`, `built in ${duration(build_seconds * 1000)}`);
  return { what, why: facts.join(', '), tone: '' };
}

function changeWords({ peer, request, change, outcome, status }) {
  const done = outcome === 'done';
  return {
    // Refused before it was understood, it has only its line; without an answer there is no status.
    what: change || request,
    why: `${done || status === null ? outcome : `${outcome} (${status})`}, asked for by ${peer}`,
    tone: done ? '' : 'warn',
  };
}

function outageWords({ available, reason }) {
  return available
    ? { what: 'Replicas can be changed again', why: reason, tone: 'good' }
    : { what: 'Replicas cannot be changed at the moment', why: reason, tone: 'bad' };
}

function configWords({ message, needs_restart: waiting = [], needs_new_replicas: made = [] }) {
  const all = [...waiting, ...made];
  const why = all.length ? `after a restart only: ${all.join(', ')}` : '';
  return { what: message, why, tone: '' };
}

/** Of a kind that a newer balancer may have. */
function otherWords(data, kind) {
  return { what: kind, why: JSON.stringify(data), tone: '' };
}

const items = new Map();

/** Brings the list up to date; items that stay are not touched. */
function drawTimeline() {
  const list = $('timeline');
  const keys = new Set(state.events.map((event) => event.key));
  for (const [key, item] of items) {
    if (!keys.has(key)) {
      item.remove();
      items.delete(key);
    }
  }
  let before = list.firstChild;
  for (const event of state.events) {
    let item = items.get(event.key);
    if (item && item === before) {
      before = before.nextSibling;
      continue;
    }
    item ??= makeItem(event);
    items.set(event.key, item);
    list.insertBefore(item, before);
  }
  list.hidden = state.events.length === 0;
  $('timeline-empty').hidden = state.events.length > 0;
}

function makeItem({ data, what, why, tone }) {
  const when = new Date(data.time);
  return element('li', { class: tone },
    element('time', { datetime: when.toISOString(), title: when.toLocaleString() }, clock(when)),
    element('span', { class: 'mark' }),
    element('span', { class: 'what' }, what),
    ...(why ? [element('span', { class: 'why' }, why)] : []));
}

/** The time of the day, with the day where it is not today. */
function clock(when) {
  const time = when.toLocaleTimeString('en-GB');
  const today = when.toDateString() === new Date().toDateString();
  return today ? time : `${when.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time}`;
}

