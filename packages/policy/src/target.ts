/** Kinds of targets that roles decide about. */
export type TargetKind = 'node' | 'kube_cluster' | 'database' | 'app' | 'desktop';

/** A target as the policy sees it. The label `name` is implicit: it is always the target's own name. */
export interface PolicyTarget {
  readonly kind: TargetKind;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** A person's traits, by name. `{{internal.x}}` and `{{external.x}}` both read the trait `x`. */
export type Traits = Readonly<Record<string, readonly string[]>>;
