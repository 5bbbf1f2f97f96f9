import { randomBytes } from 'node:crypto';
import { type FakeSlack, startFakeSlack } from '../fakes/slack.ts';
import { buildWorld, foundation, type Identity, type Places, type World } from './world.ts';

/** The people of the incident, and the machines of the other one. */
export const ADA: Identity = { sub: 'ada', groups: ['oncall'] };
/** Ada's other account, by which she could approve and review, were it not hers. */
export const ADA_ADMIN: Identity = { sub: 'ada-admin', groups: ['oncall', 'leads'] };
export const BEN: Identity = { sub: 'ben', groups: ['oncall'] };
export const BEN_PHONE: Identity = { sub: 'ben-phone', groups: ['oncall'] };
export const CLEO: Identity = { sub: 'cleo', groups: ['oncall'] };
export const DORA: Identity = { sub: 'dora', groups: ['leads'] };
export const SECURITY: Identity = { sub: 'security', groups: ['security'] };
export const bot = (number: number): Identity => ({
  sub: `bot-${String(number).padStart(2, '0')}`,
  groups: ['bots'],
});

/** The ask of the incident. */
export const REPAIR = {
  grant: 'sales-emergency',
  task: 'incident-7',
  purpose: 'sales of the night are booked in the wrong region',
  ticket: 'INC-7',
};

/** The last instant of its credential, and from then until its review is due. */
export const TTL_SECONDS = 10;
const DUE_SECONDS = 1;

/** The warehouse of an incident, with people, a fake of Slack, and jobs beside them. */
export interface IncidentWorld extends World {
  readonly slack: FakeSlack;
  /** Sends to the broker what Slack, or whoever says that he is, would send; answers the status. */
  callback(sent: { readonly headers: Record<string, string>; readonly body: string }): Promise<number>;
}

export async function buildIncidentWorld(): Promise<IncidentWorld> {
  const secret = () => randomBytes(24).toString('hex');
  const slack = await startFakeSlack({ token: secret(), signingSecret: secret() }, Date.now);
  const world = await buildWorld((places) => yaml(places, slack));
  await world.owner.query(`
    create role sales_repair nologin;
    grant select, update on sales to sales_repair;
    grant sales_repair to hallpass with admin option`);
  return {
    ...world,
    slack,
    callback: async (sent) =>
      (await fetch(`${world.url}/slack/incidents`, { method: 'POST', ...sent })).status,
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await slack.close();
    },
  };
}

function yaml(places: Places, slack: FakeSlack): string {
  return `# A broker for one warehouse, for the night when all else fails.
${foundation(places, 'corp')}
people:
  - name: Ada
    identities: [{ issuer: corp, claims: { sub: [ada, ada-admin] } }]
  - name: Ben
    identities: [{ issuer: corp, claims: { sub: [ben, ben-phone] } }]

grants:
  sales-emergency:
    description: Repairs of the sales in an incident
    who: [{ issuer: corp, claims: { sub: [ada, ada-admin, ben] } }]
    tasks: [{ glob: "incident-*" }]
    ticket_pattern: "INC-*"
    break_glass:
      review:
        by: [{ issuer: corp, claims: { groups: { contains: leads } } }]
        due: ${DUE_SECONDS}s
    approval:
      stages:
        - from: [{ issuer: corp, claims: { groups: { contains: oncall } } }]
          approvals: 2
    credentials:
      db: { target: warehouse, ttl: { default: ${TTL_SECONDS}s, max: ${TTL_SECONDS}s }, scope: { roles: [sales_repair] } }
  sales-bots:
    who: [{ issuer: corp, claims: { groups: { contains: bots } } }]
    tasks: [{ glob: "batch-*" }]
    credentials:
      db: { target: warehouse, ttl: { default: 15m, max: 1h }, scope: { roles: [sales_reader] } }

notifications:
  - type: slack
    name: incidents
    token: { insecure_inline: ${slack.token} }
    channel: C0INCIDENTS
    signing_secret: { insecure_inline: ${slack.signingSecret} }
    api_url: ${slack.url}/api
    hooks_url: ${slack.url}
    users:
      U0ADA: { issuer: corp, subject: ada-admin, claims: { groups: [oncall, leads] } }
      U0CLEO: { issuer: corp, subject: cleo, claims: { groups: [oncall] } }

access:
  - { role: operator, issuer: corp, claims: { groups: { contains: security } } }
`;
}
