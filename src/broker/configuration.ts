import { type RememberedApproval, rememberedApproval, weakenings } from '../approvals/weakened.ts';
import type { NewEvent } from '../audit/event.ts';
import { digestJson, type Json } from '../json.ts';
import {
  type ConfigurationDigests,
  configurationEvent,
  readConfiguration,
  storeConfiguration,
} from '../store/configuration.ts';
import type { Broker } from './broker.ts';

type Remembered = Readonly<Record<string, RememberedApproval>>;

/**
 * Says in the log what the configuration changed, before anything is decided by it; and aloud, in an event of its own
 * for each grant, where less approval is asked than before.
 */
export async function logConfiguration(broker: Broker, digests: ConfigurationDigests): Promise<void> {
  const { database, committer, runtime } = broker;
  const before = await readConfiguration(database);
  const changed = configurationEvent(before, digests);
  const known = (before?.approvals ?? {}) as unknown as Remembered;
  const { events, remembered } = compare(broker, known);
  const approvals = remembered as unknown as Json;
  if (changed !== null || events.length > 0)
    await committer.commit({ events: [...(changed === null ? [] : [changed]), ...events] });
  for (const event of events)
    broker.log.warn({ grant: event.about.grant, how: event.data.how }, 'approval was weakened');
  if (changed !== null || digestJson(approvals) !== digestJson(before?.approvals ?? null))
    await storeConfiguration(database, { ...digests, approvals }, runtime.now());
}

type Weakened = Extract<NewEvent, { readonly kind: 'approval.weakened' }>;

/**
 * What a grant asked for is remembered beyond the grant: one that goes, and later comes back without approval, is told
 * like one that was changed.
 */
function compare(
  { grants }: Broker,
  known: Remembered,
): { readonly events: readonly Weakened[]; readonly remembered: Remembered } {
  const remembered: Record<string, RememberedApproval> = { ...known };
  const events: Weakened[] = [];
  for (const [name, grant] of grants) {
    const after = rememberedApproval(grant);
    const before = Object.hasOwn(known, name) ? known[name] : undefined;
    if (after === null) delete remembered[name];
    else remembered[name] = after;
    const how = before === undefined ? [] : weakenings(before, after);
    if (before === undefined || how.length === 0) continue;
    const data = { how, before: before as unknown as Json, after: after as unknown as Json };
    events.push({ kind: 'approval.weakened', actor: { kind: 'system' }, about: { grant: name }, data });
  }
  return { events, remembered };
}
