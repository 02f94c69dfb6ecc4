// GET /events, read with fetch because an EventSource cannot send a token. The connection is made
// again, for ever, a little later each time.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5_000;
// Figures come every second; this long without any means that nobody is there.
const SILENCE = 10_000;
const LONGEST_EVENT = 1 << 24; // figures of all replicas are one event
// A browser makes six connections to a host, for all its tabs: one that nobody has looked at for
// this long gives up its own.
const UNSEEN = 30_000;

let heard = 0;
let attempt = new AbortController();
let wake = () => {};
let asleep = false;
let unseen = 0;

/** Follows the balancer until the page is left. */
async function follow(receive) {
  setInterval(endSilence, 1000);
  watchVisibility();
  for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    if (asleep) await untilSeen();
    const began = performance.now();
    const reason = await listen(receive);
    // A connection that lasted is no reason to be patient with the next.
    if (performance.now() - began > LONGEST_PAUSE) pause = FIRST_PAUSE;
    if (asleep) continue;
    await (reason === 'locked' ? untilToken() : untilNextTry(pause, reason));
  }
}

/**
 * One connection, from beginning to end; says why it ended. It reads what is kept of the past each
 * time, and not only what came after the last event: another balancer may be there by now, whose
 * events have the same numbers.
 */
async function listen(receive) {
  attempt = new AbortController();
  heard = performance.now();
  try {
    const answer = await fetch(under('events'), {
      headers: authorised({ Accept: 'text/event-stream' }),
      cache: 'no-store',
      signal: attempt.signal,
    });
    if (answer.status === 401) return 'locked';
    if (!answer.ok) return (await refusal(answer)).message;
    await connected();
    await readEvents(answer.body, (event) => dispatch(event, receive));
    return '';
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) return 'locked';
    return error instanceof Refusal ? error.message : '';
  } finally {
    attempt.abort();
  }
}

/** Reads a stream of events to its end (HTML, section 9.2.6); a comment is an event without a kind. */
async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    if (rest.length > LONGEST_EVENT) throw new Error('an event without end');
    for (const block of blocks) take(eventIn(block));
  }
}

/** The event in a block of lines; a line that begins with a colon is a comment. */
function eventIn(block) {
  const event = { id: '', event: '', data: '' };
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, '');
  }
  return event;
}

/** Hands over an event of the balancer. */
function dispatch(event, receive) {
  heard = performance.now();
  if (!event.data) return;
  try {
    receive(event.event, event.id, JSON.parse(event.data));
  } catch (error) {
    // One event that cannot be shown is no reason to lose the others.
    console.error(event, error);
  }
}

/** Ends a connection on which nothing has come for too long. */
function endSilence() {
  if (performance.now() - heard > SILENCE) attempt.abort();
}

/** Ends the connection once nobody has looked for a while, and connects again for whoever does. */
function watchVisibility() {
  const look = () => {
    clearTimeout(unseen);
    if (document.hidden) {
      unseen = setTimeout(fallAsleep, UNSEEN);
    } else if (asleep) {
      asleep = false;
      wake();
    }
  };
  document.addEventListener('visibilitychange', look);
  look();
}

function fallAsleep() {
  asleep = true;
  attempt.abort();
}

/** Waits until somebody looks. */
async function untilSeen() {
  setLink('connecting');
  await new Promise((resolve) => (wake = resolve));
}

/** Waits, and says so, until it is time to try again or the user asks for it. */
async function untilNextTry(pause, reason) {
  setLink('lost');
  const why = reason ? `: ${reason}` : '';
  showBanner(`Connection lost${why}. Trying again …`, 'Try now', () => wake());
  await new Promise((resolve) => {
    wake = resolve;
    // Spread out, so that many pages do not come back at the same moment.
    setTimeout(resolve, pause * (0.75 + Math.random() / 4));
  });
}

/**
 * Waits until a token was entered that is accepted, which is asked for once, or until it is time to
 * see whether the balancer still wants one.
 */
async function untilToken() {
  const unlock = () => askForToken(() => wake());
  if (state.link !== 'locked') {
    setLink('locked');
    showBanner('This balancer wants its admin token.', 'Enter token', unlock);
    unlock();
  }
  await new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, LONGEST_PAUSE);
  });
}

function setLink(link) {
  state.link = link;
  $('link').dataset.link = link;
  const words = { live: 'Live', lost: 'Connection lost', locked: 'Locked', connecting: 'Connecting' };
  say($('link'), words[link]);
  $('main').classList.toggle('stale', link !== 'live');
  if (link === 'live') $('banner').hidden = true;
}

function showBanner(text, action, act) {
  say($('banner-text'), text);
  say($('banner-action'), action);
  $('banner-action').onclick = act;
  $('banner').hidden = false;
}

