import type { Runtime } from '../runtime.ts';
import type { NamedSink } from './exporter.ts';
import { type FileSinkSettings, fileSink } from './file.ts';
import { type HttpsSinkSettings, httpsSink } from './https.ts';
import { type OtlpSinkSettings, otlpSink } from './otlp.ts';
import { type SyslogSinkSettings, syslogSink } from './syslog.ts';

/** Where the configuration sends the log. */
export type SinkSettings = { readonly name: string; readonly from: number } & (
  | ({ readonly type: 'file' } & FileSinkSettings)
  | ({ readonly type: 'https' } & HttpsSinkSettings)
  | ({ readonly type: 'syslog' } & SyslogSinkSettings)
  | ({ readonly type: 'otlp' } & OtlpSinkSettings)
);

export function createSink(settings: SinkSettings, runtime: Runtime): NamedSink {
  const { name, from } = settings;
  switch (settings.type) {
    case 'file':
      return { name, from, sink: fileSink(settings) };
    case 'https':
      return { name, from, sink: httpsSink(settings, runtime) };
    case 'syslog':
      return { name, from, sink: syslogSink(settings) };
    case 'otlp':
      return { name, from, sink: otlpSink(settings, runtime) };
  }
}
