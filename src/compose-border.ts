import type { Registry } from 'prom-client';
import type { Broker } from './broker/broker.ts';
import { createVerbs } from './broker/create-verbs.ts';
import { createKitVerbs } from './broker/kits.ts';
import { createLogVerbs } from './broker/log.ts';
import type { Config } from './config/config.ts';
import { type App, createApp } from './http/app.ts';
import { defaultHttpLimits, type HttpLimits, type Rate } from './http/limits.ts';
import { prometheusMetrics } from './http/metrics.ts';
import type { Issuer } from './issuer/issuer.ts';
import { desksOf } from './outward.ts';
import type { Sequencer } from './sequencer/sequencer.ts';
import { isReadOnly } from './store/installation.ts';

function httpLimits({ broker: { limits } }: Config): HttpLimits {
  const perSecond = limits.requestsPerSecond;
  return {
    ...defaultHttpLimits,
    maxBodyBytes: limits.bodyBytes ?? defaultHttpLimits.maxBodyBytes,
    ...(perSecond === undefined ? {} : { perCaller: rate(perSecond), perAddress: rate(perSecond * 5) }),
  };
}

function rate(perSecond: number): Rate {
  return { perSecond, burst: perSecond * 5 };
}

/** The border of a broker, with all that the configuration has it serve. */
export async function composeBorder(
  broker: Broker,
  issuer: Issuer | null,
  sequencer: Sequencer | null,
  config: Config,
  registry: Registry,
  version: string,
  stopping: AbortSignal,
): Promise<App> {
  const { runtime, log } = broker;
  const verbs = createVerbs(broker);
  return createApp({
    verbs,
    runtime,
    limits: httpLimits(config),
    url: config.broker.url,
    log,
    metrics: prometheusMetrics(registry),
    ready: () => readiness(broker, sequencer, stopping),
    clockFault: broker.clock.fault,
    statementMs: () => broker.database.statementMs,
    version,
    transparency: createLogVerbs(broker, config.audit.isPublic),
    kits: createKitVerbs(broker),
    ...(issuer === null ? {} : { issuer }),
    ...desksOf(broker, verbs, config),
    ...(await signInFor(config, broker)),
  });
}

/** What people sign in with, as the configuration has it. */
async function signInFor({ signIn }: Config, broker: Broker) {
  return signIn === null ? {} : (await import('./compose-sign-in.ts')).composeSignIn(signIn, broker);
}

/** Ready to issue: the store answers and takes writes, its clock agrees with ours, and its log is the one that we know. */
async function readiness(broker: Broker, sequencer: Sequencer | null, stopping: AbortSignal) {
  if (stopping.aborted) return { ready: false, reasons: ['stopping'] };
  if (sequencer?.fault)
    return { ready: false, reasons: [`the audit log is not what it was: ${sequencer.fault}`] };
  try {
    const reasons = [];
    const fault = await broker.clock.compare();
    if (fault !== null) reasons.push(fault);
    if (await isReadOnly(broker.database)) reasons.push('the store takes no writes');
    return { ready: reasons.length === 0, reasons };
  } catch {
    return { ready: false, reasons: ['the store does not answer'] };
  }
}
