/** What can go wrong with an agent before and while it serves. */
import { createErrorFactory } from '@gatehouse/kit/errors';

export const agentErrors = {
  AGENT_CLUSTER_UNREACHABLE: {
    kind: 'unavailable',
    message: '{proxy} can not be reached: {why}',
  },
  AGENT_CA_PIN_MISMATCH: {
    kind: 'unauthenticated',
    message: 'no certificate authority of {proxy} has the pin given by --ca-pin',
    remedy: 'compare --ca-pin with the output of gate tokens add',
  },
  AGENT_TOKEN_MISSING: {
    kind: 'invalid_argument',
    message: 'this data directory has not joined a cluster yet: --proxy and --token are needed',
    remedy: 'gate tokens add --type agent',
  },
  AGENT_STATE_INVALID: {
    kind: 'failed_precondition',
    message: '{file} can not be read: {why}',
    remedy: 'move it away and join with a new token',
  },
  AGENT_DATA_DIR_IN_USE: {
    kind: 'failed_precondition',
    message: '{dir} is in use by process {pid}',
  },
  AGENT_CERTIFICATE_UNUSABLE: {
    kind: 'unauthenticated',
    message: 'the certificate of this agent is not usable: {why}',
    remedy: 'join with a new token',
  },
  AGENT_WRONG_SERVER: {
    kind: 'unauthenticated',
    message: 'the other end is not a {kind} service of {cluster}',
  },
  AGENT_EGRESS_INVALID: {
    kind: 'invalid_argument',
    message: 'HTTPS_PROXY is not understood: http://[user:password@]host:port',
  },
  AGENT_EGRESS_REFUSED: {
    kind: 'unavailable',
    message: 'the proxy named by HTTPS_PROXY refused the connection: HTTP {status}',
  },
  AGENT_DIAL_REFUSED: { kind: 'permission_denied', message: 'dial refused: {why}' },
} as const;

export const agentError = createErrorFactory(agentErrors);
