// Requests to the admin API, and the token where one is set.

const READ_LIMIT = 10_000;
// Adding waits for replicas to start, which may take its time.
const WRITE_LIMIT = 150_000;
const TOKEN = 'ringherd-token';

// Where the page is: at the root of the admin address, or below the path that an edge serves it at. An
// edge may have taken the last slash.
const BASE = location.pathname.endsWith('/') ? location.pathname : `${location.pathname}/`;

/** What the balancer answered instead of doing it. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Kept for this tab and no longer. Where there is no storage, until the page is left.
let token = stored();

function stored() {
  try {
    return sessionStorage.getItem(TOKEN) ?? '';
  } catch {
    return '';
  }
}

function keepToken(value) {
  token = value;
  try {
    if (value) sessionStorage.setItem(TOKEN, value);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    // Then it is asked for again after a reload.
  }
  $('forget').hidden = !value;
}

function authorised(headers = {}) {
  return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
}

/** The URL of a path of the admin API, which has no slash at its beginning. */
function under(path) {
  return `${location.origin}${BASE}${path}`;
}

/** Sends a request and returns the JSON of the answer; a failure is thrown. */
async function call(method, path, body) {
  return (await answered(method, path, body)).json();
}

/** The same for what is no JSON. */
async function callForText(path) {
  return (await answered('GET', path)).text();
}

async function answered(method, path, body) {
  const change = body !== undefined;
  const answer = await fetch(under(path), {
    method,
    headers: authorised(change ? { 'Content-Type': 'application/json' } : {}),
    body: change ? JSON.stringify(body) : undefined,
    cache: 'no-store',
    signal: AbortSignal.timeout(change ? WRITE_LIMIT : READ_LIMIT),
  });
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** The refusal in an answer, in the balancer's words. */
async function refusal(answer) {
  const { message } = await answer.json().catch(() => ({}));
  const words = String(message ?? answer.statusText).replace(/^<Error> /, '');
  const code = answer.headers.get('X-Ringherd-Error');
  return new Refusal(answer.status, `${words} (${answer.status}${code ? ` ${code}` : ''})`);
}

/** A failure in words for the user. */
function inWords(error) {
  if (error instanceof Refusal) return error.message;
  if (error.name === 'TimeoutError') return 'No answer in time. It may still be done: see the events.';
  return 'The balancer cannot be reached.';
}

