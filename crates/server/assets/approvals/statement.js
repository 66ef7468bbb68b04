// What is shown of a question and what is signed about it, made here from the question itself: the same texts, byte for byte, as the crate
// `stead-trust` makes (docs/approvals.md). Nothing in here touches the page or the network.

const encoder = new TextEncoder();
const MAX_LIFE = 31 * 24 * 3600 - 60;
const USUAL_LIFE = 24 * 3600;
const WIDTH = 18;

/** JSON in the canonical form of RFC 8785. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const members = Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`);
    return `{${members.join(',')}}`;
  }
  return JSON.stringify(value);
}

/** SHA-256 over texts and bytes, one after the other. */
export async function sha256(...parts) {
  const pieces = parts.map((part) => (typeof part === 'string' ? encoder.encode(part) : part));
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));

// Characters without a shape, those that turn the direction of writing, and what is nobody's letter.
const HIDDEN = [
  [0xad, 0xad], [0x34f, 0x34f], [0x61c, 0x61c], [0x115f, 0x1160], [0x17b4, 0x17b5], [0x180b, 0x180f], [0x200b, 0x200f], [0x202a, 0x202e],
  [0x2060, 0x206f], [0x2800, 0x2800], [0x3164, 0x3164], [0xd7b0, 0xd7ff], [0xe000, 0xf8ff], [0xfe00, 0xfe0f], [0xfeff, 0xfeff],
  [0xffa0, 0xffa0], [0xfff0, 0xfffb], [0x1bca0, 0x1bca3], [0x1d173, 0x1d17a], [0xe0000, 0x10ffff],
];

function isHidden(character) {
  const code = character.codePointAt(0);
  return /[\p{Cc}\p{White_Space}]/u.test(character) ? character !== ' ' : HIDDEN.some(([from, to]) => from <= code && code <= to);
}

/** A text in which nothing is hidden. */
export function visible(text) {
  return Array.from(text, (c) => (isHidden(c) ? `\\u{${c.codePointAt(0).toString(16)}}` : c)).join('');
}

/** A time, in seconds since 1970, as `2026-08-01T12:00:00Z`. */
export const instant = (seconds) => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');

const AFTER_A_CRASH = {
  pure: 'it is done again',
  contained: 'it is done again',
  keyed: 'it is done again under the same key',
  reconcilable: 'the destination is asked whether it was done',
};

function needs(gate) {
  const verified = gate.verified ? ', each verified by their authenticator' : '';
  const channels = gate.channels ? ', over two channels' : '';
  return `${gate.quorum} of ${gate.approvers.join(' or ')}${verified}${channels} (${gate.policy})`;
}

/** The rows of what is shown: each a name and a value. What could be missed is pointed out by the server, below them. */
export function rows(q) {
  const a = q.action;
  const all = [
    ['tool', a.tool],
    ['arguments', a.arguments],
    ['target', a.target.join(', ') || 'nothing that is known before'],
    ['on behalf of', (a.user || 'nobody') + a.callers.map((caller) => `, through ${caller}`).join('')],
    ['agent', `${a.agent} ${a.version}`],
    ['if it is cut off', Object.hasOwn(AFTER_A_CRASH, a.class) ? AFTER_A_CRASH[a.class] : 'it is not done again'],
    ['asked because', q.reason],
    ...q.why.map((why) => ['', why]),
    ...q.labels.map(([argument, said]) => [`${argument} comes from`, said]),
    ['cost', a.cost || 'not known before'],
    ['sandbox', a.environment || 'none'],
    ['workspace', a.workspace || 'none'],
    ['secrets', a.secrets.join(', ') || 'none'],
  ];
  if (q.preview) {
    const holds = q.preview.precondition;
    all.push(['preview', q.preview.text]);
    all.push(['', holds === null ? 'not binding: what is done may differ' : `done only while this holds: ${holds}`]);
  }
  for (const gate of q.gates) {
    all.push(['needs', needs(gate)]);
    all.push(...(gate.escalate ?? []).map(({ from, to }) => ['', `from ${instant(from)} on ${to} may answer that, too`]));
  }
  all.push(['people', String(Math.max(q.quorum, 1))]);
  all.push(['a denial', q.denial]);
  const until = q.expires === null ? 'this is asked until somebody answers' : `counts as a denial after ${instant(q.expires)}`;
  all.push(['no answer', until], ['asked', instant(q.asked)], ['run', `${q.run} step ${q.step} of tenant ${a.tenant}`]);
  return all.map(([name, value]) => [padded(visible(name)), visible(value)]);
}

const padded = (name) => name + ' '.repeat(Math.max(0, WIDTH - Array.from(name).length));
const BEWARE = padded('BEWARE');

/**
 * The rows of the text that the server shows, when it is the text of this question: what is made here, and below it nothing but what to
 * beware of.
 */
export function agreed(q, text) {
  const own = rows(q);
  const beginning = own.map(([name, value]) => `${name}${value}\n`).join('');
  const rest = text.startsWith(beginning) ? text.slice(beginning.length) : null;
  const notes = rest === null || rest === '' ? [] : rest.slice(0, -1).split('\n');
  const right = rest !== null && (rest === '' || rest.endsWith('\n')) && notes.every((note) => note.startsWith(BEWARE) && note === visible(note));
  if (!right) throw new Error('The server shows another text than the question has. Nothing is signed; tell the operator.');
  return [...own, ...notes.map((note) => [BEWARE, note.slice(BEWARE.length)])];
}

/** The statement about a question whose text was shown: what a passkey signs. */
export async function statement(q, shown, { approved, issuer, subject, key, now, nonce }) {
  agreed(q, shown);
  const expires = Math.min(q.expires ?? now + USUAL_LIFE, now + MAX_LIFE);
  return canonical({
    stead: 'approval/v1',
    decision: approved ? 'approve' : 'deny',
    tenant: q.action.tenant,
    run: q.run,
    step: q.step,
    request: q.request,
    action: hex(await sha256('stead-action-v1\0', unhex(q.salt), canonical(q.action))),
    policy_epoch: q.epoch,
    gates: q.gates,
    quorum: q.quorum,
    shown: hex(await sha256('stead-shown-v1\0', shown)),
    nonce: hex(nonce),
    expires,
    issuer,
    subject,
    key,
  });
}

/** What a passkey signs in the place of a text. */
export const challenge = (text) => sha256('stead-approval-v1\0', text);
