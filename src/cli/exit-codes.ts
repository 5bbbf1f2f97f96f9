/** How `hallpass` ends. Scripts may rely on these; `hallpass help` prints them. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  unauthenticated: 3,
  notAllowed: 4,
  notFound: 5,
  conflict: 6,
  tryLater: 7,
  unreachable: 8,
  badConfiguration: 9,
  /** `check --live`: the configuration is sound, and a target does not work with it. */
  targetFails: 10,
  /** `exec`: the command was not started. Below are the shell's own. */
  notStarted: 125,
  cannotRun: 126,
  noSuchCommand: 127,
  /** `exec`: a signal ended the command; the signal's number is added. */
  signalled: 128,
} as const;

export const EXIT_HELP = `
Exit codes:
  0  done
  1  something failed that should not
  2  the command line is wrong
  3  the broker does not know who calls
  4  no policy allows it
  5  it does not exist, or is not yours to see
  6  it has ended, or changed meanwhile
  7  too busy, or a limit is reached: try again later
  8  the broker cannot be reached
  9  the configuration has faults
  10  check --live: a target does not work as configured`;

export const EXEC_EXIT_HELP = `
Exit codes: the command's own, and
  125  the command was not started, for the reason on standard error
  126  the command cannot be run
  127  there is no such command
  128+n  signal n ended the command

The credentials are revoked when the command ends, however it ends. If hallpass itself is killed with SIGKILL, they
end when the broker misses its heartbeats, or else with their TTL.`;
