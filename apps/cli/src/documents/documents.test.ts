import { describe, expect, it } from 'vitest';

import { formatDiff } from './diff.js';
import { formatDocument, parseDocumentFile, parseReference, toKind } from './document.js';

describe('formatDiff', () => {
  it('shows what differs with a little of what is around it', () => {
    const before = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].join('\n');
    const after = ['a', 'b', 'c', 'x', 'e', 'f', 'g', 'h'].join('\n');
    expect(formatDiff(before, after, 1)).toBe(
      ['  …', '  c', '- d', '+ x', '  e', '  …', '  g', '+ h', ''].join('\n'),
    );
    expect(formatDiff('a\n', 'a\n')).toBe('');
    expect(formatDiff('', 'a\nb\n')).toBe('+ a\n+ b\n');
  });

  it('gives way on huge texts instead of growing with the square', () => {
    const long = 'x\n'.repeat(50_000);
    expect(formatDiff(long, `${long}y\n`).length).toBeGreaterThan(long.length);
  });
});

describe('parseDocumentFile', () => {
  it('reads several documents and passes over empty ones', () => {
    const text =
      '---\nkind: role\nmetadata: {name: a}\n---\n---\n{"kind": "user", "metadata": {"name": "b"}, "spec": {"x": 1}}\n';
    expect(parseDocumentFile(text, 'f')).toEqual([
      { kind: 'role', metadata: { name: 'a' } },
      { kind: 'user', metadata: { name: 'b' }, spec: { x: 1 } },
    ]);
  });

  it('refuses a document that unfolds without end', () => {
    const bomb = `kind: role\nmetadata: {name: a}\na: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
      .split('')
      .map((key, index) => `${key}: &${key} [${Array(9).fill(`*${'abcdefgh'[index]}`).join(',')}]`)
      .join('\n')}\n`;
    expect(() => parseDocumentFile(bomb, 'f')).toThrow();
  });
});

describe('formatDocument', () => {
  // Labels and notes come from others: on a terminal they would move the cursor, or read otherwise than they are.
  it('shows no control character raw, wherever it stands, and loses none', () => {
    const document = {
      kind: 'node',
      metadata: { name: 'web-1' },
      spec: {
        csi: 'a\u009b2Jb',
        osc: '\u001b]0;x\u0007',
        bidi: 'a\u202eb\u2066c\u200fd',
        note: 'first\nsecond\u001b[2J\u0085\n',
        ends: 'a\r\nb\u2028c\u2029d\u007f',
        long: `${'word '.repeat(60)}\u009b`,
        'key\u009b\u202e': ['\u202d'],
        plain: 'tab\tand\nline\n',
      },
    };
    const text = formatDocument(document);
    expect(text.replaceAll(/[\n\t]/g, '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
    expect(text).toContain(String.raw`csi: "a\u009b2Jb"`);
    expect(parseDocumentFile(text, 'f')).toEqual([document]);
  });
});

describe('references', () => {
  it('takes kinds as people write them', () => {
    expect(['roles', 'Role', 'kube-clusters', 'access_request'].map(toKind)).toEqual([
      'role',
      'role',
      'kube_cluster',
      'access_request',
    ]);
    expect(parseReference('nodes/web-1')).toEqual({ kind: 'node', name: 'web-1' });
    expect(parseReference('nodes')).toEqual({ kind: 'node', name: undefined });
    expect(() => parseReference('role/')).toThrow('KIND/NAME');
  });
});
