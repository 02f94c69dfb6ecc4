// The deploy that is under way, or that has just ended: how far it is, how both revisions do, and the
// buttons that apply to it.

const REMEMBERED = 300; // seconds after its end in which it is shown
const MOST_CHIPS = 200;
const LAST_WORDS = 50; // lines
const STEPS = ['pending', 'starting', 'judging', 'passed', 'reverted'];

let asking = false;
let readAt = 0; // when the deploy that is shown was read
let chips = '';
let lastWords = null; // what the replica that failed wrote: { key, text }

/** Reads the deploy again, where the figures of this second tell that there is something new. */
async function followDeploy(pools) {
  const { pool } = state;
  const told = pools?.find(({ name }) => name === pool)?.deploy;
  const known = state.deploy;
  const isNews = told && (!known || !known.ended || known.id !== told.id || known.state !== told.state);
  if (!isNews || asking) return;
  asking = true;
  try {
    const deploy = await call('GET', ofPool('deploy'));
    if (pool === state.pool) takeDeploy(deploy);
  } catch {
    // The next second asks again.
  } finally {
    asking = false;
  }
}

function takeDeploy(deploy) {
  const before = state.deploy;
  state.deploy = deploy;
  readAt = performance.now();
  // Who looked on, or listens, hears of the end.
  if (deploy.ended && before && !before.ended) say($('said'), headOf(deploy));
  if (deploy.ended && deploy.failed) readLastWords(deploy);
  draw();
}

/** Reads, once, what the replica has written at which the reason was seen. */
async function readLastWords(deploy) {
  const { pool } = state;
  const key = keyOf(pool, deploy);
  if (lastWords?.key === key) return;
  lastWords = { key, text: '' };
  try {
    const path = `${ofPool(`replicas/${encodeURIComponent(deploy.failed)}/log`)}?lines=${LAST_WORDS}`;
    const text = await callForText(path);
    if (lastWords.key === key) lastWords.text = text;
    draw();
  } catch {
    // The reason is told already; that there is nothing more to tell is no failure.
  }
}

function drawDeploy() {
  const { deploy } = state;
  const seconds = deploy?.ended ? deploy.ended_seconds_ago + (performance.now() - readAt) / 1000 : 0;
  const shows = Boolean(deploy) && seconds < REMEMBERED;
  if (!shows && $('deploy').contains(document.activeElement)) $('replicas').focus();
  $('deploy').hidden = !shows;
  if (!shows) return;
  say($('deploy-head'), headOf(deploy));
  const tone = { succeeded: 'good', reverted: 'bad', reverting: 'bad' }[deploy.state] ?? '';
  $('deploy-head').className = `deploy-head ${tone}`;
  const at = deploy.failed ? ` (seen at ${deploy.failed})` : '';
  say($('deploy-reason'), deploy.reason ? `${deploy.reason}${at}` : '');
  drawLastWords(deploy);
  say($('deploy-counts'), countsOf(deploy.numbers));
  drawSteps(deploy.numbers);
  drawExperience('old', deploy.from, deploy.old);
  drawExperience('new', deploy.to, deploy.new);
  showButton('deploy-abort', !deploy.ended && deploy.state !== 'reverting');
  showButton('deploy-promote', deploy.state === 'waiting');
}

/** What tells the failure of a deploy from others, also of another life of the balancer. */
function keyOf(pool, { id, failed }) {
  return `${pool} ${id} ${failed}`;
}

function drawLastWords(deploy) {
  const { failed } = deploy;
  const text = failed && lastWords?.key === keyOf(state.pool, deploy) ? lastWords.text : '';
  $('deploy-words').hidden = !text.trim();
  say($('deploy-words-title'), `The last lines that ${failed} wrote`);
  say($('deploy-words-lines'), text);
}

function headOf({ from, to, state: now, took_seconds: took, canary, numbers }) {
  const part = canary === null || now === 'succeeded' ? '' : `, a canary of ${canary} in ${numbers.length}`;
  return `${from} → ${to}: ${now}${part}, ${took < 10 ? took.toFixed(1) : COUNT.format(took)} s`;
}

/** How many numbers are where, in words. */
function countsOf(numbers) {
  const parts = STEPS.map((step) => [numbers.filter((number) => number.step === step).length, step]);
  return parts.filter(([count]) => count > 0).map(([count, step]) => `${COUNT.format(count)} ${step}`).join(', ');
}

/** A chip for each number, as far as they can be told apart. */
function drawSteps(numbers) {
  const shown = numbers.slice(0, MOST_CHIPS);
  const now = JSON.stringify(shown);
  if (now === chips) return;
  chips = now;
  const items = shown.map(({ number, step, serving, beside }) => {
    const words = `number ${number}: ${step}, served by ${serving}${beside ? `, ${beside} beside it` : ''}`;
    return element('li', { class: `step ${step}`, title: words },
      element('span', {}, String(number)), element('span', { class: 'unseen' }, ` ${step}`));
  });
  if (numbers.length > shown.length) items.push(element('li', { class: 'muted' }, '…'));
  $('deploy-steps').replaceChildren(...items);
}

function drawExperience(side, revision, { requests, errors, p99_seconds: p99 }) {
  say($(`deploy-${side}`), revision);
  const failed = requests > 0 ? PERCENT.format(errors / requests) : NOTHING;
  const slowest = duration(p99 === null ? null : p99 * 1000);
  say($(`deploy-${side}-figures`), `${plural(requests, 'request')}, ${failed} failed, p99 ${slowest}`);
}

/** A button that goes leaves the focus to the panel. */
function showButton(id, shows) {
  const button = $(id);
  if (!shows && button === document.activeElement) $('deploy').focus();
  button.hidden = !shows;
}

function howItIsTakenBack({ from, order, state: stage }) {
  if (stage === 'preparing') return `All numbers have their replicas of ${from}, and keep them.`;
  const how = order === 'stop-first'
    ? 'Those have to start again, one after the other.'
    : 'Those are still ready, so it takes a moment.';
  return `Every number gets its replica of ${from} again. ${how}`;
}

function askToAbort() {
  ask({
    title: `Take ${state.deploy.to} back?`,
    text: howItIsTakenBack(state.deploy),
    button: 'Take back',
    act: async () => takeDeploy(await call('DELETE', ofPool('deploy'), {})),
  });
}

function askToPromote() {
  const { to, numbers, canary } = state.deploy;
  ask({
    title: `Promote ${to}?`,
    text: `It has ${canary} of ${plural(numbers.length, 'number')}, and is deployed to the others too.`,
    button: 'Promote',
    kind: 'main',
    act: async () => takeDeploy(await call('POST', ofPool('deploy/promote'), {})),
  });
}

function prepareDeploy() {
  $('deploy-abort').addEventListener('click', askToAbort);
  $('deploy-promote').addEventListener('click', askToPromote);
}

