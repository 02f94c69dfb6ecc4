// What is known of the balancer. Everything here is bounded: two minutes, and the newest events.

const SECONDS = 120;
const MEASURED_SECONDS = 10;
const MAX_EVENTS = 250;

const state = {
  link: 'connecting', // or live, lost, locked
  ring: null, // GET /ring
  sectors: null, // GET /ring/sectors
  stats: null, // the last `stats`
  history: [], // { time, rate, p50, p99 }, oldest first
  replicas: new Map(), // by number: what is shown in a row
  events: [], // newest first
  chosen: null, // number of the replica that is pointed at
};

/** Forgets what one life of the balancer has told; the next tells its own. */
function forgetFigures() {
  state.stats = null;
  for (const replica of state.replicas.values()) Object.assign(replica, { rates: [], measured: null });
}

/** Takes in one second's figures. */
function takeStats(stats) {
  state.stats = stats;
  const { time, requests_per_second: rate, p50_ms: p50, p99_ms: p99 } = stats;
  state.history.push({ time, rate, p50, p99 });
  while (state.history.length > SECONDS + 1 || state.history[0].time < time - SECONDS * 1000) {
    state.history.shift();
  }
  takeReplicas(stats.replicas);
  for (const { number, requests_per_second: ofReplica } of stats.replicas) {
    const { rates } = state.replicas.get(number);
    rates.push(ofReplica);
    if (rates.length > SECONDS) rates.shift();
  }
  measure();
}

/** Works out each replica's part of the load in the last seconds, 0 to 1; null while there is none. */
function measure() {
  const replicas = [...state.replicas.values()];
  const sum = (values) => values.reduce((one, other) => one + other, 0);
  const sums = replicas.map(({ rates }) => sum(rates.slice(-MEASURED_SECONDS)));
  const total = sum(sums);
  replicas.forEach((replica, index) => {
    replica.measured = total > 0 ? sums[index] / total : null;
  });
}

/** Takes in the replicas of `stats` or of `GET /ring`: those, and no others, are there. */
function takeReplicas(replicas) {
  const numbers = new Set(replicas.map((replica) => replica.number));
  for (const number of state.replicas.keys()) {
    if (!numbers.has(number)) state.replicas.delete(number);
  }
  for (const told of replicas) {
    const known = state.replicas.get(told.number) ?? { rates: [], measured: null };
    // Where it runs is only known by GET /ring, and is another matter once the name is another.
    const place = known.name === told.name ? {} : { address: null, instance: '' };
    state.replicas.set(told.number, { note: '', ...known, ...place, ...told });
  }
}

/** Takes in at once what a replica of a row has just done; the figures come later. */
function takeDeed({ number, replica: name, event, state: now, reason, time }) {
  const replica = state.replicas.get(number);
  if (!replica) return;
  // A replacement takes the seat, and the row tells why for a while.
  if (event === 'starting') {
    Object.assign(replica, { name, address: null, instance: '', story: { text: reason, time } });
  }
  if (replica.name === name) replica.state = now;
}

/** Why the replica is not ready, or what became of the one before it. */
function noteOf({ note, story }) {
  if (note || !story) return note;
  const now = state.stats?.time ?? story.time;
  return now - story.time < SECONDS * 500 ? story.text : '';
}

function sortedReplicas() {
  return [...state.replicas.values()].sort((a, b) => a.number - b.number);
}

