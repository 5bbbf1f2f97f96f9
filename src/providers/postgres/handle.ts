import { z } from 'zod';
import type { Json } from '../../json.ts';
import { type OwnedObjects, ownedObjectsSchema, type PostgresSettings } from './settings.ts';

const handleSchema = z.object({
  oid: z.string().regex(/^[0-9]{1,10}$/),
  owned_objects: ownedObjectsSchema,
  made_at: z.string().optional(),
});

/** How a lease ends, fixed when it was minted: a change of the settings does not change it. */
export interface EndPlan {
  /** The role's oid, if we know it: its sessions are found by it even when somebody else has dropped the role. */
  readonly oid: string | null;
  readonly ownedObjects: OwnedObjects;
  /** The address of the server where it was made; undefined where no handle says so. */
  readonly madeAt: string | undefined;
}

export function makeHandle(oid: string, settings: PostgresSettings) {
  return { oid, owned_objects: settings.owned_objects, made_at: addressOf(settings) };
}

/** The plan in a handle; without one (a mint that never answered, an orphan) today's settings decide. */
export function endPlan(handle: Json, settings: PostgresSettings): EndPlan {
  const parsed = handleSchema.safeParse(handle);
  return parsed.success
    ? {
        oid: parsed.data.oid,
        ownedObjects: parsed.data.owned_objects,
        madeAt: parsed.data.made_at,
      }
    : { oid: null, ownedObjects: settings.owned_objects, madeAt: undefined };
}

export function addressOf({ host, port }: PostgresSettings): string {
  return `${host}:${port}`;
}
