import { expect, it } from 'vitest';

import { PresenceSet } from './presence.js';

const agent = (nonce: bigint, viaProxy = '', agentId = 'agt_1') => ({
  agentId,
  group: 'web',
  nonce,
  viaProxy,
});

function change(replicaId: string, parts: { full?: boolean; present?: object[]; gone?: object[] }) {
  return { replicaId, full: false, present: [], gone: [], ...parts } as Parameters<
    PresenceSet['apply']
  >[1];
}

it('keeps the newer tunnel when news of the older one arrives late', () => {
  const set = new PresenceSet();
  set.apply('a:1', change('srv_a', { full: true, present: [agent(6n)] }));
  set.apply('a:1', change('srv_a', { gone: [agent(5n)] }));
  expect(set.has('agt_1')).toBe(true);
  set.apply('a:1', change('srv_a', { present: [agent(7n)], gone: [agent(6n)] }));
  expect(set.find('web', 'srv_p').map(({ nonce }) => nonce)).toEqual([7n]);
});

it('prefers tunnels that came through the proxy itself, then the newest', () => {
  const set = new PresenceSet();
  set.apply('a:1', change('srv_a', { full: true, present: [agent(1n, 'srv_p'), agent(2n)] }));
  set.apply('b:1', change('srv_b', { full: true, present: [agent(3n)] }));
  expect(set.find('agt_1', 'srv_p').map(({ nonce }) => nonce)).toEqual([1n, 3n, 2n]);
  expect(set.find('web', 'srv_q').map(({ nonce }) => nonce)).toEqual([3n, 2n, 1n]);
});

it('replaces the set of a replica by its next full one, and forgets it when told', () => {
  const set = new PresenceSet();
  set.apply('a:1', change('srv_a', { full: true, present: [agent(1n, '', 'agt_1')] }));
  set.apply('a:1', change('srv_a', { full: true, present: [agent(2n, '', 'agt_2')] }));
  expect(set.all().map(({ agentId }) => agentId)).toEqual(['agt_2']);
  set.forget('a:1');
  expect(set.has('agt_2')).toBe(false);
});
