// Making and using passkeys. Keys are told in the form of OpenSSH, as the directory of approvers has them.

import { canonical, challenge, sha256 } from './statement.js';

const TIMEOUT = 120_000;
const ES256 = -7;
const EDDSA = -8;
const encoder = new TextEncoder();

const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
export const base64url = (bytes) => base64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const unbase64url = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
export const random = (length) => crypto.getRandomValues(new Uint8Array(length));

/** Strings of SSH's wire (RFC 4251, section 5), one after the other. */
function wire(...strings) {
  const pieces = strings.map((string) => (typeof string === 'string' ? encoder.encode(string) : string));
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + 4 + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    new DataView(whole.buffer).setUint32(at, piece.length);
    whole.set(piece, at + 4);
    at += 4 + piece.length;
  }
  return whole;
}

/** A public key as OpenSSH writes it, of the SubjectPublicKeyInfo that a browser tells. */
async function openssh(spki, algorithm) {
  const bytes = new Uint8Array(spki);
  // The key itself is what such a document ends with (RFC 5480, section 2.2; RFC 8410, section 4).
  const point = algorithm === ES256 ? bytes.slice(-65) : bytes.slice(-32);
  const kind = algorithm === ES256 ? 'ecdsa-sha2-nistp256' : 'ssh-ed25519';
  const blob = algorithm === ES256 ? wire(kind, 'nistp256', point) : wire(kind, point);
  return { key: `${kind} ${base64(blob)}`, id: `SHA256:${base64(await sha256(blob)).replaceAll('=', '')}` };
}

/** Signs a text with one of these credentials; gives the receipt. */
export async function receipt(text, key, place, credential, verify) {
  const allowed = credential ? [{ type: 'public-key', id: unbase64url(credential) }] : [];
  const made = await navigator.credentials.get({
    publicKey: {
      challenge: await challenge(text),
      rpId: place.rp_id,
      allowCredentials: allowed,
      userVerification: verify ? 'required' : 'preferred',
      timeout: TIMEOUT,
    },
  });
  if (!made) throw new Error('No passkey was used.');
  const { authenticatorData, clientDataJSON, signature } = made.response;
  return canonical({
    stead: 'receipt/v1',
    statement: text,
    key,
    signature: {
      kind: 'webauthn',
      authenticator_data: base64url(authenticatorData),
      client_data: base64url(clientDataJSON),
      signature: base64url(signature),
    },
  });
}

/** Makes a passkey for a person, and the request to enrol it, which the new key signs. */
export async function make(me, place) {
  const made = await navigator.credentials.create({
    publicKey: {
      rp: { id: place.rp_id, name: `Stead on ${place.rp_id}` },
      user: {
        id: await sha256('stead-user-v1\0', canonical([me.tenant, me.issuer, me.subject])),
        name: me.subject,
        displayName: me.subject,
      },
      challenge: random(32),
      pubKeyCredParams: [{ type: 'public-key', alg: ES256 }, { type: 'public-key', alg: EDDSA }],
      authenticatorSelection: { residentKey: 'preferred', userVerification: 'required' },
      excludeCredentials: me.passkeys
        .filter((known) => known.credential && known.here && known.revoked === null)
        .map((known) => ({ type: 'public-key', id: unbase64url(known.credential) })),
      attestation: 'none',
      timeout: TIMEOUT,
    },
  });
  if (!made) throw new Error('No passkey was made.');
  const { key, id } = await openssh(made.response.getPublicKey(), made.response.getPublicKeyAlgorithm());
  const credential = base64url(made.rawId);
  const request = canonical({
    stead: 'passkey/v1',
    tenant: me.tenant,
    issuer: me.issuer,
    subject: me.subject,
    key,
    passkey: { rp_id: place.rp_id, origin: place.origin, credential },
    at: Math.floor(Date.now() / 1000),
  });
  return { id, request: await receipt(request, key, place, credential, true) };
}

/** What a browser says when it makes or uses none, in words. */
export function explained(error) {
  switch (error.name) {
    case 'NotAllowedError':
      return 'The passkey was not used: it was cancelled, took too long, or this device has not got it.';
    case 'InvalidStateError':
      return 'This device has a passkey of yours already.';
    case 'SecurityError':
      return 'The browser uses no passkeys at this address. Open the page at the address that the server names.';
    case 'NotSupportedError':
      return 'This device cannot make such a passkey.';
    default:
      return error.message;
  }
}
