/** What a person can reach. */
import type {
  AdministrationServiceClient,
  VisibleTarget,
} from '@gatehouse/proto/auth/v1/administration_service';

export interface TargetFilter {
  /** Empty: all. */
  readonly kind: string;
  /** Text in names and labels. */
  readonly search: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** By name. */
export async function listTargets(
  client: AdministrationServiceClient,
  filter: TargetFilter,
): Promise<VisibleTarget[]> {
  const found: VisibleTarget[] = [];
  let pageToken = '';
  do {
    const page = await client.listTargets({ ...filter, pageToken });
    found.push(...page.targets);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return found;
}
