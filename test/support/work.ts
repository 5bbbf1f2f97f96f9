/** Milliseconds of processor time that work took in this process, however much of the machine others have. */
export function processorMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Work that is under way, told by those who begin it. */
export interface UnderWay {
  readonly count: number;
  /** Counts this work until it settles. */
  add<T>(work: Promise<T>): Promise<T>;
  /** The same object, of which each call that promises something is counted until it settles. */
  watch<T extends object>(object: T): T;
}

export function createUnderWay(): UnderWay {
  let count = 0;
  const add: UnderWay['add'] = (work) => {
    count++;
    return work.finally(() => count--);
  };
  const watch: UnderWay['watch'] = (object) =>
    new Proxy(object, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => {
          const answer: unknown = member.apply(target, args);
          return answer instanceof Promise ? add(answer) : answer;
        };
      },
    });
  return {
    get count() {
      return count;
    },
    add,
    watch,
  };
}
