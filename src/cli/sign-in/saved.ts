import { lstatSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { sha256 } from '../../json.ts';
import { ensurePrivate } from '../agent/place.ts';
import { writeSecret } from '../exec/folder.ts';
import type { Io } from '../io.ts';

/** A sign-in at the command line, as it is kept: for one broker, and shown to no other. */
export interface SavedSignIn {
  readonly url: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly subject: string;
  /** A secret. */
  readonly idToken: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** A secret, if one was asked for. */
  readonly refreshToken?: string;
}

/** Where it is kept: it outlives a reboot, as a refresh token is asked for to do. */
export function signInPath(io: Io, url: string): string {
  const { env } = io;
  const state = env.XDG_STATE_HOME || join(env.HOME ?? homedir(), '.local', 'state');
  return join(state, 'hallpass', 'sign-in', `${sha256(new URL(url).href.replace(/\/+$/, ''))}.json`);
}

export function saveSignIn(io: Io, saved: SavedSignIn): void {
  const path = signInPath(io, saved.url);
  const folder = join(path, '..');
  ensurePrivate(join(folder, '..'));
  ensurePrivate(folder);
  writeSecret(path, JSON.stringify(saved));
}

/** The sign-in for this broker; null: there is none, or none that is ours alone. */
export function readSignIn(io: Io, url: string): SavedSignIn | null {
  if (!URL.canParse(url)) return null;
  const path = signInPath(io, url);
  const found = lstatSync(path, { throwIfNoEntry: false });
  const ours = found?.isFile() && found.uid === (process.getuid?.() ?? found.uid);
  if (!found || !ours || (found.mode & 0o077) !== 0) return null;
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as SavedSignIn;
  } catch {
    return null;
  }
}

export function removeSignIn(io: Io, url: string): void {
  rmSync(signInPath(io, url), { force: true });
}

/** Whose sign-in it is, for what is kept by person; null: nobody's. */
export function signedInAs(io: Io, url: string): string | null {
  const saved = readSignIn(io, url);
  return saved === null ? null : JSON.stringify([saved.issuer, saved.subject]);
}
