import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';

/**
 * Whether a request was written for this endpoint by a program of this machine: addressed to loopback by its number or
 * name, which a page that rebinds its own name is not, and neither forwarded nor sent by a browser.
 */
export function isLocal(request: IncomingMessage, port: number): boolean {
  const { host, origin } = request.headers;
  if (host !== `127.0.0.1:${port}` && host !== `localhost:${port}`) return false;
  const forwarded = ['x-forwarded-for', 'forwarded', 'x-forwarded-host'].some(
    (name) => request.headers[name] !== undefined,
  );
  return origin === undefined && !forwarded;
}

/** Compares in a time that tells nothing. */
export function isSame(given: string | undefined, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(expected));
}

/**
 * The user at the other end of a loopback connection, by the kernel's own table (proc(5), /proc/net/tcp); null where
 * there is no such table or no such connection. For protocols that cannot carry a proof.
 */
export function peerUser(remotePort: number | undefined, localPort: number): number | null {
  if (remotePort === undefined) return null;
  const hex = (port: number) => port.toString(16).toUpperCase().padStart(4, '0');
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of linesOf(file)) {
      const [, local = '', remote = '', , , , , uid] = line.trim().split(/\s+/);
      if (local.endsWith(`:${hex(remotePort)}`) && remote.endsWith(`0100007F:${hex(localPort)}`))
        return Number(uid);
    }
  }
  return null;
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(1);
  } catch {
    return [];
  }
}
