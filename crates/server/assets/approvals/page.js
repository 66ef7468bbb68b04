// The approval page: which view it is, signing in and out, and what is said aloud. Every text becomes text: nothing here makes HTML.

import { Problem, ask, keep, signed } from './server.js';
import { approval, approvals, el, passkeys } from './views.js';

const main = document.getElementById('main');
const PLACE = '/approvals';

const page = {
  place: null,
  me: null,
  timer: 0,

  /** Puts a view in the place of the one before. */
  show(title, ...parts) {
    document.title = `${title} · Stead`;
    main.replaceChildren(...parts.filter((part) => part !== null));
  },

  /** Says something, to those who listen too. */
  say(text) {
    document.getElementById('failed').textContent = '';
    document.getElementById('said').textContent = text;
  },

  /** Says what went wrong. */
  fail(error) {
    document.getElementById('said').textContent = '';
    const hint = error instanceof Problem && error.hint ? ` ${error.hint}.` : '';
    document.getElementById('failed').textContent = `${error.message.replace(/[.]?$/, '.')}${hint}`;
  },

  /** What follows a failure: a session that is over needs another one. */
  async failed(error) {
    if (error instanceof Problem && error.code === 'ST0376') await signedOut();
    page.fail(error);
  },

  /** Looks again after a while, as long as somebody looks. */
  again(view, seconds) {
    clearTimeout(page.timer);
    page.timer = setTimeout(() => (document.hidden ? page.again(view, seconds) : view().catch(page.failed)), seconds * 1000);
  },
};

function command(line) {
  return el('code', { class: 'command' }, line);
}

/** Where somebody wants to be who is not signed in yet. It is kept over the way to the provider and back, which ends what a tab keeps. */
const wanted = () => localStorage.getItem('stead-page-to') ?? PLACE;

async function signedOut() {
  keep(null);
  clearTimeout(page.timer);
  page.me = null;
  const here = location.pathname.slice(PLACE.length + 1);
  const of = here.startsWith('run_') ? ` ${here}` : '';
  localStorage.setItem('stead-page-to', location.pathname);
  document.getElementById('who').replaceChildren();
  const parts = [el('h1', {}, 'Sign in')];
  if (page.place.provider) {
    const button = el('button', { class: 'yes', type: 'button' }, 'Sign in with your organisation');
    button.addEventListener('click', () => busy(button, async () => location.assign((await ask('login', {})).url)));
    parts.push(el('p', {}, button), el('p', {}, 'Or run this on a machine on which the command line knows you:'));
  } else {
    parts.push(el('p', {}, 'Run this on a machine on which the command line knows you. The link that it writes signs this browser in.'));
  }
  parts.push(el('p', {}, command(`stead approvals open${of}`)));
  page.show('Sign in', ...parts);
}

/** Does something once: a button that works takes no second click. */
export async function busy(button, work) {
  if (button.disabled) return;
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    await page.failed(error);
  } finally {
    button.disabled = false;
  }
}

/** Ends signing in: from here on it is the person's page. */
async function entered(half, to) {
  keep(half);
  localStorage.removeItem('stead-page-to');
  history.replaceState(null, '', to);
  await route();
  main.focus();
}

/** A link of `stead approvals open`: a person presses a button, so that what only looks at links uses none up. */
function enter() {
  const [code, ...approval] = location.hash.slice(1).split('.');
  const to = approval.length ? `${PLACE}/${approval.join('.')}` : PLACE;
  // It goes no further than here: neither into the history nor to anybody who looks over a shoulder.
  history.replaceState(null, '', location.pathname);
  const button = el('button', { class: 'yes', type: 'button' }, 'Sign in');
  button.addEventListener('click', () => busy(button, async () => entered((await ask('enter', { code })).token, to)));
  page.show(
    'Sign in',
    el('h1', {}, 'Sign in'),
    el('p', {}, 'You opened a link of ', command('stead approvals open'), '. It signs this browser in as whoever made it. Go on only if that was you.'),
    el('p', {}, button),
  );
  button.focus();
}

/** An identity provider has sent the browser back. */
async function back() {
  const query = location.search;
  history.replaceState(null, '', location.pathname);
  page.show('Sign in', el('h1', {}, 'Signing in …'));
  const to = wanted();
  try {
    await entered((await ask('login/finish', { query })).token, to);
  } catch (error) {
    history.replaceState(null, '', to);
    await signedOut();
    throw error;
  }
}

async function who() {
  const me = await ask('me');
  page.me = me;
  const out = el('button', { type: 'button', class: 'quiet' }, 'Sign out');
  out.addEventListener('click', () =>
    busy(out, async () => {
      await ask('leave', {});
      await signedOut();
      page.say('You are signed out.');
    }),
  );
  document.getElementById('who').replaceChildren(el('span', {}, `${me.subject} · ${me.tenant}`), out);
}

async function route() {
  const what = location.pathname.slice(PLACE.length + 1);
  if (what === 'enter') return enter();
  if (what === 'callback') return back();
  if (!signed()) return signedOut();
  await who();
  for (const link of document.querySelectorAll('nav a')) {
    const current = link.getAttribute('href') === (what === 'passkeys' ? location.pathname : PLACE);
    if (current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (what === '') return approvals(page);
  if (what === 'passkeys') return passkeys(page, busy);
  return approval(page, busy, decodeURIComponent(what));
}

async function begin() {
  try {
    page.place = await ask('place');
    if (location.origin !== page.place.origin) {
      const there = page.place.origin + location.pathname;
      page.show('Elsewhere', el('h1', {}, 'This page is elsewhere'), el('p', {}, 'Open it at ', el('a', { href: there }, there), '.'));
      return;
    }
    await route();
  } catch (error) {
    await page.failed(error);
  }
}

begin();
