import type { KitVerbs } from '../../broker/kits.ts';
import { ok } from '../../result.ts';
import * as contract from '../contract.ts';
import { addEndpoint, type Border } from '../endpoint.ts';
import { kitJson } from '../rows.ts';

const tag = 'Kits';

export function addKitRoutes(border: Border, kits: KitVerbs): void {
  addEndpoint(border, {
    operation: 'registerKit',
    method: 'post',
    path: '/v1/kits',
    tag,
    summary: 'Make known a kit that opens grants while no broker can be reached. For operators',
    description: 'What the kit will do is believed by the key of its log, which is named here.',
    body: contract.registerKitRequest,
    answers: { 201: { description: 'Known', schema: contract.kitResponse } },
    problems: [],
    async serve({ caller, body }) {
      const made = await kits.register(caller, {
        id: body.id,
        logKey: body.log_key,
        threshold: body.threshold,
        holders: body.holders,
        grants: body.grants,
        expiresAt: Date.parse(body.expires_at),
      });
      return made.ok ? ok({ status: 201, json: { kit: kitJson(made.value) } }) : made;
    },
  });

  addEndpoint(border, {
    operation: 'replayKit',
    method: 'post',
    path: '/v1/kits/{id}/entries',
    tag,
    summary: 'Bring what a kit did into the log. For operators',
    description:
      'Each entry comes with the proof that it is in the log that the kit signed. Entries that came before change nothing; one that is not what was signed refuses them all.',
    body: contract.replayKitRequest,
    answers: { 200: { description: 'In the log', schema: contract.replayKitResponse } },
    problems: ['not-found'],
    async serve({ caller, id, body }) {
      const replayed = await kits.replay(caller, id, body.proofs);
      if (!replayed.ok) return replayed;
      const { replayed: count, known, codesReused } = replayed.value;
      return ok({ status: 200, json: { replayed: count, known, codes_reused: codesReused } });
    },
  });
}
