/** What auth-service is told of agents: what each says of itself, and which of them are here (for lists). */
import { backoffMs, sleep } from '@gatehouse/kit/clock';
import { GatehouseError } from '@gatehouse/kit/errors';
import { runInBackground } from '@gatehouse/kit/lifecycle';
import type { Logger } from '@gatehouse/kit/log';
import type { RpcConnection } from '@gatehouse/kit/rpc';
import {
  ClusterServiceDefinition,
  type RegisterAgentRequest,
  type RegisterAgentResponse,
} from '@gatehouse/proto/auth/v1/cluster_service';

export interface RegistrarDeps {
  readonly auth: Pick<RpcConnection, 'client'>;
  readonly replicaId: string;
  readonly logger: Logger;
  /** Ids of the agents that are here. */
  agentIds(): string[];
}

export interface Registrar extends AsyncDisposable {
  /**
   * Registers, as often as it takes, until `signal` aborts. While auth-service is away the agent is served by what is
   * known of it: `onKnown` hears that first, then auth-service's own answer.
   * @throws what auth-service refuses with
   */
  register(
    request: RegisterAgentRequest,
    onKnown: (answer: RegisterAgentResponse) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /** An agent has left: report soon. */
  left(): void;
  /** An agent has come. Its registration notes it; only a report under way, which lacks it, may take that back. */
  came(): void;
}

const reportIntervalMs = 5_000;
/** Changes within so long go into one report. */
const gatherMs = 50;
/** Between two reports of changes: each names all agents, and thousands may come within seconds. */
const pauseMs = 500;
const maxKnown = 20_000;

export function createRegistrar(deps: RegistrarDeps): Registrar {
  return new AuthRegistrar(deps);
}

class AuthRegistrar implements Registrar {
  readonly #deps: RegistrarDeps;
  readonly #known = new Map<string, RegisterAgentResponse>();
  readonly #timer: NodeJS.Timeout;
  #soon: NodeJS.Timeout | undefined;
  #isReporting = false;
  #isDirty = false;

  constructor(deps: RegistrarDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => {
      this.#reportInBackground();
    }, reportIntervalMs);
  }

  async register(
    request: RegisterAgentRequest,
    onKnown: (answer: RegisterAgentResponse) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { auth, logger } = this.#deps;
    const { agentId } = request;
    for (let attempt = 0; ; attempt += 1) {
      try {
        const answer = await auth
          .client(ClusterServiceDefinition)
          .registerAgent(request, { signal });
        this.#remember(agentId, answer);
        onKnown(answer);
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        if (!isAway(thrown)) throw thrown;
        if (attempt === 0) {
          logger.warn(
            { err: thrown, agentId },
            'auth-service is away; agent served by what is known',
          );
          onKnown(this.#known.get(agentId) ?? unknownAgent(agentId));
        }
      }
      await sleep(200 + backoffMs(attempt, { baseMs: 200, capMs: 5_000 }), signal).catch(
        () => undefined,
      );
    }
  }

  came(): void {
    if (this.#isReporting) this.#isDirty = true;
  }

  left(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#reportInBackground();
    }, gatherMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    // The last word is that nobody is here; a stop does not wait long for it.
    const { auth, replicaId } = this.#deps;
    const signal = AbortSignal.timeout(1_500);
    await auth
      .client(ClusterServiceDefinition)
      .reportAgents({ replicaId, agentIds: [] }, { signal })
      .catch(() => undefined);
  }

  #remember(agentId: string, answer: RegisterAgentResponse): void {
    if (this.#known.size >= maxKnown) this.#known.clear();
    this.#known.set(agentId, answer);
  }

  #reportInBackground(): void {
    this.#isDirty = true;
    if (this.#isReporting) return;
    this.#isReporting = true;
    const run = async (): Promise<void> => {
      try {
        // A change during a report goes into the next one: reports never overtake each other.
        while (this.#isDirty) {
          this.#isDirty = false;
          await this.#report();
          if (this.#isDirty) await sleep(pauseMs);
        }
      } catch (thrown) {
        this.#deps.logger.debug({ err: thrown }, 'report of agents failed');
      } finally {
        this.#isReporting = false;
      }
    };
    runInBackground(run, this.#deps.logger);
  }

  async #report(): Promise<void> {
    const { auth, replicaId } = this.#deps;
    const agentIds = this.#deps.agentIds();
    await auth.client(ClusterServiceDefinition).reportAgents({ replicaId, agentIds });
  }
}

function isAway(thrown: unknown): boolean {
  return (
    !(thrown instanceof GatehouseError) ||
    thrown.kind === 'unavailable' ||
    thrown.kind === 'deadline_exceeded' ||
    thrown.kind === 'internal'
  );
}

function unknownAgent(agentId: string): RegisterAgentResponse {
  return { agentName: agentId, group: agentId, refused: [], dynamicTargets: [] };
}
