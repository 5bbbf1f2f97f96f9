import type { Lease } from '../http/contract.ts';
import { HallpassProblem } from './problem.ts';
import type { Credential, TaskHandle } from './task.ts';
import { waitFor } from './wait.ts';

/** What a kept task tells its owner. Times are milliseconds since the epoch, by this machine's clock. */
export type KeepEvent =
  /** Told once, until a beat is answered again. */
  | { readonly kind: 'beat-missed'; readonly error: unknown; readonly graceSeconds: number }
  | { readonly kind: 'beat-answered' }
  /** The broker has ended the task: nothing is kept any more. */
  | { readonly kind: 'task-ended'; readonly problem: HallpassProblem }
  /** The same secret lives longer. */
  | { readonly kind: 'renewed'; readonly credential: Credential; readonly expiresAt: number }
  /** The target cannot extend: a fresh credential stands in the place of `earlier`, which lapses. */
  | { readonly kind: 'replaced'; readonly credential: Credential; readonly earlier: Credential }
  /** It could not be renewed yet. Told once, until that succeeds. */
  | {
      readonly kind: 'renewal-late';
      readonly credential: Credential;
      readonly error: unknown;
      readonly expiresAt: number;
    }
  /** It will not live longer than this. */
  | {
      readonly kind: 'unrenewable';
      readonly credential: Credential;
      readonly problem: HallpassProblem;
      readonly expiresAt: number;
    }
  | { readonly kind: 'expired'; readonly credential: Credential };

export interface KeepOptions {
  /** What each renewal asks for; the grant's default when left out. */
  readonly ttlSeconds?: number;
  /** Only beats: every credential ends when it would. */
  readonly renewals?: boolean;
  /** Where a target cannot extend, the credential ends: for a holder who could not use a fresh one. */
  readonly replacements?: boolean;
  readonly on?: (event: KeepEvent) => void;
  readonly now?: () => number;
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** From 0 to 1. */
  readonly random?: () => number;
}

/** A task that is kept alive. Stopping leaves the task as it is. */
export interface Kept extends AsyncDisposable {
  /** Cuts whatever is under way and resolves when nothing is. */
  stop(): Promise<void>;
}

/** A beat that was not answered is tried again sooner than the next would come. */
const BEAT_RETRY_MS = 2_000;
/** A renewal comes when this part of the lifetime has passed, and up to `JITTER` of it later: fleets do not march in step. */
const RENEW_AFTER = 0.6;
const JITTER = 0.1;
/** Between attempts to renew. */
const SHORTEST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** The clock is looked at this often: a machine that slept notices soon after it wakes. */
const LONGEST_SLEEP_MS = 30_000;
/** One call, where the lifetime does not bound it more tightly. */
const CALL_TIMEOUT_MS = 30_000;

interface Keeping extends Required<Pick<KeepOptions, 'on' | 'now' | 'sleep' | 'random'>> {
  readonly task: TaskHandle;
  readonly ttlSeconds: number | undefined;
  readonly replacements: boolean;
  readonly signal: AbortSignal;
  /** What our clock lacks to the broker's, in milliseconds: expiries are told by the broker's. */
  readonly skewMs: number;
}

/**
 * Keeps a task alive until it is stopped: beats at a third of its grace, and renews each credential before it expires.
 * A broker that is away is tried again and again, until the credentials' end. Never rejects.
 */
export function keepTask(task: TaskHandle, options: KeepOptions = {}): Kept {
  const stopping = new AbortController();
  const { on = () => {}, now = Date.now, sleep = waitFor, random = Math.random } = options;
  const keeping: Keeping = {
    task,
    ttlSeconds: options.ttlSeconds,
    replacements: options.replacements !== false,
    signal: stopping.signal,
    on: (event) => {
      if (event.kind === 'task-ended') {
        if (stopping.signal.aborted) return;
        stopping.abort();
      }
      on(event);
    },
    now,
    sleep,
    random,
    skewMs: skewOf(task, now()),
  };
  const loops = [
    keepBeating(keeping),
    ...(options.renewals === false ? [] : task.current.map(({ name }) => keepRenewing(keeping, name))),
  ];
  const stop = async () => {
    stopping.abort();
    await Promise.all(loops);
  };
  return { stop, [Symbol.asyncDispose]: stop };
}

/** What our clock lacks to the broker's, in milliseconds: the newest instant that it stated is an answer's way old at most. */
export function skewOf(task: TaskHandle, now: number): number {
  const stated = task.credentials.map(({ lease }) => Date.parse(lease.issued_at ?? lease.created_at));
  return Math.max(Date.parse(task.task.opened_at), ...stated) - now;
}

async function keepBeating({ task, signal, on, sleep }: Keeping): Promise<void> {
  const graceSeconds = task.task.heartbeat_seconds;
  if (graceSeconds === null) return;
  // Whole, as AbortSignal.timeout() wants it.
  const intervalMs = Math.floor((graceSeconds * 1000) / 3);
  let away = false;
  let waitMs = intervalMs;
  while (await slept(sleep, waitMs, signal)) {
    try {
      // A beat that hangs must not cost the next one.
      await task.heartbeat(AbortSignal.any([signal, AbortSignal.timeout(intervalMs)]));
      if (away) on({ kind: 'beat-answered' });
      away = false;
      waitMs = intervalMs;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof HallpassProblem && endsTask(error)) {
        on({ kind: 'task-ended', problem: error });
        return;
      }
      if (!away) on({ kind: 'beat-missed', error, graceSeconds });
      away = true;
      waitMs = Math.min(BEAT_RETRY_MS, intervalMs);
    }
  }
}

function endsTask({ code }: HallpassProblem): boolean {
  return (
    code === 'task-ended' || code === 'not-found' || code === 'unauthenticated' || code === 'not-allowed'
  );
}

/** Renews one credential again and again. */
async function keepRenewing(keeping: Keeping, name: string): Promise<void> {
  const { task, signal, on, now, random } = keeping;
  for (;;) {
    const credential = task.current.find((one) => one.name === name);
    if (!credential) return;
    const expiresAt = Date.parse(credential.lease.expires_at) - keeping.skewMs;
    const lifetime = expiresAt - now();
    const dueAt = now() + lifetime * (RENEW_AFTER + JITTER * random());
    if (!(await sleptUntil(keeping, dueAt))) return;
    const outcome = await renewInTime(keeping, credential, expiresAt);
    if (outcome === 'done' || signal.aborted) return;
    if (outcome === 'expired') {
      on({ kind: 'expired', credential });
      return;
    }
  }
}

/** Tries until it is renewed, until it cannot be, or until it has expired. */
async function renewInTime(
  keeping: Keeping,
  credential: Credential,
  expiresAt: number,
): Promise<'renewed' | 'expired' | 'done'> {
  const { signal, on, now, sleep } = keeping;
  for (let late = false; ; ) {
    const left = expiresAt - now();
    if (left <= 0) return 'expired';
    try {
      const cut = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(Math.min(left, CALL_TIMEOUT_MS)))]);
      const renewed = await renewOrReplace(keeping, credential, cut);
      tellRenewal(keeping, renewed, credential);
      // An unchanged expiry is an answer too; asking again at once would not change it.
      if (renewed.lease.expires_at !== credential.lease.expires_at) return 'renewed';
    } catch (error) {
      if (signal.aborted) return 'done';
      if (error instanceof HallpassProblem && isRefusal(error)) {
        if (error.code === 'task-ended') on({ kind: 'task-ended', problem: error });
        else on({ kind: 'unrenewable', credential, problem: error, expiresAt });
        if (error.code === 'task-ended') return 'done';
        if (error.code === 'lease-ended') return 'expired';
        return (await sleptUntil(keeping, expiresAt)) ? 'expired' : 'done';
      }
      if (!late) on({ kind: 'renewal-late', credential, error, expiresAt });
      late = true;
    }
    const wait = Math.max(SHORTEST_RETRY_MS, Math.min((expiresAt - now()) / 4, LONGEST_RETRY_MS));
    if (!(await slept(sleep, wait, signal))) return 'done';
  }
}

function tellRenewal({ on, skewMs }: Keeping, renewed: Credential, earlier: Credential): void {
  if (renewed.lease.id !== earlier.lease.id) on({ kind: 'replaced', credential: renewed, earlier });
  else if (renewed.lease.expires_at !== earlier.lease.expires_at)
    on({ kind: 'renewed', credential: renewed, expiresAt: Date.parse(renewed.lease.expires_at) - skewMs });
}

/** The same credential with a later expiry, or a fresh one where the target cannot extend. */
async function renewOrReplace(
  { task, ttlSeconds, replacements }: Keeping,
  credential: Credential,
  cut: AbortSignal,
): Promise<Credential> {
  try {
    return await task.renewCredential(credential, ttlSeconds, cut);
  } catch (error) {
    if (!(error instanceof HallpassProblem) || error.code !== 'cannot-renew') throw error;
    // At its cap a credential has had its time: a fresh one would only go round the grant.
    if (!replacements || isAtCap(credential.lease)) throw error;
    const request = { credentials: [credential.name] };
    const ttl = ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds };
    const [fresh] = await task.addCredentials({ ...request, ...ttl }, cut);
    if (!fresh) throw error;
    return fresh;
  }
}

function isAtCap({ expires_at, cap_at }: Lease): boolean {
  return Date.parse(expires_at) >= Date.parse(cap_at);
}

/** The broker has decided: asking again would not change it. */
function isRefusal({ code }: HallpassProblem): boolean {
  switch (code) {
    case 'cannot-renew':
    case 'task-ended':
    case 'lease-ended':
    case 'not-found':
    case 'not-allowed':
    case 'unauthenticated':
    case 'invalid-request':
      return true;
    default:
      return false;
  }
}

async function sleptUntil({ now, sleep, signal }: Keeping, at: number): Promise<boolean> {
  for (let left = at - now(); left > 0; left = at - now())
    if (!(await slept(sleep, Math.min(left, LONGEST_SLEEP_MS), signal))) return false;
  return !signal.aborted;
}

async function slept(sleep: Keeping['sleep'], ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, signal);
    return !signal.aborted;
  } catch {
    return false;
  }
}
