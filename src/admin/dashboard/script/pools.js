// Which of the pools is shown. Its name is in the fragment of the URL, so that a page of it can be kept.

const POOL = '#pool=';

let counted = null; // of a pool that the figures do not list: { time, requests: by name }

/** Whether the figures list the replicas of the pool that is shown. */
function isFirstPool() {
  return state.pools.length === 0 || state.pool === state.pools[0];
}

/** A path of the admin API about the pool that is shown. */
function ofPool(path) {
  return isFirstPool() ? path : `pools/${encodeURIComponent(state.pool)}/${path}`;
}

/** Whether an event is about the pool that is shown. */
function isOfPool({ pool }) {
  return pool === undefined || state.pools.length === 0 || pool === state.pool;
}

/** Takes in which pools there are, and chooses the one that the URL names, or the first. */
function takePools(names) {
  state.pools = names;
  const wanted = location.hash.startsWith(POOL) ? decoded(location.hash.slice(POOL.length)) : '';
  state.pool = names.includes(wanted) ? wanted : names[0] ?? '';
  $('pool-label').hidden = names.length < 2;
  $('pool').replaceChildren(...names.map((name) => element('option', { value: name }, name)));
  $('pool').value = state.pool;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

/** The replicas of a ring that was just read, each with its requests per second since it was read before. */
function withRates(replicas) {
  const time = performance.now();
  const seconds = counted ? (time - counted.time) / 1000 : 0;
  const rates = replicas.map(({ name, requests }) => {
    const before = counted?.requests.get(name);
    return before === undefined || seconds <= 0 ? 0 : Math.max(requests - before, 0) / seconds;
  });
  counted = { time, requests: new Map(replicas.map(({ name, requests }) => [name, requests])) };
  return replicas.map((replica, index) => ({ ...replica, requests_per_second: rates[index] }));
}

/** Shows another pool: nothing of the one before is of it. */
function choosePool(name) {
  if (name === state.pool) return;
  closeLog();
  location.hash = `${POOL}${encodeURIComponent(name)}`;
  state.pool = name;
  counted = null;
  Object.assign(state, { ring: null, sectors: null, deploy: null, chosen: null });
  state.replicas.clear();
  draw();
  refresh().then(() => fillRingForm(true)).catch(refreshSoon);
}

function preparePools() {
  $('pool').addEventListener('change', () => choosePool($('pool').value));
}

