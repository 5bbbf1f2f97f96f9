import { hostname } from 'node:os';
import { connect, type TLSSocket } from 'node:tls';
import { type ExportedEntry, type Sink, SinkError } from './sink.ts';

export interface SyslogSinkSettings {
  readonly host: string;
  readonly port: number;
  /** PEM; null: the system's. */
  readonly ca: string | null;
}

/** Facility 13, log audit (RFC 5424 section 6.2.1). */
const FACILITY = 13;
/** OCSF's severities as syslog numbers them: notice, warning, error. */
const SEVERITY: Readonly<Record<number, number>> = { 1: 6, 2: 5, 3: 4, 4: 3 };

/**
 * RFC 5424 messages over TLS, framed by their length (RFC 5425). The protocol has no answers: a batch counts as
 * delivered when the receiver has taken the whole connection to its end and closed it without an error.
 */
export function syslogSink({ host, port, ca }: SyslogSinkSettings): Sink {
  return {
    deliver(entries, signal) {
      return new Promise((resolve, reject) => {
        const socket: TLSSocket = connect({ host, port, ...(ca === null ? {} : { ca }), ALPNProtocols: [] });
        const abort = () => socket.destroy(new SinkError('It did not take the messages in time'));
        signal.addEventListener('abort', abort, { once: true });
        let failure: Error | null = null;
        let ended = false;
        socket.once('secureConnect', () => socket.end(entries.map(frame).join('')));
        socket.once('error', (error) => {
          failure = error;
        });
        socket.once('end', () => {
          ended = socket.writableFinished;
        });
        socket.resume();
        socket.once('close', () => {
          signal.removeEventListener('abort', abort);
          if (failure === null && ended) resolve();
          else reject(failure ?? new SinkError('It closed the connection before it had the messages'));
        });
      });
    },
  };
}

function frame({ index, ocsf }: ExportedEntry): string {
  const priority = FACILITY * 8 + (SEVERITY[ocsf.severity_id] ?? 6);
  const at = new Date(ocsf.time).toISOString();
  const name =
    hostname()
      .replace(/[^\x21-\x7e]/g, '-')
      .slice(0, 255) || '-';
  const message = `<${priority}>1 ${at} ${name} hallpass ${index} ${ocsf.message.slice(0, 32)} - ${JSON.stringify(ocsf)}`;
  return `${Buffer.byteLength(message)} ${message}`;
}
