import type { Runtime } from '../runtime.ts';
import { type ExportedEntry, type Sink, SinkError } from './sink.ts';

export interface OtlpSinkSettings {
  /** With its path, for instance `http://collector:4318/v1/logs`. */
  readonly url: string;
  /** The `Authorization` header. */
  readonly authorization: string | null;
}

/**
 * OpenTelemetry logs, as OTLP over HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/). The vendor's exporter
 * drops what it cannot send in time; the log does not, so the request is made here.
 */
export function otlpSink({ url, authorization }: OtlpSinkSettings, { fetch, now }: Runtime): Sink {
  return {
    async deliver(entries, signal) {
      const answer = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(authorization === null ? {} : { authorization }) },
        body: JSON.stringify(logsOf(entries, now())),
        redirect: 'error',
        signal,
      });
      const text = await answer.text();
      if (!answer.ok) throw new SinkError(`It answered ${answer.status}`);
      const rejected = rejectedIn(text);
      if (rejected > 0) throw new SinkError(`It refused ${rejected} of ${entries.length} records`);
    },
  };
}

/** A collector may take a request and refuse records of it. */
function rejectedIn(text: string): number {
  try {
    const { partialSuccess } = JSON.parse(text || '{}') as {
      partialSuccess?: { rejectedLogRecords?: unknown };
    };
    return Number(partialSuccess?.rejectedLogRecords ?? 0);
  } catch {
    return 0;
  }
}

/** OCSF's severities as OpenTelemetry numbers them. */
const SEVERITY: Readonly<Record<number, readonly [number, string]>> = {
  1: [9, 'INFO'],
  2: [10, 'INFO2'],
  3: [13, 'WARN'],
  4: [17, 'ERROR'],
};

function logsOf(entries: readonly ExportedEntry[], now: number): unknown {
  const logRecords = entries.map(({ index, body, ocsf }) => {
    const [severityNumber, severityText] = SEVERITY[ocsf.severity_id] ?? [9, 'INFO'];
    return {
      timeUnixNano: nanoseconds(ocsf.time),
      observedTimeUnixNano: nanoseconds(now),
      severityNumber,
      severityText,
      eventName: `hallpass.${ocsf.message}`,
      body: { stringValue: body },
      attributes: [
        { key: 'hallpass.log.index', value: { intValue: String(index) } },
        { key: 'hallpass.event.kind', value: { stringValue: ocsf.message } },
        { key: 'ocsf.class_uid', value: { intValue: String(ocsf.class_uid) } },
      ],
    };
  });
  return {
    resourceLogs: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'hallpass' } }] },
        scopeLogs: [{ scope: { name: 'hallpass.audit' }, logRecords }],
      },
    ],
  };
}

function nanoseconds(ms: number): string {
  return `${ms}000000`;
}
