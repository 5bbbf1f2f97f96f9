import { SERVICE_AUDIENCE } from './service.ts';

export interface Places {
  readonly url: string;
  readonly issuer: string;
  readonly warehouse: { readonly port: number };
  readonly service: number;
  readonly requestsPerSecond: number;
}

export const AUDIENCE = 'faults';

/** Leases of the grant `few` that may live at once. */
export const FEW = 12;

/** From a beat that is missed to the end. */
export const HEARTBEAT_SECONDS = 10;

/** For how long the credentials of the grant `short` live. Nothing beats for them. */
export const SHORT_TTL_SECONDS = 10;

/** The configuration that all replicas share. The files that it names lie beside it. */
export function configurationText({ url, issuer, warehouse, service, requestsPerSecond }: Places): string {
  const job = 'who: [{ issuer: ci, claims: { role: job } }]\n    tasks: [work, storm]';
  return `
broker:
  url: ${url}
  listen: 127.0.0.1:0
  limits:
    requests_per_second: ${requestsPerSecond}
    mint_timeout: 5s
    end_timeout: 5s
log: { level: info }
database: { url_file: database }
keys: { master_key_file: master }
audit: { log_key_file: log }
issuers:
  ci: { type: oidc, issuer: "${issuer}", audience: ${AUDIENCE}, allow_insecure_http: true }
targets:
  warehouse:
    provider: postgres
    host: 127.0.0.1
    port: ${warehouse.port}
    database: postgres
    username: hallpass
    password_file: warehouse
    insecure_plaintext: true
  service:
    provider: http
    url: http://127.0.0.1:${service}/hooks
    audience: ${SERVICE_AUDIENCE}
    extend: true
    inventory: true
    insecure_plaintext: true
grants:
  both:
    ${job}
    credentials:
      db: { target: warehouse, ttl: { default: 2m, max: 10m }, scope: { roles: [reader] } }
      api: { target: service, ttl: { default: 2m, max: 10m }, scope: { role: reader } }
    heartbeat: ${HEARTBEAT_SECONDS}s
  held:
    ${job}
    credentials:
      db: { target: warehouse, ttl: { default: 10m, max: 10m }, scope: { roles: [reader] } }
      api: { target: service, ttl: { default: 10m, max: 10m }, scope: { role: reader } }
  short:
    ${job}
    credentials:
      api: { target: service, ttl: { default: ${SHORT_TTL_SECONDS}s, max: 1m }, scope: { role: reader } }
  few:
    ${job}
    credentials:
      api: { target: service, ttl: { default: 1m, max: 10m }, scope: { role: reader } }
    heartbeat: ${HEARTBEAT_SECONDS}s
    limits: { live_leases: ${FEW} }
access:
  - { role: operator, issuer: ci, claims: { role: operator } }
  - { role: auditor, issuer: ci, claims: { role: operator } }
`;
}
