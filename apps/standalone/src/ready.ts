/** `ready.json`: how programs find a cluster at home (contract §1). */

export interface Ready {
  readonly version: 1;
  readonly pid: number;
  readonly clusterName: string;
  readonly proxyAddr: string;
  readonly webUrl: string;
  readonly caPin: string;
  /** Null once an administrator exists. */
  readonly adminInviteUrl: string | null;
  readonly metricsUrl: string;
  readonly startedAt: string;
}
