// The one dialog: it confirms, asks for a weight or for the token, and shows what went wrong.

const SHOWN = 15_000;

let answerTo = null;
let clearing = 0;

function prepareDialog() {
  const dialog = $('ask');
  dialog.querySelector('form').addEventListener('submit', (event) => {
    // It closes when the thing is done, not when the button is pressed.
    event.preventDefault();
    confirmDialog();
  });
  $('ask-no').addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => {
    answerTo = null;
    $('ask-input').value = '';
  });
}

/** Opens the dialog; `question.act` gets what was entered and may throw. */
function ask(question) {
  const { title, text, button, kind = 'danger', field } = question;
  answerTo = question;
  say($('ask-title'), title);
  say($('ask-text'), text);
  say($('ask-yes'), button);
  $('ask-yes').className = kind;
  tell($('ask-error'), '', 'bad');
  busy(false);
  $('ask-field').hidden = !field;
  say($('ask-label'), field?.label ?? '');
  Object.assign($('ask-input'), { type: 'text', value: '', min: '', max: '', ...field?.input });
  if (!$('ask').open) $('ask').showModal();
  (field ? $('ask-input') : $('ask-no')).focus();
}

async function confirmDialog() {
  const question = answerTo;
  if (!question || $('ask-yes').disabled) return;
  busy(true);
  tell($('ask-error'), '', 'bad');
  try {
    await question.act($('ask-input').value);
    if (answerTo === question) $('ask').close();
  } catch (error) {
    // The answer may come when the dialog is closed already, or asks for something else.
    if (answerTo === question) tell($('ask-error'), inWords(error), 'bad');
    else told({ message: `${question.title.replace('?', '')}: ${inWords(error)}` }, 'bad');
  } finally {
    if (answerTo === question) busy(false);
  }
}

/** What has been sent cannot be called back, so that the dialog can only be closed. */
function busy(is) {
  $('ask-yes').disabled = is;
  say($('ask-no'), is ? 'Close' : 'Cancel');
}

function askToKill(name) {
  ask({
    title: `Kill ${name}?`,
    text: 'Its process or container is ended at once, as by a crash; what it is answering is lost. '
      + 'The balancer replaces it.',
    button: 'Kill',
    act: async () => told(await call('POST', ofPool(`replicas/${encodeURIComponent(name)}/kill`), {})),
  });
}

function askToRemoveOne(name) {
  ask({
    title: `Remove ${name}?`,
    text: 'It is taken off the ring, finishes what it has begun, and is stopped. It is not replaced.',
    button: 'Remove',
    act: async () => {
      await call('DELETE', ofPool('rm'), { n: 1, hostnames: [name] });
      told({ message: `'${name}' is removed.` });
    },
  });
}

/** Asks whether to take a replica's traffic away, or to give back the weight that it had. */
function askToDrain(name) {
  const replica = sortedReplicas().find((other) => other.name === name);
  const drained = replica?.weight === 0;
  const weight = drained ? replica.drained_from ?? 100 : 0;
  ask({
    title: drained ? `Give ${name} its weight again?` : `Drain ${name}?`,
    text: drained
      ? `It had weight ${weight}, and gets its part of the ring back.`
      : 'It gets weight 0: it finishes what it has begun and gets no new requests, but stays a replica. '
        + 'What it owns goes to the others.',
    button: drained ? 'Undrain' : 'Drain',
    kind: drained ? 'main' : 'danger',
    act: async () => {
      await call('PUT', ofPool(`replicas/${encodeURIComponent(name)}`), { weight });
      told({ message: drained ? `The weight of '${name}' is ${weight}.` : `'${name}' is drained: it has weight 0.` });
    },
  });
}

function askForWeight(name) {
  const replica = sortedReplicas().find((other) => other.name === name);
  ask({
    title: `Weight of ${name}`,
    text: 'In per cent of a full replica: half the weight gets half the slots, 0 gets none and no new '
      + 'requests.',
    button: 'Set',
    kind: 'main',
    field: {
      label: 'Weight, 0 to 100',
      input: { type: 'number', min: 0, max: 100, value: replica?.weight ?? 100 },
    },
    act: async (entered) => {
      const weight = wholeNumber(entered, 'the weight');
      await call('PUT', ofPool(`replicas/${encodeURIComponent(name)}`), { weight });
      told({ message: `The weight of '${name}' is ${weight}.` });
    },
  });
}

/** Says above the table, for a while, what was done to a replica or why not. */
function told({ message }, tone = 'good') {
  const result = $('replicas-result');
  tell(result, message, tone);
  clearTimeout(clearing);
  clearing = setTimeout(() => tell(result, ''), SHOWN);
  refreshSoon();
}

/** Asks for the token until one is accepted, or the dialog is closed. */
function askForToken(then) {
  if (answerTo?.token) return;
  ask({
    token: true,
    title: 'Admin token',
    text: token
      ? 'The balancer does not accept the token of this page.'
      : 'This balancer wants its admin token. It is kept until this tab is closed.',
    button: 'Unlock',
    kind: 'main',
    field: { label: 'Token', input: { type: 'password' } },
    act: async (entered) => {
      // What no header can carry is no token.
      if (!/^[!-~]+$/.test(entered)) throw new Refusal(0, 'The balancer does not accept this token.');
      keepToken(entered);
      try {
        await call('GET', 'version');
      } catch (error) {
        keepToken('');
        throw error.status === 401 ? new Refusal(401, 'The balancer does not accept this token.') : error;
      }
      then();
    },
  });
}

/** Takes the question for the token away, where the balancer wants none any more. */
function tokenIsNoQuestion() {
  if (answerTo?.token) $('ask').close();
}

