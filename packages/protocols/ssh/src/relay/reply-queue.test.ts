import { describe, expect, it } from 'vitest';

import { ReplyQueue } from './reply-queue.js';

describe('replies', () => {
  it('go out in the order of the requests, whoever answers', () => {
    const sent: string[] = [];
    const queue = new ReplyQueue((reply) => sent.push(reply.toString()));
    queue.answer(() => sent.push('own 1'));
    queue.expectRelayed();
    queue.answer(() => sent.push('own 2'));
    queue.expectOurs();
    queue.expectRelayed();
    queue.answer(() => sent.push('own 3'));
    expect(sent).toEqual(['own 1']);
    queue.onReply(Buffer.from('a'));
    expect(sent).toEqual(['own 1', 'a', 'own 2']);
    queue.onReply(Buffer.from('keepalive'));
    queue.onReply(Buffer.from('b'));
    expect(sent).toEqual(['own 1', 'a', 'own 2', 'b', 'own 3']);
    expect(queue.onReply(Buffer.from('nobody asked'))).toBe(false);
  });

  it('are bounded in number', () => {
    const queue = new ReplyQueue(() => undefined);
    expect(() => {
      for (let i = 0; i < 2000; i += 1) queue.expectRelayed();
    }).toThrow('too many unanswered requests');
  });
});
