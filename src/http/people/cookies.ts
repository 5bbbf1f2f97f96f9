import { createCipheriv, createDecipheriv, createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Runtime } from '../../runtime.ts';
import type { Flow } from '../../sign-in/identity-provider.ts';

/** How long somebody may take at the identity provider. */
export const FLOW_MS = 10 * 60_000;

/** The cookies of one broker, by its own URL. */
export interface Cookies {
  /** The value that a request's header has for one; null: none, or more than one, which somebody else planted. */
  read(header: string | undefined, which: 'session' | 'flow'): string | null;
  /** `Set-Cookie`. Without `maxAgeMs` the browser is told to forget it. */
  write(which: 'session' | 'flow', value?: string, maxAgeMs?: number): string;
}

/**
 * `__Host-` keeps other hosts of the domain from planting one (RFC 6265bis, section 4.1.3.2). Browsers take it over https
 * alone, so a broker on loopback without TLS does without. Lax, not Strict: people come here from links in messages, and
 * back from the provider; what changes something asks for more than a cookie.
 */
export function createCookies(url: string): Cookies {
  const secure = new URL(url).protocol === 'https:';
  const names = {
    session: `${secure ? '__Host-' : ''}hallpass-session`,
    flow: `${secure ? '__Host-' : ''}hallpass-sign-in`,
  };
  return {
    read(header, which) {
      const values = (header ?? '').split(';').flatMap((pair) => {
        const at = pair.indexOf('=');
        return at > 0 && pair.slice(0, at).trim() === names[which] ? [pair.slice(at + 1).trim()] : [];
      });
      return values.length === 1 ? (values[0] ?? null) : null;
    },
    write(which, value = '', maxAgeMs = 0) {
      const age = Math.max(0, Math.floor(maxAgeMs / 1000));
      return `${names[which]}=${value}; Path=/; Max-Age=${age}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
    },
  };
}

/** A sign-in that is under way, as the browser carries it for us. */
export interface PendingFlow extends Flow {
  /** Where the person wanted to go: a path of ours. */
  readonly returnTo: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
}

/** For the domain of the seal: what is sealed for something else does not open. */
const PURPOSE = Buffer.from('hallpass sign-in 1');

/** Seals a flow by a key of 32 bytes that all replicas share: nothing is stored for strangers, and no replica must be met twice. */
export function sealFlow(runtime: Runtime, key: Uint8Array, flow: PendingFlow): string {
  const iv = runtime.randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(PURPOSE);
  const sealed = [cipher.update(JSON.stringify(flow), 'utf8'), cipher.final(), cipher.getAuthTag()];
  return Buffer.concat([iv, ...sealed]).toString('base64url');
}

/** The flow, unless it is none of ours or its time is up. */
export function openFlow(key: Uint8Array, sealed: string, now: number): PendingFlow | null {
  const bytes = Buffer.from(sealed, 'base64url');
  if (bytes.length < 29) return null;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 })
      .setAAD(PURPOSE)
      .setAuthTag(bytes.subarray(-16));
    const text = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
    const flow = JSON.parse(text.toString('utf8')) as PendingFlow;
    return now < flow.until ? flow : null;
  } catch {
    return null;
  }
}

/** What a session's own pages put into their forms: it cannot be had without the session's token, nor give it away. */
export function formToken(sessionToken: string): string {
  return createHmac('sha256', sessionToken).update('hallpass form 1').digest('base64url');
}

export function isFormToken(sessionToken: string, given: string | undefined): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(formToken(sessionToken)));
}

/**
 * Whether a page of ours sent this: `Origin` names us, and the browser does not say otherwise (Fetch, section 3.1;
 * Fetch Metadata, section 2.2). A browser that sends neither is none that we support.
 */
export function isFromOurPage(
  headers: { readonly origin: string | undefined; readonly site: string | undefined },
  url: string,
): boolean {
  return (
    headers.origin === new URL(url).origin && (headers.site === undefined || headers.site === 'same-origin')
  );
}

/** Pages of ours that somebody may have been on the way to. Anything else, of ours or not, becomes the list. */
export function safeReturn(path: string | undefined): string {
  return path !== undefined && /^\/requests\/[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(path) ? path : '/requests';
}
