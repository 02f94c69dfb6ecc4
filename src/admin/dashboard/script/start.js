// From what comes in to what is drawn, and the beginning of it all.

const REFRESH = 1_000;

let history = true; // whether what comes is of before this connection
let drawing = 0;
let refreshed = 0;
let refreshing = 0;

/** Draws before the next frame; not at all while nobody looks. */
function draw() {
  if (document.hidden || drawing) return;
  drawing = requestAnimationFrame(() => {
    drawing = 0;
    drawFigures();
    drawPools();
    drawRing();
    drawCharts();
    drawDeploy();
    drawReplicas();
    drawTimeline();
  });
}

function drawFigures() {
  const { stats, ring } = state;
  const replicas = [...state.replicas.values()];
  const ready = replicas.filter((replica) => replica.state === 'ready').length;
  figure('ready', ring ? `${ready} of ${replicas.length}` : NOTHING, ready < replicas.length);
  figure('rate', stats ? rate(stats.requests_per_second) : NOTHING);
  figure('p50', duration(stats?.p50_ms));
  figure('p99', duration(stats?.p99_ms));
  figure('flight', stats ? COUNT.format(stats.in_flight) : NOTHING);
  figure('errors', stats ? rate(stats.errors_per_second) : NOTHING, stats?.errors_per_second > 0);
  figure('retries', stats ? rate(stats.retries_per_second) : NOTHING);
  figure('spills', stats ? rate(stats.spills_per_second) : NOTHING);
  figure('connections', stats ? COUNT.format(stats.connections) : NOTHING);
  if (!ring) return;
  const version = Math.max(stats?.version ?? 0, ring.version);
  say($('published'), `Snapshot ${version}`);
  say($('ring-facts'), `${plural(ring.slots, 'slot')}, ${ringWords(ring)}. ${peakWords(ring.peak_to_average)}`);
  const outage = `Replicas can neither be added nor removed at the moment: ${ring.outage}`;
  say($('outage-text'), ring.outage ? outage : '');
  $('outage').hidden = !ring.outage;
}

function ringWords(ring) {
  return ring.placement === 'ring'
    ? plural(ring.virtual_nodes, 'virtual node')
    : `${ring.placement} placement`;
}

/** How even the ring is, by the replica that owns the most for its weight. */
function peakWords(peak) {
  // Nobody owns anything.
  if (peak === 0) return '';
  const more = PERCENT.format(Math.max(peak - 1, 0));
  return `Peak to average ${peak.toFixed(3)}: the busiest replica owns ${more} more than its fair share.`;
}

function figure(id, text, bad = false) {
  say($(`figure-${id}`), text);
  $(`figure-${id}`).classList.toggle('bad', bad);
}

/** What the stream tells. */
function receive(kind, id, data) {
  if (kind === 'stats') {
    history = false;
    takeStats(data);
    followDeploy(data.pools);
    if (state.stats.version !== state.ring?.version) refreshSoon();
  } else {
    takeEvent(kind, id, data);
    if (!history) react(kind, data);
  }
  draw();
}

/** What just happened is shown where it happened, and looked at more closely. */
function react(kind, data) {
  if (!isOfPool(data)) return;
  if (kind === 'replica') {
    takeDeed(data);
    flashRow(data.number);
    if (data.event === 'died' || data.event === 'ejected') say($('said'), wordsOf(kind, data).what);
  }
  if (kind !== 'change') refreshSoon();
}

/** Reads the ring again, soon, and at most once a second however much happens. */
function refreshSoon() {
  if (refreshing) return;
  const wait = Math.max(50, refreshed + REFRESH - performance.now());
  refreshing = setTimeout(() => {
    refreshing = 0;
    // A failure is the stream's to notice.
    refresh().catch(() => {});
  }, wait);
}

async function refresh() {
  refreshed = performance.now();
  const { pool } = state;
  const ring = await call('GET', ofPool('ring'));
  // Another was chosen meanwhile, and is read by itself.
  if (pool !== state.pool) return;
  takeRing(ring);
  if (ring.version !== state.sectors?.version) {
    const sectors = await call('GET', ofPool('ring/sectors'));
    if (pool === state.pool) state.sectors = sectors;
  }
  draw();
}

function takeRing(ring) {
  state.ring = ring;
  // What is left out is empty.
  const replicas = ring.replicas.map((replica) => ({ instance: '', note: '', ...replica }));
  takeReplicas(replicas);
  fillRingForm();
  draw();
}

/** A connection stands: everything is read anew, for it may be another balancer by now. */
async function connected() {
  history = true;
  forgetFigures();
  state.sectors = null;
  takePools((await call('GET', 'pools')).pools.map(({ name }) => name));
  await refresh();
  await readHistory();
  const { version } = await call('GET', 'version');
  say($('version'), version);
  if (state.link === 'lost') say($('said'), 'Connected again');
  setLink('live');
  tokenIsNoQuestion();
  draw();
}

/** Forgets the token and, with the page, all that was read with it. */
function forgetToken() {
  keepToken('');
  location.reload();
}

function start() {
  prepareRing();
  prepareCharts();
  prepareDialog();
  preparePools();
  prepareForms();
  prepareDeploy();
  prepareLog();
  $('forget').hidden = !token;
  $('forget').addEventListener('click', forgetToken);
  document.addEventListener('visibilitychange', draw);
  follow(receive);
}

start();
