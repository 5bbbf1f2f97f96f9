import { once } from 'node:events';
import { connect } from 'node:net';
import { Refused, SinkError } from '../export/sink.ts';
import type { Channel } from './channel.ts';
import type { Notice } from './notice.ts';
import { escapeHtml } from './text.ts';

export interface EmailSettings {
  readonly host: string;
  readonly port: number;
  readonly from: string;
  readonly to: string;
  readonly login: { readonly user: string; readonly password: string } | null;
  /** PEM; null: the system's. */
  readonly ca: string | null;
  /** From the start (RFC 8314, section 3.3), or by STARTTLS, without which nothing is sent. `none` is dangerous: everybody on the way reads it and can change it. */
  readonly tls: 'implicit' | 'starttls' | 'none';
}

/** RFC 5322, section 2.1.1, asks for lines of at most 78. */
const MAX_SUBJECT_CHARS = 200;

/** E-mail by SMTP, to one address: of several, some could refuse it, and the others would get it again and again. */
export function emailChannel(settings: EmailSettings): Channel {
  const { host, port, login, ca, tls, from, to } = settings;
  const domain = from.slice(from.lastIndexOf('@') + 1);
  const options = {
    host,
    port,
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    tls: { minVersion: 'TLSv1.2' as const, ...(ca === null ? {} : { ca }) },
    ...(login === null ? {} : { auth: { user: login.user, pass: login.password } }),
    // No text of a message is ever taken for the name of a file or an address to fetch.
    disableFileAccess: true,
    disableUrlAccess: true,
  };
  return {
    async send(notice, _event, signal) {
      // The signal ends the connection itself: a server that goes on and on does not take what was given up on.
      const connection = connect({ host, port, signal });
      connection.on('error', () => {});
      try {
        await once(connection, 'connect', { signal });
        // Loaded where mail is sent alone.
        const { createTransport } = await import('nodemailer');
        await createTransport({ ...options, connection }).sendMail({
          // Whole addresses as objects: nothing in them is parsed again.
          from: { name: 'Hallpass', address: from },
          to: { name: '', address: to },
          subject: `[hallpass] ${unlinked(notice.title)}`.slice(0, MAX_SUBJECT_CHARS),
          messageId: `<${notice.id}@${domain}>`,
          date: new Date(notice.at),
          // RFC 3834: nobody's holiday answers this.
          headers: { 'Auto-Submitted': 'auto-generated' },
          text: plainTextOf(notice),
          html: htmlOf(notice),
        });
      } catch (error) {
        throw failureOf(error);
      } finally {
        connection.destroy();
      }
    },
  };
}

/** RFC 5321, section 4.2.1: 5yz is for good, 4yz may pass. What the server says may quote the message, so it is left out. */
function failureOf(error: unknown): SinkError {
  const { responseCode, code } = error as { readonly responseCode?: unknown; readonly code?: unknown };
  if (typeof responseCode === 'number' && responseCode >= 500)
    return new Refused(`It answered ${responseCode}`);
  const why = typeof responseCode === 'number' ? `It answered ${responseCode}` : 'It was not reached';
  return new SinkError(typeof code === 'string' ? `${why} (${code})` : why);
}

/** Programs that show mail make links of what looks like one: of what others wrote they shall not. */
function unlinked(value: string): string {
  return value.replaceAll('://', '[:]//').replace(/www\./gi, 'www[.]');
}

function plainTextOf({ title, facts, link, at }: Notice): string {
  const lines = facts.map(([label, value]) => `${unlinked(label)}: ${value === '' ? '-' : unlinked(value)}`);
  const more = link === null ? [] : ['', `Read it, and decide: ${link}`];
  return [unlinked(title), '', ...lines, ...more, '', `At ${at}`, ''].join('\n');
}

function htmlOf({ title, facts, link, at }: Notice): string {
  const rows = facts.map(
    ([label, value]) =>
      `<tr><th align="left">${escapeHtml(unlinked(label))}</th><td>${escapeHtml(unlinked(value))}</td></tr>`,
  );
  const more =
    link === null ? '' : `<p><a href="${escapeHtml(link)}">Read it, and decide</a>: ${escapeHtml(link)}</p>`;
  return `<p>${escapeHtml(unlinked(title))}</p><table>${rows.join('')}</table>${more}<p>At ${escapeHtml(at)}</p>`;
}
