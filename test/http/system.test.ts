import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { problemCodes } from '../../src/http/contract.ts';
import { renderDocs } from '../../src/http/docs.ts';
import { fakeBorder } from '../fakes/border.ts';

interface Document {
  openapi: string;
  paths: Record<string, Record<string, { operationId: string; security?: unknown; responses: object }>>;
  components: { schemas: Record<string, object>; securitySchemes: object };
}

async function document(): Promise<Document> {
  return (await (await fakeBorder().app.request('/openapi.json')).json()) as Document;
}

describe('system routes', () => {
  it('healthz: answers without asking anybody', async () => {
    const { app, verbs } = fakeBorder();
    expect(await (await app.request('/healthz')).json()).toEqual({ status: 'ok', version: '1.2.3' });
    expect(verbs.calls).toEqual([]);
  });

  it('readyz: 200 when ready, 503 with the reasons when not', async () => {
    expect((await fakeBorder().app.request('/readyz')).status).toBe(200);
    const { app } = fakeBorder({ readiness: { ready: false, reasons: ['the store does not answer'] } });
    const answer = await app.request('/readyz');
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ ready: false, reasons: ['the store does not answer'] });
  });

  it('metrics: counts by route pattern, never by path or by a method that a caller invents', async () => {
    const { app } = fakeBorder();
    await app.request('/v1/tasks/canary', { headers: { authorization: 'Bearer x' } });
    await app.request('/canary', { method: 'CANARY' });
    const answer = await app.request('/metrics');
    expect(answer.headers.get('content-type')).toContain('text/plain');
    const text = await answer.text();
    expect(text).toContain(
      'hallpass_http_requests_total{route="/v1/tasks/{id}",method="GET",status="401"} 1',
    );
    expect(text).toContain('method="other"');
    expect(text.toLowerCase()).not.toContain('canary');
  });
});

describe('openapi.json', () => {
  it('holds every route of the app, and none that is not there', async () => {
    const { app } = fakeBorder();
    const served = app.routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
    const { paths, openapi } = await document();
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(openapi).toBe('3.1.0');
    expect(described.toSorted()).toEqual(served.toSorted());
    expect(described).toHaveLength(39);
  });

  it('gives every operation an id of its own, a success, and the problems that any request can meet', async () => {
    const { paths } = await document();
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.values(methods).map((operation) => ({ path, ...operation })),
    );
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    for (const { path, security, responses } of operations) {
      expect(Object.keys(responses).some((status) => /^20[012]$/.test(status))).toBe(true);
      if (!path.startsWith('/v1/')) continue;
      expect(security).toEqual([{ bearer: [] }]);
      expect(Object.keys(responses)).toEqual(
        expect.arrayContaining(['400', '401', '403', '429', '500', '503']),
      );
    }
  });

  it('refers only to schemas that it holds, and names every code', async () => {
    const whole = await document();
    const text = JSON.stringify(whole);
    for (const [, name] of text.matchAll(/#\/components\/schemas\/(\w+)/g))
      expect(whole.components.schemas).toHaveProperty(name!);
    expect(whole.components.schemas.Problem).toMatchObject({
      properties: { code: { enum: [...problemCodes] } },
    });
  });
});

describe('docs', () => {
  it('shows every operation and every code, with a policy that allows its own style alone', async () => {
    const answer = await fakeBorder().app.request('/docs');
    const html = await answer.text();
    const { paths } = await document();
    for (const path of Object.keys(paths)) expect(html).toContain(`${path}</code>`);
    for (const code of problemCodes) expect(html).toContain(`id="problem-${code}"`);
    const style = /<style>([\s\S]*)<\/style>/.exec(html)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    expect(answer.headers.get('content-security-policy')).toContain(
      `default-src 'none'; style-src 'sha256-${hash}'`,
    );
    expect(html).not.toMatch(/<script|src=|https?:\/\/(?!www\.apache)| style=| on\w+=/);
  });

  it('has an anchor for every link', async () => {
    const html = await (await fakeBorder().app.request('/docs')).text();
    for (const [, anchor] of html.matchAll(/href="#([^"]+)"/g)) expect(html).toContain(`id="${anchor}"`);
  });

  it('renderDocs: text is text', () => {
    const hostile = '<img src=x onerror=alert(1)>"\'&';
    const { html } = renderDocs({
      info: { title: hostile, version: hostile, description: hostile },
      paths: {
        [hostile]: { get: { operationId: hostile, summary: hostile, tags: [hostile], responses: {} } },
      },
      components: { schemas: { Hostile: { properties: { [hostile]: { enum: [hostile] } } } } },
    });
    expect(html).not.toContain('<img');
  });
});
