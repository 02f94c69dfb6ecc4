// The output of one replica: its last lines, and what follows until it ends or the panel is closed.

const LINES_AT_FIRST = 200; // as many as the balancer gives
const MOST_LINES = 500; // that the panel keeps
const AT_THE_END = 24; // pixels from the end within which the view goes with it

const log = {
  name: '', // of the replica; nothing while the panel is closed
  opener: null, // the button that opened it
  attempt: null, // aborts the connection
  lines: [], // that came since the last frame
  drawing: 0,
};

/** Opens the panel for a replica of the pool that is shown. */
function openLog(name, opener) {
  Object.assign(log, { name, opener });
  say($('log-title'), `Output of ${name}`);
  $('log').hidden = false;
  readLog();
  // It is in view wherever the page is.
  $('log-lines').focus({ preventScroll: true });
}

/** Closes the panel; the focus goes back to where it came from. */
function closeLog() {
  if (!log.name) return;
  const { opener } = log;
  const hadFocus = $('log').contains(document.activeElement);
  endLog();
  Object.assign(log, { name: '', opener: null });
  $('log').hidden = true;
  $('log-lines').replaceChildren();
  if (hadFocus) (opener?.isConnected ? opener : $('replicas')).focus();
}

/** Ends the connection; what was read stays. */
function endLog() {
  log.attempt?.abort();
  log.attempt = null;
  log.lines = [];
}

/** Reads the output from its last lines on. One connection at a time. */
async function readLog() {
  endLog();
  const attempt = new AbortController();
  log.attempt = attempt;
  $('log-lines').replaceChildren();
  tellLog('Reading …', false);
  let end = 'The replica has ended, or the balancer.';
  try {
    const query = `?lines=${LINES_AT_FIRST}&follow`;
    const answer = await fetch(under(`${ofPool(`replicas/${encodeURIComponent(log.name)}/log`)}${query}`), {
      headers: authorised({ Accept: 'text/event-stream' }),
      cache: 'no-store',
      signal: attempt.signal,
    });
    if (!answer.ok) throw await refusal(answer);
    if (log.attempt === attempt) tellLog('Following.', false);
    await readEvents(answer.body, (event) => {
      if (log.attempt === attempt) takeLine(event);
    });
  } catch (error) {
    end = inWords(error);
  }
  // Otherwise it was closed, or another one is read by now.
  if (log.attempt === attempt) tellLog(end, true);
}

/** Says how it stands. What has ended can be read again. */
function tellLog(words, hasEnded) {
  say($('log-state'), words);
  if (!hasEnded && document.activeElement === $('log-again')) $('log-lines').focus();
  $('log-again').hidden = !hasEnded;
}

function takeLine({ event, data }) {
  if (event === 'line') log.lines.push({ text: data });
  else if (event === 'dropped') log.lines.push({ text: `(${plural(Number(data), 'line')} lost)`, kind: 'muted' });
  else return;
  if (log.lines.length > MOST_LINES) log.lines.shift();
  log.drawing ||= requestAnimationFrame(drawLog);
}

/** Adds what has come, and takes the oldest lines away. The view goes with the end if it is there. */
function drawLog() {
  log.drawing = 0;
  const list = $('log-lines');
  const follows = list.scrollHeight - list.scrollTop - list.clientHeight < AT_THE_END;
  // A line without text has its height all the same.
  list.append(...log.lines.map(({ text, kind = '' }) => element('div', { class: kind }, text || '\u200b')));
  log.lines = [];
  while (list.childElementCount > MOST_LINES) list.firstElementChild.remove();
  if (follows) list.scrollTop = list.scrollHeight;
}

function prepareLog() {
  $('log-close').addEventListener('click', closeLog);
  $('log-again').addEventListener('click', readLog);
  document.addEventListener('keydown', (event) => {
    // A dialog has the key for itself.
    if (event.key === 'Escape' && !$('ask').open) closeLog();
  });
  // A browser makes six connections to a host: this one is for those who look.
  document.addEventListener('visibilitychange', () => {
    if (!log.name) return;
    if (document.hidden) endLog();
    else readLog();
  });
}

