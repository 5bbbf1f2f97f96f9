import type { Scenario } from './scenario.ts';
import { clock } from './scenarios/clock.ts';
import { diskFull, failingFsync } from './scenarios/disk.ts';
import { limits } from './scenarios/limits.ts';
import { overload, quotas } from './scenarios/overload.ts';
import { kills, pauses } from './scenarios/processes.ts';
import { failover } from './scenarios/standby.ts';
import { cuts, readOnly, restarts } from './scenarios/store.ts';
import { targets } from './scenarios/target.ts';

export const SCENARIOS: readonly Scenario[] = [
  kills,
  pauses,
  restarts,
  cuts,
  readOnly,
  diskFull,
  failingFsync,
  failover,
  targets,
  clock,
  limits,
  overload,
  quotas,
];
