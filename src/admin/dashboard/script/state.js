// What is known of the balancer. Everything here is bounded: two minutes, and the newest events.

const SECONDS = 120;
const MEASURED_SECONDS = 10;
const MAX_EVENTS = 250;
// Milliseconds within which two figures are of the same second.
const SAME = 500;

const state = {
  link: 'connecting', // or live, lost, locked
  pools: [], // names of all pools
  pool: '', // the one that is shown
  ring: null, // GET /ring
  sectors: null, // GET /ring/sectors
  told: null, // the last `stats`
  stats: null, // what they say of the pool that is shown
  deploy: null, // GET /deploy: the one under way, or the last one
  history: [], // { time, rate, p50, p99 }, oldest first
  replicas: new Map(), // by number: what is shown in a row
  events: [], // newest first
  chosen: null, // number of the replica that is pointed at
};

/** Forgets what one life of the balancer has told; the next tells its own. */
function forgetFigures() {
  state.told = null;
  state.stats = null;
  state.history = [];
  state.deploy = null;
  for (const replica of state.replicas.values()) Object.assign(replica, { rates: [], measured: null });
}

/** Takes in what the balancer remembers of the seconds before. */
function takeHistory(seconds) {
  state.history = seconds.map(({ time, requests_per_second: rate, p50_ms: p50, p99_ms: p99 }) => (
    { time, rate, p50, p99 }
  ));
}

/** Takes in one second's figures. */
function takeStats(told) {
  const stats = ofShownPool(told);
  state.told = told;
  state.stats = stats;
  const { time, requests_per_second: rate, p50_ms: p50, p99_ms: p99 } = stats;
  // The balancer has told of this second already, where the stream began within it.
  if (time - (state.history.at(-1)?.time ?? -Infinity) < SAME) state.history.pop();
  state.history.push({ time, rate, p50, p99 });
  while (state.history.length > SECONDS + 1 || state.history[0].time < time - SECONDS * 1000) {
    state.history.shift();
  }
  takeMeasured(stats.replicas);
}

/** Takes in replicas with what each has just got. */
function takeMeasured(replicas) {
  takeReplicas(replicas);
  for (const { number, requests_per_second: ofReplica } of replicas) {
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
    const story = told.state === 'ready' ? '' : known.story;
    state.replicas.set(told.number, { note: '', ...known, ...place, ...told, story });
  }
}

/** Takes in at once what a replica of a row has just done; the figures come later. */
function takeDeed({ number, replica: name, event, state: now, reason }) {
  const replica = state.replicas.get(number);
  if (!replica) return;
  // A replacement takes the seat, and the row tells why until it is ready.
  if (event === 'starting') {
    Object.assign(replica, { name, address: null, instance: '', story: reason });
  }
  if (replica.name === name) replica.state = now;
}

/** Why the replica is not ready: what is wrong, or what became of the one before it. */
function noteOf({ state: now, note, story }) {
  if (now === 'ready') return '';
  return note || (story ?? '');
}

function sortedReplicas() {
  return [...state.replicas.values()].sort((a, b) => a.number - b.number);
}

