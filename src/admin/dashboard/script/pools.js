// The pools, and which of them is shown. Its name is in the fragment of the URL, so that a page of it can be kept.

const POOL = '#pool=';

const poolRows = new Map(); // by name

/** Whether paths of the admin API that name no pool are about the one that is shown. */
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

/** What the figures say of the pool that is shown. Those of a lone one are those of all requests. */
function ofShownPool(told) {
  const { replicas, pools } = told;
  const figures = pools.length < 2 ? {} : pools.find(({ name }) => name === state.pool);
  return { ...told, ...figures, replicas: replicas.filter(isOfPool) };
}

/** Draws the overview of all pools, where there are several. */
function drawPools() {
  $('pools').hidden = state.pools.length < 2;
  for (const [name, { node }] of poolRows) {
    if (state.pools.includes(name)) continue;
    poolRows.delete(name);
    node.remove();
  }
  for (const name of state.pools) {
    if (!poolRows.has(name)) {
      poolRows.set(name, makePoolRow(name));
      $('pool-rows').append(poolRows.get(name).node);
    }
    const told = state.told?.pools.find((pool) => pool.name === name);
    fillPoolRow(poolRows.get(name), name, told);
  }
}

function makePoolRow(name) {
  const button = element('button', { type: 'button', class: 'plain' }, name);
  button.addEventListener('click', () => choosePool(name));
  const row = { button };
  const figures = ['ready', 'rate', 'errors', 'p99', 'flight'].map((key) => (
    cell(POOL_HEADINGS[key], 'number', row[key] = element('span'))
  ));
  row.node = element('tr', { role: 'row' },
    element('th', { role: 'rowheader', scope: 'row', class: 'wide' }, button),
    ...figures, cell('Deploy', '', row.deploy = element('span')));
  return row;
}

const POOL_HEADINGS = { ready: 'Ready', rate: 'Requests/s', errors: 'Errors/s', p99: 'p99', flight: 'In flight' };

function fillPoolRow(row, name, told) {
  row.node.classList.toggle('chosen', name === state.pool);
  if (name === state.pool) row.button.setAttribute('aria-current', 'true');
  else row.button.removeAttribute('aria-current');
  say(row.ready, told ? `${told.ready} of ${told.replicas}` : NOTHING);
  row.ready.classList.toggle('bad', told !== undefined && told.ready < told.replicas);
  say(row.rate, told ? rate(told.requests_per_second) : NOTHING);
  say(row.errors, told ? rate(told.errors_per_second) : NOTHING);
  row.errors.classList.toggle('bad', told?.errors_per_second > 0);
  say(row.p99, duration(told?.p99_ms));
  say(row.flight, told ? COUNT.format(told.in_flight) : NOTHING);
  say(row.deploy, told?.deploy?.state ?? '');
}

/** Shows another pool: nothing of the one before is of it. */
function choosePool(name) {
  if (name === state.pool) return;
  closeLog();
  location.hash = `${POOL}${encodeURIComponent(name)}`;
  state.pool = name;
  $('pool').value = name;
  Object.assign(state, { ring: null, sectors: null, deploy: null, chosen: null, history: [] });
  state.replicas.clear();
  if (state.told) takeStats(state.told);
  draw();
  refresh().then(() => fillRingForm(true)).catch(refreshSoon);
  readHistory().then(draw).catch(() => {});
}

/** Reads what the balancer remembers of the pool that is shown. */
async function readHistory() {
  const { pool } = state;
  // Of a lone one all is wanted, also the requests that reach none.
  const path = state.pools.length < 2 ? 'statistics' : `pools/${encodeURIComponent(pool)}/statistics`;
  const { seconds } = await call('GET', path);
  if (pool === state.pool) takeHistory(seconds);
}

function preparePools() {
  $('pool').addEventListener('change', () => choosePool($('pool').value));
}

