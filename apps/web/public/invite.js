// The invitation page: who is invited, a password, a second factor.

/** @typedef {{ user: string, reset: boolean, roles: string[] }} Invite */
/** @typedef {{ user: string, qr: string, totpUri: string }} Welcome */

/** What the server said no with. */
class Refusal extends Error {
  /** @param {{ message: string, code?: string, id?: string }} error */
  constructor(error) {
    super(error.message);
    this.code = error.code;
    this.id = error.id;
  }
}

const token = location.pathname.split('/').pop() ?? '';

/**
 * The element with an id, which must be of a class.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function find(id, type) {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new Error(`no ${id}`);
}

/** @param {string} id */
const input = (id) => find(id, HTMLInputElement);

/**
 * @param {string} id
 * @param {string} text
 */
function say(id, text) {
  find(id, HTMLElement).textContent = text;
}

/** @param {string} id */
function show(id) {
  for (const section of document.querySelectorAll('section')) section.hidden = section.id !== id;
}

/**
 * What the server answers.
 * @template T
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<T>}
 */
async function call(path, options) {
  const response = await fetch(path, options);
  /** @type {T & { error: { message: string, code?: string, id?: string } }} */
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- the shape is the server's word
  const body = await response.json();
  if (!response.ok) throw new Refusal(body.error);
  return body;
}

/** @param {string} password */
function describeStrength(password) {
  if (password.length < 10) return `${10 - password.length} more characters`;
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^\w]/, /\s/].filter((kind) =>
    kind.test(password),
  ).length;
  const bits = password.length * (1.5 + kinds);
  if (new Set(password).size < 5) return 'too few different characters';
  if (bits < 40) return 'fair';
  return bits < 60 ? 'good' : 'strong';
}

/** @param {Invite} invite */
function showSetup(invite) {
  if (invite.user !== '') {
    input('user').value = invite.user;
    input('user').readOnly = true;
  }
  say('title', invite.reset ? 'Set a new password' : 'Set up your account');
  say(
    'subtitle',
    invite.user === ''
      ? 'You will be the first administrator.'
      : `Roles: ${invite.roles.join(', ')}`,
  );
  show('setup');
  input(invite.user === '' ? 'user' : 'password').focus();
}

/** @param {Welcome} done */
function showDone(done) {
  say('done-user', done.user);
  find('factor', HTMLElement).hidden = done.qr === '';
  if (done.qr !== '') {
    find('qr', HTMLImageElement).src = `data:image/svg+xml;utf8,${encodeURIComponent(done.qr)}`;
    say('secret', new URL(done.totpUri).searchParams.get('secret') ?? '');
  }
  showCommands(done.user).catch(reportError);
  show('done');
}

/**
 * What to type next; with the pin, because no public authority has signed for a cluster at home.
 * @param {string} user
 */
async function showCommands(user) {
  const login = `gate login --proxy ${location.host} --user ${user}`;
  say('commands', `${login}\ngate ls`);
  /** @type {{ caPins: string[] }} */
  const { caPins } = await call('/.well-known/gatehouse.json');
  say('commands', `${login} \\\n  --ca-pin ${caPins[0]}\ngate ls`);
}

async function submit() {
  say('error', '');
  find('submit', HTMLButtonElement).disabled = true;
  try {
    const body = JSON.stringify({
      token,
      user: input('user').value.trim(),
      password: input('password').value,
    });
    /** @type {Welcome} */
    const done = await call('/api/invite', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    showDone(done);
  } catch (error) {
    say(
      'error',
      error instanceof Refusal && error.id
        ? `${error.message} (${error.id})`
        : 'The server did not answer; try again.',
    );
    find('submit', HTMLButtonElement).disabled = false;
  }
}

async function start() {
  try {
    /** @type {Invite} */
    const invite = await call(`/api/invite/${encodeURIComponent(token)}`);
    showSetup(invite);
  } catch (error) {
    if (!(error instanceof Refusal) || error.code === undefined) {
      say('invalid-title', 'The server did not answer');
      say('invalid-text', 'Try again in a moment.');
    }
    show('invalid');
  }
}

input('password').addEventListener('input', () => {
  const hint = describeStrength(input('password').value);
  say('strength', hint);
  find('strength', HTMLElement).classList.toggle('good', hint === 'good' || hint === 'strong');
});

find('form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  submit().catch(reportError);
});

start().catch(reportError);
