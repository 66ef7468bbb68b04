// Asking the server. A session is a cookie, which no script sees, and this half of it, which no other origin sees.

const HALF = 'stead-page-half';

/** What the server said in the place of an answer. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? `the server answered ${status}`);
    this.status = status;
    this.code = document.code ?? '';
    this.hint = document.hint ?? '';
  }
}

/** Keeps this browser's half of a session, or forgets it. */
export function keep(half) {
  if (half) localStorage.setItem(HALF, half);
  else localStorage.removeItem(HALF);
}

/** Whether this browser has signed in, as far as it knows. */
export const signed = () => localStorage.getItem(HALF) !== null;

/** Asks; with a body it does something. What nobody asked for, but a clock, keeps no session from ending. */
export async function ask(path, body, { watching = false } = {}) {
  const headers = { accept: 'application/json' };
  if (watching) headers['x-stead-watching'] = '1';
  const half = localStorage.getItem(HALF);
  if (half) headers['x-stead-page'] = half;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const answer = await fetch(`/approvals/api/${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials: 'same-origin',
    cache: 'no-store',
    redirect: 'error',
  });
  const text = await answer.text();
  let document = {};
  try {
    document = text ? JSON.parse(text) : {};
  } catch {
    // A proxy in between may answer with a page of its own.
  }
  if (!answer.ok) throw new Problem(answer.status, document);
  return document;
}
