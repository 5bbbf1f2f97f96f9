import { type ASTNode, Environment } from '@marcbachmann/cel-js';
import type { ActingParty } from '../identity/attestor.ts';
import type { Json } from '../json.ts';
import { parseGlob } from './glob.ts';
import type { Condition, ConditionInput } from './grant.ts';
import { MAX_CONDITION } from './limits.ts';

/** Makes the conditions of one grant. */
export interface ConditionCompiler {
  /** The condition, or what is wrong with the expression. */
  compile(expression: string): Condition | string;
}

/** What a condition can look at. */
const VARIABLES: ReadonlySet<string> = new Set([
  'claims',
  'issuer',
  'subject',
  'task',
  'parameters',
  'purpose',
  'ticket',
  'actor',
  'actors',
  'now',
]);

const CEL_TYPES = { string: 'string', integer: 'int', boolean: 'bool' } as const;

/** Functions that visit every entry of a list: one inside another would make the work grow as a power. */
const LOOPS = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/** What CEL offers and we do not, and what to write instead. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  [
    'matches',
    'regular expressions can take for ever on a hostile value: write x.glob("release/*"), startsWith, or ==',
  ],
  ['bind', 'write the value out instead of cel.bind'],
]);

/**
 * Conditions in CEL (https://cel.dev) over `claims`, `issuer`, `subject`, `task`, `parameters` (with their declared
 * types), `purpose` and `ticket` (`""` when none is given), `now`, `actor` (who acts for the subject, with `issuer`, `subject` and
 * `claims`; empty when nobody does) and `actors` (all who do, the nearest first), and with `text.glob("release/*")` for our globs.
 *
 * A number of a claim is an `int` if it is whole (JSON does not tell 1 from 1.0), else a `double`. A claim or
 * parameter that is absent is an error, which denies, unless the expression asks `has(claims.x)` first.
 */
export function conditionCompiler(
  parameters: ReadonlyMap<string, { readonly type: keyof typeof CEL_TYPES }>,
): ConditionCompiler {
  const schema = Object.fromEntries([...parameters].map(([name, { type }]) => [name, CEL_TYPES[type]]));
  const environment = new Environment({
    limits: { maxAstNodes: MAX_CONDITION.nodes, maxDepth: MAX_CONDITION.depth },
  })
    .registerVariable('claims', 'map<string, dyn>')
    .registerVariable('issuer', 'string')
    .registerVariable('subject', 'string')
    .registerVariable('task', 'string')
    .registerVariable({ name: 'parameters', schema })
    .registerVariable('purpose', 'string')
    .registerVariable('ticket', 'string')
    .registerVariable('actor', 'map<string, dyn>')
    .registerVariable('actors', 'list<map<string, dyn>>')
    .registerVariable('now', 'google.protobuf.Timestamp')
    .registerFunction('string.glob(string): bool', matchGlob);
  return { compile: (expression) => compile(environment, expression) };
}

/** What a condition sees of whoever asks, and of what he asks for. */
export function conditionInput(
  principal: Pick<ActingParty, 'issuer' | 'subject' | 'claims'> & Pick<ConditionInputParts, 'actors'>,
  ask: Pick<ConditionInput, 'task' | 'parameters'> & Pick<ConditionInputParts, 'purpose' | 'ticket'>,
  now: number,
): ConditionInput {
  const { issuer, subject, claims, actors = [] } = principal;
  const { task, parameters, purpose, ticket } = ask;
  return {
    claims,
    issuer,
    subject,
    task,
    parameters,
    purpose: purpose ?? '',
    ticket: ticket ?? '',
    actors,
    now,
  };
}

interface ConditionInputParts {
  readonly actors?: ConditionInput['actors'];
  readonly purpose: string | null;
  readonly ticket: string | null;
}

function compile(environment: Environment, expression: string): Condition | string {
  if (expression.length > MAX_CONDITION.characters)
    return `Cannot use a condition of more than ${MAX_CONDITION.characters} characters: write several`;
  let program: ReturnType<Environment['parse']>;
  try {
    program = environment.parse(expression);
  } catch (error) {
    return `Cannot read this condition: ${summary(error)}`;
  }
  const survey = surveyOf(program.ast);
  if (survey.fault !== null) return survey.fault;
  const { valid, type, error } = program.check();
  if (!valid) return `Cannot use this condition: ${summary(error)}`;
  if (type !== 'bool')
    return `A condition must be true or false, this is of type ${type}: compare it, for instance ... == true`;
  return {
    expression,
    claims: [...survey.claims],
    variables: [...survey.variables],
    holds: (input) => {
      try {
        return { holds: program(variables(input)) === true, error: null };
      } catch (caught) {
        return { holds: false, error: summary(caught) };
      }
    },
  };
}

function matchGlob(text: string, pattern: string): boolean {
  const glob = parseGlob(pattern);
  if (typeof glob === 'string') throw new RangeError(glob);
  return glob.matches(text);
}

function variables(input: ConditionInput): Record<string, unknown> {
  const { claims, parameters, actors, now, ...texts } = input;
  const parties = actors.map(({ issuer, subject, claims }) => toCel({ issuer, subject, claims }));
  return {
    ...texts,
    claims: toCel(claims),
    parameters: toCel(parameters),
    actor: parties[0] ?? new Map(),
    actors: parties,
    now: new Date(now),
  };
}

/** JSON as CEL has it. Maps, because an object's inherited members are nobody's claims. */
function toCel(value: Json): unknown {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(toCel);
  if (value !== null && typeof value === 'object')
    return new Map(Object.entries(value).map(([name, member]) => [name, toCel(member)]));
  return value;
}

/** The first line of what CEL says: the rest draws the expression. */
function summary(error: unknown): string {
  const text =
    error instanceof Error ? ((error as { summary?: string }).summary ?? error.message) : String(error);
  return (text.split('\n', 1)[0] ?? '').slice(0, 200);
}

interface Survey {
  readonly variables: ReadonlySet<string>;
  readonly claims: ReadonlySet<string>;
  readonly fault: string | null;
}

/** Walks the expression as it was written, for what the type check does not see. */
function surveyOf(root: ASTNode): Survey {
  const variables = new Set<string>();
  const claims = new Set<string>();
  let fault: string | null = null;
  const visit = (node: ASTNode, loops: number): void => {
    const called = node.op === 'rcall' || node.op === 'call' ? node.args[0] : null;
    const refused = called === null ? undefined : REFUSED.get(called);
    if (refused !== undefined) fault ??= `Cannot use ${called}: ${refused}`;
    const inside = called !== null && LOOPS.has(called) ? loops + 1 : loops;
    if (inside > 1)
      fault ??= `Cannot use ${called} within another loop: write two conditions, or "x in list"`;
    if (node.op === 'id' && VARIABLES.has(node.args)) variables.add(node.args);
    const claim = claimRead(node);
    if (claim !== null) claims.add(claim);
    // What a loop runs over is evaluated once: only its body is inside.
    const over = node.op === 'rcall' ? node.args[1] : null;
    for (const child of childrenOf(node)) visit(child, child === over ? loops : inside);
  };
  visit(root, 0);
  return { variables, claims, fault };
}

/** The name in `claims.name` or `claims["name"]`. */
function claimRead(node: ASTNode): string | null {
  if (node.op !== '.' && node.op !== '[]') return null;
  const [object, member] = node.args;
  if (object.op !== 'id' || object.args !== 'claims') return null;
  if (typeof member === 'string') return member;
  return member.op === 'value' && typeof member.args === 'string' ? member.args : null;
}

function childrenOf(node: ASTNode): ASTNode[] {
  const isNode = (value: unknown): value is ASTNode =>
    typeof value === 'object' && value !== null && 'op' in value;
  return [node.args].flat(3).filter(isNode);
}
