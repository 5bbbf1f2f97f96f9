/** The checks of addresses that the configuration or an issuer's discovery document names. Pure. */

/** What is wrong with an issuer identifier (OpenID Connect Discovery, section 3), or null. */
export function issuerFault(text: string, allowInsecureHttp: boolean): string | null {
  if (/[?#]/.test(text))
    return 'Cannot use the URL as an issuer: it has a query or a fragment; leave them out';
  return httpUrlFault(text, allowInsecureHttp);
}

/** What keeps us from fetching a URL: only https will do, or http from this very machine where that is allowed. */
export function httpUrlFault(text: string, allowInsecureHttp: boolean): string | null {
  if (!URL.canParse(text)) return 'Cannot use the value: it is not a URL; write https://HOST/PATH';
  const url = new URL(text);
  if (url.username !== '' || url.password !== '')
    return 'Cannot use the URL: it holds a user name; leave it out';
  if (url.protocol === 'https:') return null;
  if (url.protocol !== 'http:') return 'Cannot use the URL: it is not https';
  if (!isLoopback(url.hostname))
    return 'Cannot use http: anyone on the way could change the keys; write https';
  return allowInsecureHttp
    ? null
    : 'Cannot use http: write https, or set allow_insecure_http for a test on loopback';
}

/** Where an issuer's discovery document is (OpenID Connect Discovery, section 4.1). */
export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
}

/** What keeps us from following the `jwks_uri` that an issuer announces: it must stay on the host that we were told of. */
export function announcedUrlFault(text: string, issuer: string, allowInsecureHttp: boolean): string | null {
  const fault = httpUrlFault(text, allowInsecureHttp);
  if (fault) return fault;
  const [url, home] = [new URL(text), new URL(issuer)];
  if (url.host === home.host && url.protocol === home.protocol) return null;
  return `Cannot follow it to ${JSON.stringify(url.host)}: the issuer is at "${home.host}"; set jwks_uri if that is right`;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
