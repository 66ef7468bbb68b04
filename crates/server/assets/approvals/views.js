// The views: approvals that wait, one approval, passkeys.

import { explained, make, random, receipt } from './passkey.js';
import { ask } from './server.js';
import { agreed, instant, statement, visible } from './statement.js';

/** An element. What is in it is text or elements, never HTML. */
export function el(name, attributes, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...inside.filter((part) => part !== null && part !== undefined));
  return element;
}

const REASONS = {
  manifest: 'the agent’s manifest asks for it',
  equal_unknown: 'an equal call has an unknown outcome',
  outcome_unknown: 'its own outcome is unknown',
  restored: 'the run was restored from a backup',
  policy: 'gates of policies ask for it',
  budget: 'a limit is reached',
  delegation: 'the time is over in which the run may work on a person’s behalf',
};

/** What an approval is called. */
function named(a) {
  if (a.reason === 'delegation') return 'May the run go on?';
  return a.question ? 'A limit is reached' : visible(a.tool);
}

const cut = (text, length) => (Array.from(text).length > length ? `${Array.from(text).slice(0, length).join('')}…` : text);
const time = (at) => String(at).replace(/[.]\d+Z$/, 'Z');

function ago(at) {
  const seconds = Math.max(0, (Date.now() - Date.parse(at)) / 1000);
  if (seconds < 90) return 'just now';
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} d ago`;
}

/** The approvals that wait. */
export async function approvals(page, watching = false) {
  const { items, next } = await ask('approvals?limit=100', undefined, { watching });
  const card = (a) => {
    const title = el('a', { href: `/approvals/${a.id}` }, named(a));
    const what = cut(visible(a.question ?? a.arguments), 240);
    const given = a.given?.length ? ` · yes: ${a.given.map(visible).join(', ')}` : '';
    return el(
      'li',
      { class: 'card' },
      el('h2', {}, title),
      el('p', { class: 'what' }, what),
      el('p', { class: 'faint' }, `${visible(a.agent)} · asked ${ago(a.since)}${a.expires ? ` · until ${time(a.expires)}` : ''}${given}`),
    );
  };
  const none = el('p', { class: 'empty' }, 'Nothing waits for an answer.');
  page.show(
    'Approvals',
    el('h1', {}, 'Approvals'),
    items.length ? el('ul', { class: 'cards' }, ...items.map(card)) : none,
    next ? el('p', { class: 'faint' }, 'There are more; these were asked last.') : null,
  );
  page.again(() => approvals(page, true), 10);
}

/** The text that is shown and hashed: what these elements hold, together, is that text. */
function sheet(rows) {
  const row = ([name, value]) => {
    const beware = name.startsWith('BEWARE');
    return el('span', { class: beware ? 'row beware' : name.trim() === '' ? 'row more' : 'row' }, el('span', { class: 'name' }, name), el('span', { class: 'value' }, `${value}\n`));
  };
  return el('pre', { id: 'shown', tabindex: '0', 'aria-label': 'What you are asked' }, ...rows.map(row));
}

/** The rows of a question that nobody signs. */
function plain(a) {
  const rows = a.question
    ? [['question', a.question], ['agent', a.agent]]
    : [['tool', a.tool], ['arguments', a.arguments], ['agent', a.agent], ['asked because', REASONS[a.reason] ?? a.reason]];
  rows.push(['no answer', a.expires ? `counts as a denial after ${time(a.expires)}` : 'this is asked until somebody answers']);
  return rows.map(([name, value]) => [name.padEnd(18), visible(value)]);
}

function standing(found) {
  const said = found.answers.map((a) => `${visible(a.subject)} ${a.approved ? 'approved' : 'denied'} ${a.page ? 'on a page of this server' : 'with a program of their own'}`);
  const unsigned = (found.approval?.given ?? []).filter((name) => !found.answers.some((a) => a.subject === name));
  said.push(...unsigned.map((name) => `${visible(name)} approved`));
  const both = found.approval?.gates?.some((gate) => gate.channels);
  const pages = found.answers.map((a) => a.page);
  const missing = both && pages.length > 0 && new Set(pages).size < 2;
  return el(
    'section',
    { 'aria-labelledby': 'standing' },
    el('h2', { id: 'standing' }, 'Answers so far'),
    said.length ? el('ul', {}, ...said.map((line) => el('li', {}, line))) : el('p', { class: 'faint' }, 'Nobody has answered.'),
    missing ? el('p', {}, `It is asked for over two channels; what is missing is an answer ${pages[0] ? 'with a program of a signer’s own' : 'on this page'}.`) : null,
  );
}

/** One approval. */
export async function approval(page, busy, id) {
  const found = await ask(`approvals/${encodeURIComponent(id)}`);
  const question = found.question === null ? null : JSON.parse(found.question);
  if (question && `${question.run}.e${question.step}` !== id) throw new Error('The server tells the question of another approval. Nothing is signed.');
  const shown = question ? sheet(agreed(question, found.shown)) : found.approval ? sheet(plain(found.approval)) : null;
  if (!shown) throw new Error('Nobody is asked this. It may be answered, or its time is over.');
  const title = question ? visible(question.action.tool) : named(found.approval);
  const parts = [el('p', { class: 'faint' }, el('a', { href: '/approvals' }, '← Approvals')), el('h1', {}, found.open ? `May ${visible(found.approval.agent)} do this?` : title)];
  if (shown.querySelector('.beware')) parts.push(el('p', { class: 'warning' }, 'Something in this can be missed. Read what is marked BEWARE.'));
  parts.push(shown);
  if (question) parts.push(standing(found));
  if (found.open) parts.push(...answering(page, busy, id, found, question, shown));
  else parts.push(el('p', { class: 'closed' }, `It is answered, or its time is over. The run is ${found.status}.`));
  page.show(title, ...parts);
}

function answering(page, busy, id, found, question, shown) {
  const own = page.me.passkeys.filter((known) => known.here && known.revoked === null);
  const signs = question !== null && own.length > 0;
  const note = el('textarea', { id: 'note', rows: '2', maxlength: '4000', 'aria-describedby': 'note-help' });
  const keys = el('select', { id: 'key' }, ...own.map((known) => el('option', { value: known.id }, `${known.id.slice(0, 19)}… since ${instant(known.since).slice(0, 10)}`)));
  const last = localStorage.getItem('stead-page-key');
  if (own.some((known) => known.id === last)) keys.value = last;
  const yes = el('button', { class: 'yes', type: 'button' }, signs ? 'Approve with passkey' : 'Approve');
  const no = el('button', { class: 'no', type: 'button' }, 'Deny');
  const may = page.me.rights.includes('approve');
  const locks = { yes: !may || (found.signed && !signs), no: !may };
  // One answer at a time, whichever button is pressed.
  const both = {
    working: false,
    get disabled() {
      return this.working;
    },
    set disabled(working) {
      this.working = working;
      yes.disabled = working || locks.yes;
      no.disabled = working || locks.no;
    },
  };
  both.disabled = false;
  const answer = async (approved) => {
    const said = note.value.trim() === '' ? {} : { note: note.value.trim() };
    if (approved && signs) said.receipt = await signed(page, own.find((known) => known.id === keys.value), found, question, shown);
    await ask(`approvals/${encodeURIComponent(id)}/${approved ? 'approve' : 'deny'}`, said);
    await approval(page, busy, id);
    const open = document.getElementById('note') !== null;
    page.say(!approved ? 'Denied.' : open ? 'Your answer is taken. More is asked for: look above.' : 'Approved.');
    document.getElementById('main').focus();
  };
  for (const button of [yes, no]) {
    button.addEventListener('click', () => busy(both, () => answer(button === yes)));
  }
  let why = null;
  if (!may) why = 'You may look at this, and not answer it.';
  else if (found.signed && !signs) why = el('span', {}, 'A yes to this takes a signature, and you have no passkey for this page. ', el('a', { href: '/approvals/passkeys' }, 'Make one'), ', or sign with a key of your own: ', el('code', {}, `stead approvals approve ${id} --ssh-key FILE`), '.');
  else if (!signs) why = 'This takes no signature.';
  return [
    el('h2', {}, 'Your answer'),
    el('p', {}, el('label', { for: 'note' }, 'Note'), note, el('span', { class: 'faint', id: 'note-help' }, 'Kept in the journal. With a denial the model reads it.')),
    own.length > 1 && signs ? el('p', {}, el('label', { for: 'key' }, 'Passkey'), keys) : null,
    why ? el('p', {}, why) : null,
    el('p', { class: 'buttons' }, yes, no),
  ];
}

/** Signs what is on the page now: the text is taken from there. */
async function signed(page, known, found, question, shown) {
  const { issuer, subject } = page.me;
  const text = await statement(question, shown.textContent, { approved: true, issuer, subject, key: known.id, now: found.now, nonce: random(16) });
  const verify = question.gates.some((gate) => gate.verified);
  try {
    const made = await receipt(text, known.key, page.place, known.credential, verify);
    localStorage.setItem('stead-page-key', known.id);
    return made;
  } catch (error) {
    throw new Error(explained(error), { cause: error });
  }
}

/** The passkeys of who is signed in, and another one. */
export async function passkeys(page, busy) {
  const { me } = page;
  const state = (known) => (known.revoked !== null ? `revoked ${instant(known.revoked)}` : known.here ? 'signs on this page' : 'made for another page');
  const key = (known) => el('li', { class: 'card' }, el('code', {}, known.id), el('p', { class: 'faint' }, `${state(known)} · since ${instant(known.since).slice(0, 10)}`));
  const button = el('button', { class: 'yes', type: 'button' }, 'Make a passkey');
  const out = el('div', { id: 'made' });
  button.addEventListener('click', () =>
    busy(button, async () => {
      const made = await make(me, page.place).catch((error) => {
        throw new Error(explained(error), { cause: error });
      });
      await ask('passkeys', { request: made.request });
      out.replaceChildren(...next(me, made.id, made.request).filter((part) => part !== null));
      page.say('The passkey is made. It counts once it is enrolled.');
    }),
  );
  button.disabled = !me.directory;
  const waiting = me.waiting.map((id) => el('li', { class: 'card' }, el('code', {}, id), el('p', { class: 'faint' }, 'waits to be enrolled')));
  page.show(
    'Passkeys',
    el('h1', {}, 'Passkeys'),
    me.passkeys.length + waiting.length ? el('ul', { class: 'cards' }, ...me.passkeys.map(key), ...waiting) : el('p', { class: 'empty' }, `${me.subject} has none yet.`),
    el('h2', {}, 'Another one'),
    el('p', {}, me.directory ? 'It is made on this device, or on a phone or security key, and signs on this page alone. You touch it twice: to make it, and to show that you have it.' : 'This tenant has no directory of approvers yet: `stead init` makes its root.'),
    el('p', {}, button),
    out,
  );
}

/** What follows when a passkey is made. */
function next(me, id, request) {
  const command = me.personal ? `stead approvals keys enrol ${id}` : `stead approvals keys enrol ${id} --role ROLE --sign-with KEY --sign-with KEY`;
  const file = URL.createObjectURL(new Blob([`${request}\n`], { type: 'application/json' }));
  const name = `${me.subject.replaceAll(/[^A-Za-z0-9@._-]/g, '_')}.passkey`;
  return [
    el('h2', {}, 'Now it is enrolled'),
    el('p', {}, me.personal ? 'Run this where the data folder is:' : 'By the holders of the root, or two approvers. Tell them this fingerprint by a way of your own, for they sign that it is yours:'),
    me.personal ? null : el('p', {}, el('code', { class: 'command' }, id)),
    el('p', {}, el('code', { class: 'command', id: 'enrol' }, command)),
    el('p', {}, el('a', { href: file, download: name }, 'Save the request as a file'), ' for those who have no network; the server keeps it for a day, until it ends.'),
  ];
}

