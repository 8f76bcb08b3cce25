// The invitation page: who is invited, a password, a second factor.
const byId = (id) => document.getElementById(id);
const token = location.pathname.split('/').pop();

function show(id) {
  for (const section of document.querySelectorAll('section')) section.hidden = section.id !== id;
}

async function call(path, options) {
  const response = await fetch(path, options);
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.error.message), body.error);
  return body;
}

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

byId('password').addEventListener('input', (event) => {
  const hint = describeStrength(event.target.value);
  byId('strength').textContent = hint;
  byId('strength').classList.toggle('good', hint === 'good' || hint === 'strong');
});

byId('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  byId('error').textContent = '';
  byId('submit').disabled = true;
  try {
    const body = JSON.stringify({
      token,
      user: byId('user').value.trim(),
      password: byId('password').value,
    });
    const done = await call('/api/invite', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    byId('done-user').textContent = done.user;
    byId('factor').hidden = done.qr === '';
    if (done.qr !== '') {
      byId('qr').src = `data:image/svg+xml;utf8,${encodeURIComponent(done.qr)}`;
      byId('secret').textContent = new URL(done.totpUri).searchParams.get('secret');
    }
    byId('commands').textContent =
      `gate login --proxy ${location.host} --user ${done.user}\ngate ls`;
    show('done');
  } catch (error) {
    byId('error').textContent = error.id
      ? `${error.message} (${error.id})`
      : 'The server did not answer; try again.';
    byId('submit').disabled = false;
  }
});

call(`/api/invite/${encodeURIComponent(token)}`).then(
  (invite) => {
    if (invite.user !== '') {
      byId('user').value = invite.user;
      byId('user').readOnly = true;
    }
    byId('title').textContent = invite.reset ? 'Set a new password' : 'Set up your account';
    byId('subtitle').textContent =
      invite.user === ''
        ? 'You will be the first administrator.'
        : `Roles: ${invite.roles.join(', ')}`;
    show('setup');
    byId(invite.user === '' ? 'user' : 'password').focus();
  },
  (error) => {
    if (error.code === undefined) {
      byId('invalid-title').textContent = 'The server did not answer';
      byId('invalid-text').textContent = 'Try again in a moment.';
    }
    show('invalid');
  },
);
