import { bindService, type CallerRule, type RpcServerOptions } from '@gatehouse/kit/rpc';
/** Every rpc of auth-service, on the two listeners. A handler file says who may call it; a missing one does not start. */
import type { Caller } from '@gatehouse/membership';
import { AdministrationServiceDefinition } from '@gatehouse/proto/auth/v1/administration_service';
import { ClusterServiceDefinition } from '@gatehouse/proto/auth/v1/cluster_service';
import { CredentialServiceDefinition } from '@gatehouse/proto/auth/v1/credential_service';
import { EnrollmentServiceDefinition } from '@gatehouse/proto/auth/v1/enrollment_service';
import { LoginServiceDefinition } from '@gatehouse/proto/auth/v1/login_service';

import type { Context, Deps } from '../deps.js';
import * as acceptInvite from './accept-invite.js';
import * as applyDocument from './apply-document.js';
import * as applyDocuments from './apply-documents.js';
import * as createJoinToken from './create-join-token.js';
import * as createLock from './create-lock.js';
import * as createUserInvite from './create-user-invite.js';
import * as deleteDocument from './delete-document.js';
import * as endSession from './end-session.js';
import * as enrollAgent from './enroll-agent.js';
import * as enrollService from './enroll-service.js';
import * as explainAccess from './explain-access.js';
import * as findLiveSessions from './find-live-sessions.js';
import * as getDocument from './get-document.js';
import * as getInvite from './get-invite.js';
import * as getSelf from './get-self.js';
import * as getTrust from './get-trust.js';
import * as issueDatabaseCertificate from './issue-database-certificate.js';
import * as issueHostCertificates from './issue-host-certificates.js';
import * as issueNodeHostCertificate from './issue-node-host-certificate.js';
import * as issueTargetCertificate from './issue-target-certificate.js';
import * as listAgents from './list-agents.js';
import * as listDocuments from './list-documents.js';
import * as listSessions from './list-sessions.js';
import * as listTargets from './list-targets.js';
import * as login from './login.js';
import * as logout from './logout.js';
import * as registerAgent from './register-agent.js';
import * as reissue from './reissue.js';
import * as renewAgent from './renew-agent.js';
import * as reportAgents from './report-agents.js';
import * as reportSessions from './report-sessions.js';
import * as resetUser from './reset-user.js';
import * as watch from './watch.js';

type Services = RpcServerOptions<Caller>['services'];

interface HandlerFile<Request, Result> {
  readonly callers: readonly CallerRule[];
  handle(deps: Deps, request: Request, context: Context): Result;
}

/** For whom a listener is there: it takes nobody else's calls, whatever a handler allows. `any`: the handler decides. */
type Audience = 'services' | 'public' | 'any';

function createBinder(deps: Deps, audience: Audience) {
  return <Request, Result>(file: HandlerFile<Request, Result>) => ({
    callers: narrow(file.callers, audience),
    handle: (request: Request, context: Context): Result => file.handle(deps, request, context),
  });
}

/** Nobody has this rule's certificate but auth-service itself: a method that is not for a listener's audience. */
const nobody: readonly CallerRule[] = ['service/auth'];

function narrow(callers: readonly CallerRule[], audience: Audience): readonly CallerRule[] {
  if (audience === 'any') return callers;
  const isPublic = (rule: CallerRule) =>
    rule === 'anonymous' || rule === 'user' || rule === 'agent';
  const kept = callers.filter((rule) => isPublic(rule) === (audience === 'public'));
  return kept.length === 0 ? nobody : kept;
}

/** What the other services call, over mutual TLS. Enrolling is the one thing done without a certificate. */
export function bindInternalServices(deps: Deps): Services {
  const bind = createBinder(deps, 'services');
  return [
    bindService(ClusterServiceDefinition, {
      watch: bind(watch),
      reportSessions: bind(reportSessions),
      findLiveSessions: bind(findLiveSessions),
      registerAgent: bind(registerAgent),
      reportAgents: bind(reportAgents),
    }),
    bindService(CredentialServiceDefinition, {
      issueTargetCertificate: bind(issueTargetCertificate),
      issueHostCertificates: bind(issueHostCertificates),
    }),
    bindService(EnrollmentServiceDefinition, {
      enrollService: createBinder(deps, 'any')(enrollService),
      enrollAgent: bind(enrollAgent),
      renewAgent: bind(renewAgent),
      issueNodeHostCertificate: bind(issueNodeHostCertificate),
      issueDatabaseCertificate: bind(issueDatabaseCertificate),
    }),
    bindService(LoginServiceDefinition, {
      getInvite: bind(getInvite),
      acceptInvite: bind(acceptInvite),
      login: bind(login),
      reissue: bind(reissue),
      getSelf: bind(getSelf),
      logout: bind(logout),
    }),
  ];
}

/** What people and agents call, through the proxies' port. */
export function bindPublicServices(deps: Deps): Services {
  const bind = createBinder(deps, 'public');
  return [
    bindService(LoginServiceDefinition, {
      getInvite: bind(getInvite),
      acceptInvite: bind(acceptInvite),
      login: bind(login),
      reissue: bind(reissue),
      getSelf: bind(getSelf),
      logout: bind(logout),
    }),
    bindService(EnrollmentServiceDefinition, {
      enrollService: { ...bind(enrollService), callers: nobody },
      enrollAgent: bind(enrollAgent),
      renewAgent: bind(renewAgent),
      issueNodeHostCertificate: bind(issueNodeHostCertificate),
      issueDatabaseCertificate: bind(issueDatabaseCertificate),
    }),
    bindService(AdministrationServiceDefinition, {
      getDocument: bind(getDocument),
      listDocuments: bind(listDocuments),
      applyDocument: bind(applyDocument),
      applyDocuments: bind(applyDocuments),
      deleteDocument: bind(deleteDocument),
      createUserInvite: bind(createUserInvite),
      resetUser: bind(resetUser),
      createJoinToken: bind(createJoinToken),
      createLock: bind(createLock),
      listTargets: bind(listTargets),
      listSessions: bind(listSessions),
      endSession: bind(endSession),
      listAgents: bind(listAgents),
      explainAccess: bind(explainAccess),
      getTrust: bind(getTrust),
    }),
  ];
}
