export { createIdentifier, type Caller, type TrustedAuthorities } from './caller.js';
export type { JoinOptions } from './enroll.js';
export { joinCluster, type Membership } from './join.js';
export { measurePolicy } from './policy-metrics.js';
export { readReadiness, type ReadinessParts } from './readiness.js';
export {
  watchPolicy,
  type PolicyChange,
  type AgentRecord,
  type PolicyView,
  type PolicyViewOptions,
  type TargetRecord,
  type UserRecord,
} from './policy-view.js';
