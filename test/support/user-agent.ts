/** What a browser does with cookies and redirects, without its pages: for tests that need to see and bend each step. */
export interface UserAgent {
  /** The jar, by origin and name. Bend it as an attacker would. */
  readonly cookies: Map<string, Map<string, string>>;
  /** One request. Origin and Fetch Metadata are a browser's for a form of the same origin; `headers` replace them. */
  send(
    url: string,
    init?: { form?: Record<string, string>; headers?: Record<string, string> },
  ): Promise<Response>;
  /** Goes where redirects lead, up to twenty, but not past an address that `until` holds for. */
  follow(
    url: string,
    until?: (url: URL) => boolean,
  ): Promise<{ readonly url: string; readonly response: Response; readonly body: string }>;
}

export function createUserAgent(fetch: typeof globalThis.fetch = globalThis.fetch): UserAgent {
  const cookies: UserAgent['cookies'] = new Map();

  async function send(
    url: string,
    { form, headers = {} }: { form?: Record<string, string>; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const { origin } = new URL(url);
    const jar = cookies.get(origin) ?? new Map<string, string>();
    cookies.set(origin, jar);
    const sent = {
      cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '),
      ...(form ? { origin, 'sec-fetch-site': 'same-origin' } : {}),
      ...headers,
    };
    const response = await fetch(url, {
      method: form ? 'POST' : 'GET',
      redirect: 'manual',
      headers: Object.fromEntries(Object.entries(sent).filter(([, value]) => value !== '')),
      ...(form ? { body: new URLSearchParams(form) } : {}),
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(';');
      const at = pair.indexOf('=');
      const gone = attributes.some((one) => /^\s*(max-age=0|expires=Thu, 01 Jan 1970)/i.test(one));
      if (gone) jar.delete(pair.slice(0, at));
      else jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return response;
  }

  return {
    cookies,
    send,
    async follow(start, until = () => false) {
      let url = start;
      for (let hops = 0; hops < 20; hops++) {
        const response = await send(url);
        const location = response.headers.get('location');
        if (location === null) return { url, response, body: await response.text() };
        await response.body?.cancel();
        url = new URL(location, url).href;
        if (until(new URL(url))) return { url, response, body: '' };
      }
      throw new Error(`Too many redirects, the last to ${url}`);
    },
  };
}
