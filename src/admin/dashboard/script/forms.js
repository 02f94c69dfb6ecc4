// The forms: add, remove, change the ring. They send what was entered; what is allowed is for the
// balancer to say, and its words are shown as they are.

const RING_FIELDS = ['family', 'probing', 'placement', 'slots', 'virtual_nodes', 'key'];
const RING_NUMBERS = ['slots', 'virtual_nodes'];

// What each field of the ring was filled with: a field with anything else in it is the user's.
const given = {};

function prepareForms() {
  onSubmit('add', addReplicas);
  onSubmit('remove', removeReplicas);
  onSubmit('change', changeRing);
  for (const id of ['add', 'remove']) countNames($(id));
  $('change').addEventListener('input', markChanges);
  $('change').addEventListener('reset', (event) => {
    event.preventDefault();
    fillRingForm(true);
    tell($('change').querySelector('.result'), '');
  });
}

/** Has `act` done with a form's contents; what it returns or throws is shown in the form. */
function onSubmit(id, act) {
  const form = $(id);
  const result = form.querySelector('.result');
  const button = form.querySelector('[type=submit]');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    tell(result, 'Working …');
    try {
      tell(result, await act(form.elements), 'good');
    } catch (error) {
      tell(result, inWords(error), 'bad');
    } finally {
      button.disabled = false;
      refreshSoon();
    }
  });
}

/** As long as nobody has counted, as many as there are names. */
function countNames({ elements: { n, names } }) {
  n.addEventListener('input', () => (n.dataset.counted = 'yes'));
  names.addEventListener('input', () => {
    if (!n.dataset.counted) n.value = Math.max(1, words(names.value).length);
  });
}

/** Once the replicas have come or gone, the next are counted anew. */
function clearNames({ n, names }) {
  names.value = '';
  n.value = 1;
  delete n.dataset.counted;
}

function words(text) {
  return text.split(',').map((word) => word.trim()).filter(Boolean);
}

function wholeNumber(text, what) {
  if (!/^\d{1,10}$/.test(text.trim())) throw new Refusal(0, `Give ${what} as a whole number.`);
  return Number(text);
}

async function addReplicas(elements) {
  const { n, names, endpoints } = elements;
  const body = { n: wholeNumber(n.value, 'how many') };
  if (words(names.value).length > 0) body.hostnames = words(names.value);
  if (words(endpoints.value).length > 0) body.endpoints = words(endpoints.value);
  const { message } = await call('POST', ofPool('add'), body);
  clearNames(elements);
  endpoints.value = '';
  return `Done: ${plural(message.N, 'replica')} now.`;
}

async function removeReplicas(elements) {
  const { n, names } = elements;
  const body = { n: wholeNumber(n.value, 'how many') };
  const named = words(names.value);
  if (named.length > 0) body.hostnames = named;
  const others = body.n - named.length;
  const list = [...named, ...(others > 0 ? [`${others} that the balancer chooses`] : [])];
  return asked({
    title: `Remove ${plural(body.n, 'replica')}?`,
    text: `${list.join(', ')}. They finish what they have begun and are stopped.`,
    button: 'Remove',
  }, async () => {
    const { message } = await call('DELETE', ofPool('rm'), body);
    clearNames(elements);
    return `Done: ${plural(message.N, 'replica')} now.`;
  });
}

async function changeRing(elements) {
  const body = ringChanges(elements);
  const list = Object.entries(body).map(([field, value]) => `${field} ${state.ring[field]} → ${value}`);
  if (list.length === 0) throw new Refusal(0, 'Nothing is changed yet: change a field first.');
  return asked({
    title: 'Change the ring?',
    text: `${list.join(', ')}. Most keys may get another owner.`,
    button: 'Change',
  }, async () => {
    const ring = await call('PUT', ofPool('ring'), body);
    takeRing(ring);
    fillRingForm(true);
    return `Done: version ${ring.version}, peak to average ${ring.peak_to_average.toFixed(3)}.`;
  });
}

/** Asks first. The answer closes the dialog; what becomes of it is shown in the form. */
function asked(question, send) {
  return new Promise((resolve, reject) => {
    let sent = false;
    $('ask').addEventListener('close', () => sent || resolve('Nothing was changed.'), { once: true });
    const act = () => {
      sent = true;
      send().then(resolve, reject);
    };
    ask({ ...question, act });
  });
}

function ringChanges(elements) {
  const body = {};
  for (const field of RING_FIELDS) {
    if (!isChanged(field)) continue;
    const text = elements[field].value.trim();
    body[field] = RING_NUMBERS.includes(field) ? wholeNumber(text, field) : text;
  }
  return body;
}

/** Whether the user has put something else into the field. */
function isChanged(field) {
  return field in given && $('change').elements[field].value.trim() !== given[field];
}

function markChanges() {
  for (const field of RING_FIELDS) {
    $('change').elements[field].classList.toggle('changed', isChanged(field));
  }
}

/** Shows the ring in force in each field that the user has not changed, or in all. */
function fillRingForm(always = false) {
  if (!state.ring) return;
  const { elements } = $('change');
  for (const field of RING_FIELDS) {
    const now = String(state.ring[field]);
    const kept = !always && isChanged(field);
    // What the user wants may have come about by another's hand.
    if (kept && elements[field].value.trim() !== now) continue;
    if (elements[field].value !== now) elements[field].value = now;
    given[field] = now;
  }
  markChanges();
}

