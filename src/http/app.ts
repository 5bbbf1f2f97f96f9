import { OpenAPIHono } from '@hono/zod-openapi';
import type { Logger } from 'pino';
import type { KitVerbs } from '../broker/kits.ts';
import type { LogVerbs } from '../broker/log.ts';
import type { Verbs } from '../broker/verbs.ts';
import type { SlackDesk } from '../notify/slack/desk.ts';
import type { Runtime } from '../runtime.ts';
import type { SignalDesk } from '../signals/receive.ts';
import type { Border } from './endpoint.ts';
import type { HttpLimits } from './limits.ts';
import { createRequestIds, type HttpEnv, type HttpMetrics, observed, problemResponse } from './observe.ts';
import { addRequestPages } from './people/requests.ts';
import { addSignInRoutes } from './people/sign-in.ts';
import { createSite, type People } from './people/site.ts';
import { createRateBound } from './rate.ts';
import { addAuditRoutes } from './routes/audit.ts';
import { addGrantRoutes } from './routes/grants.ts';
import { addIssuerRoutes, type PublishedIssuer } from './routes/issuer.ts';
import { addKillRoutes } from './routes/kills.ts';
import { addKitRoutes } from './routes/kits.ts';
import { addLeaseRoutes } from './routes/leases.ts';
import { addLogRoutes } from './routes/log.ts';
import { addOAuthRoutes } from './routes/oauth.ts';
import { addRequestRoutes } from './routes/requests.ts';
import { addReviewRoutes } from './routes/reviews.ts';
import { addSignInDiscovery, type CommandLineSignIn } from './routes/sign-in.ts';
import { addSignalRoutes } from './routes/signals.ts';
import { addSlackRoutes } from './routes/slack.ts';
import { addSystemRoutes, type Readiness } from './routes/system.ts';
import { addTaskGrantRoutes } from './routes/task-grants.ts';
import { addTaskRoutes } from './routes/tasks.ts';
import { addTrailRoutes } from './routes/trails.ts';
import { createShedder } from './shed.ts';

export interface AppOptions {
  readonly verbs: Verbs;
  readonly runtime: Runtime;
  readonly limits: HttpLimits;
  /** Where clients reach the broker, without a slash at the end. */
  readonly url: string;
  readonly log: Logger;
  readonly metrics: HttpMetrics;
  /** What is wrong with this process's clock, or null: then no caller is heard, since nothing can be told by it. */
  readonly clockFault?: () => Promise<string | null>;
  /** How long the store takes for a statement of late, in milliseconds: where that is long, those are sent away who would begin something. */
  readonly statementMs?: () => number;
  /** Asked by `/readyz`. */
  readonly ready: () => Promise<Readiness>;
  readonly version: string;
  /** The log as other people's tools read it; without it those routes are not there. */
  readonly transparency?: LogVerbs;
  /** What came of kits that were opened without a broker; without it those routes are not there. */
  readonly kits?: KitVerbs;
  /** The broker as an issuer, where it has signing keys. */
  readonly issuer?: PublishedIssuer;
  /** What takes clicks in Slack, where a channel has buttons. */
  readonly slack?: SlackDesk;
  /** What takes signals, where somebody may send any. */
  readonly signals?: SignalDesk;
  /** Where people sign in at the command line. */
  readonly commandLine?: CommandLineSignIn;
  /** Pages for people, who sign in with a browser. */
  readonly people?: People;
}

export type App = OpenAPIHono<HttpEnv>;

/** The whole HTTP border. It holds nothing between requests but the rate bounds. */
export function createApp({
  verbs,
  runtime,
  limits,
  url,
  log,
  metrics,
  clockFault = async () => null,
  statementMs = () => 0,
  ready,
  version,
  transparency,
  kits,
  issuer,
  slack,
  signals,
  commandLine,
  people,
}: AppOptions): App {
  const app: App = new OpenAPIHono<HttpEnv>();
  const border: Border = {
    app,
    verbs,
    runtime,
    requestIds: createRequestIds(runtime),
    limits,
    url,
    log,
    metrics,
    clockFault,
    sheds: createShedder(statementMs),
    perAddress: createRateBound(limits.perAddress, limits.maxRateKeys),
    perCaller: createRateBound(limits.perCaller, limits.maxRateKeys),
    inFlight: { requests: 0, mints: 0 },
  };
  addTaskRoutes(border);
  addLeaseRoutes(border);
  addGrantRoutes(border);
  addTaskGrantRoutes(border);
  addReviewRoutes(border);
  addRequestRoutes(border);
  addKillRoutes(border);
  addAuditRoutes(border);
  addTrailRoutes(border);
  if (transparency !== undefined) addLogRoutes(border, transparency);
  if (kits !== undefined) addKitRoutes(border, kits);
  addOAuthRoutes(border);
  if (slack) addSlackRoutes(border, slack);
  if (signals) addSignalRoutes(border, signals);
  addSystemRoutes({ ...border, version, ready });
  if (issuer) addIssuerRoutes({ ...border, version, ready }, issuer);
  if (commandLine) addSignInDiscovery({ ...border, version, ready }, commandLine);
  if (people) {
    const site = createSite(border, people);
    addSignInRoutes(site);
    addRequestPages(site);
  }
  const noSuchRoute = observed(border, 'none', (_c, exchange) =>
    problemResponse({ code: 'not-found', detail: 'No such route: see /openapi.json' }, exchange),
  );
  app.notFound(noSuchRoute);
  return app;
}
