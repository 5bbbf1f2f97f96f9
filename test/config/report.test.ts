import { expect, test } from 'vitest';
import { inOrder, reportJson, reportText, warningsText } from '../../src/config/report.ts';

const fault = (line: number | null, path: string, message = 'm') => ({
  file: 'h.yaml',
  line,
  column: line,
  path,
  message,
});

test('reportText: a line for each fault and their number', () => {
  expect(reportText([fault(3, 'a.b'), fault(null, '')])).toBe('h.yaml:3:3 a.b: m\nh.yaml: m\n2 faults\n');
  expect(reportText([fault(1, 'a')])).toContain('1 fault\n');
  expect(reportText([])).toBe('0 faults\n');
});

test('warningsText: calls nothing a fault that is none', () => {
  expect(warningsText([fault(3, 'a.b'), fault(4, 'c')])).toBe(
    'h.yaml:3:3 a.b: m\nh.yaml:4:4 c: m\n2 to consider\n',
  );
});

test('reportText: is bounded', () => {
  const many = reportText(Array.from({ length: 1000 }, (_, i) => fault(i, 'a')));
  expect(many.split('\n')).toHaveLength(203);
  expect(many).toContain('... and 800 more\n1000 faults');
});

test('reportJson: one document', () => {
  expect(JSON.parse(reportJson([fault(3, 'a')], []))).toEqual({
    ok: false,
    faults: [fault(3, 'a')],
    warnings: [],
  });
  expect(JSON.parse(reportJson([], [fault(3, 'a')]))).toEqual({
    ok: true,
    faults: [],
    warnings: [fault(3, 'a')],
  });
});

test('inOrder: by place, each once', () => {
  const faults = inOrder([fault(3, 'b'), fault(1, 'z'), fault(3, 'a'), fault(1, 'z'), fault(null, 'e')]);
  expect(faults.map(({ path }) => path)).toEqual(['e', 'z', 'a', 'b']);
});
